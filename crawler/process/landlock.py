"""Files and ports that a process gives up for good, by the kernel's Landlock; what is given up besides is `confine`'s.

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
_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_CONNECT = 1 << 1
# rights over files, ports and other processes that each version of the interface knows
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
PORTS_SINCE, _SCOPES_SINCE = 4, 6
# no signals to, and no abstract sockets of, processes outside
_SCOPES = 0b11

_libc = ctypes.CDLL(None, use_errno=True)

# What libraries read beside their own files: names of hosts, certificates, the time zone.
SYSTEM = (
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
    """Of the kernel's interface; 0 where it has none."""
    found: int = _libc.syscall(ctypes.c_long(_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION_FLAG))
    return max(found, 0)


def importable(closed: Path) -> list[str]:
    """Folders that modules are imported from, and none of them with a look into the closed one."""
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


def restrict(readable: Iterable[str], *, ports: Iterable[int] | None = None) -> str:
    """Leave this thread, and all that it starts, only reading of some paths, and where given only some TCP ports.

    No program can be started, no file written but /dev/null, and nothing of processes outside be looked at.

    Args:
        readable: paths; those that do not exist are left out.
        ports: that may be connected to; None for all.

    Returns:
        What holds now, for a person; it begins with "none" or "degraded" where that is less than asked for.
    """
    interface = version()
    if not interface:
        return "none: this kernel has no Landlock"
    handled = (1 << _FILE_RIGHTS.get(interface, 16)) - 1
    closes_ports = ports is not None and interface >= PORTS_SINCE
    scopes = _SCOPES if interface >= _SCOPES_SINCE else 0
    attributes = struct.pack("=QQQ", handled, _CONNECT if closes_ports else 0, scopes)
    # older kernels know only the front of the structure
    size = 24 if interface >= _SCOPES_SINCE else 16 if interface >= PORTS_SINCE else 8
    rules = _call(_CREATE, ctypes.create_string_buffer(attributes, len(attributes)), ctypes.c_size_t(size), 0)
    try:
        for path in readable:
            _allow(rules, path, _READ_FILE | _READ_DIR)
        _allow(rules, "/dev/null", _READ_FILE | _WRITE_FILE)
        for port in ports or () if closes_ports else ():
            rule = struct.pack("=QQ", _CONNECT, port)
            _call(_ADD, rules, _PORT_RULE, ctypes.create_string_buffer(rule, len(rule)), 0)
        privileges.no_new_privs()
        _call(_RESTRICT, rules, 0)
    finally:
        os.close(rules)
    if ports is not None and not closes_ports:
        return f"degraded: files are closed, but Landlock {interface} cannot close ports"
    return f"Landlock {interface}"


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        # what is not there needs no leave
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


def protection() -> str:
    """What `restrict` would reach on this machine."""
    interface = version()
    return f"Landlock {interface}" if interface else "none: this kernel has no Landlock"
