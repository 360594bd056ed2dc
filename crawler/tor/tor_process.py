"""A Tor process of our own: a minimal client with private files, which this module starts, watches and stops."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from crawler.process.following import start_program_following
from data.errors import ConfigError
from data.settings.endpoint import MAX_PATH, Endpoint

STOP_SECONDS = 5.0
# A Tor that rejects its configuration ends at once: this pause keeps us from restarting it in a loop.
RESTART_SECONDS = 10.0

TORRC = """\
ClientOnly 1
SocksPort unix:{sockets}/socks ExtendedErrors IsolateSOCKSAuth
ControlPort unix:{sockets}/control
CookieAuthentication 1
CookieAuthFile {folder}/cookie
DataDirectory {folder}/data
AvoidDiskWrites 1
SafeLogging 1
Log notice stdout
RunAsDaemon 0
__OwningControllerProcess {pid}
"""


class TorProcess:
    """The Tor process of one home folder; it can only be reached through its two Unix sockets."""

    def __init__(self, folder: Path, *, program: str = "tor", extra: str = "") -> None:
        """A process that is not started yet.

        Args:
            folder: for its files; made if it does not exist.
            program: name or path of the program.
            extra: path of a further torrc that is included; '' for none.
        """
        self.folder, self._program, self._extra = folder, program, extra
        self._sockets = folder
        if len(str(folder / "control").encode()) > MAX_PATH:
            # The kernel does not accept a longer path for a Unix socket.
            name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
            self._sockets = Path(tempfile.gettempdir()) / f"tocsin-{os.geteuid()}-{name}"
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0
        self.starts = 0

    @property
    def socks(self) -> Endpoint:
        """Its SOCKS socket."""
        return Endpoint(path=str(self._sockets / "socks"))

    @property
    def control(self) -> Endpoint:
        """Its control socket."""
        return Endpoint(path=str(self._sockets / "control"))

    @property
    def alive(self) -> bool:
        """Whether the process that this object started is running."""
        return self._process is not None and self._process.poll() is None

    @property
    def age(self) -> float:
        """Seconds since it was last started."""
        return time.monotonic() - self._began

    def ensure_running(self) -> None:
        """Start the process unless it is running, or was started less than RESTART_SECONDS ago.

        Raises:
            ConfigError: it cannot be started.
        """
        if self.alive or (self._process is not None and time.monotonic() - self._began < RESTART_SECONDS):
            return
        for path in {self.folder, self.folder / "data", self._sockets}:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.lstat().st_uid != os.geteuid() or path.is_symlink():
                raise ConfigError(f"{path} belongs to another user", hint="remove it, or move the home")
            path.chmod(0o700)
        text = TORRC.format(folder=self.folder, sockets=self._sockets, pid=os.getpid())
        if self._extra:
            if not Path(self._extra).is_file():
                raise ConfigError(f"the file {self._extra} does not exist", hint="correct [tor] torrc")
            text += f"%include {self._extra}\n"
        for name, content in (("torrc", text), ("defaults", "")):
            (self.folder / name).write_text(content)
            (self.folder / name).chmod(0o600)
        with (self.folder / "log").open("wb") as log:
            (self.folder / "log").chmod(0o600)
            try:
                program = shutil.which(self._program)
                if program is None:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                # it watches this process itself, but not while it stands still
                self._process = start_program_following(
                    program,
                    ["--defaults-torrc", str(self.folder / "defaults"), "-f", str(self.folder / "torrc")],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(self.folder)},
                )
            except OSError as error:
                raise ConfigError(
                    f"the program '{self._program}' cannot be started: {error.strerror}",
                    hint="apt-get install --no-install-recommends tor",
                ) from error
        self._began = time.monotonic()
        self.starts += 1

    def last_log_lines(self) -> str:
        """The last two warnings and errors of its log, or its last two lines: they show why it did not start.

        Tor itself removes addresses of sites from its log.
        """
        try:
            lines = (self.folder / "log").read_text(errors="replace").splitlines()
        except OSError:
            return ""
        marked = [line for line in lines if "[err]" in line or "[warn]" in line]
        return "; ".join(line.partition("] ")[2] for line in (marked or lines)[-2:])

    def stop(self) -> None:
        """End the process that this object started."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
