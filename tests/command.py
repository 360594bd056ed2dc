"""Runs the real `tocsin` command, as a person would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

TOCSIN = str(Path(sys.executable).parent / "tocsin")


def environment(**extra: str) -> dict[str, str]:
    """The environment without any setting of ours and without a width of the terminal, plus what is given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_") and name != "COLUMNS"}
    return {**kept, **extra}


def tocsin(home: Path | None, *arguments: str | Path, stdin: bytes | None = None, timeout: float = 600, **extra: str):
    """The finished process of one command; its output as text."""
    command = [TOCSIN, *(["--home", str(home)] if home else []), *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, env=environment(**extra))
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    return done


def tocsin_json(home: Path, *arguments: str | Path, **extra: str) -> Any:
    """What a command with --json printed."""
    done = tocsin(home, *arguments, "--json", **extra)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def must(home: Path | None, *arguments: str | Path, code: int = 0, **extra: str) -> str:
    """The output of a command that has to end with the given status."""
    done = tocsin(home, *arguments, **extra)
    assert done.returncode == code, f"{arguments}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


def heed_interrupts() -> None:
    """Before a program starts: Ctrl-C ends it, though a shell that started the tests in its background ignores that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
