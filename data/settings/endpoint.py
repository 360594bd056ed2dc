"""Where a Tor is reached: a TCP address or a Unix socket; connecting is left to others."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self

# A path of a Unix socket has room for so many bytes in the kernel's structure, with the zero at its end.
MAX_PATH = 107


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address that may be connected to.

    Attributes:
        host: an address in numbers, '' for a Unix socket. port: of the host. path: of the Unix socket, '' for TCP.
    """

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `HOST:PORT` or `unix:PATH`.

        Raises:
            ValueError: it is neither, or the host is a name: asking who that is would be a packet beside Tor.
        """
        if text.startswith("unix:"):
            path = text.removeprefix("unix:")
            if not path.startswith("/"):
                raise ValueError("write the whole path: unix:/run/tor/socks")
            if len(path.encode()) > MAX_PATH:
                raise ValueError(f"the path of a Unix socket has at most {MAX_PATH} bytes")
            return cls(path=path)
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ValueError("write HOST:PORT or unix:PATH")
        if host == "localhost":
            host = "127.0.0.1"
        try:
            return cls(ip_address(host.removeprefix("[").removesuffix("]")).compressed, int(port))
        except ValueError as error:
            raise ValueError("write the host in numbers: asking for its name would leave Tor") from error

    def __str__(self) -> str:
        """As it is written in the settings."""
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
