"""A Dask cluster of processes on loopback, whose members know each other by certificates made for the test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from tests.servers.base import HOST
from tests.servers.tls_site import Authority, write_certificate
from tests.servers.venvs import ServerError

FAULTS = Path(__file__).with_name("faulty_worker.py")
# for a machine that is busy with everything else
_SECONDS = 300


class DaskCluster:
    """A scheduler and its workers, all without a nanny: what ends stays away until it is started again.

    Attributes:
        address: of the scheduler. failed: a file that a worker with the fault `fails` makes. environ: what a client needs to have its certificate.
        scheduler: its process. workers: theirs, by name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        authority = Authority("cluster")
        _, pem = write_certificate(folder, HOST, authority)
        tls = {"CA_FILE": authority.write(folder / "ca.pem")}
        tls |= {f"{role}__{part}": pem for role in ("CLIENT", "SCHEDULER", "WORKER") for part in ("CERT", "KEY")}
        self.environ = {f"DASK_DISTRIBUTED__COMM__TLS__{name}": str(path) for name, path in tls.items()}
        self.environ["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"] = "true"
        # a client whose scheduler was killed tries so long to reach it again
        self.environ["DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT"] = "5s"
        self.failed = folder / "failed"
        self.address = ""
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self._started = 0
        self.start_scheduler()

    def start_scheduler(self) -> None:
        """Start a scheduler at an address of its own; workers of the one before have ended with it."""
        about = self.folder / "address.json"
        about.unlink(missing_ok=True)
        self.scheduler = self._start(
            "dask_scheduler", "--protocol", "tls", "--host", HOST, "--port", "0", "--no-dashboard", "--no-show",
            "--scheduler-file", str(about),
        )  # fmt: skip
        deadline = time.monotonic() + _SECONDS
        self.address = ""
        while not self.address:
            if time.monotonic() > deadline or self.scheduler.poll() is not None:
                raise ServerError(f"no scheduler of Dask: {self.log()}")
            # the file may be missing, or half written
            with contextlib.suppress(FileNotFoundError, ValueError):
                self.address = json.loads(about.read_text())["address"]
            time.sleep(0.05)

    def start_worker(self, fault: str = "", threads: int = 1, processor: int | None = None) -> str:
        """Start a worker, with a fault of `faulty_worker`; returns its name. It is not waited for.

        With a `processor` it runs on that one alone, with all that it starts.
        """
        self._started += 1
        name = f"{fault or 'honest'}-{self._started}"
        more = ["--preload", str(FAULTS)] if fault else []
        self.workers[name] = self._start(
            "dask_worker", self.address, "--no-nanny", "--no-dashboard", "--nthreads", str(threads), "--host", HOST,
            "--name", name, "--local-directory", str(self.folder / name), "--death-timeout", str(_SECONDS), *more,
            fault=fault,
        )  # fmt: skip
        if processor is not None:
            os.sched_setaffinity(self.workers[name].pid, {processor})
        return name

    def kill(self, name: str) -> None:
        """Kill a worker, as a machine that loses its power."""
        process = self.workers.pop(name)
        process.kill()
        process.wait()

    def kill_scheduler(self) -> None:
        """Kill the scheduler, and wait for its workers to end."""
        assert self.scheduler is not None
        self.scheduler.kill()
        self.scheduler.wait()
        for name in list(self.workers):
            # they end by themselves as well, some later
            self.kill(name)

    def log(self) -> str:
        """What the members wrote."""
        return "".join(path.read_text(errors="replace")[-2000:] for path in sorted(self.folder.glob("*.log")))

    def _start(self, program: str, *arguments: str, fault: str = "") -> subprocess.Popen[bytes]:
        log = self.folder / f"{program}-{self._started}.log"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
        with log.open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{program}", *arguments],
                stdout=out,
                stderr=out,
                env={**environ, **self.environ, "CLUSTER_FAULT": fault, "CLUSTER_FAILED": str(self.failed)},
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """End all members."""
        for process in [*self.workers.values(), self.scheduler]:
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
