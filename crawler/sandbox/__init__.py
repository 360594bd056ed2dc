"""Starts readers inside a sandbox and exchanges frames with them."""
