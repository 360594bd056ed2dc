"""Is it new? Compares a sample with all known releases, allows for chance and typing errors, and gives a verdict."""
