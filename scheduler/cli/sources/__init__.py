"""`tocsin source`: the commands about sources."""
