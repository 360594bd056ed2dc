"""Is it ours? The byte pass, its compiled scans and the match against the watch-list."""
