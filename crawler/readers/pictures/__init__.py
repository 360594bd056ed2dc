"""Readers of pictures, whose text is recognised."""
