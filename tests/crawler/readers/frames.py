"""A strict consumer of reader frames: builds the tree of members and refuses everything the protocol does not allow."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import orjson

from crawler.readers.core.limits import Limits
from crawler.readers.core.members import read_sample

MAX_FRAME = 4 * 2**20


@dataclass
class Table:
    columns: list[str] | None
    rows: list[list[str]] = field(default_factory=list)


@dataclass
class Member:
    name: str
    format: str
    tables: list[Table] = field(default_factory=list)
    text: bytearray = field(default_factory=bytearray)
    raw: bytearray = field(default_factory=bytearray)
    problems: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    bytes: int = -1
    complete: bool = False

    @property
    def rows(self) -> list[list[str]]:
        return [row for table in self.tables for row in table.rows]

    def walk(self) -> Iterator[Member]:
        yield self
        for member in self.members:
            yield from member.walk()

    @property
    def all_complete(self) -> bool:
        return all(member.complete for member in self.walk())

    @property
    def all_problems(self) -> set[str]:
        return {code for member in self.walk() for code in member.problems}

    def shows(self, text: str) -> bool:
        """True if the text stands in a row, in running text or in unpacked bytes."""
        for member in self.walk():
            if text.encode() in member.text or text.encode() in member.raw:
                return True
            if any(text in value for row in member.rows for value in row):
                return True
        return False


class Consumer:
    """Takes frames in order."""

    def __init__(self) -> None:
        self.sample: Member | None = None
        self.ended = False
        self.frames: list[bytes] = []
        self._open: list[Member] = []

    def take(self, kind: bytes, payload: bytes) -> None:
        assert not self.ended, "a frame after Z"
        assert len(payload) <= MAX_FRAME
        self.frames.append(kind)
        if kind == b"M":
            value = orjson.loads(payload)
            assert set(value) == {"name", "format"}
            member = Member(value["name"], value["format"])
            if self._open:
                self._open[-1].members.append(member)
            else:
                assert self.sample is None
                assert member.name == ""
                self.sample = member
            self._open.append(member)
        elif kind == b"Z":
            assert payload == b"{}"
            assert not self._open, "Z inside a member"
            self.ended = True
        else:
            self._inside(self._open[-1], kind, payload)

    def _inside(self, member: Member, kind: bytes, payload: bytes) -> None:
        if kind == b"H":
            columns = orjson.loads(payload)["columns"]
            assert columns is None or all(isinstance(name, str) for name in columns)
            member.tables.append(Table(columns))
        elif kind in (b"R", b"C"):
            rows = list(parse_rows(payload) if kind == b"R" else parse_cells(payload))
            assert rows
            table = member.tables[-1]
            assert table.columns is None or all(len(row) == len(table.columns) for row in rows)
            table.rows += rows
        elif kind == b"T":
            payload.decode()
            member.text += payload
        elif kind == b"B":
            assert len(self._open) > 1, "the sample's own bytes are not sent back"
            member.raw += payload
        elif kind == b"P":
            value = orjson.loads(payload)
            member.problems.append(value["code"])
            member.details.append(value["detail"])
        elif kind == b"E":
            value = orjson.loads(payload)
            member.bytes, member.complete = value["bytes"], value["complete"]
            assert member.complete is True or member.problems, "incomplete without a word"
            self._open.pop()
        else:
            raise AssertionError(f"unknown frame {kind!r}")


def parse_rows(payload: bytes) -> Iterator[list[str]]:
    count, width = struct.unpack_from("<II", payload)
    at = 8
    columns: list[list[str]] = []
    for _ in range(width):
        ends = struct.unpack_from(f"<{count + 1}I", payload, at)
        at += 4 * (count + 1)
        blob = payload[at : at + ends[-1]]
        at += ends[-1]
        assert ends[0] == 0
        columns.append([blob[start:end].decode() for start, end in pairwise(ends)])
    assert at == len(payload)
    return (list(row) for row in zip(*columns, strict=True))


def parse_cells(payload: bytes) -> Iterator[list[str]]:
    count, width = struct.unpack_from("<II", payload)
    starts = struct.unpack_from(f"<{count * width}I", payload, 8)
    ends = struct.unpack_from(f"<{count * width}I", payload, 8 + 4 * count * width)
    blob = payload[8 + 8 * count * width :]
    assert all(start <= end <= len(blob) for start, end in zip(starts, ends, strict=True))
    cells = [blob[start:end].decode() for start, end in zip(starts, ends, strict=True)]
    return (cells[row * width : (row + 1) * width] for row in range(count))


def pieces(data: bytes, size: int = 2**20) -> Iterable[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def read(data: bytes, limits: Limits | None = None, *, cut: int = 2**20) -> Member:
    """What the readers make of a sample, in this process."""
    consumer = Consumer()
    read_sample(iter(pieces(data, cut)), consumer.take, limits or Limits())
    assert consumer.ended
    assert consumer.sample is not None
    return consumer.sample
