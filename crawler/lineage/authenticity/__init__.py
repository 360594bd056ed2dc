"""Whether a sample is genuine, put together from known values, or invented: from tags and facts of format alone."""
