"""Why a request failed: a code for programs and a sentence for people; neither quotes an address."""

from __future__ import annotations

from dataclasses import dataclass

from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    NotSupported,
    ResponseDataLossError,
    UnsupportedURLSchemeError,
)

from crawler.process.memory_limits import is_out_of_memory
from crawler.transport.allow_list import RequestRefused
from data.errors import CertificateRefused, Retry, TocsinError, TorDown, TorFailed, TorRefused

TOO_LARGE = "the body is larger than max_bytes"


class RobotsForbidden(IgnoreRequest):
    """Raised for a request that the site's robots.txt forbids; Scrapy drops it and calls the request's errback.

    Attributes:
        line: of robots.txt, which decides; for a person who checks a source, and never stored.
    """

    def __init__(self, line: str = "") -> None:
        super().__init__("robots.txt forbids the request")
        self.line = line


class RobotsUnknown(IgnoreRequest):
    """Raised for every request to a site whose robots.txt could not be read; Scrapy treats it as `RobotsForbidden`.

    Attributes:
        reason: why it could not be read, as the second half of a sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("robots.txt could not be read")
        self.reason = reason


class BrowserFailed(IgnoreRequest):
    """Raised if the browser cannot run the scripts of a page; Scrapy treats it as `RobotsForbidden`."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a page, a file or a part of a post was not read, or not completely.

    Attributes:
        code: `refused`, `robots`, `robots_unknown`, `absent`, `blocked`, `status`, `timeout`, `unreachable`, `too_large`, `memory`, `cut` …; over
            Tor also `tor_down` and the codes of `crawler.tor.errors`.
        detail: one sentence for a person.
        retry: whether a later attempt may succeed.
    """

    code: str
    detail: str
    retry: bool

    def __str__(self) -> str:
        """The form that the problems of a finding have: "code: detail"."""
        return f"{self.code}: {self.detail}"


OUT_OF_MEMORY = Trouble("memory", "the crawl process would have needed more memory than its limit", retry=True)


def trouble_of(error: BaseException) -> Trouble:
    """The trouble that stands for an exception of Scrapy, Twisted or our own.

    Every exception has one. The message of a foreign exception is never quoted.
    """
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    if isinstance(error, RequestRefused):
        return Trouble("refused", str(error), retry=False)
    if isinstance(error, RobotsForbidden):
        return Trouble("robots", "robots.txt forbids the request", retry=False)
    if isinstance(error, RobotsUnknown):
        detail = f"robots.txt could not be read, so nothing else is requested from the site: {error.reason}"
        return Trouble("robots_unknown", detail, retry=True)
    if isinstance(error, BrowserFailed):
        return Trouble("browser", str(error), retry=True)
    if isinstance(error, CertificateRefused):
        return Trouble(error.code, str(error), retry=False)
    if isinstance(error, DownloadCancelledError):
        return Trouble("too_large", TOO_LARGE, retry=False)
    if isinstance(error, IgnoreRequest):
        return _ignored(error)
    if isinstance(error, DownloadTimeoutError):
        return Trouble("timeout", "the site did not answer completely within the time limit", retry=True)
    if isinstance(error, CannotResolveHostError):
        return Trouble("unreachable", "the host name does not exist", retry=True)
    if isinstance(error, DownloadConnectionRefusedError):
        return Trouble("unreachable", "the host refuses connections", retry=True)
    if isinstance(error, NotSupported | UnsupportedURLSchemeError):
        return Trouble("refused", "the scheme of the address is not allowed", retry=False)
    if isinstance(error, TorDown | TorFailed | TorRefused):
        hint = f"; {error.hint}" if error.hint else ""
        return Trouble(error.code, f"{error}{hint}", retry=isinstance(error, Retry))
    if isinstance(error, DownloadFailedError | ResponseDataLossError | OSError):
        return Trouble("unreachable", "the connection broke", retry=True)
    if isinstance(error, TocsinError):
        return Trouble(type(error).__name__, str(error), retry=True)
    return Trouble("unexpected", f"the download failed with {type(error).__name__}", retry=True)


def _ignored(error: IgnoreRequest) -> Trouble:
    """Scrapy's middlewares all raise the same class: only the message shows which one it was."""
    message = str(error)
    if message.startswith("max redirections"):
        return Trouble("redirects", "the site redirects in a loop", retry=True)
    if "DOWNLOAD_MAXSIZE" in message:
        return Trouble("too_large", TOO_LARGE, retry=False)
    return Trouble("unexpected", "the request was dropped", retry=True)
