"""Internals of httpx2 that the Tor handler relies on: they exist, or nothing is crawled."""

from __future__ import annotations

import httpcore2
import httpx2
import pytest

from crawler.tor.tor_handler import TorDownloadHandler
from data.errors import ConfigError


def test_httpx2_keeps_its_connection_pool_where_the_handler_replaces_it():
    assert isinstance(httpx2.AsyncHTTPTransport(trust_env=False)._pool, httpcore2.AsyncConnectionPool)


def test_an_unsupported_httpx2_makes_no_connection_at_all(monkeypatch):
    """If httpx2 used another pool than the replaced one, requests would be sent directly."""

    class OtherTransport:
        _pool = None

        def __init__(self, **_: object) -> None:
            pass

    handler = object.__new__(TorDownloadHandler)
    handler._tls_context = handler._limits = None
    monkeypatch.setattr(httpx2, "AsyncHTTPTransport", OtherTransport)
    with pytest.raises(ConfigError, match="httpx2"):
        handler._make_client()
