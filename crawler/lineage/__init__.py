"""Is it new? How many people of a sample are in known releases, chance and typing errors allowed for, and the verdict."""
