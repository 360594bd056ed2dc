"""What a process can still do after it restricted itself by Landlock; tried in child processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crawler.process import landlock

pytestmark = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")


def in_child(action: Callable[[], object]) -> str:
    """The class name of the exception that the action raised in a child process, '' for none."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            action()
            raised = ""
        except BaseException as error:  # noqa: BLE001 - the parent compares its name
            raised = type(error).__name__
        os.write(writing, raised.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read()


def restricted(action: Callable[[], object], **keys) -> str:
    def restrict_and_act() -> None:
        landlock.restrict([*landlock.SYSTEM_PATHS, *landlock.import_folders(Path("/closed"))], **keys)
        action()

    return in_child(restrict_and_act)


def test_only_named_files_can_be_read(tmp_path):
    secret = tmp_path / "match.key"
    secret.write_text("secret")
    assert in_child(secret.read_text) == ""
    assert restricted(secret.read_text) == "PermissionError"
    assert restricted(lambda: list(tmp_path.iterdir())) == "PermissionError"
    assert restricted(lambda: Path("/etc/shadow").read_bytes()) == "PermissionError"
    assert restricted(lambda: Path(os.__file__).read_bytes()) == ""
    assert restricted(lambda: Path("/usr/bin/env").read_bytes()) == ""


def test_no_file_is_written_no_program_started_and_no_process_inspected(tmp_path):
    assert restricted(lambda: (tmp_path / "x").write_text("x")) == "PermissionError"
    assert restricted(lambda: Path("/dev/null").write_text("x")) == ""
    assert restricted(lambda: subprocess.run(["/usr/bin/env"], check=True)) == "PermissionError"
    parent = os.getpid()
    assert restricted(lambda: Path(f"/proc/{parent}/environ").read_bytes()) == "PermissionError"


@pytest.mark.skipif(landlock.version() < 4, reason="this kernel's Landlock knows no ports")
def test_only_named_ports_can_be_connected_to():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as open_, socket.create_server(("127.0.0.1", 0)) as closed:

        def connect(server: socket.socket) -> None:
            socket.create_connection(server.getsockname()).close()

        port = open_.getsockname()[1]
        assert restricted(lambda: connect(open_), ports=[port]) == ""
        assert restricted(lambda: connect(closed), ports=[port]) == "PermissionError"


def test_import_folders_never_contain_the_closed_folder(tmp_path, monkeypatch):
    home, sibling = tmp_path / "site" / "home", tmp_path / "site" / "parsers"
    home.mkdir(parents=True)
    sibling.mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(home), str(tmp_path / "missing"), "/"])
    found = landlock.import_folders(home)
    assert str(sibling) in found
    assert not [
        path for path in found if home == Path(path) or Path(path) in home.parents or home in Path(path).parents
    ]
