"""Virtual environments for heavy servers, made once from hashed requirement files with stock pip and cached.

The pins of a server never meet ours. New files are made with
`uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).parent
BUILD_SECONDS = 900


class ServerError(AssertionError):
    """A server that a test needs cannot be made or started; the message says what to do."""


def cache_folder() -> Path:
    """Where environments are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "tocsin-tests"


def environment(name: str) -> Path:
    """The Python of the environment for `requirements-NAME.lock`, made now if it is not there yet.

    Scripts in its `bin` carry the folder it was built in: run modules (`python -m`), never scripts.
    """
    lock = HERE / f"requirements-{name}.lock"
    version = f"{sys.implementation.cache_tag} {sys.version} {sysconfig.get_platform()}"
    digest = hashlib.sha256(lock.read_bytes() + b"\0" + version.encode()).hexdigest()[:16]
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    ready = cache / f"{name}-{digest}"
    # one run builds, the others wait for it
    with (cache / f"{name}-{digest}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not ready.exists():
            _build(lock, cache / f"{name}-{digest}.building", ready)
    return ready / "bin" / "python"


def _build(lock: Path, aside: Path, ready: Path) -> None:
    shutil.rmtree(aside, ignore_errors=True)
    log = ready.with_suffix(".log")
    with log.open("wb") as out:
        for command in (
            [sys.executable, "-m", "venv", str(aside)],
            [
                str(aside / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check",
                "--no-input", "--no-deps", "--require-hashes", "-r", str(lock),
                # FlaskBB asks for a later Python than it needs with its launcher
                "--ignore-requires-python",
            ],
        ):  # fmt: skip
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=BUILD_SECONDS
            )
            if done.returncode:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise ServerError(f"{lock.name} could not be installed; all of it is in {log}:\n{tail}")
    aside.rename(ready)
