"""Functions by which a process drops its own privileges before it handles hostile bytes or keys.

They use the kernel's system calls through ctypes, work for root and for an ordinary user, and return a description of
the protection that was reached. A description that begins with "none" or "degraded" means a weaker protection than
intended; callers show it to a person. Starting processes is left to others.
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
_UNKNOWN_CALL = 0x00050000 | errno.ENOSYS
# Classic BPF: load a word of the call's data, jump if equal, jump if any bit is set, jump if at least, return.
_LOAD, _IF_EQUAL, _IF_ANY, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_AT_NUMBER, _AT_MACHINE, _AT_FIRST, _AT_THIRD = 0, 4, 16, 32

# machine -> (audit number, number of the `seccomp` call, column of the tables below)
_MACHINES = {"x86_64": (0xC000003E, 317, 0), "aarch64": (0xC00000B7, 277, 1)}
# Call numbers on x86_64 and aarch64, from the kernel's unistd headers; None if a machine has no such call.
_CALLS: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198),
    "mmap": (9, 222),
    "mprotect": (10, 226),
}
# Calls that make a socket of one's own useful, those that take connections, and those that start programs and processes.
# `socketpair` stays: its two ends are connected to each other and to nothing else.
_CONNECTING = (
    (41, 198),  # socket: of every family, so also Unix sockets by path, netlink, vsock and packet sockets
    (42, 203),  # connect
    (49, 200),  # bind
)
_ACCEPTING = (
    (50, 201),  # listen
    (43, 202),  # accept
    (288, 242),  # accept4
)
_STARTING = (
    (57, None),  # fork
    (58, None),  # vfork
    (59, 221),  # execve
    (322, 281),  # execveat
)
_CLONE, _CLONE3, _CLONE_THREAD = (56, 220), (435, 435), 0x10000
# Calls that could restore the network or look into another process.
_DANGEROUS = (
    (425, 425),  # io_uring_setup: opens sockets without passing this filter
    (101, 117),  # ptrace
    (321, 280),  # bpf
    (298, 241),  # perf_event_open
    (310, 270),  # process_vm_readv
    (311, 271),  # process_vm_writev
    (438, 438),  # pidfd_getfd: copies another process's socket
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
# Calls that a reader needs after all imports, for its socket, memory and time. None of them opens a path, starts a
# process or sends a signal to another one.
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
    """Permanently keep programs that this process starts from gaining rights by set-user-ID files.

    An ordinary user must call this before installing a system call filter.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent() -> None:
    """Have the kernel send SIGKILL to this process when the thread that started it ends, or now if it has ended."""
    parent = os.getppid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def no_core_dumps() -> None:
    """Prevent core dumps of this process, including those piped to a collector, and tracing by other processes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A collector named in core_pattern ignores the limit, but gets no dump of a process that is not dumpable.
    _prctl(_PR_SET_DUMPABLE, 0)


def limit_resources(
    *, memory: int | None = None, cpu: float | None = None, files: int | None = None, file_size: int | None = None
) -> None:
    """Permanently lower the resource limits of this process and of all processes that it starts.

    Args:
        memory: bytes of address space.
        cpu: seconds of processor time, rounded up; the process gets SIGXCPU then, and SIGKILL a second later.
        files: number of open file descriptors.
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
    """Permanently take the network from this process and all processes that it starts; Unix sockets keep working.

    Call it while the process has one thread: the namespace applies to the calling thread and those started later, the
    filter to all threads.

    Returns:
        The protection that was reached, for a person: "network namespace and system call filter", "system call filter",
        "degraded: network namespace alone" or "none: …".
    """
    namespace = _own_network_namespace()
    filtered = _install(_network_filter)
    if filtered:
        return "network namespace and system call filter" if namespace else "system call filter"
    return (
        "degraded: network namespace alone" if namespace else "none: this kernel cannot take the network from a process"
    )


def network_is_refused() -> bool:
    """Whether the kernel refuses to let this process open an Internet socket."""
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
        # A sandbox without /proc: processes there have a single thread.
        return 1


def _own_network_namespace() -> bool:
    # A second thread would keep the old namespace, and the kernel refuses a new user namespace to a threaded process.
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
    # User and group keep their numbers in the new namespace, so that bubblewrap can be started from it. Only a dumpable
    # process may write these maps.
    dumpable = _prctl(_PR_GET_DUMPABLE)
    _prctl(_PR_SET_DUMPABLE, 1)
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    finally:
        _prctl(_PR_SET_DUMPABLE, 1 if dumpable == 1 else 0)


# --- system call filters -----------------------------------------------------------------------------------------


def apply_computing_filter() -> bool:
    """Allow only system calls for open sockets, memory and time: no paths, no processes, no executable memory.

    All modules must be imported before. A refused call fails with EPERM.

    Returns:
        False if this machine supports no such filter; then nothing has changed.
    """
    return _install(_computing_filter)


def only_inherited_sockets() -> bool:
    """Permanently refuse new sockets and new processes: this process can only use sockets that it is given.

    No socket can be created, of whatever family: no Unix socket by path (a name service cache, the system bus, another
    user's server), no netlink, no raw packets. Threads can be started, processes and programs cannot.

    Returns:
        False if this machine supports no such filter; then nothing has changed.
    """
    return _install(_inherited_sockets_filter)


def only_an_inherited_listener() -> bool:
    """As `only_inherited_sockets`, for a process that takes connections at a listening socket that it was given."""
    return _install(_listener_filter)


def prepare_computing_filter() -> None:
    """Assemble the filter of `apply_computing_filter` once, before the processes that apply it are forked."""
    machine = _machine()
    if machine is not None:
        _assembled(_computing_filter, machine[0], machine[2])


@functools.cache
def _machine() -> tuple[int, int, int] | None:
    # A 32-bit interpreter on a 64-bit kernel uses other call numbers.
    return _MACHINES.get(platform.machine()) if struct.calcsize("P") == 8 else None


def _number(call: tuple[int | None, int | None], index: int) -> int | None:
    return call[index]


def _numbers(calls: Iterable[tuple[int | None, int | None]], index: int) -> list[int]:
    return [number for number in (_number(call, index) for call in calls) if number is not None]


def _prologue(audit: int, index: int) -> Program:
    """Instructions that refuse calls with another numbering (32-bit, x32), then load the number of the call."""
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
    program = _prologue(audit, index)
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


def _inherited_sockets_filter(audit: int, index: int) -> Program:
    return _without_calls((*_DANGEROUS, *_CONNECTING, *_ACCEPTING, *_STARTING), audit, index)


def _listener_filter(audit: int, index: int) -> Program:
    return _without_calls((*_DANGEROUS, *_CONNECTING, *_STARTING), audit, index)


def _without_calls(calls: Iterable[tuple[int | None, int | None]], audit: int, index: int) -> Program:
    """A filter that refuses some calls, and processes, but no threads."""
    program = _prologue(audit, index)
    for number in _numbers(calls, index):
        program += [(_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    program += [
        # The flags of clone3 are in memory, where a filter cannot see them: the C library falls back to clone.
        (_IF_EQUAL, 0, 1, _CLONE3[index]),
        (_RETURN, 0, 0, _UNKNOWN_CALL),
        (_IF_EQUAL, 1, 0, _CLONE[index]),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _AT_FIRST),
        (_IF_ANY, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return program


def _computing_filter(audit: int, index: int) -> Program:
    program = _prologue(audit, index)
    for number in _numbers(_COMPUTING, index):
        program += [(_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    # Memory may be allocated, but not executed.
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
    """The program in the kernel's format; cached, so that a reader that is forked afterwards finds it ready."""
    return b"".join(struct.pack("=HBBI", *step) for step in make(audit, index))


def _install(make: Callable[[int, int], Program]) -> bool:
    """Install a filter on all threads of this process; False if this machine supports none."""
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


# --- reports -----------------------------------------------------------------------------------------------------


def describe_confinement() -> dict[str, str]:
    """Which privileges this process has dropped, and which kinds of confinement work on this machine.

    The latter is tried in a child process. Each kind is described for a person.
    """

    def active(option: int, wanted: int, yes: str, no: str) -> str:
        return yes if _prctl(option) == wanted else no

    return {
        "core dumps": active(_PR_GET_DUMPABLE, 0, "off", "on, unless no_core_dumps is called"),
        "new privileges": active(_PR_GET_NO_NEW_PRIVS, 1, "refused", "possible, unless no_new_privs is called"),
        "network": "refused" if network_is_refused() else "open, unless without_network is called",
        "network namespace": "available"
        if _succeeds_in_child(_unshare_network)
        else "none: this machine does not allow it for this user",
        "system call filter": "available"
        if _succeeds_in_child(_require_working_filters)
        else "none: this kernel or machine does not support it",
    }


def computing_filter_works() -> bool:
    """Whether the readers' filter can be installed and refuses to open a file; tried in a child process."""
    return _succeeds_in_child(_require_working_filters)


def inherited_sockets_filter_works() -> bool:
    """Whether the filter of `only_inherited_sockets` can be applied here and refuses a Unix socket; tried in a child."""
    return _succeeds_in_child(_require_refused_sockets)


def _require_refused_sockets() -> None:
    if not only_inherited_sockets():
        raise OSError(errno.ENOSYS, "seccomp")
    try:
        socket.socket(socket.AF_UNIX).close()
    except PermissionError:
        return
    raise OSError(errno.ENOSYS, "the filter has no effect")


def _require_working_filters() -> None:
    if not (_install(_network_filter) and apply_computing_filter()):
        raise OSError(errno.ENOSYS, "seccomp")
    try:
        os.open("/", os.O_RDONLY)
    except PermissionError:
        return
    raise OSError(errno.ENOSYS, "the filter does not refuse to open a file")


def _succeeds_in_child(action: Callable[[], None]) -> bool:
    """Whether the action raises no OSError in a child process."""
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
