"""Examining local files, and recording their findings."""
