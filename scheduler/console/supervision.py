"""The process that `tocsin console` runs: it listens, starts the process that answers, and does what that one cannot.

What it does for the console are three commands of `tocsin` with arguments that the console sends: looking at an
address, adding a source file, and checking this installation. A change of a file that the console cannot read anew by
itself (the settings, the incidents) starts the answering process again; no connection is lost, because the listening
socket stays here.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import math
import os
import re
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from crawler.alerts.channels.registry import masked
from data.errors import ConfigError, StoreError
from data.settings.home import Home
from data.settings.key_keeper import VARIABLE
from scheduler.console.broker_client import MAX_LINE, READY
from scheduler.console.server_process import CLOSED, DATABASE

LOOK_EVERY = 1.0
STOP_SECONDS = 5.0
# A process that ends sooner than this after its start, so many times in a row, will not do better the next time.
SOON, MAX_SOON = 5.0, 3
# At most so many commands run at a time for the console.
RUNNING = 2
# And at most so many an hour: whoever took the console over cannot make this machine look at any number of hosts.
AN_HOUR = {"look": 30, "add": 30, "doctor": 60}
MAX_FILE = 64 * 1024


def listen(address: str, unix: Path | None) -> socket.socket:
    """A listening socket: a port of this machine alone, or a Unix socket that its owner alone may use.

    Args:
        address: `127.0.0.1:8466`; port 0 takes any free one.
        unix: path of the socket, instead of the address.

    Raises:
        ConfigError: the address is not of this machine, or cannot be used.
    """
    try:
        if unix is not None:
            if unix.is_socket():
                unix.unlink()
            made = socket.socket(socket.AF_UNIX)
            before = os.umask(0o177)
            try:
                made.bind(str(unix))
            finally:
                os.umask(before)
        else:
            host, _, port = address.rpartition(":")
            if host not in {"127.0.0.1", "[::1]"} or not port.isdecimal() or int(port) > 65535:
                raise ConfigError(
                    f"{address} is no address of this machine alone",
                    hint="use 127.0.0.1:PORT; people elsewhere come over ssh -L, or through a proxy to --unix",
                )
            made = socket.socket(socket.AF_INET6 if host == "[::1]" else socket.AF_INET)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((host.strip("[]"), int(port)))
        made.listen(128)
    except OSError as error:
        raise ConfigError(
            f"the console cannot listen at {unix or address}: {error.strerror}", hint="choose another --listen"
        ) from error
    return made


class ConsoleRunner:
    """Keeps one answering process running, until it is told to stop."""

    def __init__(
        self,
        home: Home,
        listening: socket.socket,
        origins: Sequence[str],
        version: str,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        """For one home.

        Args:
            home: with its settings; the match key is not asked for.
            listening: socket at which browsers arrive.
            origins: addresses under which people reach the console.
            version: of Tocsin.
            ready: called once, as soon as the first process answers fast.
        """
        self._ready: Callable[[], None] | None = ready
        self._home, self._listening, self._origins, self._version = home, listening, tuple(origins), version
        self._stopping = asyncio.Event()
        self._commands = asyncio.Semaphore(RUNNING)
        self._done_at: dict[str, collections.deque[float]] = {name: collections.deque() for name in AN_HOUR}

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            StoreError: the answering process ends again and again.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        soon = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            wanted = await self._one_process()
            soon = 0 if wanted or time.monotonic() - began > SOON else soon + 1
            if soon >= MAX_SOON:
                raise StoreError("the process of the console ends again and again", hint="its log above says why")

    async def _one_process(self) -> bool:
        """Start a process and attend to it until it ends; whether it ended because that was wanted."""
        ours, theirs = socket.socketpair()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "scheduler.console.server_process",
            str(self._listening.fileno()),
            str(theirs.fileno()),
            pass_fds=(self._listening.fileno(), theirs.fileno()),
            stdin=asyncio.subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
            | {"PYDANTIC_DISABLE_PLUGINS": "__all__"},
        )
        theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE)
        writer.write(json.dumps(self._given()).encode() + b"\n")
        answering = asyncio.create_task(self._answer(reader, writer))
        ended = asyncio.create_task(process.wait())
        stopped = asyncio.create_task(self._stopping.wait())
        seen, wanted = self._files(), True
        try:
            while not ended.done() and not stopped.done() and self._files() == seen:
                await asyncio.wait({ended, stopped}, timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
            wanted = not ended.done()
        finally:
            if process.returncode is None:
                process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
            for task in (answering, stopped):
                task.cancel()
            writer.close()
        return wanted

    def _given(self) -> dict[str, Any]:
        settings = self._home.settings()
        terms = [each for each in settings.obligations if each.applies and each.after]
        first = min(terms, key=lambda each: each.after or timedelta.max, default=None)
        return {
            "term": None if first is None or first.after is None else [first.name, first.after.total_seconds()],
            "home": str(self._home.path),
            "case": settings.case,
            "version": self._version,
            "origins": self._origins,
            "channels": [
                {"name": name, "kind": each.kind, "address": masked(each.url.get_secret_value())}
                for name, each in settings.channels.items()
            ],
        }

    def _files(self) -> Mapping[str, tuple[int, int]]:
        """What lies in the home, but what only the console itself changes; a difference asks for another process."""
        found = {}
        with contextlib.suppress(OSError):
            for path in self._home.path.iterdir():
                about = path.stat()
                # a folder or the database changes without being another one
                changes = path.name in DATABASE or path.is_dir() or path.name == "daemon.lock"
                if path.name not in {*DATABASE[1:], "daemon.told"} and not path.name.startswith("."):
                    found[path.name] = (about.st_ino, 0 if changes else about.st_mtime_ns)
        return {name: mark for name, mark in found.items() if name not in CLOSED - {"tocsin.toml"}}

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do what the process asks for, each question in a task of its own."""
        tasks: set[asyncio.Task[None]] = set()
        while line := await reader.readline():
            question = json.loads(line)
            if question.get("do") == READY:
                ready, self._ready = self._ready, None
                if ready is not None:
                    ready()
                continue
            task = asyncio.create_task(self._do(question, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _do(self, question: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        number = question.get("number", 0)
        try:
            async with self._commands:
                answer = await self._done(question)
        except (OSError, ValueError) as error:
            # whoever asked waits for an answer
            answer = {"error": f"the command could not be run: {type(error).__name__}"}
        writer.write(answer_line(number, answer))
        with contextlib.suppress(OSError):
            await writer.drain()

    def _refusal(self, question: Mapping[str, Any], now: float) -> dict[str, str] | None:
        """Why a question is not answered now: there were too many of its kind in the last hour; else it is counted."""
        kind = str(question.get("do"))
        times = self._done_at.get(kind)
        if times is None:
            return None
        while times and times[0] <= now - 3600:
            times.popleft()
        if len(times) >= AN_HOUR[kind]:
            minutes = math.ceil((times[0] + 3600 - now) / 60)
            command = {"look": "source new", "add": "source add", "doctor": "doctor"}[kind]
            return {
                "error": f"the console did this {AN_HOUR[kind]} times in the last hour, and does it no more often",
                "hint": f"wait {minutes} min, or use the command: tocsin {command}",
            }
        times.append(now)
        return None

    async def _done(self, question: dict[str, Any]) -> dict[str, Any]:
        if refused := self._refusal(question, time.monotonic()):
            return refused
        match question:
            case {"do": "look", "address": str(url)} if not url.startswith("-"):
                found = await self._command("source", "new", "--json", *(["--tor"] if question.get("tor") else []), url)
                return {"result": found.get("json")} if "json" in found else found
            case {"do": "add", "name": str(name), "text": str(text)} if _is_name(name):
                with tempfile.TemporaryDirectory(prefix="tocsin-console-") as folder:
                    file = Path(folder) / f"{name}.yaml"
                    file.write_text(text[:MAX_FILE], encoding="utf-8")
                    return await self._command("source", "add", str(file))
            case {"do": "doctor"}:
                found = await self._command("doctor", "--json")
                return {"result": found.get("json")} if "json" in found else found
        return {"error": "that is not done here"}

    async def _command(self, *arguments: str) -> dict[str, Any]:
        """Run a command of `tocsin`: its JSON, its words, or its error."""
        environment = {**self._home.environ, "PYDANTIC_DISABLE_PLUGINS": "__all__"}
        environment.pop(VARIABLE, None)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "scheduler",
            "--home",
            str(self._home.path),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        try:
            out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.terminate()
        if out.startswith(b"{"):
            return {"json": json.loads(out)}
        if process.returncode == 0:
            return {"said": out.decode(errors="replace")}
        lines = [line for line in err.decode(errors="replace").splitlines() if line]
        said = next(
            (line.removeprefix("error: ") for line in lines if line.startswith("error: ")), "the command failed"
        )
        hint = next((line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")), "")
        return {"error": said, "hint": hint}


def answer_line(number: int, answer: Mapping[str, Any]) -> bytes:
    """The line that answers a question of the console; one that is too long for it says so instead."""
    line = json.dumps({"number": number, **answer}).encode() + b"\n"
    if len(line) < MAX_LINE:
        return line
    said = "the answer is too large for the console"
    return json.dumps({"number": number, "error": said, "hint": "run the command: tocsin source new"}).encode() + b"\n"


def _is_name(text: str) -> bool:
    """Whether a text is the name of a source, so that it names no file elsewhere."""
    return re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", text) is not None
