"""Talks to a Tor's control port: reads Tor's state and circuits, closes circuits, adds keys of onion services.

stem implements the protocol, but without timeouts. So each exchange runs in a thread of its own with a deadline, over a
connection of its own, and authenticates in exactly one way. A crawl uses the control port only before it starts.
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
# Sends one command line and returns stem's answer to it.
SendCommand = Callable[[str], Any]
# A Tor on this machine answers in milliseconds; one on another machine within a few round trips.
CONTROL_SECONDS = 5.0
# Tor itself still uses a consensus that expired less than this time ago.
REASONABLY_LIVE = timedelta(hours=24)
_VERSION_WARNINGS = {
    "old": "Tor is older than the versions that its authorities recommend",
    "obsolete": "Tor is obsolete: its authorities recommend against this version",
    "unrecommended": "Tor's authorities do not recommend this version",
}
_ONION_KEY = re.compile(r"([a-z2-7]{56}):descriptor:x25519:([A-Z2-7]{52})")


class ControlPortError(FetchFailed):
    """The control port did not answer as expected; the fetching of pages does not depend on it."""


@dataclass(frozen=True, slots=True)
class TorHealth:
    """What a Tor reports about itself.

    Attributes:
        version: of the program.
        progress: percent of connecting to the Tor network; 100 when it is connected.
        phase: what it is doing while it connects.
        warnings: sentences for a person about version, clock and what keeps it from connecting.
    """

    version: str
    progress: int
    phase: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Circuit:
    """A circuit that carries streams of one SOCKS user: its id, its state and that user."""

    id: str
    state: str
    user: str


def run_commands(
    control: Endpoint,
    password: str | None,
    commands: Callable[[SendCommand], T],
    seconds: float = CONTROL_SECONDS,
) -> T:
    """The return value of `commands`, which gets a function that sends one command line and returns stem's answer.

    Raises:
        ControlPortError: there was no connection, no permission or no answer in time, or Tor refused a command.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(_connect_and_run(control, password, commands))
        except Exception as error:  # noqa: BLE001 - raised again by the caller's thread below
            errors.append(error)

    thread = threading.Thread(target=run, name="tor control", daemon=True)
    thread.start()
    thread.join(seconds)
    if results:
        return results[0]
    if not errors:
        raise ControlPortError(f"Tor's control port at {control} did not answer within {seconds:.0f} s")
    if isinstance(errors[0], ControlPortError):
        raise errors[0]
    message, hint = _explain(errors[0])
    raise ControlPortError(f"Tor's control port at {control}: {message}", hint=hint) from errors[0]


def _connect_and_run(control: Endpoint, password: str | None, commands: Callable[[SendCommand], T]) -> T:
    from stem import connection
    from stem.socket import ControlPort, ControlSocketFile

    _require_listener(control)
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
            raise ControlPortError(
                f"Tor's control port at {control} requires a password", hint="write it under [tor] password"
            )

        def send_command(line: str) -> Any:
            sock.send(line)
            answer = sock.recv()
            code = next(iter(answer.content()))[0]
            # Success is 250; for a key also 251 (it replaced another one) or 252 (it decrypted a waiting descriptor).
            if not code.startswith("2"):
                # Tor's message is not shown: it repeats the command, keys included.
                raise ControlPortError(f"Tor's control port at {control} refused with {code}: {line.split(' ')[0]}")
            return answer

        return commands(send_command)
    finally:
        sock.close()


def _require_listener(control: Endpoint) -> None:
    """Raise the system's own error if nothing listens there: stem hides this error and leaves its socket open."""
    address: Any = control.path or (control.host, control.port)
    family = socket.AF_UNIX if control.path else socket.AF_INET6 if ":" in control.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(CONTROL_SECONDS)
        sock.connect(address)


def _explain(error: BaseException) -> tuple[str, str]:
    """A message and a hint for an exception of stem or of the system."""
    name = type(error).__name__
    if isinstance(error, PermissionError):
        return "this user has no permission to connect", "add the user to Tor's group:  adduser USER debian-tor"
    if name in {"UnreadableCookieFile", "CookieAuthFailed"}:
        return "this user may not read its cookie file", "add the user to Tor's group:  adduser USER debian-tor"
    if name in {"IncorrectPassword", "PasswordAuthFailed", "PasswordAuthRejected"}:
        return "the password is wrong", "correct [tor] password"
    if isinstance(error, OSError):
        return "nothing listens there", "start Tor, or correct [tor] control"
    return f"it cannot be used ({name})", ""


def read_health(control: Endpoint, password: str | None = None, *, now: datetime | None = None) -> TorHealth:
    """Version, connection progress and warnings of a Tor.

    Raises:
        ControlPortError: its control port does not answer.
    """
    from stem.response import convert

    def commands(send_command: SendCommand) -> dict[str, str]:
        names = ("version", "status/version/current", "status/bootstrap-phase")
        found: dict[str, str] = {}
        for name in names:
            answer = send_command(f"GETINFO {name}")
            convert("GETINFO", answer)
            found[name] = _text(answer.entries[name])
        for name in ("consensus/valid-after", "consensus/valid-until"):
            try:
                answer = send_command(f"GETINFO {name}")
            except ControlPortError:
                # It has not downloaded a consensus yet.
                continue
            convert("GETINFO", answer)
            found[name] = _text(answer.entries[name])
        return found

    return _health_from(run_commands(control, password, commands), now or datetime.now(UTC))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _health_from(info: Mapping[str, str], now: datetime) -> TorHealth:
    """The health that values of GETINFO describe; pure."""
    phase = dict(part.split("=", 1) for part in shlex.split(info["status/bootstrap-phase"]) if "=" in part)
    warnings = []
    if warning := _VERSION_WARNINGS.get(info["status/version/current"]):
        warnings.append(warning)
    if "WARNING" in phase:
        clock = "; set this machine's clock" if phase.get("REASON") == "CLOCK_SKEW" else ""
        warnings.append(f"it cannot connect to the Tor network: {phase['WARNING']}{clock}")
    try:
        after, until = (
            datetime.fromisoformat(info[f"consensus/valid-{end}"]).replace(tzinfo=UTC) for end in ("after", "until")
        )
    except (KeyError, ValueError):
        after = until = now
    if now < after - timedelta(hours=1):
        warnings.append("its consensus is from the future: this machine's clock is behind")
    elif now > until + REASONABLY_LIVE:
        warnings.append(
            "its consensus expired more than a day ago: this machine's clock is ahead, or it has no network"
        )
    return TorHealth(
        info["version"].split(" ")[0], int(phase.get("PROGRESS", "0")), phase.get("SUMMARY", ""), tuple(warnings)
    )


def read_circuits(control: Endpoint, password: str | None = None) -> list[Circuit]:
    """Circuits that carry, or carried, streams of a SOCKS user."""
    from stem.response import convert

    def commands(send_command: SendCommand) -> str:
        answer = send_command("GETINFO circuit-status")
        convert("GETINFO", answer)
        return _text(answer.entries["circuit-status"])

    found = []
    for line in run_commands(control, password, commands).splitlines():
        words = shlex.split(line)
        user = next((word.partition("=")[2] for word in words if word.startswith("SOCKS_USERNAME=")), "")
        if user and len(words) > 1:
            found.append(Circuit(words[0], words[1], user))
    return found


def close_circuits(control: Endpoint, password: str | None, user: str) -> int:
    """Close the circuits of one source, so that it gets new ones; other sources keep theirs. Returns their number."""
    old = [circuit for circuit in read_circuits(control, password) if circuit.user.split(":")[0] == user]

    def commands(send_command: SendCommand) -> int:
        for circuit in old:
            send_command(f"CLOSECIRCUIT {circuit.id}")
        return len(old)

    return run_commands(control, password, commands)


# --- client keys of onion services --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class OnionKey:
    """The client key for one onion service that admits only clients with a key; never printed."""

    address: str
    key: bytes

    def __repr__(self) -> str:
        """A text without the key."""
        return "<OnionKey>"


def read_onion_keys(path: Path) -> list[OnionKey]:
    """The client keys in the file of a source; no keys if there is no file.

    Each line is as Tor itself writes it, `ADDRESS:descriptor:x25519:KEY`; empty lines and comments (#) are skipped.

    Raises:
        KeyFileError: the file cannot be used; the message quotes nothing of it.
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
        match = _ONION_KEY.fullmatch(line)
        if match is None:
            raise KeyFileError(
                f"{path.name}:{number}: this is not a client key for an onion service",
                hint="write each line as  ADDRESS-WITHOUT-.onion:descriptor:x25519:KEY  (docs/tor.md)",
            )
        try:
            key = base64.b32decode(match[2] + "====")
        except binascii.Error as error:
            raise KeyFileError(f"{path.name}:{number}: the key is damaged", hint="see docs/tor.md") from error
        keys.append(OnionKey(match[1], key))
    return keys


def add_onion_keys(control: Endpoint, password: str | None, keys: list[OnionKey]) -> None:
    """Give client keys to a Tor, which keeps them until it ends.

    Raises:
        ControlPortError: it did not accept them.
    """

    def commands(send_command: SendCommand) -> None:
        for each in keys:
            send_command(f"ONION_CLIENT_AUTH_ADD {each.address} x25519:{base64.b64encode(each.key).decode()}")

    run_commands(control, password, commands)
