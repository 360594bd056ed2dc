"""The JSON frames that a reader sends about its sample, each as a typed value that is read strictly.

Rows, text and bytes of members have frames of their own kinds (docs/protocols.md, section 3); these here are all frames
whose fields could reach a finding. A reader that hostile bytes have taken over can send anything in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from crawler.process.frames import load
from crawler.readers.core.limits import MAX_NAME
from data.errors import WireError

# A table has at most 1024 columns (`Limits.max_columns`); this bounds what a lying reader makes the examiner hold.
MAX_COLUMNS = 100_000


@dataclass(frozen=True, slots=True)
class ReaderFrame:
    """Base of the frames; `KIND` is their first byte."""

    KIND: ClassVar[bytes]

    @classmethod
    def read(cls, payload: bytes | bytearray) -> Self:
        """The frame of a payload.

        Raises:
            WireError: a field is missing, unknown or of the wrong type.
        """
        value = load(payload)
        if not isinstance(value, Mapping) or set(value) != {field.name for field in fields(cls)}:
            raise WireError("a reader sent a frame with missing or unknown fields")
        frame = cls(**value)
        if not frame._is_sound():
            raise WireError("a reader sent a frame with a field of the wrong type")
        return frame

    def _is_sound(self) -> bool:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class MemberStart(ReaderFrame):
    """A member begins inside the open one; the first is the sample itself."""

    KIND: ClassVar[bytes] = b"M"
    name: str
    format: str

    def _is_sound(self) -> bool:
        return _is_text(self.name, MAX_NAME) and _is_text(self.format, MAX_NAME)


@dataclass(frozen=True, slots=True)
class MemberProblem(ReaderFrame):
    """Something is wrong with the open member: a code, and a sentence of the readers' own source code."""

    KIND: ClassVar[bytes] = b"P"
    code: str
    detail: str

    def _is_sound(self) -> bool:
        return isinstance(self.code, str) and isinstance(self.detail, str)


@dataclass(frozen=True, slots=True)
class TableHeader(ReaderFrame):
    """A table begins; its column names, None if they are unknown."""

    KIND: ClassVar[bytes] = b"H"
    columns: list[str] | None

    def _is_sound(self) -> bool:
        columns: Any = self.columns
        if columns is None:
            return True
        return (
            isinstance(columns, list)
            and len(columns) <= MAX_COLUMNS
            and all(isinstance(column, str) for column in columns)
        )


@dataclass(frozen=True, slots=True)
class MemberEnd(ReaderFrame):
    """The open member ends; the number of its bytes as the reader counts them, and whether all of it was read."""

    KIND: ClassVar[bytes] = b"E"
    bytes: int
    complete: bool

    def _is_sound(self) -> bool:
        return type(self.bytes) is int and 0 <= self.bytes < 2**63 and isinstance(self.complete, bool)


READER_FRAMES: tuple[type[ReaderFrame], ...] = (MemberStart, MemberProblem, TableHeader, MemberEnd)


def _is_text(value: object, limit: int) -> bool:
    return isinstance(value, str) and len(value) <= limit
