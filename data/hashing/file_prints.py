"""Keyed digests of what is known of a file without its content: its size with its checksum, its size with its name.

What a listing, the directory of an archive or a torrent says of files is compared by these with files that were examined
(`crawler.alerts.early_verdict`). Names carry the names of patients, so they rest as digests alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from data.arrays.array_types import U64
from data.errors import WireError
from data.hashing.case_keys import keyed


@dataclass(frozen=True, slots=True)
class File:
    """What is said of one file. crc: CRC-32 of its content; None where nothing says it."""

    name: str = field(repr=False)
    size: int
    crc: int | None = None


class Printer:
    """Makes prints under the post key, which the crawl process and the examiner both hold."""

    def __init__(self, post_key: bytes) -> None:
        self._key = bytes.fromhex(keyed(post_key, b"print", b""))

    def prints(self, file: File) -> tuple[int, int]:
        """Of size with checksum (0 where there is none), and of size with the last part of its name; never 0 else."""
        content = 0 if file.crc is None else self._digest(b"content %d %d" % (file.size, file.crc))
        name = unicodedata.normalize("NFC", file.name.replace("\\", "/").rpartition("/")[2]).casefold()
        return content, self._digest(b"name %d " % file.size + name.encode("utf-8", "replace"))

    def _digest(self, value: bytes) -> int:
        return int.from_bytes(hashlib.blake2b(value, key=self._key, digest_size=8).digest(), "little") or 1


def packed(rows: Iterable[Iterable[int]]) -> str:
    """Rows of numbers as text for JSON; '' for none."""
    return base64.b64encode(np.array([[*row] for row in rows], "<u8").tobytes()).decode()


def unpacked(text: str, columns: int) -> U64:
    """The inverse of `packed`, shape (n, columns); raises WireError for anything else."""
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), "<u8").reshape(-1, columns).astype(np.uint64)
    except (binascii.Error, ValueError, TypeError) as error:
        raise WireError("prints of files cannot be understood") from error
