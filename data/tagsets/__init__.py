"""Compact sets of tags: bucketed sets, Elias-Fano sets and Bloom filters."""
