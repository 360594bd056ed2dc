"""How Tor is, for `status` and `doctor`: asked now, with deadlines; nothing is started for it."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from crawler.process import landlock, privileges
from crawler.tor import control_port
from data.errors import KeyFileError, TorDown
from data.settings.home import Home
from data.settings.settings import Settings
from data.sources.definition import Definition
from scheduler.crawls.tor_connection import EXTENDED_ERRORS_REPLY, TorConnection
from scheduler.reports.check import Check

WALL = "crawls over Tor have no network of their own"


def over_tor(definitions: Sequence[Definition]) -> list[Definition]:
    """The enabled ones whose road is Tor."""
    return [each for each in definitions if each.via == "tor" and each.enabled]


def report(home: Home, settings: Settings, definitions: Sequence[Definition]) -> dict[str, Any]:
    """What `status --json` says under `tor`.

    `state` is `ok`, `connecting`, or `down` with its `reason`.
    """
    road = TorConnection(home, settings.tor)
    value: dict[str, Any] = {
        "mode": settings.tor.mode,
        "socks": str(road.socks),
        "sources": len(over_tor(definitions)),
        "state": "ok",
        "reason": "",
        "version": None,
        "progress": None,
        "warnings": [],
        "circuits": {},
    }
    try:
        asyncio.run(road.probe())
    except TorDown as error:
        return {**value, "state": "down", "reason": str(error)}
    if road.control is None:
        return value
    try:
        health = control_port.read_health(road.control, road.password)
        circuits = control_port.read_circuits(road.control, road.password)
    except control_port.ControlPortError as error:
        return {**value, "warnings": [str(error)]}
    names = {each.name for each in definitions}
    users = Counter(circuit.user.split(":")[0] for circuit in circuits)
    return {
        **value,
        "state": "ok" if health.progress >= 100 else "connecting",
        "version": health.version,
        "progress": health.progress,
        "warnings": list(health.warnings),
        "circuits": {name: number for name, number in sorted(users.items()) if name in names},
    }


def checks(home: Home, settings: Settings, definitions: Sequence[Definition]) -> Iterator[Check]:
    """What `doctor` says of Tor; nothing where no source needs it."""
    wanted = over_tor(definitions)
    if not wanted:
        return
    road = TorConnection(home, settings.tor)
    if settings.tor.mode == "own" and shutil.which(settings.tor.program) is None:
        yield Check(
            "tor", "wrong", f"{settings.tor.program} is not installed", "apt-get install --no-install-recommends tor"
        )
        return
    yield from _port(road)
    yield from _control(road)
    yield _wall()
    for definition in wanted:
        yield from _keys(home, definition, road)


def _port(road: TorConnection) -> Iterator[Check]:
    try:
        code = asyncio.run(road.probe())
    except TorDown as error:
        if road.own_process is not None:
            yield Check("tor", "ok", "our own Tor does not run now; a crawl or the daemon starts it")
        else:
            yield Check("tor", "wrong", str(error), error.hint or road.hint())
        return
    yield Check("tor", "ok", f"answers at {road.socks}")
    if code != EXTENDED_ERRORS_REPLY:
        yield Check(
            "tor errors",
            "warning",
            "this Tor does not say why an onion service is not reached",
            "write ExtendedErrors behind its SocksPort in the torrc, and reload it",
        )


def _control(road: TorConnection) -> Iterator[Check]:
    if road.control is None:
        yield Check(
            "tor control", "warning", "none is declared: no progress, version or clock is seen", "[tor] control"
        )
        return
    try:
        health = control_port.read_health(road.control, road.password)
    except control_port.ControlPortError as error:
        if road.own_process is None:
            yield Check("tor control", "warning", str(error), error.hint or "correct [tor] control")
        return
    state = f"Tor {health.version}, {health.progress} % connected to its network"
    yield Check(
        "tor control",
        "ok" if health.progress >= 100 else "warning",
        state,
        "" if health.progress >= 100 else health.phase,
    )
    for warning in health.warnings:
        yield Check("tor control", "warning", warning, "see Tor's log; timedatectl set-ntp true sets the clock")


def _wall() -> Check:
    """The second wall: what a crawl process over Tor cannot do even where a library has a fault."""
    level = privileges.describe_confinement()
    held = [name for name in ("network namespace", "system call filter") if level[name] == "available"]
    if landlock.version() >= landlock.PORTS_SINCE:
        held.append("Landlock")
    if "system call filter" in held or "network namespace" in held:
        return Check("tor wall", "ok", f"{WALL} ({', '.join(held)})")
    return Check(
        "tor wall",
        "warning",
        "this machine cannot take the network away from crawls over Tor; only their own code keeps them to it",
        'use a kernel with seccomp; wall = "required" under [tor] refuses to crawl without',
    )


def _keys(home: Home, definition: Definition, road: TorConnection) -> Iterator[Check]:
    from data.sources.definition import source_hosts

    path = home.onion_key_path(definition.name)
    try:
        keys = control_port.read_onion_keys(path)
    except KeyFileError as error:
        yield Check("onion key", "wrong", str(error), error.hint)
        return
    hosts = {
        host.removesuffix(".onion").rpartition(".")[2]
        for host, _ in source_hosts(definition)
        if host.endswith(".onion")
    }
    for key in keys:
        if key.address not in hosts:
            yield Check(
                "onion key", "warning", f"{path.name} holds a key for no host of {definition.name}", "see docs/tor.md"
            )
    if keys and road.control is None:
        yield Check("onion key", "wrong", f"{definition.name} has a key, and no control port takes it", "[tor] control")
    elif keys:
        yield Check("onion key", "ok", f"{definition.name}: {len(keys)}")
