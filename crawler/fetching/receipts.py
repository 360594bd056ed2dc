"""How an answer was received, as part of sealed evidence: when, from where, its headers and its certificate."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
from scrapy.http import Response

from crawler.transport.browser import SCREENSHOT

# A site chooses its headers: so many, and so many characters of each, are kept.
MAX_HEADERS, MAX_VALUE = 40, 300
# Headers that hold secrets of the one who asked.
_SECRET = frozenset({b"set-cookie", b"set-cookie2", b"authentication-info", b"proxy-authenticate"})


def receipt_of(response: Response, now: datetime | None = None) -> str:
    """A JSON object about an answer: `at`, `address`, `status`, `headers`, and `certificate`, `onion` or `ip` if known.

    A page that a browser rendered has a `screenshot` as well: a JPEG picture in base64.

    Args:
        response: as Scrapy has it.
        now: aware UTC; None for the present.
    """
    headers = [
        [name.decode("latin-1")[:MAX_VALUE], value.decode("latin-1")[:MAX_VALUE]]
        for name, values in response.headers.items()
        if name.lower() not in _SECRET
        for value in values
    ]
    screenshot = response.request.meta.get(SCREENSHOT) if response.request is not None else None
    host = urlsplit(response.url).hostname or ""
    receipt: dict[str, Any] = {
        "at": (now or datetime.now(UTC)).isoformat(timespec="seconds"),
        "address": response.url,
        "status": response.status,
        "headers": headers[:MAX_HEADERS],
    }
    if len(headers) > MAX_HEADERS:
        receipt["headers_left_out"] = len(headers) - MAX_HEADERS
    if host.endswith(".onion"):
        # the address is the public key of the service, so it proves who answered
        receipt["onion"] = host
    elif response.ip_address is not None:
        receipt["ip"] = str(response.ip_address)
    if screenshot:
        receipt["screenshot"] = screenshot
    if (certificate := _certificate(response)) is not None:
        receipt["certificate"] = certificate
    return orjson.dumps(receipt).decode()


def _certificate(response: Response) -> dict[str, str] | None:
    """Digest, subject and issuer of the certificate of a TLS connection, the digest alone if it is malformed; None without."""
    certificate = response.certificate
    if certificate is None:
        return None
    from cryptography.x509 import load_der_x509_certificate

    encoded = certificate.dump()
    digest = hashlib.sha256(encoded).hexdigest()
    try:
        read = load_der_x509_certificate(encoded)
        return {
            "sha256": digest,
            "subject": read.subject.rfc4514_string()[:MAX_VALUE],
            "issuer": read.issuer.rfc4514_string()[:MAX_VALUE],
            "not_after": read.not_valid_after_utc.isoformat(),
        }
    except Exception:  # noqa: BLE001 - a site writes it; its post must be examined whatever stands in it
        return {"sha256": digest}
