"""Copies of a whole home: backup and restore."""
