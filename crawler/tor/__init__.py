"""Crawling over Tor: control port, our own Tor process, SOCKS connections, dial socket and download handler."""
