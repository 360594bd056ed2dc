"""What Tor says when it does not reach a site: every code of its SOCKS port as one of our errors, in words for people.

Source: RFC 1928 section 6; Tor's proposal 304 and the manual page of tor, `ExtendedErrors` (codes from 0xF0 on).
"""

from __future__ import annotations

from data.errors import FetchError, TorDown, TorFailed, TorRefused

EXTENDED = 'let Tor say more: write  ExtendedErrors  behind its SocksPort, or use  mode = "own"'

# code on the wire: (word, sentence, whether a later try may succeed, what to do)
CODES: dict[int, tuple[str, str, bool, str]] = {
    0x01: ("tor-general-failure", "Tor reached no server behind the address (an exit or the onion service's own server failed)", True, EXTENDED),
    0x02: ("tor-not-allowed", "Tor's own rules do not allow the connection", False, "look at SocksPolicy and ReachableAddresses in the torrc"),
    0x03: ("tor-network-unreachable", "the exit has no way to the site's network", True, ""),
    0x04: ("tor-host-unreachable", "the exit does not know the name, or does not reach the host", True, ""),
    0x05: ("tor-refused", "the site's port takes no connections", True, ""),
    0x06: ("tor-circuit-timeout", "no circuit to the site was built in time", True, ""),
    0x07: ("tor-protocol", "Tor did not understand what it was asked", False, "is the SOCKS address that of a Tor?"),
    0x08: ("tor-address-kind", "Tor does not take this kind of address", False, "look at IPv6Traffic and NoIPv4Traffic in the torrc"),
    0xF0: ("onion-not-found", "the onion service is not published: it is offline, or has moved", True, ""),
    0xF1: ("onion-invalid-descriptor", "what the onion service published about itself cannot be read", True, ""),
    0xF2: ("onion-introduction-failed", "the onion service did not answer: it has just gone, or is overloaded", True, ""),
    0xF3: ("onion-rendezvous-failed", "the onion service did not come to the meeting point", True, ""),
    0xF4: ("onion-key-missing", "the onion service lets in only those who hold a key, and there is none", False, "put the key into keys/onion/ (docs/tor.md)"),
    0xF5: ("onion-key-wrong", "the onion service does not take the key that we hold", False, "ask its owner for a new key (docs/tor.md)"),
    0xF6: ("onion-bad-address", "this is no address of an onion service: its checksum is wrong", False, "correct the address in the source file"),
    0xF7: ("onion-introduction-timeout", "the onion service did not answer in time", True, ""),
}  # fmt: skip
# A fault of the circuit, not of the site: other circuits may do better.
CIRCUIT = frozenset({0x01, 0x03, 0x06, 0xF1, 0xF2, 0xF3, 0xF7})
CONNECT_TIMEOUT = "tor-connect-timeout"
WORDS = frozenset({word for word, *_ in CODES.values()} | {CONNECT_TIMEOUT, "tor-unknown"})
# These say by themselves that we are blind.
CERTAIN = frozenset(word for word, _, again, _ in CODES.values() if not again)


def error_of(code: int) -> FetchError:
    """The error behind a reply of the SOCKS port; total."""
    word, said, again, hint = CODES.get(code, ("tor-unknown", f"Tor failed with the unknown code {code}", True, ""))
    return TorFailed(said, code=word, hint=hint) if again else TorRefused(said, code=word, hint=hint)


def slow(seconds: float) -> TorFailed:
    """Tor answered, but had no connection to the site in time."""
    return TorFailed(f"Tor had no connection to the site within {seconds:.0f} s", code=CONNECT_TIMEOUT)


def gone(said: str) -> TorDown:
    """Tor itself is not there."""
    return TorDown(said, hint="start Tor, then see: tocsin doctor")
