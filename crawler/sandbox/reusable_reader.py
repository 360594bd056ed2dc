"""A reader that is used again for the next small sample of the same source. `sandbox` starts readers."""

from __future__ import annotations

from crawler.sandbox.reader_session import ReaderSession
from crawler.sandbox.sandbox import Sandbox

# A reader reads at most so many samples, so that memory that its libraries do not free stays bounded.
MAX_REUSE = 256


class ReusableReader:
    """Keeps a reader that has read a small plain sample for the next sample of the same source.

    A reader never reads samples of two sources: whatever a hostile sample has done to it cannot reach another source.

    Args:
        sandbox: starts readers.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._reader: ReaderSession | None = None
        self._source = ""
        self._uses = 0

    def take(self, source: str) -> ReaderSession:
        """The kept reader if it belongs to this source, otherwise a new one.

        Raises:
            ReaderFailed: as `Sandbox.open`.
        """
        reader, self._reader = self._reader, None
        if reader is not None and source == self._source and self._uses < MAX_REUSE:
            self._uses += 1
            return reader
        if reader is not None:
            reader.close()
        self._source, self._uses = source, 1
        return self._sandbox.open()

    def keep(self, reader: ReaderSession) -> None:
        """Keep a reader that `take` returned and that has read its sample to the end."""
        self._reader = reader

    def close(self) -> None:
        """End the kept reader."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
