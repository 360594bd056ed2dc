"""What a crawl process that an attacker controls can still do, as root and as an ordinary user: nothing that leaves it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawler.process import privileges

pytestmark = pytest.mark.slow

NOBODY = 65534
# Each way out returns if it succeeds. Numbers of system calls are those of x86_64 and aarch64.
WAYS = """
import ctypes, encodings.idna, json, os, socket, sys, threading
from pathlib import Path

# another user may not be able to read the files of these modules
from crawler.process import landlock, privileges

libc = ctypes.CDLL(None, use_errno=True)
listener, port, secret, user, confined = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5] == "1"
inherited = socket.socket(fileno=int(sys.argv[6]))

def unix():
    socket.socket(socket.AF_UNIX).connect(listener)

def abstract():
    socket.socket(socket.AF_UNIX).connect("\\0" + listener)

def internet():
    socket.socket(socket.AF_INET).connect(("127.0.0.1", port))

def datagram():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port))

def netlink():
    # which sockets listen on this machine, those of other processes among them
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)

def packet():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)

def vsock():
    socket.socket(40, socket.SOCK_STREAM)

def resolver():
    # asks a name service cache by a Unix socket, and a name server
    if not socket.getaddrinfo("tocsin.invalid.", 80):
        raise OSError

def io_uring():
    params = ctypes.create_string_buffer(120)
    if libc.syscall(ctypes.c_long(425), 4, params) < 0:
        raise OSError(ctypes.get_errno(), "io_uring_setup")

def fork():
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)

def program():
    os.posix_spawn("/bin/true", ["true"], {})

def reading():
    open(secret).read()

def signalling():
    os.kill(os.getppid(), 0)

folders = landlock.import_folders(Path(secret).parent)
if user:
    os.setgid(user)
    os.setuid(user)
if confined:
    privileges.without_network()
    landlock.restrict([*landlock.SYSTEM_PATHS, *folders], ports=())
    assert privileges.only_inherited_sockets()
ways = [unix, abstract, internet, datagram, netlink, packet, vsock, resolver, io_uring, fork, program, reading, signalling]
open_ways = []
for way in ways:
    try:
        way()
    except OSError:
        continue
    open_ways.append(way.__name__)
# what a crawl needs must still work: threads, a pair of sockets, and the sockets that it was given
started = threading.Thread(target=lambda: None)
started.start()
started.join()
one, other = socket.socketpair()
one.send(b"x")
assert other.recv(1) == b"x"
inherited.send(b"still here")
print(json.dumps(open_ways))
"""


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that every user may look into, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def open_ways(tmp_path: Path, user: int, *, confined: bool) -> set[str]:
    folder = tmp_path / "home"
    folder.mkdir(exist_ok=True)
    for each in (tmp_path, folder):
        each.chmod(0o755)
    (folder / "match.key").write_text("secret")
    place = str(tmp_path / "listener")
    ours, theirs = socket.socketpair()
    with (
        socket.socket(socket.AF_UNIX) as by_path, socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_INET) as internet, ours, theirs,
    ):  # fmt: skip
        by_path.bind(place)
        Path(place).chmod(0o777)
        abstract.bind("\0" + place)
        internet.bind(("127.0.0.1", 0))
        for listener in (by_path, abstract, internet):
            listener.listen()
        arguments = [place, str(internet.getsockname()[1]), str(folder / "match.key"), str(user), str(int(confined))]
        done = subprocess.run(
            [sys.executable, "-c", WAYS, *arguments, str(theirs.fileno())],
            capture_output=True, text=True, timeout=120, pass_fds=[theirs.fileno()],
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert ours.recv(100) == b"still here"
        Path(place).unlink()
    return set(json.loads(done.stdout))


USERS = [0, *([NOBODY] if os.geteuid() == 0 else [])]


@pytest.mark.parametrize("user", USERS, ids=["as it is", "as an ordinary user"][: len(USERS)])
def test_a_crawl_process_has_no_way_out(tmp_path, user):
    assert open_ways(tmp_path, user, confined=True) == set()


@pytest.mark.parametrize("user", USERS, ids=["as it is", "as an ordinary user"][: len(USERS)])
def test_the_same_attempts_succeed_without_confinement(tmp_path, user):
    assert open_ways(tmp_path, user, confined=False) >= {
        "unix",
        "abstract",
        "internet",
        "datagram",
        "netlink",
        "fork",
        "program",
        "reading",
    }


def test_the_filter_is_tried_in_a_child_and_leaves_this_process_as_it_is():
    assert privileges.inherited_sockets_filter_works()
    socket.socket(socket.AF_UNIX).close()


def test_a_machine_without_the_filter_is_reported(monkeypatch):
    monkeypatch.setattr(privileges, "only_inherited_sockets", lambda: False)
    assert not privileges.inherited_sockets_filter_works()
