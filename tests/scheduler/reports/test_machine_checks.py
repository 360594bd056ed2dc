"""The checks of the machine, each with the state that it is for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from crawler.process import landlock, privileges
from scheduler.reports.doctor import PARTS
from scheduler.reports.machine_checks import (
    MIN_INODES,
    bubblewrap_check,
    inode_check,
    key_memory_check,
    pictures_check,
    swap_check,
    user_check,
)

SWAP_ON = """\
Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority
/dev/sda2                               partition\t8388604\t\t0\t\t-2
/swapfile                               file\t\t1048572\t\t0\t\t-3
"""


def test_bubblewrap_is_tried_not_only_looked_for():
    assert (bubblewrap_check().state, "confines what it runs" in bubblewrap_check().result) == ("ok", True)


def test_a_proc_with_covered_folders_as_in_containers_is_no_fault():
    """Engines of containers cover parts of /proc; the kernel then allows no new one, which readers do not need."""
    code = "from scheduler.reports.machine_checks import bubblewrap_check; print(bubblewrap_check().state)"
    covered = f"mount -t tmpfs none /proc/driver && exec {sys.executable} -c '{code}'"
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", covered], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


@pytest.mark.parametrize(
    ("script", "state", "words"),
    [
        ('while [ "$1" != readlink ]; do shift; done; exec "$@"', "wrong", "without confining"),
        (
            'while [ "$1" != readlink ]; do shift; done; exec unshare --map-root-user --net "$@"',
            "wrong",
            "that see all files",
        ),
        ("echo 'no permission to create namespaces' >&2; exit 1", "warning", "fails with status 1"),
        ("exit 0", "warning", "fails with status 0"),
    ],
)
def test_a_bwrap_that_does_nothing_or_fails_is_told(tmp_path, monkeypatch, script, state, words):
    program = tmp_path / "bwrap"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = bubblewrap_check()
    assert (found.state, words in found.result, bool(found.repair)) == (state, True, True), found


def test_no_bwrap_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (bubblewrap_check().state, bubblewrap_check().repair) == ("warning", "apt-get install bubblewrap")


def test_a_bwrap_that_cannot_be_run_is_wrong(tmp_path, monkeypatch):
    program = tmp_path / "bwrap"
    program.write_bytes(b"\x7fELF of another machine")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (bubblewrap_check().state, "cannot be run" in bubblewrap_check().result) == ("wrong", True)


def test_pictures_are_read_only_where_tesseract_is_installed():
    assert [pictures_check(available=each).state for each in (True, False)] == ["ok", "warning"]
    assert "reported as unread" in pictures_check(available=False).result


def test_root_swap_and_few_inodes_are_warnings():
    assert [user_check(user).state for user in (0, 1000)] == ["warning", "ok"]
    assert [swap_check(text).state for text in ("", SWAP_ON.splitlines()[0], SWAP_ON)] == ["ok", "ok", "warning"]
    assert "/dev/sda2, /swapfile" in swap_check(SWAP_ON).result
    assert [inode_check(*each).state for each in ((0, 0), (10**6, MIN_INODES), (10**6, 5))] == ["ok", "ok", "warning"]
    assert [key_memory_check(locked=each).state for each in (True, False)] == ["ok", "warning"]


def test_what_crawl_processes_cannot_do_is_claimed_only_where_the_kernel_holds_them(home, monkeypatch):
    """That it holds them is tried in tests/crawler/process; here, what is said where it does not."""

    def said() -> dict[str, tuple[str, str]]:
        return {each.name: (each.state, each.result) for each in PARTS["system"](home)}

    assert {said()[name][0] for name in ("crawl files", "crawl network")} == {"ok"}
    monkeypatch.setattr(landlock, "version", lambda: 0)
    monkeypatch.setattr(privileges, "only_inherited_sockets", lambda: False)
    assert said()["crawl files"][0] == "warning"
    assert "a crawl process could read the home folder" in said()["crawl files"][1]
    assert said()["crawl network"][0] == "warning"
    assert "could make connections of its own" in said()["crawl network"][1]
