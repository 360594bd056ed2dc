"""What the process that answers browsers cannot do, tried in a process that was confined as it is."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

WAYS = """
import json, os, socket, sys
from pathlib import Path
home, place, listening = Path(sys.argv[1]), sys.argv[2], socket.socket(fileno=int(sys.argv[3]))
if sys.argv[4] == "confined":
    from scheduler.console.server_process import confine
    confine(home)

def key(): (home / "keys" / "match.key").read_bytes()
def settings(): (home / "tocsin.toml").read_bytes()
def unix(): socket.socket(socket.AF_UNIX).connect(place)
def datagram(): socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))
def internet(): socket.create_connection(listening.getsockname())
def another_listener(): socket.create_server(("127.0.0.1", 0))
def program(): os.posix_spawn("/bin/true", ["true"], {})
def writing(): (home / "sources" / "x.yaml").write_text("x")

found = []
for way in (key, settings, unix, datagram, internet, another_listener, program, writing):
    try:
        way()
    except OSError:
        continue
    found.append(way.__name__)
# what it needs must still work: reading the home, its database, and taking a connection
(home / "sources").iterdir()
with (home / "tocsin.db").open("r+b"):
    pass
print(json.dumps(found), flush=True)
listening.accept()[0].sendall(b"answered")
"""


@pytest.mark.parametrize("confined", ["confined", "free"])
def test_the_process_that_answers_reaches_no_key_and_nobody(tmp_path: Path, confined: str):
    home = tmp_path / "home"
    for folder in ("keys", "sources"):
        (home / folder).mkdir(parents=True)
    for name in ("keys/match.key", "tocsin.toml", "tocsin.db", "tocsin.db-wal", "tocsin.db-shm"):
        (home / name).write_text("x")
    place = str(tmp_path / "service")
    with socket.socket(socket.AF_UNIX) as service, socket.create_server(("127.0.0.1", 0)) as listening:
        service.bind(place)
        service.listen()
        process = subprocess.Popen(
            [sys.executable, "-c", WAYS, str(home), place, str(listening.fileno()), confined],
            stdout=subprocess.PIPE, text=True, pass_fds=[listening.fileno()],
        )  # fmt: skip
        with process:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, "the process ended"
            found = set(json.loads(line))
            with socket.create_connection(listening.getsockname()) as browser:
                if confined == "free":
                    # the connection of `internet` is the first one
                    assert "internet" in found
                answer = browser.makefile("rb").read(8) if confined == "confined" else b"answered"
        assert answer == b"answered"
    everything = {"key", "settings", "unix", "datagram", "internet", "another_listener", "program", "writing"}
    assert found == (set() if confined == "confined" else everything)
