"""Receives the frames of a reader, builds the tree of members, and fails on everything that the protocol forbids."""

from __future__ import annotations

import signal
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import orjson

from crawler.process.frames import receive, send
from crawler.readers.core.limits import Limits
from crawler.readers.core.members import read_sample
from crawler.sandbox.sandbox import Sandbox
from data.vocabulary import HIDDEN, known_sentence, vocabulary

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
        """True if the text is in a row, in running text or in decompressed bytes."""
        for member in self.walk():
            if text.encode() in member.text or text.encode() in member.raw:
                return True
            if any(text in value for row in member.rows for value in row):
                return True
        return False


@contextmanager
def must_end(seconds: float = 5.0) -> Iterator[None]:
    """Fails if what runs inside takes so much processor time; give it a thousand times what it should take."""

    def endless(*_: object) -> None:
        raise AssertionError("it does not end")

    handler = signal.signal(signal.SIGVTALRM, endless)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, handler)


class Consumer:
    """Takes the frames of one sample in order."""

    def __init__(self) -> None:
        self.sample: Member | None = None
        self.ended = False
        self.frames: list[bytes] = []
        self._open: list[Member] = []

    def take(self, kind: bytes, payload: bytes) -> None:
        assert not self.ended, "a frame came after Z"
        assert len(payload) <= MAX_FRAME
        self.frames.append(kind)
        if kind == b"M":
            value = orjson.loads(payload)
            assert set(value) == {"name", "format"}
            assert value["format"] in vocabulary().formats
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
            assert not self._open, "Z came inside a member"
            self.ended = True
        else:
            self._take_in_member(self._open[-1], kind, payload)

    def _take_in_member(self, member: Member, kind: bytes, payload: bytes) -> None:
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
            # the examiner passes nothing else on
            assert value["code"] in vocabulary().codes, value["code"]
            shown = known_sentence(value["detail"])
            assert shown is not None, value["detail"]
            assert HIDDEN not in shown, (value["detail"], shown)
        elif kind == b"E":
            value = orjson.loads(payload)
            member.bytes, member.complete = value["bytes"], value["complete"]
            assert member.complete is True or member.problems, "a member is incomplete without a reported problem"
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
    """The members that the readers make of a sample, in this process."""
    consumer = Consumer()
    read_sample(iter(pieces(data, cut)), consumer.take, limits or Limits())
    assert consumer.ended
    assert consumer.sample is not None
    return consumer.sample


def read_in_sandbox(sandbox: Sandbox, data: bytes) -> Member:
    """The members that a confined reader makes of a sample."""
    consumer = Consumer()
    with sandbox.open() as reader:
        send(reader.socket, b"D", data)
        send(reader.socket, b"E")
        while not consumer.ended:
            kind, payload = receive(reader.socket)
            consumer.take(kind, bytes(payload))
    assert consumer.sample is not None
    return consumer.sample
