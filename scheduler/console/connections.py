"""Bounds what one connection to the console may hold: how long it may take to ask, and to take its answer, and how many there are."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

# The head of a request comes within so many seconds, the first one and each later one.
HEAD_SECONDS = 10.0
# Whoever takes nothing of an answer for so long gets no more of it.
TAKE_SECONDS = 30.0
# Connections at a time; each is a descriptor of the process, of which there are 512.
MAX_CONNECTIONS = 200


class BoundedConnection(H11Protocol):
    """uvicorn's protocol, which itself only ends connections that are idle after an answer."""

    _head: asyncio.TimerHandle | None = None
    _take: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        """A part of a request; a few bytes now and then do not make the time longer."""
        super().data_received(data)
        self._stop_if_asked()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it has come already."""
        self._await_head()
        super().on_response_complete()
        self._stop_if_asked()

    def pause_writing(self) -> None:
        """The other side takes less than there is."""
        super().pause_writing()
        self._take = self.loop.call_later(TAKE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It has taken what there was."""
        if self._take is not None:
            self._take.cancel()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        for timer in (self._head, self._take):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
        self._head = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_if_asked(self) -> None:
        """While a request is answered, nobody is late."""
        if self._head is not None and self.cycle is not None and not self.cycle.response_complete:
            self._head.cancel()
