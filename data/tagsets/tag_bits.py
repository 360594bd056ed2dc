"""How many bits of a tag are kept; apart from the sets, so that processes without any set load no numpy."""

KEPT_BITS = 44
"""How many of a tag's first bits are kept. A set of n takes a foreign tag for a member with probability n / 2**44: 1e-6
at 15 million members."""
MIN_KEPT_BITS = 32
"""The fewest bits of a tag that a set of a release may keep."""
