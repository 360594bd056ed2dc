"""Readers of mail and of the text encodings that mail carries."""
