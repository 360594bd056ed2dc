"""Readers of archives and compressed streams."""
