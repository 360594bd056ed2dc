"""What runs in the workers of a Dask cluster: an examiner of the case, behind the same walls as on the machine of the scan.

The tags, releases and settings come as files that are named by their digests, once to each worker. The keys come with the
order to open the case, stay in memory, and are gone once it is closed, or was not used for some minutes: the command that
opened it may have been killed. Each thread that works at the same time has an examiner of its own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import orjson

from crawler.process.file_chunks import Chunk
from data.errors import ExamineError, InputError, TocsinError
from data.settings.home import Home
from data.settings.key_keeper import VARIABLE
from scheduler.local_files.scan_plan import Plan
from scheduler.local_files.scanning import Scanner
from scheduler.local_files.shared_work import SharedScan

if TYPE_CHECKING:
    from distributed import Worker

UNUSED = 300.0
"""Seconds without work after which a worker forgets a case."""
_LENGTH = 4
_NOT_OURS = ("TOCSIN_", "CREDENTIALS_DIRECTORY")


@dataclass(frozen=True, slots=True)
class CaseSecrets:
    """What opens a case in a worker. Dask logs the arguments of an order that fails, so these are never shown.

    Attributes:
        keys: text of its keys. passwords: that are tried on locked archives.
    """

    keys: str = field(repr=False)
    passwords: tuple[str, ...] = field(default=(), repr=False)


class _Case:
    """A case that is open in this worker process, until it is closed or was not used for `UNUSED` seconds."""

    def __init__(self, home: Path, secrets: CaseSecrets) -> None:
        self._home, self._secrets = home, secrets
        self._idle: list[Scanner] = []
        self._working = 0
        self._is_closed = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(0, self._expire)
        self._wait()

    @property
    def folder(self) -> Path:
        """Holds its files."""
        return self._home

    def take(self) -> Scanner | None:
        """An examiner for one thread, to be given back; None if the case is closed.

        Raises:
            TocsinError: none can be started.
        """
        with self._lock:
            if self._is_closed:
                return None
            self._timer.cancel()
            self._working += 1
            if self._idle:
                return self._idle.pop()
            secrets = self._secrets
        try:
            # neither settings nor keys of this machine
            own = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_OURS)}
            home = Home(self._home, {**own, VARIABLE: secrets.keys})
            return Scanner(home, passwords=secrets.passwords)
        except TocsinError:
            self.give_back(None)
            raise

    def give_back(self, scanner: Scanner | None) -> None:
        """End the work of one thread, with its examiner unless that is of no more use."""
        with self._lock:
            self._working -= 1
            if self._is_closed:
                if scanner is not None:
                    scanner.close()
                self._remove()
                return
            if scanner is not None:
                self._idle.append(scanner)
            if not self._working:
                self._wait()

    def close(self) -> None:
        """Forget the keys: end examiners, those that work once they are done."""
        with self._lock:
            self._close()

    @property
    def is_open(self) -> bool:
        """Whether it is not closed."""
        return not self._is_closed

    def _expire(self) -> None:
        with self._lock:
            # work may have begun when the time was over
            if not self._working:
                self._close()

    def _close(self) -> None:
        self._is_closed = True
        self._timer.cancel()
        self._secrets = CaseSecrets("")
        for scanner in self._idle:
            scanner.close()
        self._idle.clear()
        self._remove()

    def _wait(self) -> None:
        self._timer = threading.Timer(UNUSED, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def _remove(self) -> None:
        if not self._working:
            shutil.rmtree(self._home, ignore_errors=True)


_open: dict[str, _Case] = {}


def pack_answer(head: Mapping[str, Any], sealed: bytes = b"") -> bytes:
    """An answer as plain bytes, which nothing executes when they are read."""
    text = orjson.dumps(dict(head))
    return len(text).to_bytes(_LENGTH, "big") + text + sealed


def unpack_answer(answer: bytes) -> tuple[dict[str, Any], bytes]:
    """The inverse of `pack_answer`.

    Raises:
        ExamineError: it is none.
    """
    try:
        end = _LENGTH + int.from_bytes(answer[:_LENGTH], "big")
        head = orjson.loads(answer[_LENGTH:end])
    except (TypeError, orjson.JSONDecodeError) as error:
        raise ExamineError("a worker answered with something that is no answer") from error
    if not isinstance(head, dict):
        raise ExamineError("a worker answered with something that is no answer")
    return head, answer[end:]


# --- orders to each worker -------------------------------------------------------------------------------------------


def greet(digests: list[str], dask_worker: Worker) -> dict[str, Any]:
    """The `version` of this worker's Tocsin, and which of some files, given by their digests, it `lacks`."""
    folder = _files(dask_worker)
    return {"version": version("tocsin"), "lacks": [digest for digest in digests if not (folder / digest).exists()]}


def receive_file(digest: str, place: int, data: bytes, is_last: bool, dask_worker: Worker) -> str:
    """Take a piece of a file; returns what is wrong, '' if nothing is. A file whose digest is another one is dropped."""
    try:
        path = _files(dask_worker) / f".{digest}"
        with path.open("r+b" if place else "wb") as stream:
            stream.seek(place)
            stream.write(data)
        if not is_last:
            return ""
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                path.unlink()
                return "a file did not arrive as it was sent"
        path.rename(path.with_name(digest))
    except OSError as error:
        return f"a worker cannot keep a file of the case: {error.strerror}"
    return ""


def open_case(case: str, files: Mapping[str, str], secrets: CaseSecrets, dask_worker: Worker) -> str:
    """Open a case in this worker: its files as a home, and its keys in memory; returns what is wrong, '' if nothing is."""
    held = _open.get(case)
    if held is not None and held.is_open:
        return ""
    # beside that of a closed case, in which a thread may still work
    home = Path(dask_worker.local_directory) / f"case-{case[:16]}-{token_hex(4)}"
    try:
        home.mkdir(mode=0o700, parents=True)
        for name, digest in files.items():
            kept = _files(dask_worker) / digest
            with kept.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                    kept.unlink()
                    return "a file of the case is damaged"
            path = home / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.link(kept, path)
    except OSError as error:
        return f"a worker cannot keep the files of the case: {error.strerror}"
    _open[case] = _Case(home, secrets)
    return ""


def close_case(case: str, dask_worker: Worker) -> None:  # noqa: ARG001 - Dask gives the worker by this name
    """End the examiners of a case, and forget its keys."""
    closed = _open.pop(case, None)
    if closed is not None:
        closed.close()


def _files(worker: Worker) -> Path:
    folder = Path(worker.local_directory) / "tocsin-files"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


# --- work ------------------------------------------------------------------------------------------------------------


def examine_piece(case: str, plan: Mapping[str, Any], kind: str, chunk: Mapping[str, Any] | None) -> bytes:
    """Examine one piece of a file that this worker can open by its path; returns an answer (`pack_answer`).

    Args:
        case: that was opened in this worker; if it is not, the answer has `lacks_case`.
        plan: of that one file.
        kind: of the piece, as in `SharedScan.run`.
        chunk: of the file; None for another kind.
    """
    opened = _open.get(case)
    scanner: Scanner | None = None
    try:
        scanner = opened.take() if opened is not None else None
    except TocsinError as error:
        return pack_answer({"error": f"a worker cannot examine anything: {error}", "hint": error.hint})
    if opened is None or scanner is None:
        return pack_answer({"lacks_case": True})
    kept: Scanner | None = None
    try:
        read = Plan.from_json(plan)
        work = SharedScan(scanner, read, opened.folder, lambda _: None)
        work.require_same(read.inputs[0])
        result = work.run(read.inputs[0], kind, None if chunk is None else Chunk.from_json(chunk))
        kept = scanner
    except (InputError, ExamineError) as error:
        kept = scanner
        return pack_answer({"error": str(error), "hint": error.hint})
    except TocsinError as error:
        return pack_answer({"error": f"a worker cannot examine anything: {error}", "hint": error.hint})
    finally:
        if kept is None:
            scanner.close()
        opened.give_back(kept)
    index = None if result.index is None else result.index.to_json()
    return pack_answer({"index": index}, result.sealed)
