"""All words of alerts, in each language that a channel can have."""
