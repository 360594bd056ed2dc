"""Files that no reader opens: what they are, and whether their bytes can hide values."""
