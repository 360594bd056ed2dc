"""The examiner's end of a sample socket: takes one sample off it and answers; whose turn it is says `crawler.examiner.connections`.

Protocol: docs/protocols.md, section 2; the other end is `crawler.process.examiner_client`.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crawler.process.frames import load, pack_json, receive, send_json
from data.errors import TocsinError, WireError

if TYPE_CHECKING:
    from crawler.examiner.examination import Examiner
    from crawler.sandbox.reusable_reader import ReusableReader
    from data.model import Finding


class Sample:
    """The chunks of one sample on a socket, and what the peer said at their end.

    Attributes:
        ending: what the peer said. size: bytes that came so far.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.ending: dict[str, Any] = {}
        self.size = 0
        self._over = self._told = False

    def __iter__(self) -> Iterator[bytearray]:
        """Its chunks, as they come."""
        while not self._over:
            kind, payload = receive(self.socket)
            if kind == b"D":
                self.size += len(payload)
                yield payload
            elif kind == b"E":
                self.ending.update(load(payload))
                self._over = True
            else:
                raise WireError("an unknown frame in the middle of a sample")

    def enough(self) -> None:
        """Tell the peer, once, that nothing further of the sample can be examined; it may still send some."""
        if not self._told:
            self._told = True
            with contextlib.suppress(OSError):
                # a peer that is gone is met by whoever reads next
                send_json(self.socket, b"C", {})

    def drain(self) -> None:
        """Read to the end of the sample, so that the connection can go on after an error."""
        for _ in self:
            pass


def describe(error: Exception) -> dict[str, str]:
    """What a peer is told of an error, as the payload of an `X` frame."""
    if isinstance(error, TocsinError):
        return {"code": type(error).__name__, "message": str(error), "hint": error.hint}
    # the text of a foreign error may hold content of the sample: only its class leaves this process
    return {"code": "ExamineError", "message": f"the examiner failed with {type(error).__name__}", "hint": ""}


def finding_frame(finding: Finding) -> bytes:
    """The frame of a finding; without its members where they make it too large: what was found is always told."""
    try:
        return pack_json(b"F", finding.to_json())
    except WireError:
        said = "members: its members were examined and are too many to be listed"
        return pack_json(b"F", replace(finding, members=(), problems=(*finding.problems, said)).to_json())


def answer(
    sock: socket.socket,
    start: tuple[bytes, bytes | bytearray],
    examiner: Examiner,
    kept: ReusableReader,
    before: Callable[[], None] = lambda: None,
) -> int | None:
    """Examine the sample that begins with a frame, and say what was found or why it was not examined.

    Args:
        sock: where the rest of it comes from.
        start: its first frame.
        examiner: which examines it.
        kept: the connection's reader.
        before: done before the answer is sent; an OSError or EOFError of it ends the connection unanswered.

    Returns:
        Its size in bytes; None where the connection is over.
    """
    from crawler.examiner.sample_request import Request

    kind, payload = start
    sample = Sample(sock)
    try:
        if kind != b"S":
            raise WireError("a sample must begin with a start frame")
        finding = examiner.examine(Request.from_json(load(payload)), sample, sample.ending, kept, sample.enough)
        said = finding_frame(finding)
    except (EOFError, ConnectionError):
        return None
    except Exception as error:  # noqa: BLE001 - one sample must not end the others' process; it is told
        said = pack_json(b"X", describe(error))
        with contextlib.suppress(EOFError, OSError, WireError):
            sample.drain()
    try:
        before()
        sock.sendall(said)
    except (EOFError, OSError):
        return None
    return sample.size
