"""The crawl process's end of its control socket: what it is told to do, and the questions it asks the runner."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from crawler.pages.post_identity import open_due
from crawler.process.frames import load, pack_json, receive, receive_async, send_json
from data.errors import LeaseLost, WireError
from data.model import Post
from data.sources.definition import Definition


@dataclass(frozen=True, slots=True)
class Job:
    """What one crawl is to do.

    Attributes:
        crawl: its id. definition: of the source. settings: for Scrapy. post_key: ids and versions are keyed with it.
        due: posts of earlier crawls that still wait. mode: `crawl`, or `check` to read one page and store nothing.
        limits: `memory` in bytes, `wall` in seconds. settled: posts of the source that an earlier, whole walk saw.
        follow: (host, port) pairs of each other source that links are handed to. closed: the home folder, which the
            process has no business in. network: `open`, or `refused` or `required` for a process that gives it up.
    """

    crawl: str
    definition: Definition
    settings: Mapping[str, Any]
    post_key: bytes = field(repr=False)
    due: tuple[Post, ...] = field(repr=False)
    mode: str
    limits: Mapping[str, float]
    closed: Path
    network: str = "open"
    settled: int = 0
    follow: Mapping[str, frozenset[tuple[str, int]]] = field(default_factory=dict)
    rules: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """From the runner's first frame."""
        try:
            key = bytes.fromhex(value["post_key"])
            return cls(
                crawl=value["crawl"],
                definition=Definition.model_validate(value["source"]),
                settings=value["settings"],
                post_key=key,
                due=tuple(open_due(key, base64.b64decode(sealed)) for sealed in value["due"]),
                mode=value["mode"],
                limits=value["limits"],
                closed=Path(value["closed"]),
                network=value["network"],
                settled=value["settled"],
                follow={
                    source: frozenset((str(host), int(port)) for host, port in pairs)
                    for source, pairs in value["follow"].items()
                },
                rules=value["rules"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise WireError("the runner sent a job that cannot be understood") from error


class Control:
    """Asks the runner; blocking before the event loop runs and after it, awaiting within."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._opening = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._answers: asyncio.Task[None] | None = None
        self._waiting: deque[asyncio.Future[dict[str, Any]]] = deque()
        self._gone = False
        self.ended = False

    def job(self) -> Job:
        """The runner's first frame."""
        kind, payload = receive(self._socket)
        if kind != b"J":
            raise WireError("the runner began with an unknown frame")
        return Job.from_json(load(payload))

    async def ask(self, question: str, **fields: Any) -> dict[str, Any]:
        """The answer to one question; others may be on their way, answers come in their order.

        Raises:
            LeaseLost: the runner no longer holds this crawl, or is gone: stop.
        """
        try:
            writer = await self._open()
            writer.write(pack_json(b"J", {"frame": question, **fields}))
            answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
            self._waiting.append(answered)
            await writer.drain()
        except OSError as error:
            raise LeaseLost("the runner is gone") from error
        answer = await answered
        if answer.get("lost"):
            raise LeaseLost("the crawl was taken over or ended")
        self.ended = self.ended or question == "end"
        return answer

    async def _open(self) -> asyncio.StreamWriter:
        async with self._opening:
            if self._writer is None:
                # a copy, so that the socket itself outlives the loop: the last words may have to be said without it
                copy = self._socket.dup()
                copy.setblocking(False)
                reader, self._writer = await asyncio.open_unix_connection(sock=copy)
                self._answers = asyncio.ensure_future(self._take_answers(reader))
            if self._gone:
                raise LeaseLost("the runner is gone")
        return self._writer

    async def _take_answers(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                _, payload = await receive_async(reader)
                self._waiting.popleft().set_result(load(payload))
        except (EOFError, OSError, WireError, IndexError):
            # nothing that it says can be trusted any more
            self._gone = True
            for answered in self._waiting:
                if not answered.done():
                    answered.set_exception(LeaseLost("the runner is gone"))

    def last_words(self, error: str) -> None:
        """Say without an event loop that the crawl failed, unless its end was said already."""
        if self.ended:
            return
        self._socket.setblocking(True)
        send_json(
            self._socket, b"J", {"frame": "end", "state": "failed", "counts": {}, "code": "crash", "error": error}
        )
        receive(self._socket)
