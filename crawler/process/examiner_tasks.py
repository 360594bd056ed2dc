"""Asks an examiner for parts of an examination: the index of a file, a chunk, a sealed finding, the fold of results.

The other end is `crawler.examiner.chunk_results`; protocol: docs/protocols.md, section 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from crawler.process.examiner_client import ExaminerClient, read_finding
from crawler.process.file_chunks import FileIndex
from crawler.process.frames import CHUNK, load, receive, send, send_json
from data.errors import ExaminerDied, WireError
from data.model import Finding
from data.vocabulary import known_sentence


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What an examiner made of a task.

    Attributes:
        sealed: the result; only an examiner of the same case opens it.
        index: that of the file, if the task was to make it.
    """

    sealed: bytes
    index: FileIndex | None


def run_task(
    client: ExaminerClient,
    request: Mapping[str, Any],
    task: Mapping[str, Any],
    pieces: Iterable[bytes],
    problem: Callable[[], str] = lambda: "",
) -> TaskResult:
    """Have one task done.

    Args:
        client: to the examiner.
        request: as in `ExaminerClient.examine`.
        task: its kind, the name of its result, and what else it needs.
        pieces: the bytes that the task is about.
        problem: called after the last piece; returns a message if bytes are missing, else ''.

    Raises:
        ExaminerDied: the process ended.
        ExamineError: the task could not be done.
    """
    sealed, index = bytearray(), None
    try:
        client.send_sample({**request, "task": orjson.dumps(dict(task)).decode()}, pieces, problem)
        while True:
            with client.waiting():
                kind, payload = receive(client.socket)
            if kind == b"Q":
                sealed += payload
            elif kind == b"I":
                index = FileIndex.from_json(load(payload))
            elif kind == b"O":
                return TaskResult(bytes(sealed), index)
            elif kind != b"C":
                read_finding(kind, payload)
                raise WireError("the examiner answered with an unknown frame")
    except (EOFError, OSError) as error:
        raise ExaminerDied("the examiner ended while it examined a sample", hint="run: tocsin doctor") from error


def fold_results(
    client: ExaminerClient,
    request: Mapping[str, Any],
    chunk_bytes: int,
    results: Iterable[tuple[str, bytes]],
    examine_again: Callable[[str, str], bytes],
) -> Finding | str:
    """The finding of a file from its results.

    Args:
        client: to the examiner.
        request: of the file.
        chunk_bytes: with which it was cut.
        results: name and sealed bytes of each; of a file that was cut, that of its index first and then those of its
            chunks, in order.
        examine_again: examines a chunk, given by its name, with other placeholders, and returns the sealed result.

    Returns:
        The finding; or a sentence that says why the file must be examined as a whole.

    Raises:
        ExaminerDied: the process ended.
        ExamineError: a result is refused, or results are missing.
    """
    task = {"kind": "fold", "name": "", "chunk_bytes": chunk_bytes}
    try:
        with client.waiting():
            send_json(client.socket, b"S", {**request, "task": orjson.dumps(task).decode()})
        for name, sealed in results:
            again = _send_result(client, name, sealed)
            if again and _send_result(client, name, examine_again(name, again)):
                raise WireError("the examiner asks for a chunk for ever")
        with client.waiting():
            send_json(client.socket, b"E", {})
            kind, payload = receive(client.socket)
    except (EOFError, OSError) as error:
        raise ExaminerDied("the examiner ended while it folded results", hint="run: tocsin doctor") from error
    if kind == b"O":
        return known_sentence(str(load(payload).get("fault", ""))) or "its chunks cannot be put together"
    return read_finding(kind, payload)


def check_result(client: ExaminerClient, name: str, sealed: bytes) -> None:
    """Have a result opened, and nothing else done with it.

    Raises:
        ExaminerDied: the process ended.
        ExamineError: the result is refused.
    """
    task = {"kind": "check", "name": name}
    try:
        with client.waiting():
            client.send_sample({"name": "", "task": orjson.dumps(task).decode()}, [sealed])
            kind, payload = receive(client.socket)
    except (EOFError, OSError) as error:
        raise ExaminerDied("the examiner ended while it opened a result", hint="run: tocsin doctor") from error
    if kind != b"O":
        read_finding(kind, payload)
        raise WireError("the examiner answered with an unknown frame")


def _send_result(client: ExaminerClient, name: str, sealed: bytes) -> str:
    """Send one result of a fold; returns the placeholders with which its chunk must be examined again, '' if it fits."""
    with client.waiting():
        for piece in _pieces(sealed):
            send(client.socket, b"D", piece)
        send_json(client.socket, b"N", {"name": name})
        kind, payload = receive(client.socket)
    if kind != b"O":
        read_finding(kind, payload)
        raise WireError("the examiner answered with an unknown frame")
    return str(load(payload).get("again", ""))


def _pieces(data: bytes) -> Iterator[memoryview]:
    view = memoryview(data)
    for at in range(0, len(view), CHUNK):
        yield view[at : at + CHUNK]
