"""What a reader that a hostile sample has taken over can do, in the real sandbox: compute, and answer at its socket."""

from __future__ import annotations

import array
import json
import platform
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import orjson
import pytest

from crawler.process.frames import pack
from crawler.readers.core.limits import Limits
from crawler.sandbox.bubblewrap import bubblewrap_arguments, import_paths, interpreter
from crawler.sandbox.status_bytes import STARTED

# System calls with their numbers on x86_64 and aarch64, and arguments with which each does something, or would try to.
CALLS = {
    "socket": (41, 198, 1, 1, 0), "connect": (42, 203, 0, 0, 0), "bind": (49, 200, 0, 0, 0), "listen": (50, 201, 0, 1),
    "accept4": (288, 242, 0, 0, 0, 0), "socketpair": (53, 199, 1, 1, 0, "pair"), "memfd_create": (319, 279, "path", 0),
    "openat": (257, 56, -100, "path", 0), "openat2": (437, 437, -100, "path", 0, 0), "execve": (59, 221, "path", 0, 0),
    "execveat": (322, 281, -100, "path", 0, 0, 0), "clone": (56, 220, 0x80000000, 0, 0, 0, 0), "clone3": (435, 435, 0, 0),
    "ptrace": (101, 117, 0, 0, 0, 0), "kill": (62, 129, 1, 0), "tgkill": (234, 131, 1, 1, 0), "unshare": (272, 97, 0),
    "process_vm_readv": (310, 270, 1, 0, 0, 0, 0, 0), "process_vm_writev": (311, 271, 1, 0, 0, 0, 0, 0),
    "setns": (308, 268, 0, 0), "mount": (165, 40, "path", "path", 0, 0, 0), "chroot": (161, 51, "path"),
    "io_uring_setup": (425, 425, 1, 0), "bpf": (321, 280, 0, 0, 0), "userfaultfd": (323, 282, 0), "keyctl": (250, 219, 0, 0),
    "perf_event_open": (298, 241, 0, 0, 0, 0, 0), "open_by_handle_at": (304, 265, 0, 0, 0), "shmget": (29, 194, 0, 64, 0o1600),
    "mq_open": (240, 180, "path", 0, 0, 0), "inotify_init1": (294, 26, 0), "fanotify_init": (300, 262, 0, 0),
    "prlimit64": (302, 261, 0, 7, 0, 0), "pidfd_open": (434, 434, 1, 0), "pidfd_getfd": (438, 438, 0, 0, 0),
    "personality": (135, 92, 0xFFFFFFFF), "symlinkat": (266, 36, "path", -100, "path"), "unlinkat": (263, 35, -100, "path", 0),
    "mkdirat": (258, 34, -100, "path", 0o700), "renameat2": (316, 276, -100, "path", -100, "path", 0),
    "statx": (332, 291, -100, "path", 0, 0, 0), "ioctl": (16, 29, 0, 0, 0), "setuid": (105, 146, 0),
}  # fmt: skip
PRELUDE = """
import ctypes, errno, json, sys
sys.path[:0] = {paths!r}
from crawler.sandbox import fork_server
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
calls, place = {calls!r}, ctypes.create_string_buffer(b"/etc/passwd")
pair = (ctypes.c_int * 2)()

def attempts(chunks, send, limits, begun):
    # the sample is read as a correct reader does it, and then everything else is tried
    for _ in chunks:
        pass
    {first}
    found = {{}}
    for name, (number, *given) in calls.items():
        ctypes.set_errno(0)
        words = [place if each == "path" else pair if each == "pair" else ctypes.c_long(each) for each in given]
        result = libc.syscall(ctypes.c_long(number), *words)
        found[name] = errno.errorcode.get(ctypes.get_errno(), "") if result < 0 else "done"
    for name, protection in (("memory to run", 7), ("memory to write", 3)):
        ctypes.set_errno(0)
        at = libc.mmap(None, 4096, protection, 0x22, -1, 0)
        found[name] = errno.errorcode.get(ctypes.get_errno(), "") if at in (None, 2**64 - 1) else "done"
    send(b"X", json.dumps(found).encode())

fork_server.read_sample = attempts
{more}
fork_server.main({descriptor}, in_bubblewrap={bubblewrap}, follow_parent=False)
"""


@contextmanager
def taken_over(
    *, bubblewrap: bool, filtered: bool = True, first: str = "", limits: Limits | None = None
) -> Iterator[socket.socket]:
    """The real fork server of readers, in which whatever reads a sample is the attacker's; gives the control socket.

    Args:
        bubblewrap: whether it runs inside.
        filtered: whether readers apply their filter of system calls.
        first: a line of Python that a reader runs before its attempts.
        limits: of the readers.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    at = 0 if platform.machine() == "x86_64" else 1
    few = {"socket", "socketpair", "memfd_create", "openat"} if not filtered else set(CALLS)
    calls = {name: (call[at], *call[2:]) for name, call in CALLS.items() if name in few}
    code = PRELUDE.format(
        paths=import_paths(), calls=calls, descriptor=theirs.fileno(), bubblewrap=bubblewrap, first=first,
        more="" if filtered else "fork_server.privileges.apply_computing_filter = lambda: False",
    )  # fmt: skip
    wrapper = [str(shutil.which("bwrap")), *bubblewrap_arguments(), "--die-with-parent", "--"] if bubblewrap else []
    command = [*wrapper, interpreter(), "-I", "-S", "-B", "-X", "utf8", "-c", code]
    process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), env={}, cwd="/")
    theirs.close()
    ours.settimeout(60)
    try:
        ours.send(orjson.dumps(asdict(limits or Limits())))
        yield ours
    finally:
        ours.close()
        process.wait(60)


def read_one(control: socket.socket) -> tuple[bytes, str]:
    """What one reader sends, and why it ended."""
    sample, reader_end = socket.socketpair()
    status, server_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with sample, status:
        with reader_end, server_end:
            ends = array.array("i", [reader_end.fileno(), server_end.fileno()])
            control.sendmsg([b"r"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, ends)])
        for each in (sample, status):
            each.settimeout(60)
        assert status.recv(len(STARTED)) == STARTED
        sample.sendall(pack(b"D", b"a;b\n") + pack(b"E", b"{}"))
        sample.shutdown(socket.SHUT_WR)
        said = b""
        while more := sample.recv(65_536):
            said += more
        return said, str(orjson.loads(status.recv(65_536))["reason"])


def result_of(control: socket.socket) -> dict[str, str]:
    """What the attempts of one reader gave."""
    said, reason = read_one(control)
    assert reason == ""
    found: dict[str, str] = json.loads(said[said.index(b"{") :])
    return found


@pytest.mark.parametrize("bubblewrap", [True, False], ids=["bubblewrap", "without it"])
@pytest.mark.slow
def test_a_reader_reaches_no_file_no_network_no_process_and_no_other_memory(bubblewrap: bool) -> None:
    with taken_over(bubblewrap=bubblewrap, filtered=True) as control:
        greeting = orjson.loads(control.recv(65_536))
        assert greeting["calls"] is True
        found = result_of(control)
    assert {name: said for name, said in found.items() if said != "EPERM"} == {"memory to write": "done"}
    assert len(found) > 40


@pytest.mark.slow
def test_without_the_filter_the_same_attempts_succeed_and_bubblewrap_alone_hides_the_files() -> None:
    found = {}
    for bubblewrap in (False, True):
        with taken_over(bubblewrap=bubblewrap, filtered=False) as control:
            control.recv(65_536)
            found[bubblewrap] = result_of(control)
        one = found[bubblewrap]
        assert {one["socket"], one["socketpair"], one["memfd_create"], one["memory to run"]} == {"done"}
    assert [found[bubblewrap]["openat"] for bubblewrap in (False, True)] == ["done", "ENOENT"]


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ("bytearray(2**31)", "it needed more memory than 67108864 bytes"),
        ("while True: pass", "it reached the limit of 1 seconds of processor time"),
        ("__import__('time').sleep(60)", "it reached the limit of 2 seconds"),
    ],
    ids=["memory", "processor time", "time"],
)
@pytest.mark.slow
def test_a_reader_is_held_to_its_memory_processor_time_and_wall_time(first: str, reason: str) -> None:
    limits = Limits(memory=64 * 2**20, cpu=1, wall=2 if "sleep" in first else 60)
    with taken_over(bubblewrap=False, first=first, limits=limits) as control:
        control.recv(65_536)
        assert read_one(control) == (b"", reason)
