"""The database: crawls, posts, events, outbox, audit. One writer, the runner."""
