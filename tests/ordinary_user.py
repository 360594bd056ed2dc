"""Runs a command as the user `nobody`, although the interpreter may lie in a folder that only root can enter.

Called as root: `python -m tests.ordinary_user FOLDER COMMAND…`, best within `unshare --mount`. In the mount namespace of
this process, folders on the way to the interpreter and to the code that other users cannot enter are replaced by empty
ones that lead only there. Nothing outside of the namespace changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NOBODY = 65534
ROOT = Path(__file__).parents[1]


def needed_folders() -> set[Path]:
    """The folders of the interpreter, its modules and this code."""
    return {
        Path(each).resolve() for each in (sys.base_prefix, sys.prefix, ROOT, *sys.path) if each and Path(each).is_dir()
    }


def open_the_way(scratch: Path) -> None:
    """Make the needed folders reachable for all users, in this mount namespace."""
    needed = needed_folders()
    closed = {
        next(each for each in reversed(folder.parents) if not each.stat().st_mode & 0o001)
        for folder in needed
        if any(not each.stat().st_mode & 0o001 for each in folder.parents)
    }
    for number, blocked in enumerate(sorted(closed)):
        inside = sorted(folder for folder in needed if blocked in folder.parents)
        outermost = [each for each in inside if not any(other in each.parents for other in inside)]
        kept = []
        for index, folder in enumerate(outermost):
            aside = scratch / f"{number}-{index}"
            aside.mkdir()
            mount("--bind", folder, aside)
            kept.append((aside, folder))
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", blocked)
        for aside, folder in kept:
            folder.mkdir(parents=True)
            mount("--bind", aside, folder)


def mount(*arguments: str | Path) -> None:
    program = shutil.which("mount") or "/bin/mount"
    subprocess.run([program, *map(str, arguments)], check=True)


def main(scratch: Path, command: list[str]) -> None:
    open_the_way(scratch)
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
