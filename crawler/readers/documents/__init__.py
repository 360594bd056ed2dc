"""Readers of text, HTML, PDF and RTF."""
