"""Everything Tor: the control port, a Tor process of our own, the download handler, SOCKS and the dial socket."""
