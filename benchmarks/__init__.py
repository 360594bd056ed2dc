"""How fast the parts are, each beside a named rival in the same run: `python -m benchmarks [NAME…] [OPTION…]`."""
