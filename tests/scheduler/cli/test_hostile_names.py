"""Names that others chose: control characters never reach a terminal, and no path ends a command with a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

import scheduler.cli
from crawler.examiner.key_files import key_file_faults
from data.case.incidents import read_rule_files
from data.case.watchlist import Watchlist
from data.case.watchlist_import import import_bundles
from data.errors import ConfigError, TocsinError
from data.hashing.case_keys import parse_match_key
from data.model import Incident
from data.printable import without_controls
from data.releases.known_releases import KnownReleases
from data.settings.home import Home
from data.settings.settings import load_settings
from scheduler.cli.common import InputPath, SafeStream
from scheduler.reports.doctor import PARTS
from scheduler.reports.record_check import check_record
from tests.command import environment, must, tocsin

# a terminal's title, colours, a cleared screen (as ASCII and as C1), directions of writing, line ends, a bell
HOSTILE = "a\x1b]0;x\x07b\x1b[31mc\x1b[2Jd\x9b2Je\u202ef\u2066g\u200fh\u2028i\rj\x7fk\x00l"
CONTROLS = set("\x00\x07\x1b\x9b\r\x7f\u202e\u2066\u200f\u2028")


def test_no_control_character_passes_the_filter():
    clean = without_controls(HOSTILE)
    assert CONTROLS.isdisjoint(clean)
    assert [char for char in clean if char.isalnum()] == [char for char in HOSTILE if char.isalnum()]
    assert without_controls("two\nlines\tand a tab, é, 李") == "two\nlines\tand a tab, é, 李"


def test_the_filter_keeps_colours_of_our_own_tables_and_nothing_else():
    for styles in (True, False):
        out = io.StringIO()
        SafeStream(out, styles=styles).write("\x1b[1mbold\x1b[0m \x1b[2J\x1b]0;title\x07\udcff")
        assert ("\x1b[1mbold" in out.getvalue()) is styles
        assert "\x1b[2J" not in out.getvalue()
        assert "\x1b]" not in out.getvalue()
        assert "\udcff" not in out.getvalue()


@pytest.mark.slow
def test_hostile_names_do_not_reach_the_terminal_and_end_no_command_with_a_traceback(tmp_path: Path):
    home = tmp_path / "home"
    must(None, "init", home)
    folder = tmp_path / "files"
    folder.mkdir()
    name = HOSTILE.replace("\x00", "")
    (folder / name).write_bytes(b"nothing of note")
    raw = os.fsencode(folder) + b"/caf\xe9\xff.txt"
    with open(raw, "wb") as stream:  # noqa: PTH123 - a name that is not UTF-8
        stream.write(b"nothing of note either")
    (home / "incidents.toml").write_text(f"[incidents.i]\nname = {json.dumps(name)}\n")
    (home / "tocsin.toml").write_text('[channels."x\\u001b[31m"]\nkind = "slack"\nurl = "http://127.0.0.1:1/x"\n')
    commands: list[list[str | bytes | Path]] = [
        ["scan", folder], ["scan", raw + b"missing", "--json"], ["release", "add", raw, "--name", name],
        ["incident", "show", "i"], ["incident", "list", "--json"], ["status"], ["source", "add", raw],
        ["canary", "enrol", raw, "--key", home / "keys" / "enrol.key", "--client", name, "--out", tmp_path / "b"],
    ]  # fmt: skip
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "scheduler", "--home", str(home), *command],
            capture_output=True, check=False, timeout=180, env=environment(PYTHONUTF8="1"),
        )  # fmt: skip
        shown = (done.stdout + done.stderr).decode()
        assert CONTROLS.isdisjoint(shown), (command, shown)
        assert "Traceback" not in shown, (command, shown)
        assert done.returncode != 1, (command, shown)
        if "--json" in command and done.stdout:
            assert json.loads(done.stdout)
    report = json.loads(tocsin(home, "scan", folder, "--json").stdout)
    assert [each["complete"] for each in report["inputs"]] == [True, True]


@pytest.mark.slow
def test_a_named_pipe_is_refused_at_once_and_one_of_the_shell_is_read(tmp_path: Path):
    home, pipe = tmp_path / "home", tmp_path / "pipe"
    must(None, "init", home)
    os.mkfifo(pipe)
    began = time.monotonic()
    for command in (
        ["scan", pipe], ["release", "add", pipe, "--name", "x"], ["source", "add", pipe], ["canary", "import", pipe],
        ["canary", "enrol", pipe, "--key", pipe, "--client", "c", "--out", tmp_path / "b"],
        ["incident", "add", "x", "--yara", pipe], ["incident", "add", "x", "--clients-from", pipe],
    ):  # fmt: skip
        done = tocsin(home, *command, timeout=60)
        assert done.returncode == 2, (command, done.stdout, done.stderr)
        assert "pipe" in done.stderr, (command, done.stderr)
    assert time.monotonic() - began < 60
    # the home's own files, which the daemon reads inside its loop
    for name in ("incidents.toml", "sources/x.yaml"):
        (home / name).unlink(missing_ok=True)
        os.mkfifo(home / name, 0o600)
        done = tocsin(home, *(["incident", "list"] if name == "incidents.toml" else ["status"]), timeout=60)
        assert done.returncode == 2, (name, done.stdout, done.stderr)
        assert "is not a file" in done.stdout + done.stderr, (name, done.stdout, done.stderr)
        (home / name).unlink()
    (home / "rules").mkdir()
    os.mkfifo(home / "rules" / "x.yar")
    os.mkfifo(home / "settings.toml", 0o600)
    with pytest.raises(ConfigError, match="is not a file"):
        load_settings(home / "settings.toml", {})
    assert read_rule_files(home, Incident("x", "x", yara=("x.yar",)))[1] == {"x.yar": "rules/x.yar is not a file"}
    reading, writing = os.pipe()
    os.write(writing, b"nothing of note")
    os.close(writing)
    done = subprocess.run(
        [sys.executable, "-m", "scheduler", "--home", str(home), "scan", f"/dev/fd/{reading}"],
        pass_fds=[reading], capture_output=True, check=False, timeout=60, env=environment(),
    )  # fmt: skip
    os.close(reading)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_named_pipe_in_place_of_any_file_of_the_home_keeps_nobody_waiting(tmp_path: Path):
    """Whatever the examiner and the daemon read of a home ends at once; with a pipe there, self-tests stood still."""
    with zipfile.ZipFile(Path(__file__).parents[2] / "samples" / "homes" / "2026-11.zip") as archive:
        archive.extractall(tmp_path)
    home = Home(tmp_path / "home", {})
    case = parse_match_key(home.match_key_text()).derive().case
    import_bundles(home.watchlist_dir, case, [])

    def read_all() -> None:
        for read in (
            lambda: Watchlist.open(home.watchlist_dir, case=case).verify(),
            lambda: KnownReleases.open(home.releases_dir).verify(),
            lambda: key_file_faults(home, case, has_match_key=True),
            lambda: check_record(home, datetime.now(UTC)),
            lambda: list(PARTS["keys"](home)),
        ):
            with contextlib.suppress(TocsinError, OSError):
                read()

    files = [
        path for folder in ("watchlist", "releases", "evidence", "keys") for path in (home.path / folder).rglob("*")
    ]
    read_all()
    tried = 0
    for path in filter(Path.is_file, files):
        away = path.rename(tmp_path / "away")
        os.mkfifo(path, 0o600)
        thread = threading.Thread(target=read_all, daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive(), path
        path.unlink()
        away.rename(path)
        tried += 1
    assert tried > 10


WRITTEN = {"--home", "--out", "--csv", "--pdf", "--each", "--keep", "FOLDER", "COPY"}


def test_every_path_that_a_command_reads_is_checked_for_pipes():
    """Paths of files that a command makes anew cannot be pipes, since it refuses those that exist."""

    def commands(group: click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            each = group.get_command(context, name)
            yield from commands(each) if isinstance(each, click.Group) else [each]

    read = []
    for command in [scheduler.cli.tocsin, *commands(scheduler.cli.tocsin)]:
        for parameter in command.params:
            name = parameter.opts[0] if isinstance(parameter, click.Option) else str(parameter.name).upper()
            if isinstance(parameter.type, click.Path) and name not in WRITTEN:
                assert isinstance(parameter.type, InputPath), (command.name, name)
                read.append(name)
    assert {"--yara", "--clients-from", "--key", "BUNDLES", "TABLES", "FILE"} <= set(read)
