"""The installation's connection to Tor: where Tor is, whether it is ready, and which circuits a crawl uses."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import Any, Literal

from crawler.fetching.scrapy_settings import over_tor
from crawler.tor import control_port
from crawler.tor.tor_dial import connect_to
from crawler.tor.tor_process import TorProcess
from data.errors import ConfigError, TorDown
from data.settings.endpoint import Endpoint
from data.settings.home import Home
from data.settings.settings import TorSettings
from data.sources.definition import Definition

SYSTEM_SOCKS, SYSTEM_CONTROL = "127.0.0.1:9050", "unix:/run/tor/control"
# A Tor that has just been started or restarted does not count as down before this time is over.
STARTING_SECONDS = 10.0
POLL_SECONDS = 0.25
# The reply of a Tor with ExtendedErrors to an invalid onion address.
EXTENDED_ERRORS_REPLY = 0xF6


class TorConnection:
    """How one home's crawls reach Tor; opens no connection and starts no process before it is asked to."""

    def __init__(self, home: Home, settings: TorSettings) -> None:
        """For one home.

        Args:
            home: contains the keys of onion services, and the files of our own Tor process.
            settings: of this home; after a change of settings a new object is needed.
        """
        self.settings, self._home = settings, home
        self._connecting_since: float | None = None
        self.own_process: TorProcess | None = None
        self.control: Endpoint | None = Endpoint.parse(settings.control) if settings.control else None
        if settings.mode == "own":
            self.own_process = TorProcess(home.path / "tor", program=settings.program, extra=settings.torrc)
            self.socks, self.control = self.own_process.socks, self.own_process.control
        else:
            self.socks = Endpoint.parse(settings.socks or SYSTEM_SOCKS)
            if settings.mode == "system" and self.control is None:
                self.control = Endpoint.parse(SYSTEM_CONTROL)

    @property
    def password(self) -> str | None:
        """Password of the control port; None if none is set."""
        return self.settings.password.get_secret_value() if self.settings.password else None

    async def probe(self) -> int:
        """The reply of the SOCKS port to an invalid onion address; `EXTENDED_ERRORS_REPLY` with ExtendedErrors.

        Raises:
            TorDown: Tor does not answer.
        """
        # Imported here because it takes 3 MB, which only crawls over Tor need.
        from crawler.tor.socks import probe_socks_port

        try:
            return await probe_socks_port(await connect_to(self.socks))
        except OSError as error:
            raise TorDown(f"Tor is not running: nothing listens at {self.socks}", hint=self.hint()) from error

    def hint(self) -> str:
        """What to do if Tor cannot be reached."""
        if self.settings.mode == "system":
            return "apt-get install --no-install-recommends tor, or start it:  systemctl start tor"
        if self.own_process is not None:
            return f"look at {self.own_process.folder / 'log'}"
        return "start it, or correct [tor] socks"

    async def check(self) -> str | None:
        """Why Tor is down, '' if it works, None while it is still connecting to the Tor network.

        Starts our own Tor process if it is not running.
        """
        try:
            started = self._ensure_own_process()
            await self.probe()
        except ConfigError as error:
            return str(error)
        except TorDown as error:
            if started and self.own_process is not None and self.own_process.age < STARTING_SECONDS:
                return None
            return str(self._with_log(error))
        health = await self.health()
        if health is None or health.progress >= 100:
            self._connecting_since = None
            return ""
        if self._connecting_since is None:
            self._connecting_since = time.monotonic()
        if time.monotonic() - self._connecting_since < self.settings.ready.total_seconds():
            return None
        return f"Tor is not connected to the Tor network ({health.progress} %, {health.phase})"

    async def wait_until_ready(self, report: Callable[[str], None] | None = None) -> None:
        """Return once Tor answers and, as far as its control port shows, is connected to the Tor network.

        Starts our own Tor process if it is not running.

        Args:
            report: is called with a message about each step of the waiting.

        Raises:
            TorDown: Tor was not ready in time.
            ConfigError: our own Tor cannot be started.
        """
        began = time.monotonic()
        last_phase = ""
        while True:
            waited = time.monotonic() - began
            limit = self.settings.ready.total_seconds()
            started = self._ensure_own_process()
            try:
                await self.probe()
            except TorDown as error:
                if waited >= min(limit, STARTING_SECONDS if started else 0):
                    raise self._with_log(error) from error
                await asyncio.sleep(POLL_SECONDS)
                continue
            health = await self.health()
            if health is None or health.progress >= 100:
                return
            if health.phase != last_phase and report is not None:
                last_phase = health.phase
                report(f"Tor is connecting to the Tor network: {health.progress} %, {health.phase}")
            if waited >= limit:
                message = (
                    f"Tor did not connect to the Tor network within {limit:.0f} s ({health.progress} %, {health.phase})"
                )
                raise TorDown(message, hint="; ".join(health.warnings) or "look at Tor's log")
            await asyncio.sleep(POLL_SECONDS)

    def _ensure_own_process(self) -> bool:
        """Start our own Tor unless another process of ours runs it; whether this object's process is running."""
        if self.own_process is None:
            return False
        if not self.own_process.alive and not self._socks_in_use():
            self.own_process.ensure_running()
        return self.own_process.alive

    def _socks_in_use(self) -> bool:
        """Whether our own Tor is running already: a command in the foreground uses the daemon's process."""
        import socket

        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(1)
            try:
                sock.connect(self.socks.path)
            except OSError:
                return False
        return True

    def _with_log(self, error: TorDown) -> TorDown:
        """The error, or the last log lines of our own Tor process if it has ended."""
        if self.own_process is not None and not self.own_process.alive and (lines := self.own_process.last_log_lines()):
            return TorDown(f"our own Tor ended: {lines}", hint=self.hint())
        return TorDown(str(error), hint=error.hint or self.hint())

    async def health(self) -> control_port.TorHealth | None:
        """What Tor reports about itself; None if its control port does not answer or is not configured."""
        if self.control is None:
            return None
        try:
            return await asyncio.to_thread(control_port.read_health, self.control, self.password)
        except control_port.ControlPortError:
            # Crawls work without the control port; `tocsin doctor` reports the problem.
            return None

    async def add_onion_keys(self, definition: Definition) -> None:
        """Give Tor the client keys for the onion services of a source.

        Raises:
            ConfigError: there are keys, and no control port that accepts them.
        """
        keys = control_port.read_onion_keys(self._home.onion_key_path(definition.name))
        if not keys:
            return
        if self.control is None:
            raise ConfigError(
                f"{definition.name} has a key for its onion service, but no control port of Tor is configured",
                hint="write  control = …  under [tor]",
            )
        try:
            await asyncio.to_thread(control_port.add_onion_keys, self.control, self.password, keys)
        except control_port.ControlPortError as error:
            raise ConfigError(
                f"the onion service key of {definition.name} could not be given to Tor: {error}", hint=error.hint
            ) from error

    def crawl_settings(self, definition: Definition, *, crawl: str, post_key: bytes, failures: int) -> dict[str, Any]:
        """Scrapy settings that a crawl over Tor adds to `crawler.fetching.scrapy_settings.crawl_settings`.

        Args:
            definition: of the source.
            crawl: id of the crawl; part of the user name if the source wants new circuits for each crawl.
            post_key: of the case; it keeps the circuits of homes with a source of the same name apart.
            failures: number of failed crawls in a row; after some of them the next crawl begins with new circuits.
        """
        user = self.socks_user(definition, crawl, failures)
        return over_tor(self.settings, user=user, secret=circuit_secret(post_key))

    def socks_user(self, definition: Definition, crawl: str, failures: int) -> str:
        """The SOCKS user whose circuits the crawl uses; its name begins with the name of the source."""
        user = definition.name
        if definition.circuits == "crawl":
            user += f":crawl-{crawl}"
        if failures >= self.settings.new_circuits_after:
            user += f":after-{failures}"
        return user

    def network_mode(self) -> Literal["refused", "required"]:
        """How a crawl process gives up the network; the `network` of `crawler.process.job_frame.Job`."""
        return "required" if self.settings.wall == "required" else "refused"

    def close(self) -> None:
        """End our own Tor process, if this object started it."""
        if self.own_process is not None:
            self.own_process.stop()


def circuit_secret(post_key: bytes) -> str:
    """A password for the SOCKS port that separates our circuits from those of other programs; reveals no key."""
    return hashlib.blake2b(b"tor circuits", key=post_key[:64], digest_size=12).hexdigest()
