"""Asks the process that started the console to do what the console itself cannot: it has no network and no keys."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from typing import Any

from data.errors import TocsinError

# A preview opens up to a dozen pages, over Tor with half a minute each.
SECONDS = 300.0
MAX_LINE = 8 * 1024 * 1024
READY = "ready"


class BrokerError(TocsinError):
    """The starting process did not do what it was asked; the message says why."""


class BrokerClient:
    """The console's end of the connection: one line of JSON for each question and each answer, in any order."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._said_ready = False

    async def open(self) -> None:
        """Begin to read answers; call it in the event loop of the console."""
        reader, self._writer = await asyncio.open_connection(sock=self._connection, limit=MAX_LINE)
        self._reading = asyncio.create_task(self._read(reader))

    async def close(self) -> None:
        """End the connection."""
        if self._reading is not None:
            self._reading.cancel()
        if self._writer is not None:
            self._writer.close()

    async def ask(self, do: str, **arguments: str) -> dict[str, Any]:
        """The answer to one question.

        Raises:
            BrokerError: it could not be done, or not in time.
        """
        if self._writer is None:
            raise BrokerError("the process that started the console cannot be reached", hint="start the console again")
        number = next(self._numbers)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._writer.write(json.dumps({"number": number, "do": do, **arguments}).encode() + b"\n")
            await self._writer.drain()
            async with asyncio.timeout(SECONDS):
                answer = await future
        except (OSError, TimeoutError) as error:
            raise BrokerError("that took too long", hint="try it with the command: tocsin source new") from error
        finally:
            del self._waiting[number]
        if "error" in answer:
            raise BrokerError(str(answer["error"]), hint=str(answer.get("hint", "")))
        return answer

    async def say_ready(self) -> None:
        """Tell the starting process, once, that looks are fast from now on; it gives no answer."""
        if self._writer is not None and not self._said_ready:
            self._said_ready = True
            self._writer.write(json.dumps({"do": READY}).encode() + b"\n")
            await self._writer.drain()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            answer = json.loads(line)
            waiting = self._waiting.get(answer.pop("number", 0))
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)
