"""Passes the bytes of a source to libarchive, and keeps those between members so that they can be searched.

Reading members is left to `libarchive_decoder`.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable
from typing import Any

from crawler.readers.archives.rar_listing import RarListing
from crawler.readers.core.source import Source

_PIECE = 2**16
MAX_KEPT = 2**26
"""Bytes between two members that are kept, so that they can be searched for embedded archives."""


class LibarchiveInput:
    """A source that libarchive reads. libarchive takes more bytes at a time than it uses at once.

    Args:
        source: what libarchive reads.
        listing: takes the same bytes, if given.

    Attributes:
        error: raised by the source; it is raised again outside of libarchive.
        ended: the source has ended.
        where: tells how many bytes libarchive has used.
        inside: libarchive is reading the body of a member.
        dropped: more bytes stood between members than could be kept.
    """

    def __init__(self, source: Source, listing: RarListing | None) -> None:
        self.error: BaseException | None = None
        self.ended = False
        self.where: Callable[[], int] = lambda: 0
        self.inside = False
        self.dropped = False
        self._source = source
        self._listing = listing
        # libarchive uses the last piece until it asks for the next one
        self._piece = b""
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._fed = 0
        self._kept = 0

    def more(self) -> bytes:
        """The next bytes. They are kept until they are known to belong to a member."""
        if self.inside:
            self.forget(self.where())
        piece = self._source.read(_PIECE)
        if self._listing is not None:
            self._listing.feed(piece)
        self._pieces.append((self._fed, piece))
        self._fed += len(piece)
        self._kept += len(piece)
        while self._kept > MAX_KEPT:
            self.dropped = True
            self.forget(self._pieces[0][0] + len(self._pieces[0][1]))
        return piece

    def forget(self, stop: int) -> None:
        """Drop the pieces that end at or before a place."""
        while self._pieces and self._pieces[0][0] + len(self._pieces[0][1]) <= stop:
            self._kept -= len(self._pieces.popleft()[1])

    def kept(self, start: int, stop: int | None = None) -> bytes:
        """The kept bytes between two places, or behind one."""
        return b"".join(
            piece[max(0, start - at) : None if stop is None else max(0, stop - at)] for at, piece in self._pieces
        )

    def set_next(self, target: Any) -> int:
        """Point libarchive to the next bytes; returns how many there are, or -1 if reading them failed."""
        try:
            self._piece = self.more()
        except BaseException as error:  # noqa: BLE001 - it cannot pass through C code; `check` raises it again
            self.error = error
            return -1
        self.ended = not self._piece
        target[0] = ctypes.cast(ctypes.c_char_p(self._piece), ctypes.c_void_p)
        return len(self._piece)

    def check(self) -> None:
        """Raise the error of the source that could not pass through C code."""
        if self.error is not None:
            raise self.error
