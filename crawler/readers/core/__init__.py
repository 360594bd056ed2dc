"""What all readers share: sources, output, limits, the registry, signatures and encodings."""
