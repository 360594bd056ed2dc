"""A Tor's control port: how it is, which circuits it has, which keys it holds; fetching pages is `crawler.tor.tor_handler`'s.

stem speaks the protocol. It has no time-outs, so that every conversation is a thread of its own with a deadline, with a
connection of its own and exactly one way to authenticate. No crawl waits for it but at its beginning.
"""

from __future__ import annotations

import base64
import binascii
import re
import shlex
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from data.errors import FetchFailed, KeyFileError
from data.settings.endpoint import Endpoint

T = TypeVar("T")
# A Tor on this machine answers in milliseconds; one elsewhere in some round trips.
CONTROL_SECONDS = 5.0
# Tor itself takes a directory for usable that ended so long ago.
REASONABLY_LIVE = timedelta(hours=24)
_VERSIONS = {
    "old": "Tor is older than those that its authorities recommend",
    "obsolete": "Tor is obsolete: its authorities recommend against it",
    "unrecommended": "Tor's authorities do not recommend this version",
}
_KEY = re.compile(r"([a-z2-7]{56}):descriptor:x25519:([A-Z2-7]{52})")


class ControlFailed(FetchFailed):
    """The control port did not answer as it should; the crawls themselves do not need it."""


@dataclass(frozen=True, slots=True)
class TorHealth:
    """What a Tor says of itself.

    Attributes:
        version: of the program. progress: percent of connecting to its network, 100 when it is done. phase: where it is.
        warnings: sentences for a person: version, clock, what keeps it from its network.
    """

    version: str
    progress: int
    phase: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Circuit:
    """A circuit that carries streams of one SOCKS user: its id, state and that user."""

    id: str
    state: str
    user: str


def converse(
    control: Endpoint, password: str | None, talk: Callable[[Callable[[str], Any]], T], seconds: float = CONTROL_SECONDS
) -> T:
    """What `talk` makes of a conversation; it gets a function that sends a line and returns stem's answer.

    Raises:
        ControlFailed: no connection, no leave, no answer in time.
    """
    outcome: list[T] = []
    trouble: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(_talk(control, password, talk))
        except Exception as error:  # noqa: BLE001 - handed to the caller below
            trouble.append(error)

    thread = threading.Thread(target=run, name="tor control", daemon=True)
    thread.start()
    thread.join(seconds)
    if outcome:
        return outcome[0]
    if not trouble:
        raise ControlFailed(f"Tor's control port at {control} did not answer within {seconds:.0f} s")
    if isinstance(trouble[0], ControlFailed):
        raise trouble[0]
    said = _explained(trouble[0])
    raise ControlFailed(f"Tor's control port at {control}: {said[0]}", hint=said[1]) from trouble[0]


def _talk(control: Endpoint, password: str | None, talk: Callable[[Callable[[str], Any]], T]) -> T:
    from stem import connection
    from stem.socket import ControlPort, ControlSocketFile

    _reachable(control)
    sock = ControlSocketFile(control.path) if control.path else ControlPort(control.host, control.port)
    try:
        offered = connection.get_protocolinfo(sock)
        methods = offered.auth_methods
        if password is not None:
            connection.authenticate_password(sock, password)
        elif connection.AuthMethod.NONE in methods:
            connection.authenticate_none(sock)
        elif connection.AuthMethod.SAFECOOKIE in methods:
            connection.authenticate_safecookie(sock, offered.cookie_path)
        elif connection.AuthMethod.COOKIE in methods:
            connection.authenticate_cookie(sock, offered.cookie_path)
        else:
            raise ControlFailed(
                f"Tor's control port at {control} asks for a password", hint="write it under [tor] password"
            )

        def say(line: str) -> Any:
            sock.send(line)
            answer = sock.recv()
            code = next(iter(answer.content()))[0]
            # 250 and its like: 251 is a key that took another one's place, 252 one that opened what waited for it
            if not code.startswith("2"):
                # never its words: they repeat what was asked, keys included
                raise ControlFailed(f"Tor's control port at {control} refused with {code}: {line.split(' ')[0]}")
            return answer

        return talk(say)
    finally:
        sock.close()


def _reachable(control: Endpoint) -> None:
    """Raise the system's own error where there is none to talk to: stem hides it, and leaves its socket open."""
    address: Any = control.path or (control.host, control.port)
    family = socket.AF_UNIX if control.path else socket.AF_INET6 if ":" in control.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(CONTROL_SECONDS)
        sock.connect(address)


def _explained(error: BaseException) -> tuple[str, str]:
    """A sentence for what stem or the system raised, and what to do."""
    name = type(error).__name__
    if isinstance(error, PermissionError):
        return "this user may not connect to it", "add the user to Tor's group:  adduser USER debian-tor"
    if name in {"UnreadableCookieFile", "CookieAuthFailed"}:
        return "this user may not read its cookie", "add the user to Tor's group:  adduser USER debian-tor"
    if name in {"IncorrectPassword", "PasswordAuthFailed", "PasswordAuthRejected"}:
        return "the password is wrong", "correct [tor] password"
    if isinstance(error, OSError):
        return "nobody listens there", "start Tor, or correct [tor] control"
    return f"it cannot be used ({name})", ""


def health(control: Endpoint, password: str | None = None, *, now: datetime | None = None) -> TorHealth:
    """How a Tor is.

    Raises:
        ControlFailed: its control port does not say.
    """
    from stem.response import convert

    def talk(say: Callable[[str], Any]) -> dict[str, str]:
        names = ("version", "status/version/current", "status/bootstrap-phase")
        found: dict[str, str] = {}
        for name in names:
            answer = say(f"GETINFO {name}")
            convert("GETINFO", answer)
            found[name] = _text(answer.entries[name])
        for name in ("consensus/valid-after", "consensus/valid-until"):
            try:
                answer = say(f"GETINFO {name}")
            except ControlFailed:
                # it has no directory yet
                continue
            convert("GETINFO", answer)
            found[name] = _text(answer.entries[name])
        return found

    return _judged(converse(control, password, talk), now or datetime.now(UTC))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _judged(said: Mapping[str, str], now: datetime) -> TorHealth:
    """The health behind the values of GETINFO; pure."""
    phase = dict(part.split("=", 1) for part in shlex.split(said["status/bootstrap-phase"]) if "=" in part)
    warnings = []
    if warning := _VERSIONS.get(said["status/version/current"]):
        warnings.append(warning)
    if "WARNING" in phase:
        clock = "; set this machine's clock" if phase.get("REASON") == "CLOCK_SKEW" else ""
        warnings.append(f"it does not get on: {phase['WARNING']}{clock}")
    try:
        after, until = (
            datetime.fromisoformat(said[f"consensus/valid-{end}"]).replace(tzinfo=UTC) for end in ("after", "until")
        )
    except (KeyError, ValueError):
        after = until = now
    if now < after - timedelta(hours=1):
        warnings.append("its directory is from the future: this machine's clock is behind")
    elif now > until + REASONABLY_LIVE:
        warnings.append("its directory is more than a day old: this machine's clock is ahead, or it has no network")
    return TorHealth(
        said["version"].split(" ")[0], int(phase.get("PROGRESS", "0")), phase.get("SUMMARY", ""), tuple(warnings)
    )


def circuits(control: Endpoint, password: str | None = None) -> list[Circuit]:
    """Circuits that carry, or carried, streams of a SOCKS user."""
    from stem.response import convert

    def talk(say: Callable[[str], Any]) -> str:
        answer = say("GETINFO circuit-status")
        convert("GETINFO", answer)
        return _text(answer.entries["circuit-status"])

    found = []
    for line in converse(control, password, talk).splitlines():
        words = shlex.split(line)
        user = next((word.partition("=")[2] for word in words if word.startswith("SOCKS_USERNAME=")), "")
        if user and len(words) > 1:
            found.append(Circuit(words[0], words[1], user))
    return found


def renew(control: Endpoint, password: str | None, user: str) -> int:
    """Close the circuits of a source, so that it gets new ones; other sources keep theirs. Returns how many."""
    old = [circuit for circuit in circuits(control, password) if circuit.user.split(":")[0] == user]

    def talk(say: Callable[[str], Any]) -> int:
        for circuit in old:
            say(f"CLOSECIRCUIT {circuit.id}")
        return len(old)

    return converse(control, password, talk)


# --- keys of onion services that let in only who holds one --------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class OnionKey:
    """A key that opens one onion service; never printed."""

    address: str
    key: bytes

    def __repr__(self) -> str:
        """Not the key."""
        return "<OnionKey>"


def read_keys(path: Path) -> list[OnionKey]:
    """The keys of a source's file, one line each as Tor itself writes them: `ADDRESS:descriptor:x25519:KEY`.

    Raises:
        KeyFileError: the file cannot be used; its message quotes nothing of it.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="ascii").splitlines()]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path} cannot be read", hint="see docs/tor.md") from error
    keys = []
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        match = _KEY.fullmatch(line)
        if match is None:
            raise KeyFileError(
                f"{path.name}:{number}: this is no key of an onion service",
                hint="a line is  ADDRESS-WITHOUT-.onion:descriptor:x25519:KEY  (docs/tor.md)",
            )
        try:
            key = base64.b32decode(match[2] + "====")
        except binascii.Error as error:
            raise KeyFileError(f"{path.name}:{number}: the key is damaged", hint="see docs/tor.md") from error
        keys.append(OnionKey(match[1], key))
    return keys


def add_keys(control: Endpoint, password: str | None, keys: list[OnionKey]) -> None:
    """Give a Tor the keys of a source; it forgets them when it ends.

    Raises:
        ControlFailed: it did not take them.
    """

    def talk(say: Callable[[str], Any]) -> None:
        for each in keys:
            say(f"ONION_CLIENT_AUTH_ADD {each.address} x25519:{base64.b64encode(each.key).decode()}")

    converse(control, password, talk)
