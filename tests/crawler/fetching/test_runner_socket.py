"""The crawl process's end of its control socket: each answer reaches the question that it belongs to."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from crawler.fetching.runner_socket import Control
from crawler.process.control_frames import PartsAnswer, PartsFrame, PostPart
from crawler.process.frames import pack, receive_async


def test_an_answer_to_a_question_that_was_cancelled_stops_no_later_answer():
    async def scenario() -> tuple[str, ...]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        runner, writer = await asyncio.open_unix_connection(sock=ours)
        control = Control(theirs)
        first = asyncio.ensure_future(control.ask(PartsFrame(parts=())))
        while (await receive_async(runner))[0] != b"J":
            pass
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        second = asyncio.ensure_future(control.ask(PartsFrame(parts=(PostPart(id="a", version="b"),))))
        for name in ("first", "second"):
            writer.write(pack(b"J", PartsAnswer(examine=(name,)).to_json()))
        answer = await asyncio.wait_for(second, 60)
        await control.close()
        writer.close()
        assert isinstance(answer, PartsAnswer)
        return answer.examine

    assert asyncio.run(scenario()) == ("second",)
