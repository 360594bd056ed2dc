"""What all readers share: the registry, sources of bytes, output, limits, signatures and encodings."""
