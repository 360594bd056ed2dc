"""The embedded story that `make demo` shows."""
