"""The checks of `tocsin doctor` of the machine: bubblewrap, user, swap, memory for keys, inodes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from data.locked_memory import LockedBytes
from data.settings.home import Home
from scheduler.reports.check import Check

# Files that the file system of the home can still take; with fewer `doctor` warns.
MIN_INODES = 10_000
SWAPS = Path("/proc/swaps")
# A link that only a program in bubblewrap sees.
_COVERED = "covered-by-bubblewrap"
CONFINED = ("--unshare-all", "--ro-bind", "/", "/", "--tmpfs", "/var", "--symlink", _COVERED, f"/var/{_COVERED}")
REINSTALL = "remove it; apt-get install bubblewrap"


def machine_checks(home: Home) -> Iterator[Check]:
    """All checks of the machine."""
    yield bubblewrap_check()
    yield pictures_check(available=tesseract_available())
    yield user_check(os.geteuid())
    yield swap_check(SWAPS.read_text() if SWAPS.exists() else "")
    yield key_memory_check(locked=LockedBytes(1).locked)
    found = os.statvfs(home.path)
    yield inode_check(found.f_files, found.f_favail)


def bubblewrap_check() -> Check:
    """Whether bubblewrap is there and confines: a program in it must have another network and see other files."""
    program = shutil.which("bwrap")
    if program is None:
        return Check(
            "system", "warning", "bwrap is missing: readers run with less confinement", "apt-get install bubblewrap"
        )
    ours = str(Path("/proc/self/ns/net").readlink())
    try:
        done = subprocess.run(
            [program, *CONFINED, "readlink", "/proc/self/ns/net", f"/var/{_COVERED}"],
            capture_output=True,
            text=True,
            timeout=10,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("system", "wrong", f"bwrap cannot be run ({type(error).__name__})", "reinstall bubblewrap")
    network, *covered = done.stdout.split() or [""]
    if network == ours:
        return Check("system", "wrong", f"{program} runs programs without confining them", REINSTALL)
    if network.startswith("net:[") and covered != [_COVERED]:
        return Check("system", "wrong", f"{program} runs programs that see all files", REINSTALL)
    if done.returncode != 0 or not network.startswith("net:["):
        return Check(
            "system",
            "warning",
            f"bwrap is installed, but fails with status {done.returncode}: readers run with less confinement",
            "let this user create namespaces (sysctl kernel.unprivileged_userns_clone, AppArmor), or run another kernel",
        )
    return Check("system", "ok", "bwrap is installed, and confines what it runs")


def tesseract_available() -> bool:
    """Whether libtesseract and the data of a language are installed, as the readers look for them."""
    from crawler.readers.pictures.tesseract import available

    return available()


def pictures_check(*, available: bool) -> Check:
    """Whether text in pictures is recognised."""
    if available:
        return Check("pictures", "ok", "text in pictures is recognised by tesseract")
    return Check(
        "pictures",
        "warning",
        "tesseract is not installed: pictures are reported as unread",
        "apt-get install tesseract-ocr tesseract-ocr-fra",
    )


def user_check(user: int) -> Check:
    """Whether the commands run as root."""
    if user == 0:
        return Check(
            "user",
            "warning",
            "runs as root: whoever takes over the runner owns this machine",
            "give Tocsin a user account of its own (User= in the service)",
        )
    return Check("user", "ok", "does not run as root")


def swap_check(swaps: str) -> Check:
    """Whether this machine swaps.

    Args:
        swaps: the text of /proc/swaps.
    """
    devices = [line.split()[0] for line in swaps.splitlines()[1:] if line.strip()]
    if devices:
        return Check(
            "swap",
            "warning",
            f"swap is on ({', '.join(devices)}): keys are locked into memory, but samples that are being examined can be"
            " written there",
            "swapoff -a, or encrypt the swap with a key that is made anew at each start",
        )
    return Check("swap", "ok", "this machine does not swap")


def key_memory_check(*, locked: bool) -> Check:
    """Whether memory for keys can be locked."""
    if locked:
        return Check("key memory", "ok", "keys are kept out of swap and core dumps")
    return Check(
        "key memory",
        "warning",
        "memory cannot be locked: keys are kept out of core dumps, but not out of swap",
        "raise the limit of locked memory to 1 MiB (LimitMEMLOCK=1M in the service)",
    )


def inode_check(total: int, free: int) -> Check:
    """Whether the file system of the home has room for more files.

    Args:
        total: number of inodes; 0 if the file system has no fixed number.
        free: how many of them this user may still use.
    """
    if total and free < MIN_INODES:
        return Check(
            "inodes",
            "warning",
            f"{free:,} files can still be created",
            "delete files: without room no evidence can be kept",
        )
    return Check("inodes", "ok", f"{free:,} files can still be created" if total else "their number is not limited")
