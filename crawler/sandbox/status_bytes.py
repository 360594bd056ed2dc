"""What goes over the status socket of a reader; apart from the fork server, so that the examiner loads no reader."""

KILL = b"K"
"""Sent to the fork server, to end the reader."""
STARTED = b"S"
"""Sent by the fork server, once it has forked the reader."""
