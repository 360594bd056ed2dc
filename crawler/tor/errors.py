"""Turns every reply code of Tor's SOCKS port into one of our errors, with a message for people.

Source: RFC 1928 section 6; Tor's proposal 304 and the manual page of tor, `ExtendedErrors` (codes from 0xF0 on).
"""

from __future__ import annotations

from typing import NamedTuple

from data.errors import FetchError, TorDown, TorFailed, TorRefused

_WANT_EXTENDED_ERRORS = 'to see the exact reason, add  ExtendedErrors  to Tor\'s SocksPort, or use  mode = "own"'


class SocksFailure(NamedTuple):
    """What a reply code of the SOCKS port means.

    Attributes:
        code: our name for it, as it stands in events.
        message: what happened.
        retry: whether a later attempt may succeed.
        hint: what to do; '' if the operator can do nothing.
    """

    code: str
    message: str
    retry: bool
    hint: str = ""


SOCKS_FAILURES: dict[int, SocksFailure] = {
    0x01: SocksFailure(
        "tor-general-failure",
        "Tor could not reach the site: the exit, or the server behind the onion service, failed",
        retry=True,
        hint=_WANT_EXTENDED_ERRORS,
    ),
    0x02: SocksFailure(
        "tor-not-allowed",
        "Tor's configuration does not allow the connection",
        retry=False,
        hint="check SocksPolicy and ReachableAddresses in the torrc",
    ),
    0x03: SocksFailure("tor-network-unreachable", "the exit has no route to the site's network", retry=True),
    0x04: SocksFailure(
        "tor-host-unreachable", "the exit cannot resolve the host name, or cannot reach the host", retry=True
    ),
    0x05: SocksFailure("tor-refused", "the site refuses connections to this port", retry=True),
    0x06: SocksFailure("tor-circuit-timeout", "no circuit to the site was built in time", retry=True),
    0x07: SocksFailure(
        "tor-protocol",
        "Tor did not understand the request",
        retry=False,
        hint="check that the SOCKS address is that of a Tor",
    ),
    0x08: SocksFailure(
        "tor-address-kind",
        "Tor does not accept this kind of address",
        retry=False,
        hint="check IPv6Traffic and NoIPv4Traffic in the torrc",
    ),
    0xF0: SocksFailure(
        "onion-not-found", "the onion service is not published: it is offline, or has another address now", retry=True
    ),
    0xF1: SocksFailure(
        "onion-invalid-descriptor", "the descriptor that the onion service published is invalid", retry=True
    ),
    0xF2: SocksFailure(
        "onion-introduction-failed",
        "the onion service did not answer: it has just gone offline, or is overloaded",
        retry=True,
    ),
    0xF3: SocksFailure(
        "onion-rendezvous-failed", "the onion service did not connect to the rendezvous point", retry=True
    ),
    0xF4: SocksFailure(
        "onion-key-missing",
        "the onion service admits only clients with a key, and there is no key for it",
        retry=False,
        hint="put the key into keys/onion/ (docs/tor.md)",
    ),
    0xF5: SocksFailure(
        "onion-key-wrong",
        "the onion service rejected our client key",
        retry=False,
        hint="ask its owner for a new key (docs/tor.md)",
    ),
    0xF6: SocksFailure(
        "onion-bad-address",
        "the onion address is invalid: its checksum is wrong",
        retry=False,
        hint="correct the address in the source file",
    ),
    0xF7: SocksFailure("onion-introduction-timeout", "the onion service did not answer in time", retry=True),
}
# Codes that mean a fault of the circuit, not of the site: another circuit may work.
CIRCUIT_FAULTS = frozenset({0x01, 0x03, 0x06, 0xF1, 0xF2, 0xF3, 0xF7})
CONNECT_TIMEOUT = "tor-connect-timeout"
UNKNOWN = "tor-unknown"
ALL_CODES = frozenset({failure.code for failure in SOCKS_FAILURES.values()} | {CONNECT_TIMEOUT, UNKNOWN})
# Failures that do not pass by themselves: one of them is enough to call a source silent.
PERMANENT_CODES = frozenset(failure.code for failure in SOCKS_FAILURES.values() if not failure.retry)


def error_for(reply: int) -> FetchError:
    """The error for a reply code of the SOCKS port; unknown codes have one as well."""
    unknown = SocksFailure(UNKNOWN, f"Tor failed with the unknown reply code {reply}", retry=True)
    failure = SOCKS_FAILURES.get(reply, unknown)
    kind = TorFailed if failure.retry else TorRefused
    return kind(failure.message, code=failure.code, hint=failure.hint)


def connect_timeout(seconds: float) -> TorFailed:
    """The error for a Tor that answers, but did not connect to the site in time."""
    return TorFailed(f"Tor did not connect to the site within {seconds:.0f} s", code=CONNECT_TIMEOUT)


def tor_down(message: str) -> TorDown:
    """The error for a Tor that cannot be used at all."""
    return TorDown(message, hint="start Tor, then run: tocsin doctor")
