"""The database of a home, which the runner writes: sources, crawls, posts, findings, events, outbox and audit chain."""
