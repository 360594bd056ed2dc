"""Examines local files as posts are examined, for `scan`, `release add` and `release compare`."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeAlias

from crawler.process.companion_names import END_OF_ARCHIVE, member_header, padding
from crawler.process.examiner_client import ExaminerClient, Greeting
from crawler.process.frames import CHUNK
from data.errors import ExamineError, ExaminerDied, InputError
from data.settings.home import Home
from scheduler.canaries.known_watchlist import check_watchlist, start_examiner
from scheduler.local_files.divided_files import DividedFile, join_parts
from scheduler.local_files.named_pipes import is_named_pipe

if TYPE_CHECKING:
    from concurrent.futures import Future

    from data.model import Finding
    from data.store.store import Store

STDIN = "-"
# Small files are examined on so many connections at once: one more than processors, because each sometimes waits.
CONNECTIONS = len(os.sched_getaffinity(0)) + 1 if len(os.sched_getaffinity(0)) > 1 else 1
# Files above this size may need any amount of memory, and are examined one at a time.
SMALL_FILE = 256 * 1024
# Most files whose examination has begun before the results of earlier ones are returned.
MAX_PENDING = 64

ScanResult: TypeAlias = "tuple[str, Finding | InputError | ExamineError]"
"""A path ('' if there is none), and its finding or the error that prevented one."""


class Scanner:
    """Examines local files in an examiner process of its own."""

    def __init__(
        self, home: Home, *, report: Callable[[str], None] | None = None, passwords: Sequence[str] = ()
    ) -> None:
        self._home, self._report = home, report
        self._passwords = "\n".join(passwords)
        self._process = start_examiner(home, report=report)
        self._client = self._process.client()

    @property
    def greeting(self) -> Greeting:
        """The greeting that the examiner sent when it was ready."""
        return self._process.greeting

    def examine(
        self,
        path: str | Path | DividedFile,
        *,
        release: str = "",
        sighted: bool = False,
        bounded: bool = False,
        explain: bool = False,
    ) -> Finding:
        """Examine one file, or standard input for `-`.

        Args:
            path: the file, or the parts of one; it becomes the name in the finding.
            release: id of a release to collect the records for; `finish_release` writes it.
            sighted: collect the records for the release that the finding names, if it names one.
            bounded: hold at most as many rows as of a crawled sample (setting `examine.exact_rows`).
            explain: let the finding tell what the columns of its tables were understood as.

        Raises:
            InputError: the file cannot be opened.
            ExaminerDied: the examiner ended while it examined this file; the next call uses a new one.
        """
        request = {
            "name": shown_name(path),
            "release": release,
            "exact": not bounded,
            "sighted": sighted,
            "passwords": self._passwords,
            "explain": explain,
        }
        read_errors: list[str] = []
        with contextlib.ExitStack() as opened:
            chunks = content_of(path, opened, read_errors)
            try:
                return self._client.examine(request, chunks, problem=lambda: "; ".join(read_errors))
            except ExaminerDied:
                self.restart()
                raise

    def examine_all(
        self,
        paths: Iterable[str | DividedFile | InputError],
        *,
        sighted: bool = False,
        bounded: bool = False,
        explain: bool = False,
    ) -> Iterator[ScanResult]:
        """Examine many files, several small ones at a time.

        Args:
            paths: what `expand_paths` yields.
            sighted: as in `examine`.
            bounded: as in `examine`.
            explain: as in `examine`.

        Yields:
            The results, in the order of `paths`.
        """
        examine = partial(self._examine_or_error, sighted=sighted, bounded=bounded, explain=explain)
        retry = partial(self._retry, sighted=sighted, bounded=bounded, explain=explain)
        remaining = iter(paths)
        first = list(islice(remaining, 2))
        if len(first) < 2 or CONNECTIONS < 2:
            for path in chain(first, remaining):
                yield examine(path)
            return
        request = {
            "release": "",
            "exact": not bounded,
            "sighted": sighted,
            "passwords": self._passwords,
            "explain": explain,
        }
        with _ConcurrentExaminations(self.attach, request) as pending:
            for path in chain(first, remaining):
                if isinstance(path, str) and _is_small(path):
                    pending.submit(path)
                else:
                    # a large file gets all memory and processors
                    yield from pending.results(0, retry)
                    yield examine(path)
                yield from pending.results(MAX_PENDING, retry)
            yield from pending.results(0, retry)

    def _examine_or_error(
        self, path: str | DividedFile | InputError, *, sighted: bool, bounded: bool, explain: bool
    ) -> ScanResult:
        """Examine one file by itself; errors become part of the result."""
        if isinstance(path, InputError):
            return "", path
        try:
            return str(path), self.examine(path, sighted=sighted, bounded=bounded, explain=explain)
        except (InputError, ExamineError) as error:
            return str(path), error

    def _retry(self, path: str, *, sighted: bool, bounded: bool, explain: bool) -> ScanResult:
        """Examine a file again that was being examined when an examiner ended, twice if the examiner ends once more."""
        result = self._examine_or_error(path, sighted=sighted, bounded=bounded, explain=explain)
        # the examiner of the first attempt may have ended already, because of another file
        ended = isinstance(result[1], ExaminerDied)
        return self._examine_or_error(path, sighted=sighted, bounded=bounded, explain=explain) if ended else result

    def attach(self) -> ExaminerClient:
        """A further connection to the current examiner."""
        return self._process.client()

    def restart(self) -> None:
        """Replace an examiner that has ended, or a connection that is of no more use."""
        self.close()
        self._process = start_examiner(self._home, report=self._report)
        self._client = self._process.client()

    def open_store(self) -> Store:
        """The store of the home, with the keys that recording needs."""
        from scheduler.crawls.keyed_store import open_store

        check_watchlist(self._home, changing=True)
        return open_store(self._home, self._process)

    def finish_release(self, release: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Write the release for which records were collected; returns its manifest."""
        return self._process.finish_release(release, manifest)

    def close(self) -> None:
        """End the examiner."""
        self._client.close()
        self._process.close()

    def client(self) -> ExaminerClient:
        """The connection to the current examiner."""
        return self._client

    @property
    def passwords(self) -> str:
        """The passwords that are tried on locked archives, one a line."""
        return self._passwords


class _ConcurrentExaminations:
    """Examines several small files at once: a pool of threads, each with its own connection to the examiner."""

    def __init__(self, attach: Callable[[], ExaminerClient], request: Mapping[str, Any]) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._attach = attach
        self._request = request
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="scan")
        self._free_connections: SimpleQueue[ExaminerClient] = SimpleQueue()
        self._submitted: deque[tuple[str, Future[Finding | InputError | ExamineError | None]]] = deque()

    def submit(self, path: str) -> None:
        """Examine a file as soon as a thread is free."""
        self._submitted.append((path, self._threads.submit(self._examine, path)))

    def results(self, max_pending: int, retry: Callable[[str], ScanResult]) -> Iterator[ScanResult]:
        """Results in the order of `submit`, until at most `max_pending` files remain whose results were not returned.

        `retry` examines the files that were being examined when the examiner ended, whichever file made it end.
        """
        while len(self._submitted) > max_pending:
            path, future = self._submitted.popleft()
            found = future.result()
            yield (path, found) if found is not None else retry(path)

    def _examine(self, path: str) -> Finding | InputError | ExamineError | None:
        """The finding of a file, or the error that prevented one; None if the examiner ended."""
        read_errors: list[str] = []
        try:
            client = self._connection()
        except ExaminerDied:
            return None
        try:
            with _open(path) as stream:
                finding = client.examine(
                    {"name": shown_name(path), **self._request},
                    _chunks(stream, read_errors),
                    problem=lambda: "".join(read_errors),
                )
        except ExaminerDied:
            client.close()
            return None
        except (InputError, ExamineError) as error:
            self._free_connections.put(client)
            return error
        self._free_connections.put(client)
        return finding

    def _connection(self) -> ExaminerClient:
        try:
            return self._free_connections.get_nowait()
        except Empty:
            return self._attach()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Wait for running examinations, drop those that have not begun, and close the connections."""
        self._threads.shutdown(cancel_futures=True)
        while not self._free_connections.empty():
            self._free_connections.get().close()


@contextlib.contextmanager
def open_scanner(
    home: Home, *, report: Callable[[str], None] | None = None, passwords: Sequence[str] = ()
) -> Iterator[Scanner]:
    """A scanner that is closed at the end.

    Args:
        home: the home.
        report: receives sentences for the person who waits.
        passwords: are tried on locked archives.
    """
    scanner = Scanner(home, report=report, passwords=passwords)
    try:
        yield scanner
    finally:
        scanner.close()


def expand_paths(paths: tuple[str, ...]) -> Iterator[str | DividedFile | InputError]:
    """The files of paths, those of folders sorted by name; an entry that cannot be read gives an error in its place.

    Symbolic links are followed if they are given as a path, but not inside folders. Parts of one divided file that are
    given one after another, or lie in one folder, are joined.
    """
    given: list[str] = []
    for path in paths:
        if path != STDIN and not Path(path).is_dir():
            given.append(path)
            continue
        yield from chain.from_iterable(join_parts(given))
        given = []
        if path == STDIN:
            yield path
        else:
            yield from _walk(Path(path))
    yield from chain.from_iterable(join_parts(given))


def _walk(folder: Path) -> Iterator[str | DividedFile | InputError]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield InputError(f"{folder}: {error.strerror}", hint="check the permissions of the folder")
        return
    files = [str(entry) for entry in entries if entry.is_file() and not entry.is_symlink()]
    joined = dict(zip(files, join_parts(files), strict=True))
    for entry in entries:
        if entry.is_symlink():
            yield InputError(
                f"{entry}: a link inside a folder is not followed", hint="give its target as a path of its own"
            )
        elif entry.is_dir():
            yield from _walk(entry)
        elif entry.is_file():
            # a file that was made meanwhile is no part
            yield from joined.get(str(entry), [str(entry)])
        else:
            yield InputError(
                f"{entry}: neither a file nor a folder",
                hint="to examine a pipe or device, pass its content to  tocsin scan -",
            )


def shown_name(path: str | Path | DividedFile) -> str:
    """The name of a file as text that can be printed and sent; bytes of it that are not UTF-8 are replaced."""
    return os.fsencode(str(path)).decode("utf-8", "replace")


def _is_small(path: str) -> bool:
    if path == STDIN:
        return False
    try:
        found = Path(path).stat()
    except OSError:
        # opening the file will report the reason
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size <= SMALL_FILE


def _open(path: str | Path) -> contextlib.AbstractContextManager[BinaryIO]:
    if str(path) == STDIN:
        return contextlib.nullcontext(sys.stdin.buffer)
    if is_named_pipe(path):
        raise InputError(f"{path}: a pipe, not a file", hint="pass its content to  tocsin scan -")
    try:
        stream = Path(path).open("rb")  # noqa: SIM115 - the caller's with statement closes it
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file", hint="check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: a folder, not a file", hint="give a file") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", hint="check the owner and permissions of the file") from error
    if stat.S_ISCHR(Path(path).stat().st_mode):
        stream.close()
        raise InputError(f"{path}: a device, not a file", hint="pass the part to examine to  tocsin scan -")
    return stream


def content_of(
    path: str | Path | DividedFile, opened: contextlib.ExitStack, read_errors: list[str], start: int = 0
) -> Iterator[bytes]:
    """The bytes of a file, or of the parts of a divided one; the first file is opened at once.

    Args:
        path: the file.
        opened: closes it.
        read_errors: gets a sentence if it cannot be read to its end.
        start: the place in the file of the first byte; not of a divided one.

    Raises:
        InputError: the file, or the first part, cannot be opened.
    """
    if not isinstance(path, DividedFile):
        stream = opened.enter_context(_open(path))
        if start:
            stream.seek(start)
        return _chunks(stream, read_errors)
    if path.together:
        return _archive_chunks(path, read_errors)
    return _joined_chunks(path, opened.enter_context(_open(path.parts[0])), read_errors)


def _archive_chunks(file: DividedFile, read_errors: list[str]) -> Iterator[bytes]:
    """An archive of files that are read together."""
    for part in file.parts:
        try:
            with _open(part) as stream:
                size = left = os.fstat(stream.fileno()).st_size
                yield member_header(shown_name(Path(part).name), size)
                for chunk in _chunks(stream, read_errors):
                    yield chunk[:left]
                    left -= min(left, len(chunk))
        except InputError:
            read_errors.append("a file beside this one could not be opened")
            continue
        if left:
            # the rest of the archive would be read at a wrong place
            read_errors.append("a file became shorter while it was read")
            return
        yield padding(size)
    yield END_OF_ARCHIVE


def _joined_chunks(file: DividedFile, first: BinaryIO, read_errors: list[str]) -> Iterator[bytes]:
    yield from _chunks(first, read_errors)
    for part in file.parts[1:]:
        if read_errors:
            break
        try:
            with _open(part) as stream:
                yield from _chunks(stream, read_errors)
        except InputError:
            read_errors.append("a part of this divided file could not be opened")
    if file.missing:
        read_errors.append(file.missing)


def _chunks(stream: BinaryIO, read_errors: list[str]) -> Iterator[bytes]:
    """The bytes of a stream; a read error ends them and is appended to `read_errors`."""
    while True:
        try:
            chunk = stream.read(CHUNK)
        except OSError as error:
            read_errors.append(f"the file could not be read to its end: {error.strerror}")
            return
        if not chunk:
            return
        yield chunk
