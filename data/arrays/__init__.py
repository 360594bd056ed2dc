"""Packed byte strings, growing arrays, and the decorators that make a function a compiled kernel."""
