"""Is it new? Counts the people of a sample whom known releases hold, allows for chance and typing errors, decides."""
