"""When we look, and the commands."""
