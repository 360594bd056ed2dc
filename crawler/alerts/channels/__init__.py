"""One module per channel dialect, found by its file."""
