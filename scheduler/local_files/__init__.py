"""Scanning local files, and recording them as releases."""
