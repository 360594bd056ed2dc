"""Source files to copy from; each names where its facts come from."""
