"""Starts readers inside their walls and exchanges frames with them."""
