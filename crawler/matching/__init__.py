"""Is it ours? The byte pass over a sample, its compiled loops, and the match with the watch-list."""
