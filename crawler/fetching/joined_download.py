"""Downloads the parts of a divided file (volumes of an archive, pieces of `split`) one after another, as one sample."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from crawler.fetching.items import FetchedSample
from crawler.preview.volume_names import missing_sentence
from crawler.process.companion_names import END_OF_ARCHIVE, member_header, padding
from crawler.transport.errors import Trouble

# bytes that are held of a file whose size the site does not announce
_MAX_HELD = 2**26

OpenPart = Callable[[str], Awaitable[FetchedSample | Trouble]]
"""Requests the address of a part; its body may still have to be downloaded."""


class JoinedDownload:
    """The parts of a divided file, each requested once the one before it was read.

    A part that does not exist is named in `problem`, and the parts behind it are read all the same: the byte pass finds
    values in them, and some formats can be read on behind a gap.

    Attributes:
        trouble: why reading stopped before the end; None if every part was read that exists.
        changed: a part changed while it was read: discard what was read and read again from the first part.
        resumes: number of further requests that were made.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        numbers: Sequence[int],
        missing: Sequence[int],
        open_part: OpenPart,
        first: FetchedSample | Trouble | None = None,
        shown: Sequence[str] = (),
    ) -> None:
        """Parts of one file.

        Args:
            addresses: of the parts, in the order of their bytes.
            numbers: the number of each part, as people count them.
            missing: numbers of parts that have no address.
            open_part: requests an address.
            first: what the request for the first part brought, if it was made already.
            shown: names of the parts if each is a file by itself: what is read is an archive of these files.
        """
        self.trouble: Trouble | None = None
        self.changed = False
        self.resumes = 0
        self._addresses, self._numbers, self._open_part = addresses, numbers, open_part
        self._unlisted, self._missing = list(missing), list(missing)
        self._first = first
        self._shown = shown
        self._too_large = False
        self._open: FetchedSample | None = None

    @property
    def size(self) -> int:
        """0: not all parts are known before they are read."""
        return 0

    def head(self, size: int = 2**16) -> bytes:
        """The first bytes, as far as they have arrived."""
        return self._first.beginning(size) if isinstance(self._first, FetchedSample) else b""

    def problem(self) -> str:
        """Why the file was not read completely; '' if it was."""
        if self.changed:
            return "changed: the file changed on its server while it was read"
        if self.trouble is not None:
            return str(self.trouble)
        if self._too_large:
            return "size: a file that belongs to others is too large to be read together with them"
        return missing_sentence(self._missing)

    async def read(self) -> AsyncGenerator[bytes, None]:
        """The bytes of all parts; sets `trouble` and `changed`."""
        self.trouble, self.changed, self._missing = None, False, list(self._unlisted)
        self._too_large = False
        for address, number in zip(self._addresses, self._numbers, strict=True):
            part, self._first = self._first or await self._open_part(address), None
            if isinstance(part, Trouble):
                if part.retry:
                    self.trouble = part
                    return
                self._missing = sorted([*self._missing, number])
                continue
            self._open = part
            pieces = self._bytes_of(part)
            async with contextlib.aclosing(self._as_member(part, number, pieces) if self._shown else pieces) as sent:
                async for piece in sent:
                    yield piece
            if self.trouble is not None or self.changed:
                return
        if self._shown:
            yield END_OF_ARCHIVE

    async def _as_member(
        self, part: FetchedSample, number: int, pieces: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        """A part as a file of an archive, before which its size stands: without one it is held, and divided if large."""
        name = self._shown[number - 1]
        size = len(part.body) if part.download is None else part.download.size
        sent, waiting = 0, bytearray()
        if size:
            yield member_header(name, size)
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                sent += len(piece)
                if size:
                    yield piece[: max(0, size - sent + len(piece))]
                    continue
                waiting += piece
                if len(waiting) > _MAX_HELD:
                    self._too_large = True
                    yield member_header(name, len(waiting)) + waiting + padding(len(waiting))
                    name, waiting = f"{self._shown[number - 1]}.{sent}", bytearray()
        if not size:
            yield member_header(name, len(waiting)) + waiting
            size = sent = len(waiting)
        if sent != size and self.trouble is None and not self.changed:
            self.trouble = Trouble("cut", "the file is not as long as the site announced", retry=True)
        if sent == size:
            yield padding(size)

    async def _bytes_of(self, part: FetchedSample) -> AsyncGenerator[bytes, None]:
        download = part.download
        if download is None:
            yield part.body
            if part.problem:
                self.trouble = Trouble("cut", part.problem, retry=True)
            return
        try:
            async with contextlib.aclosing(download.read()) as pieces:
                async for piece in pieces:
                    yield piece
            self.trouble, self.changed = download.trouble, download.changed
        finally:
            self.resumes += download.resumes
            await download.close()

    async def close(self) -> None:
        """Close the connection of the part that is being read."""
        for part in (self._first, self._open):
            if isinstance(part, FetchedSample) and part.download is not None:
                await part.download.close()
