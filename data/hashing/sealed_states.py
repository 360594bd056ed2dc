"""Seals states of examinations under a key of the case, so that they may lie on a shared disk and cannot be forged.

A state holds keyed tags of everybody in a sample, and some values in clear. Only an examiner of the same case opens it.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from data.errors import WireError
from data.hashing.case_keys import post_subkey

_MARK = b"tocsin-state-1\n"
_NONCE = 12
# AES-GCM takes less than 2 GiB at once.
_PIECE = 2**30


def seal(post_key: bytes, name: str, data: bytes) -> bytes:
    """The sealed form of a state that is stored under a name."""
    cipher = AESGCM(post_subkey(post_key, b"state"))
    count = max(1, -(-len(data) // _PIECE))
    parts = [_MARK, count.to_bytes(4, "big")]
    for number in range(count):
        nonce = os.urandom(_NONCE)
        piece = data[number * _PIECE : (number + 1) * _PIECE]
        sealed = cipher.encrypt(nonce, piece, _context(name, number, count))
        parts += [len(sealed).to_bytes(8, "big"), nonce, sealed]
    return b"".join(parts)


def unseal(post_key: bytes, name: str, sealed: bytes | bytearray | memoryview) -> bytes:
    """The state that was sealed under a name.

    Raises:
        WireError: it is damaged, forged, of another case, or stored under another name.
    """
    wrong = WireError("a stored state is damaged, or not of this case")
    view = memoryview(sealed)
    if bytes(view[: len(_MARK)]) != _MARK:
        raise wrong
    cipher = AESGCM(post_subkey(post_key, b"state"))
    at = len(_MARK) + 4
    count = int.from_bytes(view[len(_MARK) : at], "big")
    parts = []
    for number in range(count):
        size = int.from_bytes(view[at : at + 8], "big")
        nonce, body = view[at + 8 : at + 8 + _NONCE], view[at + 8 + _NONCE : at + 8 + _NONCE + size]
        at += 8 + _NONCE + size
        try:
            parts.append(cipher.decrypt(bytes(nonce), body, _context(name, number, count)))
        except (InvalidTag, ValueError) as error:
            raise wrong from error
    if not parts or at != len(view):
        raise wrong
    return b"".join(parts)


def _context(name: str, number: int, count: int) -> bytes:
    return f"{name}\0{number}\0{count}".encode()
