"""The contents of the reports of `doctor`, `incident show` and `status`."""
