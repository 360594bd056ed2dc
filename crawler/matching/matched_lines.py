"""The line in which a value stands, with a little of what is before and after it, for sealed evidence: never kept in clear."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

# Bytes of a line around the value, and of what comes before and after the line.
MAX_LINE = 400
MAX_BESIDE = 160
# Bytes of the piece before that are kept for values which begin there.
TAIL = 1024


@dataclass(frozen=True, slots=True)
class MatchedLine:
    """A line that holds a hit, with the end of what precedes it and the beginning of what follows; bytes as they were read."""

    before: bytes
    line: bytes
    after: bytes

    def __repr__(self) -> str:
        """Sizes only: these are bytes of a sample."""
        return f"<MatchedLine {len(self.before)} + {len(self.line)} + {len(self.after)} bytes>"

    @classmethod
    def of_lines(cls, lines: Sequence[str]) -> Self:
        """The lines in which the parts of one person stand: nothing is known of what is around them."""
        return cls(b"", "\n".join(lines).encode("utf-8", "replace")[: MAX_LINE + 2 * MAX_BESIDE], b"")

    def state(self) -> list[str]:
        """Its bytes as texts, for `from_state`."""
        return [base64.b64encode(getattr(self, name)).decode() for name in self.__slots__]

    @classmethod
    def from_state(cls, state: Sequence[str]) -> Self:
        """The inverse of `state`."""
        return cls(*map(base64.b64decode, state))

    def to_json(self) -> dict[str, str]:
        """Plain texts; bytes that are no UTF-8 are replaced."""
        return {name: getattr(self, name).decode("utf-8", "replace") for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a member as they were scanned.

    Attributes:
        data: the bytes. begin: the place of the first one in the member. before: the last bytes of the piece before.
    """

    data: bytes | bytearray
    begin: int = 0
    before: bytes = b""

    def __repr__(self) -> str:
        """Sizes only."""
        return f"<Piece of {len(self.data)} bytes>"

    def next(self, data: bytes | bytearray) -> Piece:
        """The piece that follows this one."""
        return Piece(data, self.begin + len(self.data), bytes(self.data[-TAIL:]))

    def line_at(self, place: int) -> MatchedLine | None:
        """The line around a place of the member; None if that is not in the piece."""
        at, text = place - self.begin, self.data
        if at < 0:
            at, text = at + len(self.before), self.before + bytes(self.data[: 2 * TAIL])
        if not 0 <= at < len(text):
            return None
        # a line as long as a file is cut around the value
        first = max(text.rfind(b"\n", max(0, at - MAX_LINE // 2), at) + 1, at - MAX_LINE // 2, 0)
        end = text.find(b"\n", at, first + MAX_LINE)
        last = min(first + MAX_LINE, len(text)) if end < 0 else end
        return MatchedLine(
            bytes(text[max(0, first - MAX_BESIDE) : first]),
            bytes(text[first:last]).rstrip(b"\r"),
            bytes(text[last : last + MAX_BESIDE]),
        )


NOTHING = Piece(b"")
