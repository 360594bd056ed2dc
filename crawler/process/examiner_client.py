"""The ends of the examiner that other processes hold: its start and orders, and sample sockets.

The process itself is `crawler.examiner.main`. Protocol: docs/protocols.md, section 2.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from crawler.process.frames import (
    CHUNK,
    load,
    pack,
    pack_json,
    receive,
    receive_async,
    send,
    send_json,
    send_with_socket,
)
from data.errors import ExamineError, ExaminerDied, TocsinError, WireError
from data.model import Finding
from data.settings.home import Home

if TYPE_CHECKING:
    import asyncio

# Freed memory is kept for the next batch instead of being given back and asked for anew, page by page.
# One arena for all threads: three that each keep what they freed take 10 MB more and are no faster.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(256 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
    "MALLOC_ARENA_MAX": "1",
}
ENOUGH = "enough: a limit ended its reading, so the rest of it was not downloaded"
# What the examiner's environment may hold: where its key and caches are, and nothing a proxy or a channel needs.
_ENVIRONMENT = (
    "HOME",
    "PATH",
    "LANG",
    "LC_ALL",
    "XDG_CACHE_HOME",
    "NUMBA_CACHE_DIR",
    "TOCSIN_MATCH_KEY",
    "CREDENTIALS_DIRECTORY",
)


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the examiner says once it is ready."""

    post_key: bytes
    case: str
    clients: int
    canaries: int
    releases: int
    protection: Mapping[str, str]


class ExaminerProcess:
    """The runner's end: starts the process, hands out sample sockets, asks for releases and reloads."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket, greeting: Greeting) -> None:
        self.process = process
        self.greeting = greeting
        self._control = control
        self._lock = threading.Lock()

    @classmethod
    def start(cls, home: Home, *, tell: Callable[[str], None] | None = None) -> ExaminerProcess:
        """Start the examiner of a home and wait until it is ready.

        Args:
            home: whose key, watch-list and releases it uses.
            tell: takes a sentence for the person who waits (the kernel is compiled once on a new machine).

        Raises:
            TocsinError: as the examiner met it (no key, damaged watch-list, …).
            ExaminerDied: it ended without a word.
        """
        ours, theirs = socket.socketpair()
        environment = {name: home.environ[name] for name in _ENVIRONMENT if name in home.environ} | KEEP_MEMORY
        process = subprocess.Popen(
            [sys.executable, "-m", "crawler.examiner.main", str(theirs.fileno()), str(home.path)],
            pass_fds=(theirs.fileno(),),
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        try:
            while True:
                kind, payload = receive(ours)
                value = load(payload)
                if kind == b"N":
                    if tell is not None:
                        tell(value["text"])
                elif kind == b"X":
                    raise _error(value)
                elif kind == b"G":
                    greeting = Greeting(**{**value, "post_key": bytes.fromhex(value["post_key"])})
                    return cls(process, ours, greeting)
                else:
                    raise WireError("the examiner greeted with an unknown frame")
        except BaseException as error:
            ours.close()
            process.kill()
            code = process.wait()
            if isinstance(error, (EOFError, ConnectionError)):
                raise ExaminerDied(
                    f"the examiner ended with status {code} before it was ready", hint="run: tocsin doctor"
                ) from error
            raise

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def attach(self) -> socket.socket:
        """A new sample socket; one sample at a time goes over it."""
        ours, theirs = socket.socketpair()
        try:
            with self._lock:
                send_with_socket(self._control, pack(b"A"), theirs)
        except OSError as error:
            ours.close()
            raise ExaminerDied(
                "the examiner is gone", hint="it is started again by itself; see tocsin doctor"
            ) from error
        finally:
            theirs.close()
        return ours

    def _ask(self, kind: bytes, value: Mapping[str, Any]) -> Any:
        try:
            with self._lock:
                send_json(self._control, kind, value)
                answer, payload = receive(self._control)
        except (EOFError, OSError) as error:
            raise ExaminerDied("the examiner is gone", hint="run: tocsin doctor") from error
        if answer == b"X":
            raise _error(load(payload))
        return load(payload)

    def finish_release(self, release: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Write what was collected for a release under `releases/`; returns its final manifest."""
        result: dict[str, Any] = self._ask(b"W", {"release": release, "manifest": dict(manifest)})
        return result

    def reload(self) -> None:
        """Open the watch-list and the releases again, after an import or a retirement."""
        self._ask(b"L", {})

    def selftest(self) -> list[str]:
        """What is wrong with the road from bytes to a hit, as sentences; see `crawler.examiner.selftest`."""
        return [str(sentence) for sentence in self._ask(b"T", {})["wrong"]]

    def close(self) -> None:
        """End the process; samples in flight are lost and stay due."""
        self._control.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()


def _error(value: Mapping[str, Any]) -> TocsinError:
    import data.errors

    kind = getattr(data.errors, str(value.get("code", "")), ExamineError)
    kind = kind if isinstance(kind, type) and issubclass(kind, TocsinError) else ExamineError
    return kind(str(value.get("message", "")), hint=str(value.get("hint", "")))


class ExaminerClient:
    """A sample socket used with plain blocking calls (`scan`, `release add`)."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock

    def examine(
        self, request: Mapping[str, Any], chunks: Iterable[bytes], *, problem: Callable[[], str] = lambda: ""
    ) -> Finding:
        """Examine one sample.

        Args:
            request: payload of the `S` frame, at least `name`.
            chunks: the sample in order; pieces over 1 MiB are cut.
            problem: asked after the last chunk; a sentence if the sample was cut short.

        Raises:
            ExaminerDied: the process ended; the sample was not examined.
            ExamineError: the examiner could not examine this sample.
        """
        try:
            send_json(self.socket, b"S", request)
            for chunk in chunks:
                for start in range(0, len(chunk), CHUNK):
                    send(self.socket, b"D", chunk[start : start + CHUNK])
            sentence = problem()
            send_json(self.socket, b"E", {"complete": not sentence, "problem": sentence})
            kind, payload = receive(self.socket)
            while kind == b"C":
                # a file costs nobody anything: it was read to its end
                kind, payload = receive(self.socket)
        except (EOFError, OSError) as error:
            raise ExaminerDied("the examiner ended in the middle of a sample", hint="run: tocsin doctor") from error
        return _finding(kind, payload)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


class AsyncExaminerClient:
    """A sample socket used from an event loop (the crawl process); asyncio, 20 ms to load, comes with it alone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        import asyncio

        self._reader, self._writer = reader, writer
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, sock: socket.socket) -> AsyncExaminerClient:
        """Take the socket over."""
        import asyncio

        sock.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=sock, limit=2 * CHUNK))

    async def examine(self, request: Mapping[str, Any], body: bytes, *, problem: str = "") -> Finding:
        """Examine one sample that is in memory; see `examine_stream`."""

        async def whole() -> AsyncIterator[bytes]:
            yield body

        return await self.examine_stream(request, whole(), problem=lambda: problem)

    async def examine_stream(
        self, request: Mapping[str, Any], chunks: AsyncIterator[bytes], *, problem: Callable[[], str] = lambda: ""
    ) -> Finding:
        """Examine one sample as it comes, with back-pressure; arguments and errors as `ExaminerClient.examine`.

        Where the examiner says that nothing further of the sample can be examined, no more chunks are asked for.
        """
        import asyncio

        async with self._turn:
            answer = asyncio.ensure_future(receive_async(self._reader))
            try:
                self._writer.write(pack_json(b"S", request))
                enough = False
                async for chunk in chunks:
                    for start in range(0, len(chunk), CHUNK):
                        self._writer.write(pack(b"D", chunk[start : start + CHUNK]))
                        await self._writer.drain()
                    if answer.done() and answer.result()[0] == b"C":
                        enough = True
                        break
                sentence = problem() or (ENOUGH if enough else "")
                self._writer.write(pack_json(b"E", {"complete": not sentence, "problem": sentence}))
                await self._writer.drain()
                kind, payload = await answer
                if kind == b"C":
                    kind, payload = await receive_async(self._reader)
            except (EOFError, OSError) as error:
                raise ExaminerDied("the examiner ended in the middle of a sample") from error
            finally:
                answer.cancel()
        return _finding(kind, payload)

    def close(self) -> None:
        """Close the socket."""
        self._writer.close()


def _finding(kind: bytes, payload: bytes | bytearray) -> Finding:
    value = load(payload)
    if kind == b"X":
        raise _error(value)
    if kind != b"F":
        raise WireError("the examiner answered with an unknown frame")
    return Finding.from_json(value)
