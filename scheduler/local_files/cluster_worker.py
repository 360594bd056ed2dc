"""What runs in the workers of a Dask cluster: an examiner of the case, behind the same walls as on the machine of the scan.

The tags, releases and settings come as files that are named by their digests, once to each worker. The keys come with the
order to open the case, stay in memory, and are gone once it is closed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
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


@dataclass(slots=True)
class _Case:
    """A case that is open in this worker process.

    Attributes:
        home: holds its files. secrets: what opens it. scanner: its examiner, once there was work.
    """

    home: Path
    secrets: CaseSecrets
    scanner: Scanner | None = None


_open: dict[str, _Case] = {}
_lock = threading.Lock()


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


def missing_files(digests: list[str], dask_worker: Worker) -> list[str]:
    """Which of some files, given by their digests, this worker does not have."""
    folder = _files(dask_worker)
    return [digest for digest in digests if not (folder / digest).exists()]


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
    home = Path(dask_worker.local_directory) / f"case-{case[:16]}"
    if case in _open:
        return ""
    try:
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(mode=0o700, parents=True)
        for name, digest in files.items():
            held = _files(dask_worker) / digest
            with held.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                    held.unlink()
                    return "a file of the case is damaged"
            path = home / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.link(held, path)
    except OSError as error:
        return f"a worker cannot keep the files of the case: {error.strerror}"
    _open[case] = _Case(home, secrets)
    return ""


def close_case(case: str, dask_worker: Worker) -> None:  # noqa: ARG001 - Dask gives the worker by this name
    """End the examiner of a case, and forget its keys."""
    with _lock:
        closed = _open.pop(case, None)
        if closed is not None and closed.scanner is not None:
            closed.scanner.close()
        if closed is not None:
            shutil.rmtree(closed.home, ignore_errors=True)


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
    with _lock:
        opened = _open.get(case)
        if opened is None:
            return pack_answer({"lacks_case": True})
        try:
            if opened.scanner is None:
                secrets = opened.secrets
                # neither settings nor keys of this machine
                own = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_OURS)}
                home = Home(opened.home, {**own, VARIABLE: secrets.keys})
                opened.scanner = Scanner(home, passwords=secrets.passwords)
            read = Plan.from_json(plan)
            work = SharedScan(opened.scanner, read, opened.home, lambda _: None)
            work.require_same(read.inputs[0])
            result = work.run(read.inputs[0], kind, None if chunk is None else Chunk.from_json(chunk))
        except (InputError, ExamineError) as error:
            return pack_answer({"error": str(error), "hint": error.hint})
        except TocsinError as error:
            return pack_answer({"error": f"a worker cannot examine anything: {error}", "hint": error.hint})
    index = None if result.index is None else result.index.to_json()
    return pack_answer({"index": index}, result.sealed)
