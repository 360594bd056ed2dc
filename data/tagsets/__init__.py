"""Compact sets of tags: bucketed, Elias-Fano and Bloom filters."""
