"""A reader that reads several small samples of one source before it ends; starting readers is left to `sandbox`."""

from __future__ import annotations

from crawler.sandbox.reader_session import ReaderSession
from crawler.sandbox.sandbox import Sandbox

# A reader is kept for no more samples than this: what its libraries leave behind does not add up.
MAX_REUSE = 64


class ReusableReader:
    """A reader that has read small plain samples of one source and may read the next one.

    Readers of other sources never meet: whatever one source's samples did to a reader ends with it.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._reader: ReaderSession | None = None
        self._source = ""
        self._uses = 0

    def take(self, source: str) -> ReaderSession:
        """The kept reader if it is of this source, else a fresh one; raises as `Sandbox.open`."""
        reader, self._reader = self._reader, None
        if reader is not None and source == self._source and self._uses < MAX_REUSE:
            self._uses += 1
            return reader
        if reader is not None:
            reader.close()
        self._source, self._uses = source, 1
        return self._sandbox.open()

    def keep(self, reader: ReaderSession) -> None:
        """Keep a reader that `take` gave and that ended its sample well."""
        self._reader = reader

    def close(self) -> None:
        """Let the reader go."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
