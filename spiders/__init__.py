"""Platforms: one module for each kind of site software."""
