"""A private Tor network on loopback: one authority, five exits, a Tor for onion services, and clients.

Nothing of it reaches the public network. It takes about 15 s to its first onion service; what makes it fast is told
where it stands. Torrc options: the torproject's chutney, and the manual page of tor.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from stem.control import Controller

from tests.servers.base import HOST, STOP_SECONDS, debian_program, free_port
from tests.servers.venvs import ServerError

READY_SECONDS = 45
# A circuit to an onion service passes four different relays. With four in all, one that hangs, or a guard that is the
# meeting point too, leaves no way for as long as the client keeps its guard.
RELAYS = 5
# The first consensus is made 7 to 8 s after the start: relays have 3 s to upload what they are. At 5.5 s half of all
# starts missed the round, which cost 10 s more.
FIRST_CONSENSUS, ROUND = 8, 10

COMMON = """\
TestingTorNetwork 1
AssumeReachable 1
RunAsDaemon 0
ShutdownWaitLength 0
AvoidDiskWrites 1
SafeLogging 0
Log notice stdout
# reading the real ones takes up to 6 s and 30 MB
GeoIPFile {nothing}
GeoIPv6File {nothing}
TestingClientMaxIntervalWithoutRequest 1
TestingDirConnectionMaxStall 5
# Circuits over loopback are built in some 30 ms. From these Tor learns to give up after 60, and on a busy machine an
# onion service then gives up three times and lets its visitor wait for good.
LearnCircuitBuildTimeout 0
CircuitBuildTimeout 10
"""

AUTHORITY = """\
AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
ContactInfo nobody@test.invalid
SocksPort 0
ExitPolicy reject *:*
TestingV3AuthInitialVotingInterval 10
V3AuthVotingInterval 10
TestingV3AuthInitialVoteDelay 2
V3AuthVoteDelay 2
TestingV3AuthInitialDistDelay 2
V3AuthDistDelay 2
TestingV3AuthVotingStartOffset {offset}
TestingDirAuthVoteExit *
TestingDirAuthVoteHSDir *
TestingDirAuthVoteGuard *
TestingMinExitFlagThreshold 0
# flat weights; else one relay is picked again and again, and circuits through it twice fail
ConsensusParams maxunmeasuredbw=1
"""

EXIT = """\
SocksPort 0
ExitRelay 1
ExitPolicyRejectPrivate 0
ExitPolicy accept *:*
ServerDNSDetectHijacking 0
ServerDNSTestAddresses
ServerDNSResolvConfFile {resolv}
"""

CLIENT = """\
ClientOnly 1
# four relays are too few for a layer of guards of its own
VanguardsLiteEnabled 0
"""


class Names:
    """The only name server of the exits: `*.test` is 127.0.0.1, nothing else exists; every question is noted."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                packet, peer = self._socket.recvfrom(512)
            except OSError:
                return
            labels, at = [], 12
            while packet[at]:
                labels.append(packet[at + 1 : at + 1 + packet[at]].decode("latin-1").lower())
                at += 1 + packet[at]
            question, kind = packet[12 : at + 5], packet[at + 1 : at + 3]
            name = ".".join(labels)
            self.asked.append(name)
            known = name.endswith(".test")
            answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x7f\x00\x00\x01" if kind == b"\0\1" else b""
            answer = answer if known else b""
            flags = b"\x81\x80" if known else b"\x81\x83"
            header = packet[:2] + flags + b"\0\1" + len(answer and b"1").to_bytes(2, "big") + b"\0\0\0\0"
            self._socket.sendto(header + question + answer, peer)

    def stop(self) -> None:
        self._socket.close()


@dataclass(frozen=True)
class Onion:
    """An onion service; `url` without trailing slash. key: what `restore` publishes it again with."""

    host: str
    url: str
    key: str


class Tor:
    """One tor process with its folder, log and control socket."""

    def __init__(self, name: str, folder: Path, text: str) -> None:
        self.name, self.folder = name, folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self.control = folder / "control"
        self.socks = folder / "socks"
        self.torrc = folder / "torrc"
        self.torrc.write_text(
            text + f"DataDirectory {folder}/data\nControlPort unix:{self.control}\nCookieAuthentication 1\n"
            f"CookieAuthFile {folder}/cookie\n"
        )
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self._began = 0

    def start(self) -> None:
        """Start it, or start it again with all that it knew."""
        with self.log.open("ab") as out:
            self._began = out.tell()
            self.process = subprocess.Popen(
                [
                    debian_program("setpriv", "util-linux"), "--pdeathsig", "KILL", "--",
                    debian_program("tor", "tor"), "--defaults-torrc", str(self.folder.parent / "nothing"), "-f", str(self.torrc),
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, "MALLOC_ARENA_MAX": "1"},
            )  # fmt: skip

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    @contextlib.contextmanager
    def controller(self) -> Iterator[Controller]:
        """An authenticated control connection."""
        with Controller.from_socket_file(str(self.control)) as controller:
            controller.authenticate()
            yield controller

    def bootstrapped(self) -> bool:
        """Whether it is connected to the network since it was started last."""
        return b"Bootstrapped 100%" in self.log.read_bytes()[self._began :]

    def kill(self) -> None:
        """SIGKILL, as from a crash."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()


def wait_for(what: str, condition: Callable[[], bool], seconds: float, *, every: float = 0.2) -> None:
    """Return once the condition holds; a ServerError names what did not come."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise ServerError(f"{what} did not come in {seconds:.0f} s")
        time.sleep(every)


class TorNetwork:
    """The network; `client` is a running client, `onions` the Tor that publishes onion services."""

    def __init__(self, folder: Path) -> None:
        debian_program("tor", "tor")
        debian_program("tor-gencert", "tor")
        self.took = 0.0
        # one start in some dozens misses a round of votes; another is independent of it
        for name in ("first", "second"):
            try:
                self._start(folder / name)
            except ServerError:
                self.stop()
            else:
                return
        self._start(folder / "third")

    def _start(self, folder: Path) -> None:
        began = time.monotonic()
        folder.mkdir()
        self.folder = folder
        self.names = Names()
        self._all: list[Tor] = []
        (folder / "nothing").touch()
        resolv = folder / "resolv.conf"
        resolv.write_text(f"nameserver {HOST}:{self.names.port}\n")
        self._common = COMMON.format(nothing=folder / "nothing")
        authority_or, self._directory = free_port(), free_port()
        identity, fingerprint = self._authority_keys(folder / "authority", authority_or)
        self._common += (
            f"DirAuthority authority orport={authority_or} no-v2 v3ident={identity}"
            f" {HOST}:{self._directory} {fingerprint}\n"
        )
        offset = int(time.time() + FIRST_CONSENSUS) % ROUND
        ports = f"Nickname authority\nAddress {HOST}\nOrPort {HOST}:{authority_or}\nDirPort {HOST}:{self._directory}\n"
        self._add("authority", ports + AUTHORITY.format(offset=offset)).start()
        for number in range(RELAYS):
            ports = f"Nickname exit{number}\nAddress {HOST}\nOrPort {HOST}:{free_port()}\n"
            self._add(f"exit{number}", ports + EXIT.format(resolv=resolv)).start()
        # clients that start before every relay has the consensus with all relays in it lose 10 s now and then: they ask
        # a relay that knows no descriptors yet, and wait
        wait_for("the consensus of the private Tor network", self._consensus, READY_SECONDS)
        for tor in self._all:
            wait_for(f"the relay '{tor.name}'", tor.bootstrapped, READY_SECONDS)
        self.onions = self._add("onions", CLIENT + "SocksPort 0\n")
        self.client = self._add("client", self.client_text(folder / "client"))
        self.onions.start()
        self.client.start()
        wait_for("the client of the private Tor network", self.client.bootstrapped, READY_SECONDS)
        wait_for("the onion services' Tor", self.onions.bootstrapped, READY_SECONDS)
        self._prove()
        self.took = time.monotonic() - began

    def client_text(self, folder: Path, *, extended: bool = True) -> str:
        """Torrc of a client with SOCKS on a Unix socket `socks` and on a TCP port."""
        flags = " ExtendedErrors" if extended else ""
        self.socks_port = free_port()
        return CLIENT + f"SocksPort unix:{folder}/socks{flags}\nSocksPort {HOST}:{self.socks_port}{flags}\n"

    def another_client(self, name: str, extra: str = "") -> Tor:
        """One more client, not started yet, that a test may kill, freeze and start as it likes."""
        folder = self.folder / name
        return self._add(name, CLIENT + f"SocksPort unix:{folder}/socks ExtendedErrors\n" + extra)

    def torrc_for_own(self) -> str:
        """What a Tor that Tocsin starts itself has to include to live in this network."""
        kept = [line for line in self._common.splitlines() if not line.startswith(("Log", "RunAs"))]
        return "\n".join(kept) + "\nVanguardsLiteEnabled 0\n"

    def _add(self, name: str, text: str) -> Tor:
        tor = Tor(name, self.folder / name, self._common + text)
        self._all.append(tor)
        return tor

    def _authority_keys(self, folder: Path, port: int) -> tuple[str, str]:
        keys = folder / "data" / "keys"
        keys.mkdir(parents=True, mode=0o700)
        folder.chmod(0o700)
        (folder / "data").chmod(0o700)
        _run(
            [
                "tor-gencert", "--create-identity-key", "--passphrase-fd", "0", "-m", "1", "-a", f"{HOST}:{self._directory}",
                "-i", str(keys / "authority_identity_key"), "-s", str(keys / "authority_signing_key"),
                "-c", str(keys / "authority_certificate"),
            ],
            stdin=b"x\n",
        )  # fmt: skip
        certificate = (keys / "authority_certificate").read_text()
        identity = re.search(r"^fingerprint (\w+)", certificate, re.MULTILINE)
        assert identity is not None
        nothing = str(self.folder / "nothing")
        said = _run(
            [
                "tor", "--quiet", "--defaults-torrc", nothing, "-f", nothing, "--list-fingerprint", "--DataDirectory",
                str(folder / "data"), "--Nickname", "authority", "--OrPort", str(port), "--Address", HOST,
                "--SocksPort", "0", "--ContactInfo", "x", "--DirAuthority",
                f"authority orport={port} no-v2 v3ident={identity[1]} {HOST}:{self._directory} {'F' * 40}",
            ]
        )  # fmt: skip
        fingerprint = re.search(r"authority ((?:[0-9A-F]{4} ?){10})", said)
        if fingerprint is None:
            raise ServerError(f"tor did not name the fingerprint of the authority:\n{said}")
        return identity[1], fingerprint[1].replace(" ", "")

    def _consensus(self) -> bool:
        for tor in self._all:
            if not tor.alive():
                raise ServerError(f"the Tor '{tor.name}' ended:\n{tor.tail()}")
        try:
            with httpx.Client(trust_env=False, timeout=2) as client:
                text = client.get(f"http://{HOST}:{self._directory}/tor/status-vote/current/consensus").text
        except httpx.HTTPError:
            return False
        flags = [line for line in text.splitlines() if line.startswith("s ")]
        return sum("Running" in line and "HSDir" in line for line in flags) == RELAYS + 1

    def _prove(self) -> None:
        """Reach an onion service through the client; a network that cannot do that makes every test fail by itself."""
        with socket.create_server((HOST, 0)) as server:
            onion = self.publish(server.getsockname()[1])
            try:
                wait_for("an onion service of the private Tor network", lambda: self.reaches(onion), READY_SECONDS)
            finally:
                self.withdraw(onion)

    def reaches(self, onion: Onion, seconds: float = 10) -> bool:
        """Whether the client has a connection to an onion service in time."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(seconds)
            host = onion.host.encode()
            try:
                sock.connect(str(self.client.socks))
                sock.sendall(b"\x05\x01\x02")
                if sock.recv(2) != b"\x05\x02":
                    return False
                sock.sendall(b"\x01\x05prove\x01x")
                sock.recv(2)
                sock.sendall(b"\x05\x01\x00\x03" + bytes([len(host)]) + host + (80).to_bytes(2, "big"))
                return sock.recv(2) == b"\x05\x00"
            except OSError:
                # the time is over
                return False

    # --- onion services ------------------------------------------------------------------------------------------

    def publish(self, port: int, *, key: str = "", client: str = "", wait: bool = True) -> Onion:
        """A new onion service on port 80 that leads to a port of this machine.

        Args:
            port: of its back end.
            key: of an earlier one, to publish that again.
            client: base32 public key of the only client that may come in.
            wait: until its descriptor lies at all directories.
        """
        command = f"ADD_ONION {key or 'NEW:ED25519-V3'} Flags=Detach{',V3Auth' if client else ''} Port=80,{HOST}:{port}"
        if client:
            command += f" ClientAuthV3={client}"
        asked: set[tuple[str, str]] = set()
        answered: set[tuple[str, str]] = set()

        def told(event: object) -> None:
            place = (str(getattr(event, "address", "")), str(getattr(event, "directory_fingerprint", "")))
            action = getattr(event, "action", "")
            if action == "UPLOAD":
                asked.add(place)
            elif action in {"UPLOADED", "FAILED"}:
                answered.add(place)

        with self.onions.controller() as controller:
            controller.add_event_listener(told, "HS_DESC")
            answer = controller.msg(command)
            if not answer.is_ok():
                raise ServerError(f"no onion service: {answer}")
            said = dict(line.split("=", 1) for line in str(answer).splitlines() if "=" in line)

            def everywhere() -> bool:
                # a client asks any of the directories: at one alone it is not published yet
                mine = {place for place in asked.copy() if place[0] == said["ServiceID"]}
                return bool(mine) and mine <= answered

            if wait:
                wait_for("the publication of the onion service", everywhere, 30, every=0.05)
        host = f"{said['ServiceID']}.onion"
        return Onion(host, f"http://{host}", said.get("PrivateKey", key))

    def withdraw(self, onion: Onion) -> None:
        """End an onion service."""
        with self.onions.controller() as controller:
            controller.msg(f"DEL_ONION {onion.host.removesuffix('.onion')}")

    def stop(self) -> None:
        for tor in reversed(self._all):
            tor.stop()
        self.names.stop()


def _run(command: list[str], stdin: bytes = b"", environ: Mapping[str, str] | None = None) -> str:
    program = debian_program(command[0], "tor")
    done = subprocess.run(
        [program, *command[1:]], input=stdin, capture_output=True, timeout=60, env={**os.environ, **(environ or {})}
    )
    if done.returncode:
        raise ServerError(f"{command[0]} failed: {(done.stdout + done.stderr).decode(errors='replace')[-500:]}")
    return done.stdout.decode()
