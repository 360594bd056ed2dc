"""Keys and heads of the evidence chain and the audit chain of a home.

Each entry of a chain has a key of its own, from which no earlier key follows. The first key is derived from the match
key. A process that writes entries holds the key of the next entry and forgets it once the entry is made, so that whoever
takes over that process later cannot rewrite what it made before. Whoever holds the match key can derive every key again
and so check the whole chain.

Source: Schneier and Kelsey 1999, "Secure audit logs to support computer forensics".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Self

from data.errors import InputError

# Hex digits of a digest that a head shows: 96 bits.
HEAD_DIGITS = 24
_HEAD = re.compile(rf"(\d{{1,12}}):([0-9a-f]{{{HEAD_DIGITS}}})/(\d{{1,12}}):([0-9a-f]{{{HEAD_DIGITS}}})")


class ChainKey:
    """The keys of the entries of one chain, from a number on."""

    def __init__(self, secret: bytes, number: int = 0) -> None:
        """For the entries `number` and later.

        Args:
            secret: 32 bytes, the key of entry `number`.
            number: of an entry, from 0.
        """
        self.secret, self.number = bytes(secret), number

    def __repr__(self) -> str:
        """Without the key."""
        return f"<ChainKey from entry {self.number}>"

    def copy(self) -> ChainKey:
        """The same keys, which can be advanced apart from these."""
        return ChainKey(self.secret, self.number)

    def advance(self, number: int) -> ChainKey:
        """These keys, after all keys of entries before a number were forgotten.

        Raises:
            ValueError: the number is smaller than that of this key: an earlier key cannot be made from a later one.
        """
        if number < self.number:
            raise ValueError(f"the key of entry {number} cannot be made from that of entry {self.number}")
        for _ in range(number - self.number):
            self.secret = hashlib.sha256(b"tocsin chain next\0" + self.secret).digest()
        self.number = number
        return self

    def mac(self, purpose: bytes, content: bytes) -> str:
        """The keyed digest of a text under the key of entry `self.number`, 64 hex digits."""
        return hmac.new(self.secret, purpose + b"\0" + content, hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class ChainKeys:
    """The keys of the two chains of a home."""

    evidence: ChainKey = field(repr=False)
    audit: ChainKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChainHead:
    """How far the two chains of a home had come at one moment.

    Noted on another machine, it later reveals whether entries were removed or rewritten, whoever did it.

    Attributes:
        evidence, audit: number of entries, and the first `HEAD_DIGITS` hex digits of the digest of the last one; zeros
            for an empty chain.
    """

    evidence: tuple[int, str]
    audit: tuple[int, str]

    def __str__(self) -> str:
        """The form in alerts: `12:…/34:…`, evidence first."""
        (kept, evidence), (recorded, audit) = self.evidence, self.audit
        return f"{kept}:{evidence[:HEAD_DIGITS]}/{recorded}:{audit[:HEAD_DIGITS]}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of `str`; raises InputError."""
        found = _HEAD.fullmatch(text.strip().lower())
        if found is None:
            raise InputError(
                "this is not a head of the record",
                hint="copy the whole text after 'Record' of an alert: NUMBER:DIGITS/NUMBER:DIGITS",
            )
        return cls((int(found[1]), found[2]), (int(found[3]), found[4]))
