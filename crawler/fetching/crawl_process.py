"""The main function of a crawl process: takes one job from the runner, runs one spider, and ends.

Everything that is slow to import is imported here, so that the fork server loads it once for all crawl processes that
it forks. The event loop and Twisted's reactor are created in the forked process only. The process of a command that
makes a single crawl is started without a fork server: `python -m crawler.fetching.crawl_process SAMPLES CONTROL FD…`.
"""

from __future__ import annotations

import encodings.idna
import faulthandler
import logging
import os
import socket
import sys

import scrapy.core.downloader.handlers.http11
import scrapy.downloadermiddlewares.defaultheaders
import scrapy.downloadermiddlewares.downloadtimeout
import scrapy.downloadermiddlewares.redirect
import scrapy.downloadermiddlewares.stats
import scrapy.downloadermiddlewares.useragent
import scrapy.dupefilters
import scrapy.extensions.corestats
import scrapy.logformatter
import scrapy.pqueues
import scrapy.spidermiddlewares.referer
import scrapy.spidermiddlewares.start
import scrapy.squeues
import scrapy.statscollectors
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.settings import Settings

import crawler.fetching.pipelines
import crawler.fetching.scrapy_settings
import crawler.transport.direct_handler
import crawler.transport.middlewares
import crawler.transport.resumed_download
import crawler.transport.robots
from crawler.fetching.platform_loader import PlatformLoader
from crawler.fetching.runner_socket import Control
from crawler.pages.post_identity import open_due
from crawler.process import landlock, privileges, startup_memory
from crawler.process.job_frame import Job
from crawler.transport.errors import OUT_OF_MEMORY
from data.errors import ConfigError, TocsinError
from data.model import Post

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
    """Do the runner's job and end the process.

    Failures are reported to the runner; if that is impossible, the runner notices that the sockets are closed.
    """
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
    runner = Control(control)
    code = 1
    try:
        job = runner.job()
        due = tuple(open_due(job.post_key, sealed) for sealed in job.due)
        startup_memory.return_buffers()
        _give_up_network(required=job.network == "required")
        landlock.restrict([*landlock.SYSTEM_PATHS, *landlock.import_folders(job.closed)], ports=())
        privileges.only_inherited_sockets()
        privileges.limit_resources(memory=job.limits.memory)
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
    process.crawl(platform, job=job, due=due, control=runner, sample_sockets=samples, dial_socket=dial)
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


__all__ = ["crawler", "encodings", "main", "scrapy"]

if __name__ == "__main__":
    startup_memory.release_startup_memory()
    _alone(*map(int, sys.argv[1:]))
