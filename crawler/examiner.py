"""The examiner process, and the two ends that other processes hold of it.

It reads the match key itself, loses the network before it says that it is ready, and from then on talks only on sockets
that it was given. Protocol: docs/architecture.md, section 2.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from crawler.wire import CHUNK, load, pack, pack_json, receive, receive_async, send, send_json
from data.config import Home
from data.errors import ExamineError, ExaminerDied, TocsinError, WireError
from data.model import Finding

if TYPE_CHECKING:
    from crawler.examine import Examiner

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


# --- the ends that others hold -----------------------------------------------------------------------------------


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
        environment = {name: home.environ[name] for name in _ENVIRONMENT if name in home.environ}
        process = subprocess.Popen(
            [sys.executable, "-m", "crawler.examiner", str(theirs.fileno()), str(home.path)],
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
                self._control.sendmsg(
                    [pack(b"A")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno()]))]
                )
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
        except (EOFError, OSError) as error:
            raise ExaminerDied("the examiner ended in the middle of a sample", hint="run: tocsin doctor") from error
        return _finding(kind, payload)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


class AsyncExaminerClient:
    """A sample socket used from an event loop (the crawl process)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, sock: socket.socket) -> AsyncExaminerClient:
        """Take the socket over."""
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
        """Examine one sample as it comes, with back-pressure; arguments and errors as `ExaminerClient.examine`."""
        async with self._turn:
            try:
                self._writer.write(pack_json(b"S", request))
                async for chunk in chunks:
                    for start in range(0, len(chunk), CHUNK):
                        self._writer.write(pack(b"D", chunk[start : start + CHUNK]))
                        await self._writer.drain()
                sentence = problem()
                self._writer.write(pack_json(b"E", {"complete": not sentence, "problem": sentence}))
                await self._writer.drain()
                kind, payload = await receive_async(self._reader)
            except (EOFError, OSError) as error:
                raise ExaminerDied("the examiner ended in the middle of a sample") from error
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


# --- the process -------------------------------------------------------------------------------------------------


class _Samples:
    """The chunks of one sample on a socket, and what the peer said at their end."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.ending: dict[str, Any] = {}
        self.over = False

    def __iter__(self) -> Iterator[bytearray]:
        while not self.over:
            kind, payload = receive(self.socket)
            if kind == b"D":
                yield payload
            elif kind == b"E":
                self.ending.update(load(payload))
                self.over = True
            else:
                raise WireError("an unknown frame in the middle of a sample")

    def drain(self) -> None:
        """Read to the end of the sample, so that the connection can go on after an error."""
        for _ in self:
            pass


def _describe(error: Exception) -> dict[str, str]:
    if isinstance(error, TocsinError):
        return {"code": type(error).__name__, "message": str(error), "hint": error.hint}
    # the text of a foreign error may hold content of the sample: only its class leaves this process
    return {"code": "ExamineError", "message": f"the examiner failed with {type(error).__name__}", "hint": ""}


def _serve_samples(sock: socket.socket, examiner: Callable[[], Examiner]) -> None:
    from crawler.examine import Request
    from crawler.sandbox import Kept

    with sock, contextlib.closing(Kept(examiner().sandbox)) as kept:
        while True:
            try:
                kind, payload = receive(sock)
            except (EOFError, OSError):
                return
            samples = _Samples(sock)
            try:
                if kind != b"S":
                    raise WireError("a sample must begin with a start frame")
                finding = examiner().examine(Request.from_json(load(payload)), samples, samples.ending, kept)
                answer = pack_json(b"F", finding.to_json())
            except (EOFError, ConnectionError):
                return
            except Exception as error:  # noqa: BLE001 - one sample must not end the others' process; it is told
                answer = pack_json(b"X", _describe(error))
                with contextlib.suppress(EOFError, OSError, WireError):
                    samples.drain()
            try:
                sock.sendall(answer)
            except OSError:
                return


class _Service:
    """The process's own end of its control socket."""

    def __init__(self, control: socket.socket, home: Home) -> None:
        self.control = control
        self.home = home
        self.examiner: Examiner | None = None

    def current(self) -> Examiner:
        assert self.examiner is not None  # noqa: S101 - opened before the first connection is taken
        return self.examiner

    def open(self) -> Greeting:
        """Key, sets, sandbox and kernels; then no network any more."""
        from crawler import confine
        from crawler.examine import Examiner
        from crawler.sandbox import Limits, Sandbox
        from crawler.warm import is_compiled, warm_up
        from data.releases import Releases
        from data.tags import parse_match_key
        from data.watchlist import Watchlist

        settings = self.home.settings().examine
        keys = parse_match_key(self.home.match_key_text()).derive()
        os.environ.pop("TOCSIN_MATCH_KEY", None)
        limits = Limits(
            memory=settings.memory,
            cpu=settings.cpu.total_seconds(),
            wall=settings.wall.total_seconds(),
            max_output=settings.max_output,
            max_entries=settings.max_entries,
            max_depth=settings.max_depth,
            max_ratio=settings.max_ratio,
        )
        sandbox = Sandbox(limits)
        confine.no_new_privs()
        network = confine.without_network()
        if not is_compiled():
            send_json(self.control, b"N", {"text": "compiling the matching kernels, once on this machine…"})
        warm_up()
        watchlist = Watchlist.open(self.home.watchlist_dir, case=keys.case)
        releases = Releases.open(self.home.releases_dir)
        recipient = ""
        if self.home.evidence_key_path.is_file():
            recipient = self.home.evidence_key_path.read_text().strip()
        self.examiner = Examiner(keys, watchlist, releases, sandbox, recipient)
        clients = watchlist.clients()
        return Greeting(
            post_key=keys.post,
            case=keys.case,
            clients=len(clients),
            canaries=sum(client.active for client in clients),
            releases=len(releases),
            protection={"examiner network": network, **sandbox.protection()},
        )

    def serve(self) -> None:
        """Take orders until the runner closes its end."""
        while True:
            message, ancillary, _, _ = self.control.recvmsg(5, socket.CMSG_SPACE(4))
            if not message:
                return
            header = message + self._rest(5 - len(message))
            kind, size = header[:1], int.from_bytes(header[1:], "little")
            payload = self._rest(size)
            if kind == b"A":
                descriptors = array.array("i")
                for _, _, data in ancillary:
                    descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
                sock = socket.socket(fileno=descriptors[0])
                threading.Thread(target=_serve_samples, args=(sock, self.current), daemon=True).start()
                continue
            try:
                answer = pack_json(b"O", self._order(kind, load(payload)))
            except Exception as error:  # noqa: BLE001 - the runner is told, and decides
                answer = pack_json(b"X", _describe(error))
            self.control.sendall(answer)

    def _rest(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.control.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def _order(self, kind: bytes, value: Mapping[str, Any]) -> Any:
        from data.releases import Releases
        from data.watchlist import Watchlist

        examiner = self.current()
        if kind == b"W":
            builder = examiner.builders.pop(value["release"], None)
            if builder is None:
                raise ExamineError("nothing was collected for this release")
            manifest = builder.write(self.home.releases_dir, {**value["manifest"], "case": examiner.keys.case})
            examiner.releases = Releases.open(self.home.releases_dir)
            return manifest
        if kind == b"L":
            examiner.watchlist = Watchlist.open(self.home.watchlist_dir, case=examiner.keys.case)
            examiner.releases = Releases.open(self.home.releases_dir)
            return {}
        raise WireError("an unknown order")


def main() -> None:
    """Entry of the process: `python -m crawler.examiner FD HOME`."""
    from crawler import confine

    control = socket.socket(fileno=int(sys.argv[1]))
    home = Home(Path(sys.argv[2]))
    confine.die_with_parent()
    confine.no_core_dumps()
    service = _Service(control, home)
    try:
        greeting = service.open()
    except Exception as error:  # noqa: BLE001 - said on the socket, where the runner raises it again
        send_json(control, b"X", _describe(error))
        sys.exit(2)
    send_json(
        control,
        b"G",
        {
            "post_key": greeting.post_key.hex(),
            "case": greeting.case,
            "clients": greeting.clients,
            "canaries": greeting.canaries,
            "releases": greeting.releases,
            "protection": dict(greeting.protection),
        },
    )
    with contextlib.suppress(EOFError, ConnectionError):
        service.serve()
    os._exit(0)


if __name__ == "__main__":
    # an uncaught exception's text could hold content: say its class, and no more
    sys.excepthook = lambda kind, _value, _trace: print(f"examiner: {kind.__name__}", file=sys.stderr)  # noqa: T201
    threading.excepthook = lambda arguments: print(f"examiner: {arguments.exc_type.__name__}", file=sys.stderr)  # noqa: T201
    main()
