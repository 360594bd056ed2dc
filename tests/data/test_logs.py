"""The log as JSON lines in the Elastic Common Schema: redacted first, also the lines of libraries."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CODE = """\
import logging, sys, structlog
from data.logs import set_up
set_up(sys.argv[1])
log = structlog.get_logger("daemon")
log.info("crawled", source="board", findings=3, reason="https://leak.example/path/to/post of jean@example.org")
try:
    raise ValueError("jean@example.org")
except ValueError:
    logging.getLogger("library").warning("call of %s failed", "https://hook.example/secret", exc_info=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["json", "auto"])
def test_lines_hold_fields_and_nothing_that_is_secret(form):
    done = subprocess.run([sys.executable, "-c", CODE, form], capture_output=True, text=True, check=True)
    first, second = done.stderr.splitlines()
    assert "jean" not in done.stderr
    assert "secret" not in done.stderr
    if form == "auto":
        assert "event=crawled" in first
        return
    ours, library = json.loads(first), json.loads(second)
    assert (ours["message"], ours["log.level"], ours["tocsin.source"], ours["tocsin.findings"]) == (
        "crawled", "info", "board", 3,
    )  # fmt: skip
    assert ours["tocsin.reason"] == "https://leak.example/… of ***@***"
    assert (library["log.level"], library["log.logger"]) == ("warning", "library")
    assert library["message"] == "call of https://hook.example/… failed (ValueError)"
    assert ours["@timestamp"].endswith("Z")
    assert library["@timestamp"].endswith("Z")
