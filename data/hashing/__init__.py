"""Keys of a case, probe tags, confirm digests and file fingerprints."""
