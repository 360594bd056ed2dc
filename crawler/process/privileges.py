"""What a process takes away from itself before it touches hostile bytes or keys; starting processes is not done here.

Everything goes through the kernel's own calls by ctypes, works as root and as an ordinary user, and says by name what
it reached. A level that begins with "none" or "degraded" is weaker than meant; callers show it to a person.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import math
import os
import platform
import resource
import signal
import socket
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG, _PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 1, 3, 4
_PR_SET_NO_NEW_PRIVS, _PR_GET_NO_NEW_PRIVS = 38, 39
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000

_FILTER_SET, _FILTER_ALL_THREADS = 1, 1
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
# classic BPF: load a word of the call's data, jump if equal, jump if any bit, jump if at least, return
_LOAD, _IF_EQUAL, _IF_ANY, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_AT_NUMBER, _AT_MACHINE, _AT_FIRST, _AT_THIRD = 0, 4, 16, 32

# machine: (audit number, number of `seccomp`, index into the table below)
_MACHINES = {"x86_64": (0xC000003E, 317, 0), "aarch64": (0xC00000B7, 277, 1)}
# x86_64 and aarch64, from the kernel's unistd headers; None where a machine has no such call
_CALLS: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198),
    "mmap": (9, 222),
    "mprotect": (10, 226),
}
# what could bring the network back or look into another process
_DANGEROUS = (
    (425, 425),  # io_uring_setup: opens sockets past this filter
    (101, 117),  # ptrace
    (321, 280),  # bpf
    (298, 241),  # perf_event_open
    (310, 270),  # process_vm_readv
    (311, 271),  # process_vm_writev
    (438, 438),  # pidfd_getfd: takes another process's socket
    (308, 268),  # setns
    (323, 282),  # userfaultfd
    (248, 217),  # add_key
    (249, 218),  # request_key
    (250, 219),  # keyctl
    (175, 105),  # init_module
    (313, 273),  # finit_module
    (246, 104),  # kexec_load
    (320, 294),  # kexec_file_load
)
# what a reader needs once everything is imported: its socket, memory, time. No path, no process, no signal to others.
_COMPUTING = (
    (0, 63),  # read
    (1, 64),  # write
    (3, 57),  # close
    (5, 80),  # fstat
    (7, None),  # poll
    (271, 73),  # ppoll
    (23, None),  # select
    (270, 72),  # pselect6
    (8, 62),  # lseek
    (19, 65),  # readv
    (20, 66),  # writev
    (44, 206),  # sendto
    (45, 207),  # recvfrom
    (48, 210),  # shutdown
    (11, 215),  # munmap
    (12, 214),  # brk
    (25, 216),  # mremap
    (28, 233),  # madvise
    (13, 134),  # rt_sigaction
    (14, 135),  # rt_sigprocmask
    (15, 139),  # rt_sigreturn
    (131, 132),  # sigaltstack
    (24, 124),  # sched_yield
    (204, 123),  # sched_getaffinity
    (202, 98),  # futex
    (273, 99),  # set_robust_list
    (324, 283),  # membarrier
    (334, 293),  # rseq
    (35, 101),  # nanosleep
    (230, 115),  # clock_nanosleep
    (228, 113),  # clock_gettime
    (229, 114),  # clock_getres
    (96, 169),  # gettimeofday
    (201, None),  # time
    (98, 165),  # getrusage
    (100, 153),  # times
    (39, 172),  # getpid
    (186, 178),  # gettid
    (318, 278),  # getrandom
    (219, 128),  # restart_syscall
    (60, 93),  # exit
    (231, 94),  # exit_group
)

Program = list[tuple[int, int, int, int]]


def _prctl(option: int, value: int = 0) -> int:
    result: int = _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def no_new_privs() -> None:
    """No program that this process starts gains rights by its file, for good; a filter by an ordinary user needs it."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent() -> None:
    """End with SIGKILL when the thread that started this process ends; one that is gone already ends it now."""
    parent = os.getppid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def no_core_dumps() -> None:
    """No memory of this process reaches a disk: no dump, not even one piped to a collector, and nobody may trace it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # a collector named in core_pattern gets a dump whatever the limit says, but not of a process that is not dumpable
    _prctl(_PR_SET_DUMPABLE, 0)


def limit(
    *, memory: int | None = None, cpu: float | None = None, files: int | None = None, file_size: int | None = None
) -> None:
    """Lower the limits of this process and of all that it starts, for good.

    Args:
        memory: bytes of address space.
        cpu: seconds of processor time, rounded up; SIGXCPU ends the process then, SIGKILL a second later.
        files: open descriptors.
        file_size: bytes of any file that is written.
    """
    if memory is not None:
        _lower(resource.RLIMIT_AS, memory, memory)
    if cpu is not None:
        _lower(resource.RLIMIT_CPU, math.ceil(cpu), math.ceil(cpu) + 1)
    if files is not None:
        _lower(resource.RLIMIT_NOFILE, files, files)
    if file_size is not None:
        _lower(resource.RLIMIT_FSIZE, file_size, file_size)


def _lower(which: int, soft: int, hard: int) -> None:
    highest = resource.getrlimit(which)[1]
    if highest != resource.RLIM_INFINITY:
        soft, hard = min(soft, highest), min(hard, highest)
    resource.setrlimit(which, (soft, hard))


# --- the network -------------------------------------------------------------------------------------------------


def without_network() -> str:
    """Lose the network for good, for this process and all that it starts; Unix sockets stay.

    Call it while there is one thread: a namespace holds for threads that begin later, the filter for all.

    Returns:
        What was reached, for a person: "network namespace and system call filter", "system call filter",
        "degraded: network namespace alone" or "none: …".
    """
    namespace = _own_network_namespace()
    filtered = _load(_network_filter)
    if filtered:
        return "network namespace and system call filter" if namespace else "system call filter"
    return "degraded: network namespace alone" if namespace else "none: this kernel lets no process lose the network"


def network_is_refused() -> bool:
    """True if this process may not even open an Internet socket."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _threads() -> int:
    try:
        return sum(1 for _ in Path("/proc/self/task").iterdir())
    except OSError:
        # inside walls that have no /proc nothing else than one thread was started
        return 1


def _own_network_namespace() -> bool:
    # a second thread would keep the old namespace, and a user namespace is refused beside one
    if _threads() > 1 or not _succeeds_in_child(_unshare_network):
        return False
    _unshare_network()
    return True


def _unshare_network() -> None:
    if _libc.unshare(_CLONE_NEWNET) == 0:
        return
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    # the process keeps its own numbers inside: bubblewrap can then be started from here. Only a dumpable process may
    # write its maps.
    dumpable = _prctl(_PR_GET_DUMPABLE)
    _prctl(_PR_SET_DUMPABLE, 1)
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    finally:
        _prctl(_PR_SET_DUMPABLE, 1 if dumpable == 1 else 0)


# --- system call filters -----------------------------------------------------------------------------------------


def only_computing() -> bool:
    """Refuse every system call but those for open sockets, memory and time: no path, no process, no program memory.

    Everything must be imported before. A refused call fails with EPERM.

    Returns:
        False if this machine has no such filter; nothing has changed then.
    """
    return _load(_computing_filter)


def prepare() -> None:
    """Put the filter of readers together before they are forked."""
    machine = _machine()
    if machine is not None:
        _assembled(_computing_filter, machine[0], machine[2])


@functools.cache
def _machine() -> tuple[int, int, int] | None:
    # a 32-bit interpreter on a 64-bit kernel uses other numbers
    return _MACHINES.get(platform.machine()) if struct.calcsize("P") == 8 else None


def _number(call: tuple[int | None, int | None], index: int) -> int | None:
    return call[index]


def _numbers(calls: Iterable[tuple[int | None, int | None]], index: int) -> list[int]:
    return [number for number in (_number(call, index) for call in calls) if number is not None]


def _start(audit: int, index: int) -> Program:
    """Refuse calls of another machine's numbering (32-bit, x32), then load the number of the call."""
    program: Program = [
        (_LOAD, 0, 0, _AT_MACHINE),
        (_IF_EQUAL, 1, 0, audit),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, _AT_NUMBER),
    ]
    if index == 0:
        program += [(_IF_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _REFUSE)]
    return program


def _network_filter(audit: int, index: int) -> Program:
    program = _start(audit, index)
    for number in _numbers(_DANGEROUS, index):
        program += [(_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    program += [
        (_IF_EQUAL, 1, 0, _CALLS["socket"][index] or 0),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _AT_FIRST),
        (_IF_EQUAL, 0, 1, int(socket.AF_UNIX)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return program


def _computing_filter(audit: int, index: int) -> Program:
    program = _start(audit, index)
    for number in _numbers(_COMPUTING, index):
        program += [(_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    # memory may be taken, but never to run code from
    for name in ("mmap", "mprotect"):
        program += [
            (_IF_EQUAL, 0, 4, _CALLS[name][index] or 0),
            (_LOAD, 0, 0, _AT_THIRD),
            (_IF_ANY, 0, 1, 4),
            (_RETURN, 0, 0, _REFUSE),
            (_RETURN, 0, 0, _ALLOW),
        ]
    program.append((_RETURN, 0, 0, _REFUSE))
    return program


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


@functools.cache
def _assembled(make: Callable[[int, int], Program], audit: int, index: int) -> bytes:
    """The program as the kernel takes it, put together once: a reader that is forked afterwards finds it ready."""
    return b"".join(struct.pack("=HBBI", *step) for step in make(audit, index))


def _load(make: Callable[[int, int], Program]) -> bool:
    """Put a filter on all threads of this process."""
    machine = _machine()
    if machine is None:
        return False
    audit, seccomp, index = machine
    program = _assembled(make, audit, index)
    code = ctypes.create_string_buffer(program, len(program))
    filter_ = _Filter(len(program) // 8, ctypes.addressof(code))
    no_new_privs()
    result = _libc.syscall(
        ctypes.c_long(seccomp), ctypes.c_ulong(_FILTER_SET), ctypes.c_ulong(_FILTER_ALL_THREADS), ctypes.byref(filter_)
    )
    return bool(result == 0)


# --- for doctor --------------------------------------------------------------------------------------------------


def protection() -> dict[str, str]:
    """What this process has taken away from itself, and what this machine would let it, tried in a child."""

    def active(option: int, wanted: int, yes: str, no: str) -> str:
        return yes if _prctl(option) == wanted else no

    return {
        "core dumps": active(_PR_GET_DUMPABLE, 0, "off", "on, unless no_core_dumps is called"),
        "new privileges": active(_PR_GET_NO_NEW_PRIVS, 1, "refused", "possible, unless no_new_privs is called"),
        "network": "refused" if network_is_refused() else "open, unless without_network is called",
        "network namespace": "available"
        if _succeeds_in_child(_unshare_network)
        else "none: this machine does not allow it to this user",
        "system call filter": "available"
        if _succeeds_in_child(_filters_hold)
        else "none: this kernel or machine has no such filter",
    }


def computing_filter_holds() -> bool:
    """True if the readers' filter can be put on and refuses a file, tried in a child."""
    return _succeeds_in_child(_filters_hold)


def _filters_hold() -> None:
    if not (_load(_network_filter) and only_computing()):
        raise OSError(errno.ENOSYS, "seccomp")
    try:
        os.open("/", os.O_RDONLY)
    except PermissionError:
        return
    raise OSError(errno.ENOSYS, "the filter does not hold")


def _succeeds_in_child(action: Callable[[], None]) -> bool:
    """True if the action raises nothing in a process of its own."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            action()
            code = 0
        except OSError:
            code = 1
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] == 0
