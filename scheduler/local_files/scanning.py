"""Local files through the same road as posts: what `scan`, `release add` and `release compare` share."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain, islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from crawler.process.examiner_client import ExaminerClient, ExaminerProcess, Greeting
from crawler.process.frames import CHUNK
from data.errors import ExamineError, ExaminerDied, InputError
from data.model import Finding
from data.settings.home import Home

if TYPE_CHECKING:
    from concurrent.futures import Future

STDIN = "-"
# Small files are examined on so many connections: one more than there are processors, for each waits at times.
CONNECTIONS = len(os.sched_getaffinity(0)) + 1 if len(os.sched_getaffinity(0)) > 1 else 1
# Larger files may take any memory, and are examined alone.
SMALL = 256 * 1024
# Files whose turn to be told has not come.
MOST_AHEAD = 64

Told = tuple[str, Finding | InputError | ExamineError]
"""A path ('' for what had none), and its finding or why there is none."""


class Scanner:
    """Examines local files one after another in the examiner of a home."""

    def __init__(self, home: Home, *, tell: Callable[[str], None] | None = None) -> None:
        self._home, self._tell = home, tell
        self._process = ExaminerProcess.start(home, tell=tell)
        self._client = ExaminerClient(self._process.attach())

    @property
    def greeting(self) -> Greeting:
        """What the examiner said when it was ready."""
        return self._process.greeting

    def examine(self, path: str | Path, *, release: str = "", sighted: bool = False, bounded: bool = False) -> Finding:
        """Examine one file, or standard input for `-`.

        Args:
            path: the file; the finding carries it as its name.
            release: collect the records for this release, to be written by `finish_release`.
            sighted: keep them for the release that the finding names, if it is one.
            bounded: hold no more of its rows than of a crawled sample's.

        Raises:
            InputError: the file cannot be read at all.
            ExaminerDied: the examiner ended over this file; the next call starts another.
        """
        request = {"name": str(path), "release": release, "exact": not bounded, "sighted": sighted}
        cut: list[str] = []
        with _open(path) as stream:
            try:
                return self._client.examine(request, _chunks(stream, cut), problem=lambda: "".join(cut))
            except ExaminerDied:
                self._restart()
                raise

    def examine_all(
        self, paths: Iterable[str | InputError], *, sighted: bool = False, bounded: bool = False
    ) -> Iterator[Told]:
        """Examine files in their order, small ones some at a time.

        Args:
            paths: as `expand` gives them.
            sighted: as `examine` has it.
            bounded: likewise.

        Yields:
            Paths and what became of them.
        """
        alone = partial(self._tried, sighted=sighted, bounded=bounded)
        again = partial(self._once_more, sighted=sighted, bounded=bounded)
        remaining = iter(paths)
        first = list(islice(remaining, 2))
        if len(first) < 2 or CONNECTIONS < 2:
            for path in chain(first, remaining):
                yield alone(path)
            return
        with _Ahead(self.attach, exact=not bounded, sighted=sighted) as ahead:
            for path in chain(first, remaining):
                if isinstance(path, str) and _is_small(path):
                    ahead.begin(path)
                else:
                    # a large file has the memory and the processors for itself
                    yield from ahead.finished(0, again)
                    yield alone(path)
                yield from ahead.finished(MOST_AHEAD, again)
            yield from ahead.finished(0, again)

    def _tried(self, path: str | InputError, *, sighted: bool, bounded: bool) -> Told:
        """One file by itself."""
        if isinstance(path, InputError):
            return "", path
        try:
            return path, self.examine(path, sighted=sighted, bounded=bounded)
        except (InputError, ExamineError) as error:
            return path, error

    def _once_more(self, path: str, *, sighted: bool, bounded: bool) -> Told:
        """A file that was under way when an examiner ended: only one that ends two more is told to have done so."""
        told = self._tried(path, sighted=sighted, bounded=bounded)
        # the first may have been gone already
        return self._tried(path, sighted=sighted, bounded=bounded) if isinstance(told[1], ExaminerDied) else told

    def attach(self) -> ExaminerClient:
        """A further connection to the examiner as it runs now."""
        return ExaminerClient(self._process.attach())

    def _restart(self) -> None:
        self.close()
        self._process = ExaminerProcess.start(self._home, tell=self._tell)
        self._client = ExaminerClient(self._process.attach())

    def finish_release(self, release: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Write the release that the examined files were collected for; returns its manifest."""
        return self._process.finish_release(release, manifest)

    def close(self) -> None:
        """End the examiner."""
        self._client.close()
        self._process.close()


class _Ahead:
    """Small files on their way, each thread with a connection of its own."""

    def __init__(self, attach: Callable[[], ExaminerClient], *, exact: bool, sighted: bool) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._attach = attach
        self._request = {"release": "", "exact": exact, "sighted": sighted}
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="scan")
        self._free: SimpleQueue[ExaminerClient] = SimpleQueue()
        self._waiting: deque[tuple[str, Future[Finding | InputError | ExamineError | None]]] = deque()

    def begin(self, path: str) -> None:
        """Examine a file as soon as a connection is free."""
        self._waiting.append((path, self._threads.submit(self._examine, path)))

    def finished(self, most: int, again: Callable[[str], Told]) -> Iterator[Told]:
        """In their order, as many as have to be waited for until no more than `most` are on their way.

        What was under way when an examiner ended, over it or over another file, is examined once more by `again`.
        """
        while len(self._waiting) > most:
            path, future = self._waiting.popleft()
            found = future.result()
            yield (path, found) if found is not None else again(path)

    def _examine(self, path: str) -> Finding | InputError | ExamineError | None:
        cut: list[str] = []
        try:
            client = self._connection()
        except ExaminerDied:
            return None
        try:
            with _open(path) as stream:
                finding = client.examine(
                    {"name": path, **self._request}, _chunks(stream, cut), problem=lambda: "".join(cut)
                )
        except ExaminerDied:
            client.close()
            return None
        except (InputError, ExamineError) as error:
            self._free.put(client)
            return error
        self._free.put(client)
        return finding

    def _connection(self) -> ExaminerClient:
        try:
            return self._free.get_nowait()
        except Empty:
            return self._attach()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Wait for what is on its way, and close the connections."""
        self._threads.shutdown(cancel_futures=True)
        while not self._free.empty():
            self._free.get().close()


@contextlib.contextmanager
def open_scanner(home: Home, *, tell: Callable[[str], None] | None = None) -> Iterator[Scanner]:
    """A scanner that is closed at the end."""
    scanner = Scanner(home, tell=tell)
    try:
        yield scanner
    finally:
        scanner.close()


def expand(paths: tuple[str, ...]) -> Iterator[str | InputError]:
    """The files that paths name, folders walked in order of names; what cannot be read comes as an error in its place.

    Links are followed where a person named them, not inside folders.
    """
    for path in paths:
        if path == STDIN:
            yield path
        elif Path(path).is_dir():
            yield from _walk(Path(path))
        else:
            yield path


def _walk(folder: Path) -> Iterator[str | InputError]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield InputError(f"{folder}: {error.strerror}", hint="check the folder's permissions")
        return
    for entry in entries:
        if entry.is_symlink():
            yield InputError(f"{entry}: a link inside a folder is not followed", hint="name its target to examine it")
        elif entry.is_dir():
            yield from _walk(entry)
        elif entry.is_file():
            yield str(entry)
        else:
            yield InputError(
                f"{entry}: neither a file nor a folder", hint="pipes and devices are examined as standard input"
            )


def _is_small(path: str) -> bool:
    if path == STDIN:
        return False
    try:
        found = Path(path).stat()
    except OSError:
        # whoever opens it says why
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size <= SMALL


def _open(path: str | Path) -> contextlib.AbstractContextManager[BinaryIO]:
    if str(path) == STDIN:
        return contextlib.nullcontext(sys.stdin.buffer)
    try:
        stream = Path(path).open("rb")  # noqa: SIM115 - the caller's with statement closes it
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file", hint="check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: a folder, not a file") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", hint="check the file's owner and permissions") from error
    if stat.S_ISCHR(Path(path).stat().st_mode):
        stream.close()
        raise InputError(f"{path}: a device, not a file", hint="pipe what is wanted of it into `tocsin scan -`")
    return stream


def _chunks(stream: BinaryIO, cut: list[str]) -> Iterator[bytes]:
    """The stream's bytes; a read error ends them and is noted in `cut`."""
    while True:
        try:
            chunk = stream.read(CHUNK)
        except OSError as error:
            cut.append(f"the file could not be read to its end: {error.strerror}")
            return
        if not chunk:
            return
        yield chunk
