"""What sealed evidence tells of the answer that it was read from."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificate
from scrapy.http import Response
from twisted.internet.ssl import Certificate

from crawler.fetching.receipts import MAX_HEADERS, MAX_VALUE, receipt_of
from tests.servers.tls_site import Authority

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)


def test_a_receipt_has_time_address_headers_and_the_certificate_and_no_cookie(tmp_path):
    pem = Authority().write(tmp_path / "a.pem").read_bytes()
    response = Response(
        "https://site.example/x", 203, ip_address=ip_address("192.0.2.7"), certificate=Certificate.loadPEM(pem),
        headers={"Server": "nginx", "Set-Cookie": "session=secret", "X-Long": "x" * 9_000},
    )  # fmt: skip
    receipt = json.loads(receipt_of(response, NOW))
    assert (receipt["at"], receipt["status"], receipt["ip"]) == ("2026-11-24T03:00:00+00:00", 203, "192.0.2.7")
    assert dict(receipt["headers"]) == {"Server": "nginx", "X-Long": "x" * MAX_VALUE}
    certificate = load_pem_x509_certificate(pem)
    assert receipt["certificate"]["sha256"] == certificate.fingerprint(SHA256()).hex()
    assert receipt["certificate"]["issuer"] == certificate.issuer.rfc4514_string()


def test_a_certificate_that_is_malformed_keeps_no_post_from_being_examined(tmp_path):
    encoded = Certificate.loadPEM(Authority().write(tmp_path / "a.pem").read_bytes()).dump()
    version = bytes.fromhex("a003020102")
    assert encoded.count(version) == 1
    odd = encoded.replace(version, bytes.fromhex("a003020109"))
    receipt = json.loads(receipt_of(Response("https://site.example/x", certificate=Certificate.load(odd)), NOW))
    assert receipt["certificate"] == {"sha256": hashlib.sha256(odd).hexdigest()}


@pytest.mark.parametrize("count", [1, 3 * MAX_HEADERS])
def test_of_an_onion_service_the_address_is_the_proof_and_a_flood_of_headers_is_cut_and_counted(count):
    headers = {f"X-{number}": "é\u202e" for number in range(count)}
    receipt = json.loads(receipt_of(Response(f"http://{'a' * 56}.onion/p", headers=headers), NOW))
    assert receipt["onion"] == "a" * 56 + ".onion"
    assert "ip" not in receipt
    assert len(receipt["headers"]) + receipt.get("headers_left_out", 0) == count
