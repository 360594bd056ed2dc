"""The main functions of crawl processes: one takes one job from the runner, runs one spider and ends; one makes a batch.

A batch is the crawls of many sources in one process, several of them side by side. Each has its own sockets, its own
engine of Scrapy with its own rate, and its own deadline; the confinement of the process is that of a single crawl.

Everything that is slow to import is imported here, so that the fork server loads it once for all crawl processes that
it forks. The event loop and Twisted's reactor are created in the forked process only. The process of a command that
makes a single crawl is started without a fork server: `python -m crawler.fetching.crawl_process SAMPLES CONTROL FD…`.
"""

from __future__ import annotations

import asyncio
import contextlib
import encodings.idna
import faulthandler
import gc
import importlib
import logging
import os
import socket
import sys
from dataclasses import dataclass
from typing import Any

import pyrage
import scrapy.core.downloader.handlers.http11
import scrapy.downloadermiddlewares.defaultheaders
import scrapy.downloadermiddlewares.downloadtimeout
import scrapy.downloadermiddlewares.redirect
import scrapy.downloadermiddlewares.useragent
import scrapy.dupefilters
import scrapy.logformatter
import scrapy.pqueues
import scrapy.spidermiddlewares.referer
import scrapy.spidermiddlewares.start
import scrapy.squeues
import scrapy.statscollectors
from scrapy.crawler import AsyncCrawlerProcess, Crawler
from scrapy.settings import Settings
from scrapy.utils.reactor import install_reactor

import crawler.fetching.pipelines
import crawler.fetching.scrapy_settings
import crawler.process.finding_checks
import crawler.transport.direct_handler
import crawler.transport.middlewares
import crawler.transport.resumed_download
import crawler.transport.robots
import crawler.transport.session_cookies
from crawler.fetching.platform_loader import PlatformLoader
from crawler.fetching.runner_socket import Control
from crawler.pages.post_identity import open_due
from crawler.process import landlock, privileges, startup_memory
from crawler.process.job_frame import Job
from crawler.transport.errors import OUT_OF_MEMORY
from data.errors import ConfigError, LeaseLost, TocsinError
from data.model import Post

# Objects after whose creation the youngest ones are searched for garbage. With Python's own number, 700, this took a
# tenth of the processor time of a crawl, whose posts wait in memory and are searched again and again.
COLLECT_AFTER = 5000
ASYNCIO_REACTOR = "twisted.internet.asyncioreactor.AsyncioSelectorReactor"
# Sample sockets of one crawl, at most.
MAX_SAMPLES = 16
# The environment variables that this process keeps: above all no key, no credential and no proxy.
_ENVIRONMENT = frozenset({"HOME", "PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH"})


class BareFormatter(logging.Formatter):
    """Writes only where a message came from and the class of the error.

    Messages of libraries quote addresses and content.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line. The message is included if it is a constant with separate values, and then without the values."""
        error = record.exc_info[1] if record.exc_info else None
        message = str(record.msg).splitlines()[0] if record.args else f"line {record.lineno}"
        ending = f" ({type(error).__name__})" if error is not None else ""
        return f"{self.formatTime(record)} [{record.levelname.lower()}] crawl: {record.name}: {message}{ending}"


def _log_barely() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(BareFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


assert "twisted.internet.reactor" not in sys.modules, "a reactor must not be shared by forked processes"  # noqa: S101


def main(control: socket.socket, samples: list[socket.socket], dial: socket.socket) -> None:
    """Do the runner's job and end the process. The last of `samples` is the browser's, for a source that wants one.

    Failures are reported to the runner; if that is impossible, the runner notices that the sockets are closed.
    """
    _prepare()
    runner = Control(control)
    code = 1
    try:
        job = runner.job()
        due = tuple(open_due(job.post_key, sealed) for sealed in job.due)
        _confine(job)
        _crawl(job, due, runner, samples, dial)
        code = 0
    except TocsinError as error:
        _report_crash(runner, str(error))
    except MemoryError:
        _report_crash(runner, OUT_OF_MEMORY.detail, OUT_OF_MEMORY.code)
    except Exception as error:  # noqa: BLE001 - only its class leaves this process
        _report_crash(runner, f"the crawl process failed with {type(error).__name__}")
    finally:
        # without exit handlers and without flushing buffers of libraries: work that matters is committed already
        sys.stderr.flush()
        os._exit(code)


def main_of_batch(members: socket.socket) -> None:
    """Make the crawls whose sockets arrive on `members`, until the runner closes it and the last of them has ended.

    Each message has the descriptors of a control socket, a dial socket and sample sockets. The first job says how this
    process is confined; a job that asks for something else is refused.
    """
    _prepare()
    code = 1
    try:
        first = _receive_member(members)
        if first is not None:
            # a job has arrived before the next one is sent, and nothing else runs in this process yet
            job = first.runner.job()
            _confine(job)
            install_reactor(job.settings.get("TWISTED_REACTOR") or ASYNCIO_REACTOR)
            _Batch(members).run(first, job)
        code = 0
    except Exception as error:  # noqa: BLE001 - the runner repeats the crawls; only the class leaves this process
        print(f"crawl: {type(error).__name__}", file=sys.stderr)  # noqa: T201
    finally:
        sys.stderr.flush()
        os._exit(code)


@dataclass(frozen=True, slots=True)
class _Member:
    """The sockets of one crawl of a batch."""

    runner: Control
    dial: socket.socket
    samples: list[socket.socket]

    async def close(self) -> None:
        await self.runner.close()
        for sock in (self.dial, *self.samples):
            sock.close()


def _receive_member(members: socket.socket) -> _Member | None:
    """The next crawl of a batch; None if the runner sends none any more."""
    message, descriptors, _, _ = socket.recv_fds(members, 1, MAX_SAMPLES + 2)
    if not message:
        return None
    control, dial, *samples = (socket.socket(fileno=each) for each in descriptors)
    return _Member(Control(control), dial, samples)


class _Batch:
    """The crawls of one process, side by side in one event loop."""

    def __init__(self, members: socket.socket) -> None:
        self._members = members
        self._loader = PlatformLoader()
        self._confinement: tuple[object, ...] = ()
        self._running: set[asyncio.Task[None]] = set()
        self._more = True

    def run(self, first: _Member, job: Job) -> None:
        """Until the runner sends no further crawl and the last one has ended."""
        reactor = _reactor()
        self._confinement = _confinement(job)
        self._members.setblocking(False)

        def begin() -> None:
            asyncio.get_running_loop().add_reader(self._members, self._take)
            self._start(first, job)

        # the loop runs when the reactor does
        asyncio.get_event_loop().call_soon(begin)
        reactor.run(installSignalHandlers=False)

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            member = _receive_member(self._members)
            if member is not None:
                self._start(member, None)
                return
            asyncio.get_running_loop().remove_reader(self._members)
            self._more = False
            self._end_if_idle()

    def _start(self, member: _Member, job: Job | None) -> None:
        task = asyncio.get_running_loop().create_task(self._crawl(member, job))
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if not self._more and not self._running:
            _reactor().stop()

    async def _crawl(self, member: _Member, job: Job | None) -> None:
        """Make one crawl. Whatever it raises fails this crawl, and no other one."""
        problem, code = "the crawl ended before it began", "crash"
        try:
            if job is None:
                # reading a frame blocks
                job = await asyncio.to_thread(member.runner.job)
            if _confinement(job) != self._confinement:
                raise ConfigError("a crawl that needs another confinement cannot be part of this batch")
            due = tuple(open_due(job.post_key, sealed) for sealed in job.due)
            crawler = Crawler(self._loader.platform(job.definition.platform), Settings(dict(job.settings)))
            await crawler.crawl_async(
                job=job, due=due, control=member.runner, sample_sockets=member.samples, dial_socket=member.dial
            )
        except TocsinError as error:
            problem = str(error)
        except MemoryError:
            problem, code = OUT_OF_MEMORY.detail, OUT_OF_MEMORY.code
        except Exception as error:  # noqa: BLE001 - only its class leaves this process
            problem = f"the crawl process failed with {type(error).__name__}"
        try:
            with contextlib.suppress(LeaseLost):
                # without a runner nothing can be reported
                await member.runner.report_failure(problem, code)
        finally:
            await member.close()


def _reactor() -> Any:
    """Twisted's reactor, which is a module to the type checker."""
    from twisted.internet import reactor

    return reactor


def _confinement(job: Job) -> tuple[object, ...]:
    """What the confinement of a process depends on."""
    return job.closed, job.network, job.limits.memory, "TOCSIN_TOR" in job.settings


def _prepare() -> None:
    """Give up what the process has inherited: its environment, session, folder and core dumps."""
    for name in set(os.environ) - _ENVIRONMENT:
        del os.environ[name]
    if os.getsid(0) != os.getpid():
        os.setsid()
    os.umask(0o077)
    os.chdir("/")
    privileges.die_with_parent()
    privileges.no_core_dumps()
    faulthandler.disable()
    sys.excepthook = lambda kind, _value, _trace: print(f"crawl: {kind.__name__}", file=sys.stderr)  # noqa: T201
    _log_barely()


def _confine(job: Job) -> None:
    """Give up the network and the files, and limit the memory; raises ConfigError if that is required and impossible."""
    startup_memory.return_buffers()
    gc.set_threshold(COLLECT_AFTER, 10, 10)
    if "TOCSIN_TOR" in job.settings:
        # httpcore2 imports trio where that is installed, and trio cannot be imported behind the walls
        importlib.import_module("crawler.tor.tor_handler")
    _give_up_network(required=job.network == "required")
    landlock.restrict([*landlock.SYSTEM_PATHS, *landlock.import_folders(job.closed)], ports=())
    privileges.only_inherited_sockets()
    privileges.limit_resources(memory=job.limits.memory)


def _give_up_network(*, required: bool) -> None:
    """Give up the network: connections arrive through the dial socket, and no other can be made.

    Raises:
        ConfigError: the network cannot be given up here, and it is required.
    """
    reached = privileges.without_network()
    if required and not privileges.network_is_refused():
        raise ConfigError(
            f"a crawl process cannot give up the network on this machine ({reached})",
            hint='to crawl nevertheless, write  wall = "auto"  under [tor]',
        )


def _report_crash(runner: Control, error: str, code: str = "crash") -> None:
    try:
        runner.report_crash(error, code)
    except (OSError, EOFError, TocsinError):
        # the connection to the runner is closed: nothing more can be reported
        os._exit(1)


def _crawl(job: Job, due: tuple[Post, ...], runner: Control, samples: list[socket.socket], dial: socket.socket) -> None:
    platform = PlatformLoader().platform(job.definition.platform)
    process = AsyncCrawlerProcess(Settings(dict(job.settings)))
    # Scrapy set the level of its own logger to DEBUG when the process object was made
    logging.getLogger("scrapy").setLevel(logging.WARNING)
    browser = samples.pop() if job.definition.render else None
    process.crawl(
        platform, job=job, due=due, control=runner, sample_sockets=samples, dial_socket=dial, browser_socket=browser
    )
    process.start(install_signal_handlers=False)
    if not runner.ended:
        runner.report_crash("the crawl ended before it began")


def _alone(samples: int, control: int, *others: int) -> None:
    """Run with inherited sockets.

    Args:
        samples: number of sample sockets.
        control: file descriptor of the control socket.
        others: file descriptors of the sample sockets, then of the dial socket, if there is one.
    """
    sockets = [socket.socket(fileno=number) for number in others]
    main(socket.socket(fileno=control), sockets[:samples], *sockets[samples:])


__all__ = ["crawler", "encodings", "main", "main_of_batch", "pyrage", "scrapy"]

if __name__ == "__main__":
    startup_memory.release_startup_memory()
    _alone(*map(int, sys.argv[1:]))
