"""The file `chain.jsonl`: one line for each sealed file that was kept or deleted, in an order that cannot be changed.

Each line holds the digest of the line before it. Once a home has made a line with a key, every further line is keyed:
its `mac` covers the line and so everything before it, and `key` says which key of the chain made it. That is the number
of the line, unless lines were removed meanwhile: a writer never uses a key twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import orjson

from data.durable_files import file_errors_as_ours, read_file, require_file
from data.errors import KeyFileError, StoreError
from data.hashing.chain_keys import ChainKey

CHAIN_FILE = "chain.jsonl"
EMPTY_CHAIN_HEAD = "0" * 64
_PURPOSE = b"evidence"
_MAC = re.compile(rb',"mac":"([0-9a-f]{64})"}\Z')
# A line that claims a key so far beyond its place is not checked: making the key would take too long.
_MAX_SKIPPED = 1_000_000


def read_chain(folder: Path) -> bytes:
    """The content of the chain; empty if there is none.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        return read_file(folder / CHAIN_FILE)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StoreError(f"the evidence chain cannot be read: {error.strerror}") from error


def lines_of(raw: bytes) -> list[bytes]:
    """All complete lines; a truncated last line is ignored, because no caller was told that it was written."""
    return raw.split(b"\n")[:-1]


def digest_of(line: bytes) -> str:
    """The digest by which the next line refers to a line."""
    return hashlib.sha256(line).hexdigest()


def head_of(lines: list[bytes]) -> tuple[int, str]:
    """Number of lines, and hex digest of the last one; 64 zeros if there is none."""
    return len(lines), digest_of(lines[-1]) if lines else EMPTY_CHAIN_HEAD


def is_keyed(line: bytes) -> bool:
    """Whether a line has a mac, right or wrong."""
    return _MAC.search(line) is not None


@dataclass(slots=True)
class KeyCheck:
    """Checks the macs of the lines of a chain, from the first to the last.

    Attributes:
        key: of the first entry; None if the macs cannot be checked here.
        keyed: how many lines so far are keyed.
    """

    key: ChainKey | None
    keyed: int = 0

    def problem(self, line: bytes, value: Mapping[str, Any], number: int) -> str:
        """What is wrong with the mac of the next line, as the end of a sentence about it; '' if nothing is."""
        mac = _MAC.search(line)
        if mac is None:
            return "is not keyed, although lines before it are" if self.keyed else ""
        first, self.keyed = self.keyed == 0, self.keyed + 1
        if first and value["do"] != "key":
            return "is the first one with a key, but does not say so: lines are missing or were added"
        made_with = value["key"]
        if self.key is not None:
            if not isinstance(made_with, int) or not self.key.number <= made_with < number + _MAX_SKIPPED:
                return "claims a key that it cannot have"
            expected = self.key.advance(made_with).mac(_PURPOSE, line[: mac.start()])
            if not hmac.compare_digest(expected.encode(), mac[1]):
                return "was not made with the key of this case: it was changed or forged"
        if made_with != number:
            return f"was made as line {made_with}: lines before it were removed"
        return ""


@contextlib.contextmanager
def open_chain_locked(folder: Path) -> Iterator[IO[bytes]]:
    """Open the chain and lock it against other processes; errors of the file system become StoreFull or StoreError."""
    with file_errors_as_ours("evidence", folder, "nothing was lost"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(
            folder / CHAIN_FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, 0o600
        )
        with open(descriptor, "r+b", buffering=0) as chain:  # noqa: PTH123 - opened with its mode above
            require_file(chain.fileno())
            fcntl.flock(chain, fcntl.LOCK_EX)
            yield chain


def read_and_repair(chain: IO[bytes]) -> list[bytes]:
    """The lines of the chain, after removing a truncated last line, which a killed process leaves."""
    chain.seek(0)
    raw = chain.read()
    complete = raw.rfind(b"\n") + 1
    if complete != len(raw):
        chain.truncate(complete)
        os.fsync(chain.fileno())
    return lines_of(raw[:complete])


def append(chain: IO[bytes], lines: list[bytes], value: Mapping[str, Any], now: datetime, key: ChainKey | None) -> int:
    """Append a line and return its number; it is on the disk when this returns, and its key is forgotten.

    The first keyed line of a chain is preceded by one that says so (`"do": "key"`).

    Raises:
        KeyFileError: the chain is keyed, but no key was given.
    """
    if key is None:
        if lines and is_keyed(lines[-1]):
            raise KeyFileError(
                "the evidence chain is keyed, and the match key is not available here; nothing was changed",
                hint="run this with the match key: in TOCSIN_MATCH_KEY, or as the systemd credential match.key",
            )
    elif not lines or not is_keyed(lines[-1]):
        _append_line(chain, lines, {"do": "key", "id": ""}, now, key)
    return _append_line(chain, lines, value, now, key)


def _append_line(
    chain: IO[bytes], lines: list[bytes], value: Mapping[str, Any], now: datetime, key: ChainKey | None
) -> int:
    seq, previous = head_of(lines)
    content: dict[str, Any] = {"seq": seq, **value, "at": now, "prev": previous}
    if key is not None:
        # if lines were removed behind the back of this process, its key is ahead of them, and the line says so
        content["key"] = key.advance(max(seq, key.number)).number
    line = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    if key is not None:
        line = line[:-1] + b',"mac":"' + key.mac(_PURPOSE, line[:-1]).encode() + b'"}'
    start = chain.seek(0, os.SEEK_END)
    try:
        unwritten = memoryview(line + b"\n")
        while unwritten:
            unwritten = unwritten[chain.write(unwritten) :]
        os.fsync(chain.fileno())
    except OSError:
        # on a full disk, remove the part of the line that was written, so that the chain stays valid
        chain.truncate(start)
        raise
    if key is not None:
        key.advance(key.number + 1)
    lines.append(line)
    return seq
