"""How the certificates of https sites are checked: by the authorities that this machine trusts, by pins, or not at all.

A site whose certificate is refused receives nothing of the request. The direct connections of Twisted and the
connections of httpx2 over Tor follow the same rules.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL
from service_identity import VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address
from service_identity.exceptions import CertificateError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from data.errors import CertificateRefused

PIN_PREFIX = "sha256/"
_EXPIRED = "the certificate of the site has expired"
_OTHER_NAME = "the certificate of the site is for another name"
_OTHER_KEY = "the certificate of the site has another key than the source file pins"
_UNTRUSTED = "the certificate of the site is not signed by an authority that this machine trusts"
_UNVERIFIED = "the certificate of the site cannot be verified"
# Numbers of OpenSSL's X509_V_ERR_…, which both of its Python bindings report.
_REASONS = {
    2: _UNTRUSTED,
    9: "the certificate of the site is not valid yet",
    10: _EXPIRED,
    18: "the certificate of the site is self-signed",
    19: _UNTRUSTED,
    20: _UNTRUSTED,
    21: _UNTRUSTED,
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}
# Some sites need it; Scrapy sets it as well.
_LEGACY_SERVER_CONNECT = 0x4


@dataclass(frozen=True, slots=True)
class TlsRules:
    """How the certificates of a source's hosts are checked.

    Attributes:
        verify: whether they are checked at all.
        pins: SHA-256 digests of public keys (SubjectPublicKeyInfo). If there are some, the key of the site must be one
            of them, and nothing else of the certificate counts: neither its age nor its name nor who signed it.
    """

    verify: bool = True
    pins: frozenset[bytes] = frozenset()

    @classmethod
    def of_setting(cls, value: Mapping[str, Any]) -> TlsRules:
        """From the Scrapy setting `TOCSIN_TLS`: `verify`, `pins` (as in the source file)."""
        pins = frozenset(base64.b64decode(str(pin).removeprefix(PIN_PREFIX)) for pin in value.get("pins", ()))
        return cls(bool(value.get("verify", True)), pins)

    def has_pinned_key(self, certificate: x509.Certificate) -> bool:
        """Whether the public key of a certificate is pinned."""
        return hashlib.sha256(_public_key(certificate)).digest() in self.pins


def pin_of(certificate: x509.Certificate) -> str:
    """The pin of a certificate's public key, as it is written in a source file."""
    return PIN_PREFIX + base64.b64encode(hashlib.sha256(_public_key(certificate)).digest()).decode()


def _public_key(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def refused(reason: str) -> CertificateRefused:
    """The error for a certificate that was refused for a reason."""
    return CertificateRefused(reason, hint="make sure that it is the right site; then pin its key in the source file")


# --- direct connections (Twisted, pyOpenSSL) ---------------------------------------------------------------------------


@implementer(IPolicyForHTTPS)
class TlsPolicy:
    """Twisted's policy for https; it remembers why it refused the certificate of a host."""

    def __init__(self, rules: TlsRules) -> None:
        self._rules = rules
        self._context: SSL.Context | None = None
        self._refusals: dict[str, str] = {}

    def creatorForNetloc(self, hostname: bytes, port: int) -> Any:  # noqa: N802, ARG002 - Twisted's name and signature
        """What makes the TLS connections to a host."""
        if self._context is None:
            self._context = self._make_context()
        return _ConnectionCreator(self._context, hostname.decode("ascii"))

    def refusal_of(self, hostname: str) -> CertificateRefused | None:
        """The error if the last certificate of a host was refused, else None."""
        reason = self._refusals.get(hostname)
        return None if reason is None else refused(reason)

    def _make_context(self) -> SSL.Context:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(_LEGACY_SERVER_CONNECT)
        if self._rules.verify:
            if not self._rules.pins:
                context.set_default_verify_paths()
            context.set_verify(SSL.VERIFY_PEER, self._check)
        return context

    def _check(self, connection: SSL.Connection, found: Any, error: int, depth: int, verified: int) -> bool:
        """Called by OpenSSL for each certificate, that of the site last, and for each error."""
        hostname = connection.get_app_data().hostname
        reason = ""
        if self._rules.pins:
            if depth > 0:
                return True
            if not self._rules.has_pinned_key(found.to_cryptography()):
                reason = _OTHER_KEY
        elif not verified:
            reason = _REASONS.get(error, _UNVERIFIED)
        elif depth == 0:
            reason = _name_problem(found.to_cryptography(), hostname)
        if reason:
            self._refusals[hostname] = reason
            return False
        if depth == 0:
            self._refusals.pop(hostname, None)
        return True


@implementer(IOpenSSLClientConnectionCreator)
class _ConnectionCreator:
    """Makes the TLS connections to one host."""

    def __init__(self, context: SSL.Context, hostname: str) -> None:
        self._context, self.hostname = context, hostname

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:  # noqa: N802, ARG002 - Twisted's
        """A connection in the client's role, which announces the name of the host."""
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(self)
        if not _is_address(self.hostname):
            connection.set_tlsext_host_name(self.hostname.encode("ascii"))
        connection.set_connect_state()
        return connection


def _is_address(hostname: str) -> bool:
    try:
        ipaddress.ip_address(hostname.strip("[]"))
    except ValueError:
        return False
    return True


def _name_problem(certificate: x509.Certificate, hostname: str) -> str:
    try:
        if _is_address(hostname):
            verify_certificate_ip_address(certificate, hostname.strip("[]"))
        else:
            verify_certificate_hostname(certificate, hostname)
    except VerificationError:
        return _OTHER_NAME
    except (CertificateError, ValueError):
        return _UNVERIFIED
    return ""


# --- connections over Tor (the standard library's ssl) -----------------------------------------------------------------


class PinningContext(ssl.SSLContext):
    """A context that knows the rules; `check_pin` applies those that OpenSSL cannot."""

    rules: TlsRules


def ssl_context(rules: TlsRules) -> PinningContext:
    """The context for connections of the standard library."""
    context = PinningContext(ssl.PROTOCOL_TLS_CLIENT)
    context.rules = rules
    context.options |= _LEGACY_SERVER_CONNECT
    if rules.verify and not rules.pins:
        context.load_default_certs()
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def check_pin(context: ssl.SSLContext, connection: ssl.SSLObject | None) -> None:
    """Check the key of a site after the handshake and before anything is sent.

    Raises:
        CertificateRefused: the rules of the context have pins, and this key is none of them.
    """
    if not isinstance(context, PinningContext) or not context.rules.pins:
        return
    content = connection.getpeercert(binary_form=True) if connection is not None else None
    try:
        right = content is not None and context.rules.has_pinned_key(x509.load_der_x509_certificate(content))
    except ValueError:
        right = False
    if not right:
        raise refused(_OTHER_KEY)


def refusal_of(error: ssl.SSLCertVerificationError) -> CertificateRefused:
    """The error that stands for one of the standard library."""
    return refused(_REASONS.get(error.verify_code, _UNVERIFIED))
