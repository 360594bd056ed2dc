"""Packed byte strings, growing arrays and what makes a function a compiled kernel."""
