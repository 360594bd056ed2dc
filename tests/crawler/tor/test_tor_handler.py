"""What the road over Tor takes from libraries that they promise nobody: it is there, or nothing is crawled."""

from __future__ import annotations

import httpcore2
import httpx2
import pytest

from crawler.tor.tor_handler import TorDownloadHandler
from data.errors import ConfigError


def test_httpx2_keeps_its_connections_where_they_are_replaced():
    assert isinstance(httpx2.AsyncHTTPTransport(trust_env=False)._pool, httpcore2.AsyncConnectionPool)


def test_another_httpx2_makes_no_connection_at_all(monkeypatch):
    """Were the replaced pool not the one that is used, requests would go out directly."""

    class Elsewhere:
        _pool = None

        def __init__(self, **_: object) -> None:
            pass

    handler = object.__new__(TorDownloadHandler)
    handler._ssl_context = handler._limits = None
    monkeypatch.setattr(httpx2, "AsyncHTTPTransport", Elsewhere)
    with pytest.raises(ConfigError, match="httpx2"):
        handler._make_client()
