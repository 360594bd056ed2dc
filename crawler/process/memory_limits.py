"""Limits of the memory of long-lived processes, and how much memory there is for this process.

Readers and crawl processes, which handle hostile bytes, have a limit of their address space
(`crawler.process.privileges.limit_resources`). The examiner maps watch-lists and releases of gigabytes, which cost
nothing as long as they are only read; its limit counts only memory that it writes to.
"""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from pathlib import Path

# The rest is for the kernel, the runner and the crawls.
LARGEST_SHARE = 0.8
# libxml2's XML_ERR_NO_MEMORY.
_XML_NO_MEMORY = 2
# What Python says if there is no memory for the stack of a thread.
_NO_THREAD = "can't start new thread"


def limit_data(size: int) -> int:
    """Limit the memory that this process can write to; a larger allocation then raises MemoryError.

    Counted are private writable mappings, whether they are used or not; files that are mapped to be read are not. A
    process that this one starts may lift the limit.

    Args:
        size: bytes; lowered to `LARGEST_SHARE` of the memory that there is.

    Returns:
        The limit in force, in bytes.
    """
    size = min(size, int(available_memory() * LARGEST_SHARE))
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    if hard != resource.RLIM_INFINITY:
        size = min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (size, hard))
    return size


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that a limit of memory was reached: in Python, in libxml2, in a mapping or a thread."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, SyntaxError):
        # lxml's, which is not imported here; libxml2 reports its failed allocations as errors of the document
        return type(error).__name__ == "XMLSyntaxError" and getattr(error, "code", None) == _XML_NO_MEMORY
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and str(error) == _NO_THREAD)


def lift_data_limit() -> None:
    """Lift the limit of `limit_data`, which a process inherits from the one that started it."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def available_memory() -> int:
    """Bytes of memory of this machine, or of the control groups of this process if these allow less."""
    total = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemTotal:")
    )
    limit = cgroup_limit()
    return total if limit is None else min(total, limit)


def cgroup_limit() -> int | None:
    """Bytes that the control groups of this process allow all their processes together; None without a limit."""
    limits = []
    for group in _groups():
        for name in ("memory.max", "memory.limit_in_bytes"):
            try:
                text = (group / name).read_text().strip()
            except OSError:
                continue
            # Version 1 writes the largest number of pages where there is no limit.
            if text.isdecimal() and int(text) < 2**60:
                limits.append(int(text))
    return min(limits, default=None)


def describe_cgroup() -> str:
    """What the control groups allow, for a person."""
    limit = cgroup_limit()
    if limit is None:
        return "no limit for all processes together (systemd: MemoryMax=); each process has one of its own"
    return f"at most {limit // 2**20} MiB for all processes together, by a control group"


def _groups() -> Iterator[Path]:
    """The folders of this process's control groups that may hold a limit, each with those above it."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        # Version 1 has a hierarchy for each controller, version 2 a single one.
        base = Path("/sys/fs/cgroup/memory" if controllers else "/sys/fs/cgroup")
        group = base / path.lstrip("/")
        yield from (each for each in (group, *group.parents) if each == base or base in each.parents)
