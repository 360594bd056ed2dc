"""Runs the real command line inside this process: the same code, words and exit status, without starting Python anew."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scheduler.cli import main


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        return self.stdout + self.stderr

    @property
    def json(self) -> Any:
        assert self.stdout, self.stderr
        return json.loads(self.stdout)


def run(home: Path | None, *arguments: str | Path) -> Done:
    """What `tocsin` prints and how it ends."""
    out, err = io.StringIO(), io.StringIO()
    words = [*(["--home", str(home)] if home else []), *map(str, arguments)]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(words)
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
    return Done(code, out.getvalue(), err.getvalue())


def fine(home: Path | None, *arguments: str | Path) -> Done:
    """The same, of a command that has to end well."""
    done = run(home, *arguments)
    assert done.returncode == 0, f"{arguments}: status {done.returncode}\n{done.said}"
    return done


def refused(done: Any, *words: str) -> None:
    """A command ended with status 2, a sentence that holds these words, and no traceback."""
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    for word in words:
        assert word in said, (word, said)


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and content of everything below a folder."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }
