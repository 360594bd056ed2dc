"""The address of a Tor port: a TCP address or a Unix socket. This module does not connect to it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self

# The kernel's structure for a Unix socket address has room for a path of so many bytes and a final zero.
MAX_PATH = 107


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address to connect to.

    Attributes:
        host: a numeric IP address; '' for a Unix socket. port: TCP port; 0 for a Unix socket.
        path: path of the Unix socket; '' for TCP.
    """

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `HOST:PORT` or `unix:PATH`.

        Raises:
            ValueError: the text is neither, or the host is a name: resolving it would send a packet outside Tor.
        """
        if text.startswith("unix:"):
            path = text.removeprefix("unix:")
            if not path.startswith("/"):
                raise ValueError("write the absolute path, for example unix:/run/tor/socks")
            if len(path.encode()) > MAX_PATH:
                raise ValueError(f"the path of a Unix socket may have at most {MAX_PATH} bytes")
            return cls(path=path)
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ValueError("write HOST:PORT or unix:PATH")
        if host == "localhost":
            host = "127.0.0.1"
        try:
            return cls(ip_address(host.removeprefix("[").removesuffix("]")).compressed, int(port))
        except ValueError as error:
            raise ValueError(
                "write the host as a numeric IP address: resolving a name would send a packet outside Tor"
            ) from error

    def __str__(self) -> str:
        """The address as it is written in the settings."""
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
