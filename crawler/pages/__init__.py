"""From the bytes of a page to rows, text, fields, post identity, deadlines and incident rules; and telling a blocked page."""
