"""What `doctor`, `incident show` and `status` say."""
