"""One crawl: lease, fork, answers to its questions, and its end."""
