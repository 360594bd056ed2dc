"""Downloads the parts of a divided file (volumes of an archive, pieces of `split`) one after another, as one sample."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from crawler.fetching.items import FetchedSample
from crawler.preview.volume_names import missing_sentence
from crawler.transport.errors import Trouble

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
    ) -> None:
        """Parts of one file.

        Args:
            addresses: of the parts, in the order of their bytes.
            numbers: the number of each part, as people count them.
            missing: numbers of parts that have no address.
            open_part: requests an address.
            first: what the request for the first part brought, if it was made already.
        """
        self.trouble: Trouble | None = None
        self.changed = False
        self.resumes = 0
        self._addresses, self._numbers, self._open_part = addresses, numbers, open_part
        self._unlisted, self._missing = list(missing), list(missing)
        self._first = first
        self._open: FetchedSample | None = None

    def head(self, size: int = 2**16) -> bytes:
        """The first bytes, as far as they have arrived."""
        return self._first.beginning(size) if isinstance(self._first, FetchedSample) else b""

    def problem(self) -> str:
        """Why the file was not read completely; '' if it was."""
        if self.changed:
            return "changed: the file changed on its server while it was read"
        if self.trouble is not None:
            return str(self.trouble)
        return missing_sentence(self._missing)

    async def read(self) -> AsyncGenerator[bytes, None]:
        """The bytes of all parts; sets `trouble` and `changed`."""
        self.trouble, self.changed, self._missing = None, False, list(self._unlisted)
        for address, number in zip(self._addresses, self._numbers, strict=True):
            part, self._first = self._first or await self._open_part(address), None
            if isinstance(part, Trouble):
                if part.retry:
                    self.trouble = part
                    return
                self._missing = sorted([*self._missing, number])
                continue
            self._open = part
            async with contextlib.aclosing(self._bytes_of(part)) as pieces:
                async for piece in pieces:
                    yield piece
            if self.trouble is not None or self.changed:
                return

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
