"""The crawl process's end of its control socket: receives the job, and asks the runner the questions of the crawl."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import TypeVar

from crawler.process.control_frames import EndFrame, Lost, Question
from crawler.process.frames import pack, receive, receive_async, send
from crawler.process.job_frame import Job
from crawler.process.wire_values import WireValue
from data.errors import LeaseLost, WireError

A = TypeVar("A", bound=WireValue)

# A process that waits for a slow site asks nothing for minutes. The runner tells it from a frozen one by these frames.
PULSE, PULSE_SECONDS = pack(b"P"), 5.0


class Control:
    """The control socket; used without an event loop before one runs and after it has ended, and with it in between.

    Attributes:
        ended: the end of the crawl was reported.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._opening = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._answers: asyncio.Task[None] | None = None
        self._pulses: asyncio.Task[None] | None = None
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._gone = False
        self.ended = False

    def job(self) -> Job:
        """The job, which is the runner's first frame; raises WireError if it is malformed."""
        kind, payload = receive(self._socket)
        if kind != b"J":
            raise WireError("the runner began with an unknown frame")
        return Job.from_json(payload)

    async def ask(self, question: Question[A]) -> A:
        """The answer to one question; several may be on their way, and answers come in the order of the questions.

        Raises:
            LeaseLost: the runner no longer holds this crawl, is gone, or gave an answer that is malformed: stop.
        """
        try:
            writer = await self._open()
            writer.write(pack(b"J", question.to_json()))
            answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            self._waiting.append(answered)
            await writer.drain()
        except OSError as error:
            raise LeaseLost("the runner is gone") from error
        try:
            answer = question.read_answer(await answered)
        except WireError as error:
            raise LeaseLost("the runner gave an answer that cannot be understood") from error
        if isinstance(answer, Lost):
            raise LeaseLost("the crawl was taken over or ended")
        self.ended = self.ended or isinstance(question, EndFrame)
        return answer

    async def open(self) -> None:
        """Let the runner see from now on that this process is not frozen.

        Raises:
            LeaseLost: the runner is gone.
        """
        try:
            await self._open()
        except OSError as error:
            raise LeaseLost("the runner is gone") from error

    async def _open(self) -> asyncio.StreamWriter:
        async with self._opening:
            if self._writer is None:
                # a copy, so that the socket itself outlives the loop: `report_crash` may need it afterwards
                copy = self._socket.dup()
                copy.setblocking(False)
                reader, self._writer = await asyncio.open_unix_connection(sock=copy)
                self._answers = asyncio.ensure_future(self._take_answers(reader))
                self._pulses = asyncio.ensure_future(self._send_pulses(self._writer))
            if self._gone:
                raise LeaseLost("the runner is gone")
        return self._writer

    async def _send_pulses(self, writer: asyncio.StreamWriter) -> None:
        while not self._gone:
            writer.write(PULSE)
            await asyncio.sleep(PULSE_SECONDS)

    async def _take_answers(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                _, payload = await receive_async(reader)
                answered = self._waiting.popleft()
                # whoever asked may have been cancelled meanwhile; the answers after it are for others
                if not answered.done():
                    answered.set_result(payload)
        except (EOFError, OSError, WireError, IndexError):
            # the connection is closed, or the runner broke the protocol: none of its answers can be trusted any more
            self._gone = True
            for answered in self._waiting:
                if not answered.done():
                    answered.set_exception(LeaseLost("the runner is gone"))

    async def report_failure(self, error: str, code: str = "crash") -> None:
        """Report, while the loop runs, that the crawl failed; does nothing if its end was reported already.

        Raises:
            LeaseLost: the runner is gone.
        """
        if not self.ended:
            await self.ask(EndFrame(state="failed", counts={}, hosts={}, code=code, error=error, robots=b""))

    async def close(self) -> None:
        """Close the connection, in a process that goes on with other crawls."""
        self._gone = True
        for task in (self._answers, self._pulses):
            if task is not None:
                task.cancel()
        if self._writer is not None:
            self._writer.close()
        self._socket.close()

    def report_crash(self, error: str, code: str = "crash") -> None:
        """Report, without an event loop, that the crawl failed; does nothing if its end was reported already."""
        if self.ended:
            return
        self._socket.setblocking(True)
        end = EndFrame(state="failed", counts={}, hosts={}, code=code, error=error, robots=b"")
        send(self._socket, b"J", end.to_json())
        receive(self._socket)
