"""The examiner's end of a sample socket: receives one sample, has it examined, and sends the answer.

`crawler.examiner.connections` decides when. Protocol: docs/protocols.md, section 2; the other end is
`crawler.process.examiner_client`.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crawler.process.frames import load, pack_json, receive, send_json
from crawler.process.memory_limits import is_out_of_memory
from crawler.process.startup_memory import return_freed_memory
from data.errors import TocsinError, WireError

if TYPE_CHECKING:
    from crawler.examiner.examination import Examiner
    from crawler.sandbox.reusable_reader import ReusableReader
    from data.model import Finding


class IncomingSample:
    """One sample that arrives on a socket.

    Attributes:
        ending: the payload of its end frame, once that has arrived.
        size: number of bytes that have arrived.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.ending: dict[str, Any] = {}
        self.size = 0
        self._has_ended = self._has_sent_enough = False

    def __iter__(self) -> Iterator[bytearray]:
        """The chunks of the sample, as they arrive."""
        while not self._has_ended:
            kind, payload = receive(self.socket)
            if kind == b"D":
                self.size += len(payload)
                yield payload
            elif kind == b"E":
                self.ending.update(load(payload))
                self._has_ended = True
            else:
                raise WireError("an unknown frame in the middle of a sample")

    def send_enough(self) -> None:
        """Send the peer a notice, once, that the rest of the sample cannot be examined; it may still send more."""
        if not self._has_sent_enough:
            self._has_sent_enough = True
            with contextlib.suppress(OSError):
                # if the peer has ended, the next read reports it
                send_json(self.socket, b"C", {})

    def leave(self) -> None:
        """Somebody else reads what follows on the socket, which are no bytes of a sample."""
        self._has_ended = True

    def drain(self) -> None:
        """Read to the end of the sample, so that the connection can be used again after an error."""
        for _ in self:
            pass


def describe_error(error: Exception) -> dict[str, str]:
    """The payload of an `X` frame that reports an error to the peer."""
    if isinstance(error, TocsinError):
        return {"code": type(error).__name__, "message": str(error), "hint": error.hint}
    if is_out_of_memory(error):
        return {
            "code": "ExamineError",
            "message": "the examiner would have needed more memory than its limit",
            "hint": "raise the setting examine.examiner_memory if the machine has more memory",
        }
    # the text of any other error may hold content of the sample: only its class leaves this process
    return {"code": "ExamineError", "message": f"the examiner failed with {type(error).__name__}", "hint": ""}


def finding_frame(finding: Finding) -> bytes:
    """The frame of a finding. If its members make it too large, they are left out, so that it is always sent."""
    try:
        return pack_json(b"F", finding.to_json())
    except WireError:
        problem = "members: its members were examined, but there are too many to list them"
        return pack_json(b"F", replace(finding, members=(), problems=(*finding.problems, problem)).to_json())


def answer_sample(
    sock: socket.socket,
    start: tuple[bytes, bytes | bytearray],
    examiner: Examiner,
    reusable_reader: ReusableReader,
    before_answer: Callable[[], None] = lambda: None,
) -> int | None:
    """Examine one sample, and send the finding, or the reason why it was not examined.

    Args:
        sock: the rest of the sample comes from here, and the answer goes here.
        start: the first frame of the sample.
        examiner: examines it.
        reusable_reader: of the connection.
        before_answer: is called before the answer is sent. If it raises OSError or EOFError, the connection ends
            without an answer.

    Returns:
        The size of the sample in bytes; None if the connection has ended.
    """
    from crawler.examiner.sample_request import SampleRequest

    kind, payload = start
    sample = IncomingSample(sock)
    was_short_of_memory = False
    try:
        if kind != b"S":
            raise WireError("a sample must begin with a start frame")
        request = SampleRequest.from_json(load(payload))
        if request.task:
            from crawler.examiner.chunk_results import answer_task

            answer_task(sock, request, sample, sample.ending, examiner, sample.leave)
            return sample.size
        finding = examiner.examine(request, sample, sample.ending, reusable_reader, sample.send_enough, sock)
        answer = finding_frame(finding)
    except (EOFError, ConnectionError):
        return None
    except Exception as error:  # noqa: BLE001 - one sample must not end the process of the others; it is reported
        answer = pack_json(b"X", describe_error(error))
        was_short_of_memory = is_out_of_memory(error)
        with contextlib.suppress(EOFError, OSError, WireError):
            sample.drain()
    if was_short_of_memory:
        # not earlier: while the error is handled, it holds what its frames hold
        return_freed_memory()
    try:
        before_answer()
        sock.sendall(answer)
    except (EOFError, OSError):
        return None
    return sample.size
