"""Permanently restricts a process to some files and ports by the kernel's Landlock.

Other ways of confining a process are in `crawler.process.privileges`.

Source: the kernel's documentation, userspace-api/landlock. Numbers are those of its headers.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

from crawler.process import privileges

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION_FLAG = 1
_PATH_RULE, _PORT_RULE = 1, 2
_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
_TRUNCATE_SINCE = 3
_CONNECT = 1 << 1
# Number of file access rights that each version of the interface knows.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
PORTS_SINCE, _SCOPES_SINCE = 4, 6
# No signals to processes outside, and no connections to their abstract sockets.
_SCOPES = 0b11

_libc = ctypes.CDLL(None, use_errno=True)

# System files that libraries read: their own code and data, host names, certificates, the time zone.
SYSTEM_PATHS = (
    "/usr",
    "/lib",
    "/lib64",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/mime.types",
    "/etc/ld.so.cache",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/dev/urandom",
)


def version() -> int:
    """Version of the kernel's Landlock interface; 0 if it has none."""
    found: int = _libc.syscall(ctypes.c_long(_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION_FLAG))
    return max(found, 0)


def import_folders(closed: Path) -> list[str]:
    """Folders from which modules are imported, chosen so that none of them contains or lies in the `closed` folder."""
    found: list[str] = []
    for entry in (sys.base_prefix, sys.prefix, *sys.path):
        if entry:
            found += _without(Path(os.path.realpath(entry)), Path(os.path.realpath(closed)))
    return list(dict.fromkeys(found))


def _without(folder: Path, closed: Path) -> list[str]:
    if folder == closed or closed in folder.parents or not folder.exists():
        return []
    if folder not in closed.parents:
        return [str(folder)]
    if folder == Path(folder.anchor):
        return []
    return [path for child in sorted(folder.iterdir()) for path in _without(child, closed)]


def restrict(readable: Iterable[str], *, writable: Iterable[str] = (), ports: Iterable[int] | None = None) -> str:
    """Permanently restrict this thread, and all that it starts, to reading some paths and connecting to some TCP ports.

    From then on no program can be started, no other file but /dev/null be written, and no process outside be inspected.

    Args:
        readable: paths that may be read; those that do not exist are left out.
        writable: files that exist and may be read and written.
        ports: TCP ports that may be connected to; None for all.

    Returns:
        The protection that was reached, for a person; it begins with "none" or "degraded" if it is weaker than
        requested.
    """
    interface = version()
    if not interface:
        return "none: this kernel has no Landlock"
    handled = (1 << _FILE_RIGHTS.get(interface, 16)) - 1
    closes_ports = ports is not None and interface >= PORTS_SINCE
    scopes = _SCOPES if interface >= _SCOPES_SINCE else 0
    attributes = struct.pack("=QQQ", handled, _CONNECT if closes_ports else 0, scopes)
    # Older kernels know only the first fields of the structure.
    size = 24 if interface >= _SCOPES_SINCE else 16 if interface >= PORTS_SINCE else 8
    rules = _call(_CREATE, ctypes.create_string_buffer(attributes, len(attributes)), ctypes.c_size_t(size), 0)
    try:
        for path in readable:
            _allow(rules, path, _READ_FILE | _READ_DIR)
        writing = _READ_FILE | _WRITE_FILE | (_TRUNCATE if interface >= _TRUNCATE_SINCE else 0)
        for path in writable:
            _allow(rules, path, writing)
        _allow(rules, "/dev/null", _READ_FILE | _WRITE_FILE)
        for port in ports or () if closes_ports else ():
            rule = struct.pack("=QQ", _CONNECT, port)
            _call(_ADD, rules, _PORT_RULE, ctypes.create_string_buffer(rule, len(rule)), 0)
        privileges.no_new_privs()
        _call(_RESTRICT, rules, 0)
    finally:
        os.close(rules)
    if ports is not None and not closes_ports:
        return f"degraded: files are restricted, but Landlock {interface} cannot restrict ports"
    return f"Landlock {interface}"


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        # A path that does not exist needs no rule.
        return
    try:
        if not Path(path).is_dir():
            rights &= ~_READ_DIR
        rule = struct.pack("=Qi", rights, place)
        _call(_ADD, rules, _PATH_RULE, ctypes.create_string_buffer(rule, len(rule)), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: object) -> int:
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *given)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result


def describe_support() -> str:
    """The protection that `restrict` would reach on this machine, for a person."""
    interface = version()
    return f"Landlock {interface}" if interface else "none: this kernel has no Landlock"
