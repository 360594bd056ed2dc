"""What can go wrong with one request, in a word for programs and a sentence for people; neither quotes an address."""

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

from crawler.transport.allow_list import Refused
from data.errors import Retry, TocsinError, TorDown, TorFailed, TorRefused

TOO_LARGE = "the body is larger than max_bytes"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why something was not read.

    Attributes:
        code: `refused`, `robots`, `absent`, `blocked`, `status`, `timeout`, `unreachable`, `too_large`, `cut` …; over
            Tor also `tor_down` and the words of `crawler.tor.errors`.
        detail: one sentence.
        retry: it may go better next time.
    """

    code: str
    detail: str
    retry: bool

    def __str__(self) -> str:
        """As a problem of a finding: "code: detail"."""
        return f"{self.code}: {self.detail}"


def trouble_of(error: BaseException) -> Trouble:
    """The trouble behind an exception of Scrapy, Twisted or our own; total, never quotes a message of others."""
    if isinstance(error, Refused):
        return Trouble("refused", str(error), retry=False)
    if isinstance(error, DownloadCancelledError):
        return Trouble("too_large", TOO_LARGE, retry=False)
    if isinstance(error, IgnoreRequest):
        return _ignored(error)
    if isinstance(error, DownloadTimeoutError):
        return Trouble("timeout", "no whole answer in time", retry=True)
    if isinstance(error, CannotResolveHostError):
        return Trouble("unreachable", "the host name is not known", retry=True)
    if isinstance(error, DownloadConnectionRefusedError):
        return Trouble("unreachable", "the host does not take connections", retry=True)
    if isinstance(error, NotSupported | UnsupportedURLSchemeError):
        return Trouble("refused", "a scheme that is never used", retry=False)
    if isinstance(error, TorDown | TorFailed | TorRefused):
        hint = f"; {error.hint}" if error.hint else ""
        return Trouble(error.code, f"{error}{hint}", retry=isinstance(error, Retry))
    if isinstance(error, DownloadFailedError | ResponseDataLossError | OSError):
        return Trouble("unreachable", "the connection broke", retry=True)
    if isinstance(error, TocsinError):
        return Trouble(type(error).__name__, str(error), retry=True)
    return Trouble("unexpected", f"the download failed with {type(error).__name__}", retry=True)


def _ignored(error: IgnoreRequest) -> Trouble:
    """Scrapy's middlewares all raise the one class; only their sentences tell them apart."""
    said = str(error)
    if said.startswith("Forbidden by robots.txt"):
        return Trouble("robots", "robots.txt forbids it", retry=False)
    if said.startswith("max redirections"):
        return Trouble("redirects", "it redirects in circles", retry=True)
    if "DOWNLOAD_MAXSIZE" in said:
        return Trouble("too_large", TOO_LARGE, retry=False)
    return Trouble("unexpected", "the request was dropped", retry=True)
