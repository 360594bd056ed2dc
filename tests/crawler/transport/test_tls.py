"""Certificates of https sites: checked by default, on direct connections and over Tor, with real TLS servers."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from OpenSSL import SSL

from crawler.tor.socks import SocksStream
from crawler.transport.tls import TlsPolicy, TlsRules, pin_of, ssl_context
from data.errors import CertificateRefused, SourceError
from data.sources.source_files import json_schema, parse_source
from tests.command import must, tocsin, tocsin_json
from tests.servers.tls_site import Authority, TlsSite

OTHER_PIN = "sha256/" + "A" * 43 + "="


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def trusted(authority, tmp_path, monkeypatch) -> Authority:
    """An authority that this process trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.write(tmp_path / "authority.pem")))
    return authority


def direct(site: TlsSite, rules: TlsRules, host: str) -> None:
    """Connect as a direct crawl does; raises CertificateRefused."""
    policy = TlsPolicy(rules)
    connection = policy.creatorForNetloc(host.encode(), site.port).clientConnectionForTLS(None)
    with socket.create_connection(("127.0.0.1", site.port)) as sock:
        while True:
            try:
                connection.do_handshake()
                break
            except SSL.WantReadError:
                _flush(connection, sock)
                connection.bio_write(sock.recv(65536))
            except SSL.Error:
                error = policy.refusal_of(host)
                assert error is not None
                raise error from None
        _flush(connection, sock)
    assert policy.refusal_of(host) is None


def _flush(connection: SSL.Connection, sock: socket.socket) -> None:
    try:
        sock.sendall(connection.bio_read(65536))
    except SSL.WantReadError:
        return


def over_tor(site: TlsSite, rules: TlsRules, host: str) -> None:
    """Connect as a crawl over Tor does, once Tor has connected it; raises CertificateRefused."""

    async def connect() -> None:
        stream = SocksStream(*await asyncio.open_connection("127.0.0.1", site.port))
        try:
            await stream.start_tls(ssl_context(rules), host, 10)
        finally:
            await stream.aclose()

    asyncio.run(connect())


WAYS = pytest.mark.parametrize("connect", [direct, over_tor])


@WAYS
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_certificate_of_a_trusted_authority_for_this_name_is_accepted(trusted, tmp_path, connect, host):
    with TlsSite(tmp_path, authority=trusted, host=host) as site:
        connect(site, TlsRules(), host)


@WAYS
@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({}, "self-signed"),
        ({"authority": "trusted", "days": -1}, "has expired"),
        ({"authority": "trusted", "begin": 2}, "not valid yet"),
        ({"authority": "trusted", "host": "another.example"}, "for another name"),
        ({"authority": "trusted", "host": "127.0.0.2"}, "for another name"),
        ({"authority": "unknown"}, "not signed by an authority that this machine trusts"),
    ],
)
def test_any_other_certificate_is_refused_and_its_fault_named(trusted, tmp_path, connect, made, reason):
    signers = {"trusted": trusted, "unknown": Authority("another authority")}
    given = {**made, "authority": signers.get(made.get("authority", ""))}
    with TlsSite(tmp_path, **given) as site:
        with pytest.raises(CertificateRefused, match=reason) as caught:
            connect(site, TlsRules(), "127.0.0.1")
        assert "pin its key" in caught.value.hint
        assert site.received == []
        # a pin replaces every other check, and so does an exception with a reason
        connect(site, TlsRules.of_setting({"pins": [OTHER_PIN, pin_of(site.certificate)]}), "127.0.0.1")
        connect(site, TlsRules(verify=False), "127.0.0.1")


@WAYS
def test_a_key_that_is_not_pinned_is_refused_even_if_an_authority_signed_it(trusted, tmp_path, connect):
    with TlsSite(tmp_path, authority=trusted) as site, pytest.raises(CertificateRefused, match="another key"):
        connect(site, TlsRules.of_setting({"pins": [OTHER_PIN]}), "127.0.0.1")


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("tls: {pin: abc}", "tls.pin.0", "sha256/"),
        (f"tls: {{pin: [{OTHER_PIN}, sha256/AAAA]}}", "tls.pin.1", "32 bytes"),
        ("tls: {verify: false}", "tls.reason", "requires a reason"),
        ("tls: {verify: false, reason: ' '}", "tls.reason", "requires a reason"),
        (f"tls: {{verify: false, reason: x, pin: {OTHER_PIN}}}", "tls.verify", "beside a pin"),
        ("tls: {reason: x}", "tls.reason", "certificates are checked"),
        ("tls: {verfy: false}", "tls.verfy", "verify"),
    ],
)
def test_rules_that_contradict_themselves_are_refused_with_the_place(text, field, words):
    with pytest.raises(SourceError, match=words) as caught:
        parse_source(f"name: x\nplatform: declared\nurl: https://h.example/\n{text}\n", "x.yaml")
    assert caught.value.field == field


@pytest.mark.slow
def test_a_crawl_fails_with_a_trouble_of_its_own_until_the_key_is_pinned_or_a_reason_given(tmp_path):
    home = tmp_path / "home"
    must(None, "init", home)
    with TlsSite(tmp_path) as self_signed, TlsSite(tmp_path, days=-1) as expired:

        def write(name: str, site: TlsSite, tls: str = "") -> None:
            source = tmp_path / f"{name}.yaml"
            source.write_text(f"name: {name}\nplatform: feed\nurl: {site.url}/feed\n{tls}")
            must(home, "source", "add", source)

        write("plain", self_signed)
        write("old", expired)
        write("pinned", expired, f"tls: {{pin: {pin_of(expired.certificate)}}}\n")
        write("excepted", self_signed, "tls: {verify: false, reason: 'the site has signed itself since 2019'}\n")
        for name in ("plain", "old"):
            done = tocsin(home, "crawl", name, "--json")
            (crawl,) = json.loads(done.stdout)["crawls"]
            assert (done.returncode, crawl["state"], crawl["code"]) == (2, "failed", "certificate"), crawl
            assert {"plain": "self-signed", "old": "the certificate of the site"}[name] in crawl["error"]
            assert "pin its key" in crawl["hint"]
        assert (self_signed.received, expired.received) == ([], []), "nothing was sent"
        sources = {each["name"]: each for each in tocsin_json(home, "status")["sources"]}
        assert "self-signed" in sources["plain"]["error"]
        problems = tocsin_json(home, "status")["problems"]
        assert any("source_silent plain" in problem for problem in problems), problems
        for name, site in (("pinned", expired), ("excepted", self_signed)):
            (crawl,) = tocsin_json(home, "crawl", name)["crawls"]
            assert (crawl["state"], crawl["listed"]) == ("done", 1), crawl
            assert "/feed" in site.received
    kept = b"".join(path.read_bytes() for path in home.glob("tocsin.db*"))
    assert b"since 2019" in kept, "the reason is recorded"


def test_the_rules_of_a_source_are_part_of_the_schema_for_editors():
    schema = json.dumps(json_schema())
    assert all(f'"{name}"' in schema for name in ("tls", "pin", "verify", "reason"))
