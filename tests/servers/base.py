"""A server process of a test run: started, waited for, logged to a file, stopped by its id."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

from tests.servers.venvs import ServerError

HOST = "127.0.0.1"
STOP_SECONDS = 10


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on, below the range that outgoing connections take theirs from."""
    for _ in range(200):
        port = random.randrange(15000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ServerError("no free port on 127.0.0.1 between 15000 and 32000")


def debian_program(name: str, package: str) -> str:
    """The path of a program of a Debian package, or a failure that says how to install it."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise ServerError(f"{name} is missing:  sudo apt-get install --no-install-recommends {package}")
    return found


class ServerProcess:
    """One running server; its output is in `log`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        folder: Path,
        ready_url: str,
        seconds: float = 90,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ready: Callable[[httpx.Response], bool] = lambda answer: answer.status_code < 500,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as out:
            # ends with us, even when we are killed
            self.process = subprocess.Popen(
                [debian_program("setpriv", "util-linux"), "--pdeathsig", "TERM", "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=cwd or folder,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "NO_PROXY": "127.0.0.1", **(environ or {})},
            )
        self._wait(ready_url, seconds, ready)

    def _wait(self, url: str, seconds: float, ready: Callable[[httpx.Response], bool]) -> None:
        end = time.monotonic() + seconds
        with httpx.Client(trust_env=False, timeout=5) as client:
            while self.process.poll() is None:
                try:
                    if ready(client.get(url)):
                        return
                except httpx.TransportError:
                    # not listening yet
                    if time.monotonic() > end:
                        self.stop()
                        raise ServerError(f"{self.name} did not answer in {seconds:.0f} s:\n{self.tail()}") from None
                if time.monotonic() > end:
                    self.stop()
                    raise ServerError(f"{self.name} did not become ready in {seconds:.0f} s:\n{self.tail()}")
                time.sleep(0.05)
        raise ServerError(f"{self.name} ended with status {self.process.returncode}:\n{self.tail()}")

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-25:])

    def stop(self) -> None:
        """Ask it to end, then make it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def client(base: str = "", **options: object) -> httpx.Client:
    """An HTTP client for a server on loopback that no proxy variable can divert."""
    return httpx.Client(base_url=base, trust_env=False, timeout=60, **options)  # type: ignore[arg-type]
