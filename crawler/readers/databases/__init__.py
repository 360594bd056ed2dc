"""Readers of SQL dumps and database files."""
