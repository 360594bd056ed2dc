"""Bytes of a page to rows, text, fields, the identity of a post, deadlines and matching rules; blocked pages."""
