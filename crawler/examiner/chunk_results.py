"""Answers what `scan` asks of an examiner about parts of its work: the index of a file, a chunk, a whole file, the fold.

Results are sealed under a key of the case, so that they may lie on a shared disk until all are there. Each carries the
proof that the examiner that made it finds a planted person, and the digest of the tags and releases that it compared with.
"""

from __future__ import annotations

import base64
import hashlib
import socket
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from isal import isal_zlib

from crawler.examiner.chunk_examination import ChunkExamination, Fold
from crawler.examiner.self_test import plant_and_find
from crawler.process.file_chunks import Chunk, FileIndex, cut
from crawler.process.frames import load, pack_json, receive, send, send_json
from crawler.sandbox.reader_client import INVALID_FRAME_ERRORS, ReaderConnection
from crawler.sandbox.reader_frames import MemberEnd
from crawler.sandbox.sample_pump import RAW, SamplePump
from data.arrays import array_codec
from data.errors import ExamineError, WireError
from data.hashing.sealed_states import seal, unseal
from data.hashing.tags import keyed_sha256

if TYPE_CHECKING:
    from crawler.examiner.examination import Examiner
    from crawler.examiner.sample_request import SampleRequest
    from data.model import Finding

_ENTRY_WORDS = 4
# A sealed result is sent in frames of so many bytes, and is at most so large.
_FRAME, _MAX_RESULT = 2**23, 2**33


def index_file(
    examiner: Examiner, chunks: Iterable[bytes | bytearray], ending: Mapping[str, Any], peer: socket.socket | None
) -> FileIndex:
    """The index of a file, by which it is cut; without blocks if it must be examined as a whole.

    Args:
        examiner: gives the reader.
        chunks: the bytes of the file, or of its beginning to learn whether files of its format can be cut.
        ending: as in `Examiner.examine`.
        peer: waits for the index.
    """
    digest, crc, size = hashlib.sha256(), 0, 0
    entries: list[bytes] = []
    kind, is_complete = "unknown", False

    def take(frame: bytes, payload: bytes) -> bool:
        nonlocal kind, is_complete
        if frame == b"M":
            kind = str(orjson.loads(payload)["format"])
        elif frame == b"I":
            entries.append(payload)
        elif frame == b"E":
            is_complete = MemberEnd.read(payload).complete
        elif frame not in (b"P", b"Z"):
            raise WireError("an index has a frame of an unknown kind")
        return frame == b"Z"

    with examiner.sandbox.open() as reader:
        connection = ReaderConnection(reader, take, examiner.sandbox.limits.wall, peer)
        connection.send(pack_json(b"G", []))
        pump = SamplePump(connection, chunks, lambda: pack_json(b"E", {"complete": True}))
        for frame, payload in pump:
            if frame == RAW:
                digest.update(payload)
                crc = isal_zlib.crc32(payload, crc)
                size += len(payload)
            elif not connection.broken:
                try:
                    take(frame, bytes(payload))
                except INVALID_FRAME_ERRORS:
                    connection.reject_frame()
        is_sound = connection.ended_well and not connection.broken and bool(ending.get("complete", True))
    blocks = np.zeros((0, _ENTRY_WORDS), np.uint32)
    joined = b"".join(entries)
    if is_sound and is_complete and len(joined) % (4 * _ENTRY_WORDS) == 0:
        blocks = np.frombuffer(joined, "<u4").reshape(-1, _ENTRY_WORDS)
    if len(blocks) and int(blocks[:, 0].sum(dtype=np.int64)) != size:
        blocks = blocks[:0]
    return FileIndex(digest.hexdigest(), crc, size, kind, blocks)


class Results:
    """Seals and opens the results of one examiner."""

    def __init__(self, examiner: Examiner) -> None:
        self._examiner = examiner

    @cached_property
    def _sets(self) -> str:
        """A keyed digest of what samples are compared with: watch-list, releases and recipient of evidence."""
        examiner = self._examiner
        manifests = {name: release.manifest for name, release in sorted(examiner.releases.active.items())}
        known = [examiner.watchlist.checksum, manifests, examiner.recipient]
        body = orjson.dumps(known, default=str, option=orjson.OPT_SORT_KEYS)
        return keyed_sha256(examiner.keys.post, body.hex())

    @cached_property
    def _control(self) -> str:
        return plant_and_find(self._examiner)

    def seal(self, name: str, result: Mapping[str, Any]) -> bytes:
        """A sealed result, with the proof that a planted person is found by this examiner at this time.

        Raises:
            ExamineError: the planted person was not found, so that the result is worth nothing.
        """
        body = {"control": plant_and_find(self._examiner), "sets": self._sets, "result": dict(result)}
        return seal(self._examiner.keys.post, name, array_codec.encode(body))

    def open(self, name: str, sealed: bytes | bytearray) -> dict[str, Any]:
        """The result that was sealed under a name.

        Raises:
            ExamineError: it is damaged or forged, lacks the planted person, or was made with other tags or releases.
        """
        try:
            body = array_codec.decode(unseal(self._examiner.keys.post, name, sealed))
        except WireError as error:
            raise ExamineError(
                "a result is damaged, forged or of another case",
                hint="remove the file of the result and examine this part again",
            ) from error
        if not isinstance(body, dict) or body.get("control") != self._control:
            raise ExamineError(
                "a result lacks the planted person that every examination must find",
                hint="the machine that made it finds nothing: examine its parts on another one",
            )
        if body.get("sets") != self._sets:
            raise ExamineError(
                "a result was made with another watch-list or other releases",
                hint="examine all parts again with the home of this machine",
            )
        result: dict[str, Any] = body["result"]
        return result

    def seal_placeholders(self, placeholders: Mapping[str, Any]) -> str:
        """Placeholders as text: tags of values of a sample leave the examiner only sealed."""
        sealed = seal(self._examiner.keys.post, "placeholders", array_codec.encode(dict(placeholders)))
        return base64.b64encode(sealed).decode()

    def open_placeholders(self, text: str) -> dict[str, Any]:
        """The inverse of `seal_placeholders`; nothing for ''."""
        if not text:
            return {}
        try:
            sealed = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise WireError("placeholders are damaged") from error
        return dict(array_codec.decode(unseal(self._examiner.keys.post, "placeholders", sealed)))


# --- answers on the sample socket ------------------------------------------------------------------------------------


def answer_task(
    sock: socket.socket,
    request: SampleRequest,
    sample: Iterable[bytearray],
    ending: Mapping[str, Any],
    examiner: Examiner,
    leave: Callable[[], None],
) -> None:
    """Do what the task of a request asks, and send the answer.

    Args:
        sock: of the peer.
        request: with a task (docs/protocols.md, section 2).
        sample: the bytes that follow the request.
        ending: as in `Examiner.examine`.
        examiner: does the work.
        leave: is called if the bytes that follow are no sample.

    Raises:
        WireError: the task is none.
        ExamineError: it cannot be done; nothing was sent yet.
    """
    task = load(request.task.encode())
    try:
        kind, name = str(task["kind"]), str(task["name"])
        if kind == "fold":
            leave()
            _fold(sock, request, task, examiner)
            return
        results = Results(examiner)
        if kind == "check":
            results.open(name, b"".join(sample))
            send_json(sock, b"O", {})
            return
        if kind == "index":
            index = index_file(examiner, sample, ending, sock)
            _drain(sample)
            send_json(sock, b"I", index.to_json())
            result: dict[str, Any] = {"index": index.to_json()}
        elif kind == "chunk":
            chunk = Chunk.from_json(task["chunk"])
            placeholders = results.open_placeholders(str(task["placeholders"]))
            result = ChunkExamination(examiner, request, chunk, placeholders, sock).state(sample)
        elif kind == "whole":
            result = {"finding": examiner.examine(request, sample, ending, peer=sock).to_json()}
        else:
            raise WireError("a task of an unknown kind")
    except (KeyError, TypeError) as error:
        raise WireError("a task with missing or wrong values") from error
    _drain(sample)
    _send_result(sock, results.seal(name, result))


def _drain(sample: Iterable[bytearray]) -> None:
    for _ in sample:
        pass


def _send_result(sock: socket.socket, sealed: bytes) -> None:
    for at in range(0, len(sealed), _FRAME):
        send(sock, b"Q", memoryview(sealed)[at : at + _FRAME])
    send_json(sock, b"O", {})


def _fold(sock: socket.socket, request: SampleRequest, task: Mapping[str, Any], examiner: Examiner) -> None:
    """Take sealed results (frames `D`…, `N` each) and answer each; after `E` send the finding.

    A file that was not cut has one result, with its finding. A file that was cut has that of its index and one for each
    chunk, in order. The answer to a chunk that did not begin with the right placeholders has these, and the chunk is to be
    sent again once it was examined with them.
    """
    results = Results(examiner)
    fold: Fold | None = None
    finding: dict[str, Any] | None = None
    held = bytearray()
    while True:
        kind, payload = receive(sock)
        if kind == b"D":
            held += payload
            if len(held) > _MAX_RESULT:
                raise WireError("a result is too large")
            continue
        if kind == b"E":
            break
        if kind != b"N":
            raise WireError("an unknown frame in the middle of a fold")
        result = results.open(str(load(payload)["name"]), held)
        held = bytearray()
        again = ""
        if "finding" in result:
            finding = result["finding"]
        elif "index" in result:
            index = FileIndex.from_json(result["index"])
            fold = Fold(examiner, request, index, cut(index, int(task["chunk_bytes"])))
        elif fold is None:
            raise WireError("a chunk without the index of its file")
        elif fold.fits(result):
            fold.add(result)
        else:
            again = results.seal_placeholders(fold.placeholders())
        send_json(sock, b"O", {"again": again})
    if fold is not None:
        made: Finding | None = fold.finding()
        finding = None if made is None else made.to_json()
    if finding is None:
        send_json(sock, b"O", {"fault": fold.fault if fold is not None else "nothing of it was examined"})
        return
    sock.sendall(pack_json(b"F", finding))
