"""File fingerprints: keyed digests of what is known about a file without its content.

Each file has two: one of its size with its checksum, one of its size with its name. With them
`crawler.alerts.preview_verdict` compares the files that a listing, an archive directory or a torrent names with files
that were examined before. File names can contain names of patients, so they are stored only as digests.
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
from data.hashing.case_keys import keyed_digest


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What a file list says about one file. crc: CRC-32 of the content; None if unknown."""

    name: str = field(repr=False)
    size: int
    crc: int | None = None


class FileFingerprinter:
    """Computes file fingerprints under the post key, which the crawl process and the examiner both hold."""

    def __init__(self, post_key: bytes) -> None:
        self._key = bytes.fromhex(keyed_digest(post_key, b"print", b""))

    def fingerprints(self, file: FileEntry) -> tuple[int, int]:
        """Two digests of a file: of size with checksum, and of size with the last part of its name.

        The first is 0 if the checksum is unknown; otherwise neither is ever 0.
        """
        content = 0 if file.crc is None else self._digest(b"content %d %d" % (file.size, file.crc))
        name = unicodedata.normalize("NFC", file.name.replace("\\", "/").rpartition("/")[2]).casefold()
        return content, self._digest(b"name %d " % file.size + name.encode("utf-8", "replace"))

    def _digest(self, value: bytes) -> int:
        return int.from_bytes(hashlib.blake2b(value, key=self._key, digest_size=8).digest(), "little") or 1


def encode_fingerprints(rows: Iterable[Iterable[int]]) -> str:
    """Encode rows of 64-bit numbers as base64 text for JSON; '' if there are no rows."""
    return base64.b64encode(np.array([[*row] for row in rows], "<u8").tobytes()).decode()


def decode_fingerprints(text: str, columns: int) -> U64:
    """Decode what `encode_fingerprints` made, to shape (n, columns); raises WireError if the text is invalid."""
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), "<u8").reshape(-1, columns).astype(np.uint64)
    except (binascii.Error, ValueError, TypeError) as error:
        raise WireError(
            "file fingerprints cannot be decoded: the text is not base64 of rows of 64-bit numbers"
        ) from error
