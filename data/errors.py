"""The exceptions of all four packages, and the two marks that tell a caller whether to try again.

    TocsinError                      anything we raise on purpose; carries `hint`, what to do next
    ├── ConfigError        Final     settings or environment cannot be used
    │   ├── HomeError      Final     the home folder is missing, incomplete or not safe
    │   └── KeyFileError   Final     a key is missing, malformed or of another case
    ├── SourceError        Final     a source file cannot be used: file, line, field
    ├── BundleError        Final     a canary bundle is refused as a whole
    ├── InputError         Final     a file that a person named cannot be read or understood
    ├── StoreError
    │   ├── StoreBusy      Retry     another process holds the database
    │   ├── StoreFull      Retry     no space left; nothing of the transaction was kept
    │   ├── StoreVersion   Final     the database was written by a newer Tocsin
    │   └── LeaseLost      Final     somebody else took this crawl over; stop it
    ├── FetchError
    │   ├── AddressRefused Final     not on the source's allow-list, or a scheme that is never used
    │   ├── FetchFailed    Retry     no answer, or an answer that says "later"
    │   ├── PageBlocked    Retry     the site answered with a wall in place of its page
    │   ├── TorDown        Retry     Tor itself is not there, frozen or no Tor; nothing goes another way
    │   ├── TorFailed      Retry     Tor did not reach the site this time; `code` says why
    │   └── TorRefused     Final     Tor will not reach the site until a person mends the source
    ├── ExamineError
    │   ├── ExaminerDied   Retry     the examiner process ended in the middle of a sample
    │   ├── ReaderFailed   Final     a reader crashed or broke the protocol; the byte pass still counts
    │   ├── LimitReached   Final     a size, time, depth or entry limit ended the reading
    │   └── WireError      Final     a peer process broke the frame protocol
    └── DeliveryError
        ├── DeliveryDeferred Retry   the channel did not take the alert now; `retry_after` may say when
        └── DeliveryRefused  Final   the channel will not take this alert; it stays in the outbox

An exception carries fields, never the bytes of a sample. Creating one does nothing else; the catcher logs, once.
"""

from __future__ import annotations


class Retry:
    """Mark: the same call may succeed later; the daemon tries again by itself."""


class Final:
    """Mark: the same call fails again until a person has acted."""


class TocsinError(Exception):
    """Anything we raise on purpose.

    Attributes:
        hint: what the person should do next, one sentence; empty where nothing can be done.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(TocsinError, Final):
    """`data.settings.settings` raises it before anything starts; the command line prints it and exits with 2."""


class HomeError(ConfigError):
    """The home folder is missing, incomplete or readable by others."""


class KeyFileError(ConfigError):
    """A key file is missing, malformed or belongs to another case."""


class SourceError(TocsinError, Final):
    """A source file cannot be used.

    Attributes:
        file: the file's name; line: 1-based, 0 where unknown; field: dotted path, empty for the whole file.
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
    """Another process holds the database for longer than we wait."""


class StoreFull(StoreError, Retry):
    """No space is left; the transaction was rolled back whole."""


class StoreVersion(StoreError, Final):
    """The database was written by a newer Tocsin."""


class LeaseLost(StoreError, Final):
    """The crawl's fence is no longer current: whoever holds it must stop without writing."""


class FetchError(TocsinError):
    """A page was not read."""

    def __init__(self, message: str, *, url_id: str = "", status: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.url_id, self.status = url_id, status


class AddressRefused(FetchError, Final):
    """No enabled source declares the address; it was never contacted."""


class FetchFailed(FetchError, Retry):
    """No answer, or an answer that says "later"."""


class PageBlocked(FetchError, Retry):
    """The site answered with a wall (login, captcha, rate limit) in place of its page."""


class TorDown(FetchError, Retry):
    """Tor itself is not there, frozen, or something else answers in its place."""

    code = "tor_down"


class TorFailed(FetchError, Retry):
    """Tor did not reach the site this time.

    Attributes:
        code: one word of `crawler.tor.errors`.
    """

    def __init__(self, message: str, *, code: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class TorRefused(FetchError, Final):
    """Tor will not reach the site until a person mends the source, its key or Tor's configuration.

    Attributes:
        code: one word of `crawler.tor.errors`.
    """

    def __init__(self, message: str, *, code: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class ExamineError(TocsinError):
    """A sample was not examined to its end."""


class ExaminerDied(ExamineError, Retry):
    """The examiner process ended in the middle of a sample."""


class ReaderFailed(ExamineError, Final):
    """A reader crashed or broke its protocol; the byte pass of the sample still counts."""


class LimitReached(ExamineError, Final):
    """A size, time, depth or entry limit ended the reading."""


class WireError(ExamineError, Final):
    """A peer process broke the frame protocol."""


class DeliveryError(TocsinError):
    """An alert was not taken by its channel.

    Attributes:
        status: the HTTP status, 0 where there was no answer; retry_after: seconds the channel asked for, or None.
    """

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status, self.retry_after = status, retry_after


class DeliveryDeferred(DeliveryError, Retry):
    """The channel did not take the alert now."""


class DeliveryRefused(DeliveryError, Final):
    """The channel will not take this alert; it stays in the outbox until a person retries it."""
