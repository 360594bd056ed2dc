"""A real mail server (aiosmtpd) on loopback that answers recipients and mails as it is told, and keeps the mails."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiosmtpd.smtp import SMTP


class Inbox:
    """The handler of the server.

    Attributes:
        mails: recipients and content of each mail that was taken. refused: answers to recipients, by address.
        answer: to every mail, or a function of its content that gives it and may take its time. silent: it gives none.
    """

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], bytes]] = []
        self.refused: dict[str, str] = {}
        self.answer: str | Callable[[bytes], str] = "250 queued"
        self.silent = False

    async def handle_RCPT(self, server, session, envelope, address, options) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope) -> str:
        if self.silent:
            await asyncio.sleep(30)
        answer = self.answer
        if callable(answer):
            answer = await asyncio.to_thread(answer, envelope.content)
        if answer.startswith("250"):
            self.mails.append((envelope.rcpt_tos, envelope.content))
        return answer


@contextmanager
def mail_server(ssl_context: ssl.SSLContext | None = None, **options) -> Iterator[tuple[Inbox, int]]:
    """The inbox and port of a server that runs in a thread of its own; `ssl_context` is for TLS from the first byte."""
    inbox, loop = Inbox(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> asyncio.Server:
        return await loop.create_server(lambda: SMTP(inbox, loop=loop, **options), "127.0.0.1", 0, ssl=ssl_context)

    async def stop() -> None:
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await loop.shutdown_default_executor()

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(300)
    try:
        yield inbox, server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(300)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
