"""What libarchive is given of a source, kept until it is known to be of a member; asking for members is left to `libarchive_formats`."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable
from typing import Any

from crawler.readers.archives.rar_listing import RarListing
from crawler.readers.core.source import Source

_PIECE = 2**16
MOST_KEPT = 2**26
"""Bytes between two members that are kept to be looked into."""


class LibarchiveInput:
    """A source on its way into libarchive, which takes more of it at a time than it uses.

    Attributes:
        error: what reading the source raised, to be raised again outside of libarchive. ended: there is no more.
        where: how far libarchive has used it. inside: what it uses now is the body of a member.
        dropped: bytes between members were too many to be kept.
    """

    def __init__(self, source: Source, listing: RarListing | None) -> None:
        self.error: BaseException | None = None
        self.ended = False
        self.where: Callable[[], int] = lambda: 0
        self.inside = False
        self.dropped = False
        self._source = source
        self._listing = listing
        # libarchive works on the last until it asks for the next
        self._piece = b""
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._fed = 0
        self._kept = 0

    def more(self) -> bytes:
        """The next bytes, which are kept until they are known to be of a member."""
        if self.inside:
            self.forget(self.where())
        piece = self._source.read(_PIECE)
        if self._listing is not None:
            self._listing.feed(piece)
        self._pieces.append((self._fed, piece))
        self._fed += len(piece)
        self._kept += len(piece)
        while self._kept > MOST_KEPT:
            self.dropped = True
            self.forget(self._pieces[0][0] + len(self._pieces[0][1]))
        return piece

    def forget(self, stop: int) -> None:
        """Keep nothing in front of a place."""
        while self._pieces and self._pieces[0][0] + len(self._pieces[0][1]) <= stop:
            self._kept -= len(self._pieces.popleft()[1])

    def kept(self, start: int, stop: int | None = None) -> bytes:
        """What stands between two places, or behind one, of what libarchive was given."""
        return b"".join(
            piece[max(0, start - at) : None if stop is None else max(0, stop - at)] for at, piece in self._pieces
        )

    def next(self, target: Any) -> int:
        """Point libarchive to the next bytes; how many there are, -1 where that failed."""
        try:
            self._piece = self.more()
        except BaseException as error:  # noqa: BLE001 - C code is in between; `check` raises it again
            self.error = error
            return -1
        self.ended = not self._piece
        target[0] = ctypes.cast(ctypes.c_char_p(self._piece), ctypes.c_void_p)
        return len(self._piece)

    def check(self) -> None:
        """Raise what could not be raised through C code."""
        if self.error is not None:
            raise self.error
