"""The road over Tor as the runner and the commands see it: where Tor is, whether it is ready, whose circuits a crawl uses."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import Any, Literal

from crawler.fetching.scrapy_settings import over_tor
from crawler.tor import control_port
from crawler.tor.dial_socket import connect_to
from crawler.tor.tor_process import TorProcess
from data.errors import ConfigError, TorDown
from data.settings.endpoint import Endpoint
from data.settings.home import Home
from data.settings.settings import Settings, TorSettings
from data.sources.definition import Definition

SYSTEM_SOCKS, SYSTEM_CONTROL = "127.0.0.1:9050", "unix:/run/tor/control"
# A Tor that was just started, or is being started again, gets so long before it counts as down.
STARTING_SECONDS = 10.0
LOOK_EVERY = 0.25
EXTENDED = 0xF6


class TorRoad:
    """One home's way to Tor; opens nothing before it is asked to."""

    def __init__(self, home: Home, settings: TorSettings) -> None:
        self.settings, self._home = settings, home
        self._connecting_since: float | None = None
        self.own: TorProcess | None = None
        self.control: Endpoint | None = Endpoint.parse(settings.control) if settings.control else None
        if settings.mode == "own":
            self.own = TorProcess(home.path / "tor", program=settings.program, extra=settings.torrc)
            self.socks, self.control = self.own.socks, self.own.control
        else:
            self.socks = Endpoint.parse(settings.socks or SYSTEM_SOCKS)
            if settings.mode == "system" and self.control is None:
                self.control = Endpoint.parse(SYSTEM_CONTROL)

    @property
    def password(self) -> str | None:
        """Of the control port."""
        return self.settings.password.get_secret_value() if self.settings.password else None

    async def answers(self) -> int:
        """The code of its SOCKS port for an address that cannot be one; `EXTENDED` where it says all it knows.

        Raises:
            TorDown: it does not answer.
        """
        # 3 MB that only crawls over Tor need
        from crawler.tor.socks import probe_socks_port

        try:
            return await probe_socks_port(await connect_to(self.socks))
        except OSError as error:
            raise TorDown(f"Tor does not run: nobody takes connections at {self.socks}", hint=self.hint()) from error

    def hint(self) -> str:
        """What to do about a Tor that is not there."""
        if self.settings.mode == "system":
            return "apt-get install --no-install-recommends tor, or start it:  systemctl start tor"
        if self.own is not None:
            return f"look at {self.own.folder / 'log'}"
        return "start it, or correct [tor] socks"

    async def look(self) -> str | None:
        """Why Tor is not there, '' where it is, None while it still connects to its network."""
        try:
            started = self._start()
            await self.answers()
        except ConfigError as error:
            return str(error)
        except TorDown as error:
            if started and self.own is not None and self.own.age < STARTING_SECONDS:
                return None
            return str(self._explained(error))
        health = await self.health()
        if health is None or health.progress >= 100:
            self._connecting_since = None
            return ""
        if self._connecting_since is None:
            self._connecting_since = time.monotonic()
        if time.monotonic() - self._connecting_since < self.settings.ready.total_seconds():
            return None
        return f"Tor is not connected to its network ({health.progress} %, {health.phase})"

    async def ready(self, tell: Callable[[str], None] | None = None) -> None:
        """Return once Tor answers and, where its control port says so, is connected to its network.

        Args:
            tell: gets a sentence at each step of the waiting.

        Raises:
            TorDown: it did not come in time.
            ConfigError: our own Tor cannot be started.
        """
        began = time.monotonic()
        last = ""
        while True:
            waited = time.monotonic() - began
            longest = self.settings.ready.total_seconds()
            started = self._start()
            try:
                await self.answers()
            except TorDown as error:
                if waited >= min(longest, STARTING_SECONDS if started else 0):
                    raise self._explained(error) from error
                await asyncio.sleep(LOOK_EVERY)
                continue
            health = await self.health()
            if health is None or health.progress >= 100:
                return
            if health.phase != last and tell is not None:
                last = health.phase
                tell(f"Tor connects to its network: {health.progress} %, {health.phase}")
            if waited >= longest:
                said = (
                    f"Tor is not connected to its network after {longest:.0f} s ({health.progress} %, {health.phase})"
                )
                raise TorDown(said, hint="; ".join(health.warnings) or "look at Tor's log")
            await asyncio.sleep(LOOK_EVERY)

    def _start(self) -> bool:
        """Start our own Tor where it is ours to start; whether one has just been started."""
        if self.own is None:
            return False
        if not self.own.alive and not self.socks_taken():
            self.own.ensure_running()
        return self.own.alive

    def socks_taken(self) -> bool:
        """Whether somebody listens at our own Tor's socket: the daemon's Tor serves a command in the foreground too."""
        import socket

        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(1)
            try:
                sock.connect(self.socks.path)
            except OSError:
                return False
        return True

    def _explained(self, error: TorDown) -> TorDown:
        if self.own is not None and not self.own.alive and (said := self.own.last_log_lines()):
            return TorDown(f"our own Tor ended: {said}", hint=self.hint())
        return TorDown(str(error), hint=error.hint or self.hint())

    async def health(self) -> control_port.TorHealth | None:
        """What Tor says of itself; None where its control port does not say."""
        if self.control is None:
            return None
        try:
            return await asyncio.to_thread(control_port.read_health, self.control, self.password)
        except control_port.ControlPortError:
            # the crawls go without it; doctor tells
            return None

    async def give_keys(self, definition: Definition) -> None:
        """Give Tor the keys with which this source's onion services let us in.

        Raises:
            ConfigError: there are keys, and no control port that takes them.
        """
        keys = control_port.read_onion_keys(self._home.onion_key_path(definition.name))
        if not keys:
            return
        if self.control is None:
            raise ConfigError(
                f"{definition.name} has a key for its onion service, and Tor's control port is not declared",
                hint="write  control = …  under [tor]",
            )
        try:
            await asyncio.to_thread(control_port.add_onion_keys, self.control, self.password, keys)
        except control_port.ControlPortError as error:
            raise ConfigError(f"{definition.name}'s key does not reach Tor: {error}", hint=error.hint) from error

    def crawl_settings(self, definition: Definition, *, crawl: str, post_key: bytes, failures: int) -> dict[str, Any]:
        """What a crawl over Tor has on top of `crawler.fetching.scrapy_settings.crawl_settings`.

        Args:
            definition: of the source.
            crawl: its id; the user's, where the source asks for circuits of its own for each crawl.
            post_key: of the case: another home's sources of the same name use other circuits.
            failures: failed crawls in a row: after some of them the next one begins with new circuits.
        """
        return over_tor(self.settings, user=self.user(definition, crawl, failures), secret=circuit_secret(post_key))

    def user(self, definition: Definition, crawl: str, failures: int) -> str:
        """Name under which Tor knows the source's circuits; it begins with the source's own."""
        user = definition.name
        if definition.circuits == "crawl":
            user += f":crawl-{crawl}"
        if failures >= self.settings.new_circuits_after:
            user += f":after-{failures}"
        return user

    def network(self) -> Literal["required", "refused"]:
        """How a crawl process gives up the network."""
        return "required" if self.settings.wall == "required" else "refused"

    def close(self) -> None:
        """End our own Tor, if this object started it."""
        if self.own is not None:
            self.own.stop()


def circuit_secret(post_key: bytes) -> str:
    """What keeps circuits apart from those of other programs on the same Tor; says nothing about the key."""
    return hashlib.blake2b(b"tor circuits", key=post_key[:64], digest_size=12).hexdigest()


def road_of(home: Home, settings: Settings) -> TorRoad:
    """The home's road; made anew after every change of its settings."""
    return TorRoad(home, settings.tor)
