"""Local files through the same road as posts: what `scan`, `release add` and `release compare` share."""

from __future__ import annotations

import contextlib
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from crawler.examiner import ExaminerClient, ExaminerProcess, Greeting
from crawler.wire import CHUNK
from data.errors import ExaminerDied, InputError
from data.home import Home
from data.model import Finding

STDIN = "-"


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
