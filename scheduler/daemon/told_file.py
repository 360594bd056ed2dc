"""What the channels were told without the database, in a small file of the home, or where else one can be written.

A daemon that is killed, or does not start, forgets what it said; the next one must not say it again, and tells its end.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from data.settings.home import Home

log = structlog.get_logger("daemon")

FILE = "daemon.told"
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Told:
    """One state that was told.

    Attributes:
        digest: of the reason. work: the work that failed; '' for the start of the daemon.
        at: of the last message. began: of the first one. event: id of the last one.
    """

    digest: str
    work: str
    at: datetime
    began: datetime
    event: str


def digest_of(reason: str) -> str:
    """A digest of a reason, which is all that is kept of it."""
    return hashlib.sha256(reason.encode(errors="surrogatepass")).hexdigest()


def read_told(home: Home) -> dict[str, Told]:
    """What was told, by its subject; nothing if no file can be read or trusted."""
    for path in _places(home):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            return {subject: _parse(value) for subject, value in json.loads(_own_text(path)).items()}
    return {}


def write_told(home: Home, told: Mapping[str, Told]) -> None:
    """Keep what was told, in place of what was kept before; no file if it is nothing."""
    if not told:
        for path in _places(home):
            with contextlib.suppress(OSError):
                path.unlink()
        return
    value = {
        subject: {
            "digest": each.digest,
            "work": each.work,
            "at": each.at.isoformat(),
            "began": each.began.isoformat(),
            "event": each.event,
        }
        for subject, each in told.items()
    }
    for path in _places(home):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as out:
                json.dump(value, out)
            return
    log.error("the channels will be told again by the next daemon: no place to note that they were told")


def _parse(value: Mapping[str, str]) -> Told:
    at, began = (datetime.fromisoformat(value[name]) for name in ("at", "began"))
    if at.tzinfo is None or began.tzinfo is None or at > datetime.now(UTC) + timedelta(hours=1):
        raise ValueError("no such time")
    return Told(str(value["digest"]), str(value["work"]), at, began, str(value["event"]))


def _places(home: Home) -> list[Path]:
    """Where the file may be: a home that cannot be written is a reason not to start."""
    name = f"tocsin-{os.geteuid()}-{hashlib.sha256(str(home.path.absolute()).encode()).hexdigest()[:16]}.told"
    # systemd keeps the folder for caches from one start to the next, but not that for temporary files
    cache = home.environ.get("CACHE_DIRECTORY", "").partition(":")[0]
    return [home.path / FILE, *([Path(cache) / name] if cache else []), Path(tempfile.gettempdir()) / name]


def _own_text(path: Path) -> str:
    """The content of a file that belongs to this user.

    Raises:
        OSError: there is none, or somebody else made it, as anybody can in the folder of temporary files.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, encoding="utf-8") as stream:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or not stat.S_ISREG(found.st_mode):
            raise PermissionError(path.name)
        return stream.read(_MAX_BYTES)
