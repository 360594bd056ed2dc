"""What parses hostile formats: no key, no network, no file of the home. One module per format, found by its file."""
