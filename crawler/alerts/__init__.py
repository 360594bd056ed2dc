"""Events, the text of alerts about them, and the formats of the channels that alerts are sent to."""
