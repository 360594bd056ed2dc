"""The clients of the examiner: one to start and control its process, one to send it samples with blocking calls.

The process itself is in `crawler.examiner.main`, the client for an event loop in `crawler.process.sample_sockets`. Protocol: docs/protocols.md, section 2.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from crawler.process.examiner_limits import ExaminerLimits
from crawler.process.following import start_following
from crawler.process.frames import (
    CHUNK,
    load,
    pack,
    pack_json,
    receive,
    send,
    send_json,
    send_with_socket,
)
from crawler.process.frozen_watch import FrozenWatch
from crawler.process.progress import Progress
from data.errors import ExamineError, ExaminerDied, TocsinError, WireError
from data.hashing.chain_keys import ChainKey, ChainKeys
from data.settings.home import Home
from data.settings.key_keeper import DESCRIPTOR_VARIABLE

if TYPE_CHECKING:
    from data.model import Finding

# The allocator keeps freed memory for the next batch, which saves returning it and requesting it again page by page.
# All threads share one arena: three arenas that each keep freed memory take 10 MB more and are not faster.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(256 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
    "MALLOC_ARENA_MAX": "1",
}
# numpy starts threads for products of matrices when it is imported. Ours are small, and a sum must not depend on the
# number of processors.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
# Seconds without an answer and without any processor time of the examiner or its readers after which it counts as
# frozen. While it starts it may wait for a slow disk.
FROZEN_SECONDS, FROZEN_START_SECONDS = 20.0, 90.0
# The same while it examines a sample of a blocking client: it may wait for a reader, which has deadlines of its own.
FROZEN_SAMPLE_SECONDS = 90.0
# Seconds in which it must answer, however busy it is: writing a release of 15 million people takes some minutes.
ANSWER_SECONDS, START_SECONDS = 1800.0, 900.0
# Between two looks at whether it still works.
LOOK_SECONDS = 0.5
ENOUGH = "enough: the examination reached a limit, so the rest of the file was not downloaded"
# The examiner's environment: only where its key and its caches are, nothing for proxies or channels.
_ENVIRONMENT = (
    "HOME",
    "PATH",
    "LANG",
    "LC_ALL",
    "XDG_CACHE_HOME",
    "NUMBA_CACHE_DIR",
    "CREDENTIALS_DIRECTORY",
)


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the examiner reports when it is ready.

    Attributes:
        post_key: ids and versions of posts are keyed with it.
        case: id of the case.
        clients, canaries, releases: how many of them are loaded.
        protection: kind of confinement -> what was reached, for a person.
    """

    post_key: bytes
    case: str
    clients: int
    canaries: int
    releases: int
    protection: Mapping[str, str]


class ExaminerProcess:
    """The runner's client: starts the process, makes sample sockets, requests writing of releases and reloads.

    Attributes:
        process: the examiner.
        greeting: what it reported when it was ready.
        frozen: why it was ended although it was still running; '' if it was not.
    """

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket, greeting: Greeting) -> None:
        self.process = process
        self.greeting = greeting
        self.frozen = ""
        self._control = control
        # Sending is short. An order holds the other lock until its answer has come, and delays no new sample socket.
        self._sending, self._asking = threading.Lock(), threading.Lock()
        self._watch: FrozenWatch | None = None

    @classmethod
    def start(cls, home: Home, *, report: Callable[[str], None] | None = None) -> ExaminerProcess:
        """Start the examiner of a home and wait until it is ready.

        Args:
            home: whose key, watch-list and releases it uses.
            report: is called with messages for the person who waits (kernels are compiled once on a new machine).

        Raises:
            TocsinError: the error that kept the examiner from starting (no key, damaged watch-list, …).
            ExaminerDied: it ended without reporting an error.
        """
        ours, theirs = socket.socketpair()
        key = home.match_key_descriptor()
        environment = {name: home.environ[name] for name in _ENVIRONMENT if name in home.environ}
        environment |= KEEP_MEMORY | ONE_THREAD
        if key is not None:
            environment[DESCRIPTOR_VARIABLE] = str(key)
        process = start_following(
            [sys.executable, "-m", "crawler.examiner.main", str(theirs.fileno()), str(home.path)],
            pass_fds=(theirs.fileno(),) if key is None else (theirs.fileno(), key),
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        if key is not None:
            os.close(key)
        try:
            # No call on this socket blocks for longer, even if the process stops in the middle of a frame.
            ours.settimeout(FROZEN_START_SECONDS)
            # settings are read while the process loads its modules, which takes longer
            send_json(ours, b"S", asdict(ExaminerLimits.of(home.settings().examine)))
            while True:
                kind, payload = _receive_watched(ours, process, FROZEN_START_SECONDS, START_SECONDS)
                value = load(payload)
                if kind == b"N":
                    if report is not None:
                        report(value["text"])
                elif kind == b"X":
                    raise _error_from(value)
                elif kind == b"G":
                    greeting = Greeting(**{**value, "post_key": bytes.fromhex(value["post_key"])})
                    return cls(process, ours, greeting)
                else:
                    raise WireError("the examiner sent an unknown frame while it started")
        except BaseException as error:
            ours.close()
            process.kill()
            code = process.wait()
            if isinstance(error, (EOFError, ConnectionError)):
                raise ExaminerDied(
                    f"the examiner ended with status {code} before it was ready", hint="run: tocsin doctor"
                ) from error
            if isinstance(error, TimeoutError):
                raise ExaminerDied(
                    "the examiner did not start: it made no progress", hint="run: tocsin doctor"
                ) from error
            raise

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self.process.poll() is None

    def attach(self) -> socket.socket:
        """A new sample socket, for one sample at a time."""
        ours, theirs = socket.socketpair()
        try:
            with self._sending:
                send_with_socket(self._control, pack(b"A"), theirs)
        except OSError as error:
            ours.close()
            raise ExaminerDied(
                "the examiner has ended", hint="it is restarted automatically; if this repeats, run: tocsin doctor"
            ) from error
        finally:
            theirs.close()
        return ours

    def client(self) -> ExaminerClient:
        """A new sample socket with blocking calls, which end if the examiner makes no progress."""
        if self._watch is None:
            self._watch = FrozenWatch(self.process.pid, FROZEN_SAMPLE_SECONDS, self._end_frozen)
        return ExaminerClient(self.attach(), self._watch)

    def _end_frozen(self) -> None:
        self.frozen = "it made no progress and was ended"
        self.process.kill()

    def _ask(self, kind: bytes, value: Mapping[str, Any]) -> Any:
        """The answer to an order; an examiner that makes no progress is ended.

        Raises:
            ExaminerDied: it ended, or was ended.
        """
        try:
            with self._asking:
                with self._sending:
                    send_json(self._control, kind, value)
                answer, payload = _receive_watched(self._control, self.process, FROZEN_SECONDS, ANSWER_SECONDS)
        except TimeoutError as error:
            self._end_frozen()
            raise ExaminerDied(
                "the examiner did not answer and was ended", hint="if this repeats, run: tocsin doctor"
            ) from error
        except (EOFError, OSError, ValueError) as error:
            # ValueError: another thread closed the socket meanwhile
            raise ExaminerDied("the examiner has ended", hint="run: tocsin doctor") from error
        if answer == b"X":
            raise _checked_error(load(payload))
        return load(payload)

    def ping(self) -> int | None:
        """How often the process that starts readers was replaced; None at once if another order is under way.

        Raises:
            ExaminerDied: it ended, or it was frozen and was therefore ended.
        """
        if not self._asking.acquire(blocking=False):
            return None
        self._asking.release()
        return int(self._ask(b"P", {})["reader_restarts"])

    def finish_release(self, release: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Have the records that were collected for a release written to `releases/`; returns its final manifest."""
        result: dict[str, Any] = self._ask(b"W", {"release": release, "manifest": dict(manifest)})
        return result

    def reload(self) -> None:
        """Have the watch-list and the releases opened again, after an import or a retirement."""
        self._ask(b"L", {})

    def chain_keys(self, evidence: int, audit: int) -> ChainKeys:
        """Keys for new entries of the evidence chain and the audit chain.

        Args:
            evidence: number of the next entry of the evidence chain.
            audit: number of the next entry of the audit chain. The examiner gives no key of an entry before one whose
                key it gave already.
        """
        value = self._ask(b"K", {"evidence": evidence, "audit": audit})
        keys = {name: ChainKey(bytes.fromhex(value[name]["secret"]), int(value[name]["number"])) for name in value}
        return ChainKeys(keys["evidence"], keys["audit"])

    def selftest(self) -> list[str]:
        """Messages about what failed in a test of the whole examination; see `crawler.examiner.self_test`."""
        from data.vocabulary import known_sentence

        wrong = [known_sentence(str(sentence)) for sentence in self._ask(b"T", {})["wrong"]]
        return [sentence or "a test failed in a way that the examiner could not describe" for sentence in wrong]

    def close(self, seconds: float = 5) -> None:
        """End the process; samples that are being examined are lost and stay due.

        Args:
            seconds: that it may take to end by itself.
        """
        if self._watch is not None:
            self._watch.close()
        # a thread that waits for an answer is woken by this, and not by closing the socket
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        self._control.close()
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()


def _checked_error(value: Mapping[str, Any]) -> TocsinError:
    """The error of an examiner that has met samples: its texts are shown only if they are sentences of ours."""
    from data.vocabulary import known_sentence

    texts = {name: known_sentence(str(value.get(name, ""))) for name in ("message", "hint")}
    return _error_from(
        {**value, "message": texts["message"] or "the examiner failed in a way that it could not describe",
         "hint": texts["hint"] or ""}
    )  # fmt: skip


def _receive_watched(
    sock: socket.socket, process: subprocess.Popen[bytes], frozen: float, longest: float
) -> tuple[bytes, bytearray]:
    """The next frame of a process, as long as it works for it.

    Args:
        sock: to the process.
        process: that is to answer.
        frozen: seconds without any sign of work.
        longest: seconds in which the frame must begin, whatever the process does.

    Raises:
        TimeoutError: the process is frozen or takes too long.
        EOFError: the process closed the connection.
    """
    progress, end = Progress(process.pid, frozen), time.monotonic() + longest
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    while not poll.poll(1000 * LOOK_SECONDS):
        if progress.has_stopped() or time.monotonic() > end:
            raise TimeoutError
    return receive(sock)


def _error_from(value: Mapping[str, Any]) -> TocsinError:
    import data.errors

    kind = getattr(data.errors, str(value.get("code", "")), ExamineError)
    kind = kind if isinstance(kind, type) and issubclass(kind, TocsinError) else ExamineError
    return kind(str(value.get("message", "")), hint=str(value.get("hint", "")))


class ExaminerClient:
    """A sample socket with blocking calls (`scan`, `release add`)."""

    def __init__(self, sock: socket.socket, watch: FrozenWatch | None = None) -> None:
        """For a connected socket.

        Args:
            sock: to the examiner.
            watch: of the examiner; without one, calls wait for an examiner that is frozen.
        """
        self.socket = sock
        self._watch = watch

    def waiting(self) -> contextlib.AbstractContextManager[None]:
        """Around a call that waits for the examiner, which is ended if it makes no progress."""
        return contextlib.nullcontext() if self._watch is None else self._watch.waiting()

    def examine(
        self, request: Mapping[str, Any], chunks: Iterable[bytes], *, problem: Callable[[], str] = lambda: ""
    ) -> Finding:
        """Examine one sample.

        Args:
            request: payload of the `S` frame, at least `name`.
            chunks: the sample in order; chunks over 1 MiB are split.
            problem: called after the last chunk; returns a message if the sample is incomplete, else ''.

        Raises:
            ExaminerDied: the process ended; the sample was not examined.
            ExamineError: the examiner could not examine this sample.
        """
        try:
            self.send_sample(request, chunks, problem)
            with self.waiting():
                kind, payload = receive(self.socket)
                while kind == b"C":
                    # "Enough" saves downloading; a local file was read to its end anyway.
                    kind, payload = receive(self.socket)
        except (EOFError, OSError) as error:
            if self._watch is not None and self._watch.has_ended_it:
                raise ExaminerDied(
                    "the examiner made no progress and was ended", hint="if this repeats, run: tocsin doctor"
                ) from error
            raise ExaminerDied("the examiner ended while it examined a sample", hint="run: tocsin doctor") from error
        return read_finding(kind, payload)

    def send_sample(
        self, request: Mapping[str, Any], chunks: Iterable[bytes], problem: Callable[[], str] = lambda: ""
    ) -> None:
        """Send a request and the bytes of its sample; arguments as for `examine`."""
        with self.waiting():
            send_json(self.socket, b"S", request)
        # reading the chunks is no waiting for the examiner: standard input may come slowly
        for chunk in chunks:
            with self.waiting():
                for start in range(0, len(chunk), CHUNK):
                    send(self.socket, b"D", chunk[start : start + CHUNK])
        with self.waiting():
            self.socket.sendall(ending_frame(problem()))

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def ending_frame(problem: str) -> bytes:
    """The frame after the last chunk of a sample; `problem` is why the sample is incomplete, else ''."""
    return pack_json(b"E", {"complete": not problem, "problem": problem})


def read_finding(kind: bytes, payload: bytes | bytearray) -> Finding:
    """The finding in the answer to a sample; raises ExamineError if the answer says why there is none."""
    # imported while the examiner works, and not before it is started
    from crawler.process.finding_checks import checked_finding
    from data.model import Finding

    value = load(payload)
    if kind == b"X":
        raise _checked_error(value)
    if kind != b"F":
        raise WireError("the examiner answered with an unknown frame")
    try:
        finding = Finding.from_json(value)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WireError("the examiner answered with something that is not a finding") from error
    return checked_finding(finding)
