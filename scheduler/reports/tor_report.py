"""The state of Tor for `status` and `doctor`, asked for now and with time limits; no Tor is started for it."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from crawler.process import landlock, privileges
from crawler.tor import control_port
from data.errors import KeyFileError, TorDown
from data.plural import counted
from data.settings.home import Home
from data.settings.settings import Settings
from data.sources.definition import Definition
from scheduler.crawls.tor_connection import EXTENDED_ERRORS_REPLY, TorConnection
from scheduler.reports.check import Check

CONFINED = "crawl processes over Tor have no network of their own"


def over_tor(definitions: Sequence[Definition]) -> list[Definition]:
    """The enabled sources whose connection is Tor."""
    return [each for each in definitions if each.via == "tor" and each.enabled]


def report(home: Home, settings: Settings, definitions: Sequence[Definition]) -> dict[str, Any]:
    """The value of `tor` in `status --json`.

    `state` is `ok`, `connecting`, or `down` with its `reason`.
    """
    tor = TorConnection(home, settings.tor)
    value: dict[str, Any] = {
        "mode": settings.tor.mode,
        "socks": str(tor.socks),
        "sources": len(over_tor(definitions)),
        "state": "ok",
        "reason": "",
        "version": None,
        "progress": None,
        "warnings": [],
        "circuits": {},
    }
    try:
        asyncio.run(tor.probe())
    except TorDown as error:
        return {**value, "state": "down", "reason": str(error)}
    if tor.control is None:
        return value
    try:
        health = control_port.read_health(tor.control, tor.password)
        circuits = control_port.read_circuits(tor.control, tor.password)
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
    """The checks of Tor for `doctor`; none if no enabled source needs Tor."""
    wanted = over_tor(definitions)
    if not wanted:
        return
    tor = TorConnection(home, settings.tor)
    if settings.tor.mode == "own" and shutil.which(settings.tor.program) is None:
        yield Check(
            "tor", "wrong", f"{settings.tor.program} is not installed", "apt-get install --no-install-recommends tor"
        )
        return
    yield from _socks_port(tor)
    yield from _control_port(tor)
    yield _confinement()
    for definition in wanted:
        yield from _onion_keys(home, definition, tor)


def _socks_port(tor: TorConnection) -> Iterator[Check]:
    try:
        code = asyncio.run(tor.probe())
    except TorDown as error:
        if tor.own_process is not None:
            yield Check("tor", "ok", "our own Tor is not running now; a crawl or the daemon starts it")
        else:
            yield Check("tor", "wrong", str(error), error.hint or tor.hint())
        return
    yield Check("tor", "ok", f"answers at {tor.socks}")
    if code != EXTENDED_ERRORS_REPLY:
        yield Check(
            "tor errors",
            "warning",
            "this Tor does not report why an onion service cannot be reached",
            "add ExtendedErrors to its SocksPort line in the torrc, and reload Tor",
        )


def _control_port(tor: TorConnection) -> Iterator[Check]:
    if tor.control is None:
        yield Check(
            "tor control",
            "warning",
            "none is declared: Tor's progress, version and clock are not known",
            "set control under [tor] in tocsin.toml",
        )
        return
    try:
        health = control_port.read_health(tor.control, tor.password)
    except control_port.ControlPortError as error:
        if tor.own_process is None:
            yield Check(
                "tor control", "warning", str(error), error.hint or "correct control under [tor] in tocsin.toml"
            )
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


def _confinement() -> Check:
    """Whether the system keeps a crawl process over Tor from the network even if a library has a fault."""
    level = privileges.describe_confinement()
    held = [name for name in ("network namespace", "system call filter") if level[name] == "available"]
    if landlock.version() >= landlock.PORTS_SINCE:
        held.append("Landlock")
    if "system call filter" in held or "network namespace" in held:
        return Check("tor wall", "ok", f"{CONFINED} ({', '.join(held)})")
    return Check(
        "tor wall",
        "warning",
        "this machine cannot take the network away from crawl processes over Tor; only their code keeps them to Tor",
        'use a kernel with seccomp; wall = "required" under [tor] refuses to crawl without confinement',
    )


def _onion_keys(home: Home, definition: Definition, tor: TorConnection) -> Iterator[Check]:
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
                "onion key",
                "warning",
                f"{path.name} has a key for an address that is no host of {definition.name}",
                "see docs/tor.md",
            )
    if keys and tor.control is None:
        yield Check(
            "onion key",
            "wrong",
            f"{definition.name} has a key, but Tor can only receive it over a control port",
            "set control under [tor] in tocsin.toml",
        )
    elif keys:
        yield Check("onion key", "ok", f"{definition.name}: {counted(len(keys), 'key')}")
