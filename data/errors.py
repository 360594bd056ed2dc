"""The exceptions of all four packages, and the two marks that show a caller whether to try again.

    TocsinError                      any error that we raise on purpose; `hint` says what to do next
    ├── ConfigError        Final     settings or environment cannot be used
    │   ├── HomeError      Final     the home folder is missing, incomplete or readable by others
    │   ├── KeyFileError   Final     a key is missing, malformed or of another case
    │   └── AlreadyRunning Final     another daemon watches this home
    ├── SourceError        Final     a source file cannot be used: file, line, field
    ├── BundleError        Final     a canary bundle is refused; nothing of it is imported
    ├── InputError         Final     a file that a person named cannot be read or understood
    ├── StoreError
    │   ├── StoreBusy      Retry     another process is writing to the database
    │   ├── StoreFull      Retry     no space is left; nothing of the transaction was stored
    │   ├── StoreVersion   Final     the database was written by a newer Tocsin
    │   └── LeaseLost      Final     another process took the crawl over; this one must stop
    ├── FetchError
    │   ├── AddressRefused Final     not on the source's allow-list, or a scheme that is never fetched
    │   ├── FetchFailed    Retry     no response, or one that asks to try later
    │   ├── CrawlNotStarted Retry    no crawl process could be started; the posts stay due
    │   ├── CertificateRefused Final the certificate of an https site is not the right one
    │   ├── PageBlocked    Retry     the site answered with a login, captcha or rate limit page
    │   ├── TorDown        Retry     Tor does not run or does not respond; no other connection is used
    │   ├── TorFailed      Retry     Tor could not reach the site this time; `code` says why
    │   └── TorRefused     Final     Tor cannot reach the site until a person fixes the source
    ├── ExamineError
    │   ├── ExaminerDied   Retry     the examiner process ended while it examined a sample
    │   ├── ReaderFailed   Final     a reader crashed or broke its protocol; the byte pass still counts
    │   ├── LimitReached   Final     reading stopped at a size, time, depth or entry limit
    │   └── WireError      Final     a peer process broke the frame protocol
    └── DeliveryError
        ├── DeliveryDeferred Retry   the channel did not accept the alert now; `retry_after` may say when
        └── DeliveryRefused  Final   the channel refused the alert; it stays in the outbox

An exception carries fields, never the bytes of a sample. Creating one has no side effect; the catcher logs it, once.
"""

from __future__ import annotations


class Retry:
    """Mark of errors after which the same call may succeed later; the daemon tries again by itself."""


class Final:
    """Mark of errors after which the same call fails again until a person has acted."""


class TocsinError(Exception):
    """Any error that we raise on purpose.

    Attributes:
        hint: what the person should do next, one sentence; '' if nothing can be done.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(TocsinError, Final):
    """Settings or environment cannot be used: raised before anything starts, so the command line exits with 2."""


class HomeError(ConfigError):
    """The home folder is missing, incomplete or readable by others."""


class KeyFileError(ConfigError):
    """A key file is missing, malformed or belongs to another case."""


class AlreadyRunning(ConfigError):
    """Another daemon watches this home: raised when a second one starts, which ends; nobody has to be told of it."""


class SourceError(TocsinError, Final):
    """A source file cannot be used.

    Attributes:
        file: name of the file. line: from 1, 0 if unknown. field: dotted path, '' for the whole file.
    """

    def __init__(self, message: str, *, file: str = "", line: int = 0, field: str = "", hint: str = "") -> None:
        where = ":".join(part for part in (file, str(line) if line else "") if part)
        super().__init__(": ".join(part for part in (where, field, message) if part), hint=hint)
        self.file, self.line, self.field = file, line, field


class BundleError(TocsinError, Final):
    """A canary bundle is refused; nothing of it was imported."""


class InputError(TocsinError, Final):
    """A file that a person named cannot be read or understood."""


class StoreError(TocsinError):
    """The database could not do what was asked."""


class StoreBusy(StoreError, Retry):
    """Another process kept the database locked for longer than we wait."""


class StoreFull(StoreError, Retry):
    """No space is left; the whole transaction was rolled back."""


class StoreVersion(StoreError, Final):
    """The database was written by a newer Tocsin."""


class LeaseLost(StoreError, Final):
    """The fence is not that of the crawl's current lease: the process that holds it must stop without writing."""


class FetchError(TocsinError):
    """A page could not be read.

    Attributes:
        url_id: keyed id of the address, '' if unknown. status: HTTP status, 0 if there was no response.
    """

    def __init__(self, message: str, *, url_id: str = "", status: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.url_id, self.status = url_id, status


class AddressRefused(FetchError, Final):
    """No enabled source declares the address, or its scheme is never fetched; it was not contacted."""


class FetchFailed(FetchError, Retry):
    """There was no response, or one that asks to try later."""


class CrawlNotStarted(FetchError, Retry):
    """No crawl process could be started; the fork server is started anew for the next crawl."""

    code = "crash"


class CertificateRefused(FetchError, Final):
    """The certificate of an https site was refused before anything was sent; a person must look, or the site mend it."""

    code = "certificate"


class PageBlocked(FetchError, Retry):
    """The site answered with a blocked page (login, captcha, rate limit) in place of the requested one."""


class TorDown(FetchError, Retry):
    """Tor does not run or does not respond, or another program responds in its place."""

    code = "tor_down"


class TorFailed(FetchError, Retry):
    """Tor could not reach the site this time.

    Attributes:
        code: one of the codes of `crawler.tor.errors`.
    """

    def __init__(self, message: str, *, code: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class TorRefused(FetchError, Final):
    """Tor cannot reach the site until a person fixes the source, its key or Tor's configuration.

    Attributes:
        code: one of the codes of `crawler.tor.errors`.
    """

    def __init__(self, message: str, *, code: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class ExamineError(TocsinError):
    """A sample was not examined to its end."""


class ExaminerDied(ExamineError, Retry):
    """The examiner process ended in the middle of a sample."""


class ReaderFailed(ExamineError, Final):
    """A reader crashed or broke its protocol; the results of the byte pass of the sample still count."""


class LimitReached(ExamineError, Final):
    """Reading stopped at a size, time, depth or entry limit."""


class WireError(ExamineError, Final):
    """A peer process broke the frame protocol."""


class DeliveryError(TocsinError):
    """A channel did not accept an alert.

    Attributes:
        status: HTTP status, 0 if there was no response. retry_after: seconds that the channel asked to wait, or None.
    """

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status, self.retry_after = status, retry_after


class DeliveryDeferred(DeliveryError, Retry):
    """The channel did not accept the alert now; it is sent again later."""


class DeliveryRefused(DeliveryError, Final):
    """The channel refused the alert; it stays in the outbox until a person retries it."""
