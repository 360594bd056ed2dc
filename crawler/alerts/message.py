"""The content of one alert, before the dialect of a channel formats it, and how it is cut to what a chat accepts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from crawler.alerts.phrases.catalogue import phrases_in
from data.model import EventKind, Severity

_MARKS = {Severity.CRITICAL: "🔴", Severity.WARNING: "🟠"}
_OTHER_MARK = "🔵"
_COLOURS = {Severity.CRITICAL: 0xC62828, Severity.WARNING: 0xEF6C00}
_OTHER_COLOUR = 0x1565C0


@dataclass(frozen=True, slots=True)
class ChatLimits:
    """What a chat accepts as one message, in the units in which the chat counts (characters or bytes).

    Attributes:
        source: where the numbers come from.
        title: of the title. field: of one field with its label. fields: number of fields; advice, link and record count.
        text: of all texts together.
        body: bytes of the request.
    """

    source: str
    title: int
    field: int
    fields: int
    text: int
    body: int


@dataclass(frozen=True, slots=True)
class Field:
    """A label with one or more lines; `more` counts the further lines that are not shown."""

    label: str
    lines: tuple[str, ...]
    more: int = 0
    language: str = "en"

    @property
    def value(self) -> str:
        """The lines, and how many further ones there are."""
        more = [phrases_in(self.language)("more", n=self.more)] if self.more else []
        return "\n".join([*self.lines, *more])

    @property
    def opening(self) -> str:
        """The label with what stands between it and the value; a value of several lines begins on a line of its own."""
        colon = phrases_in(self.language)("colon")
        several = len(self.lines) + bool(self.more) > 1
        return f"{self.label}{colon.rstrip()}\n" if several else f"{self.label}{colon}"

    @property
    def text(self) -> str:
        """Label and value."""
        return self.opening + self.value

    def cut(self, limit: int, size: Callable[[str], int]) -> Field | None:
        """The field with as many lines as the limit allows; its only line is shortened; None if hardly any fits."""
        field = self
        while size(field.text) > limit and len(field.lines) > 1:
            # halving first: a value of a thousand lines is measured ten times, not a thousand times
            keep = max(1, len(field.lines) // 2 if size(field.text) > 2 * limit else len(field.lines) - 1)
            field = replace(field, lines=field.lines[:keep], more=field.more + len(field.lines) - keep)
        if size(field.text) <= limit:
            return field
        room = limit - size(replace(field, lines=("",)).text)
        line = shorten(field.lines[0], room, size)
        return replace(field, lines=(line,)) if len(line) >= MIN_LINE else None


# A line that is cut to fewer characters tells nothing.
MIN_LINE = 24


@dataclass(frozen=True, slots=True)
class Thread:
    """The message that another one continues, in one channel.

    Attributes:
        alert: id of the alert of the first event, which is its idempotency key.
        event: id of the first event.
        remote: what the chat calls its message; '' if the chat does not say, or the message is not there.
        first: the first message as it is now, with what was added to the thread since; for chats that can change a
            message but not answer one.
    """

    alert: str
    event: str
    remote: str = ""
    first: Message | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """The content of one alert. Text that others wrote is sanitized; values alone may have several lines.

    Attributes:
        event: id of the event. at: its time, ISO 8601. source: name of the event's source, '' for none.
        title: one line: what happened, whose data, how sure.
        fields: the most important ones first, so that what is cut is cut at the end.
        advice: what to do next, '' for nothing. link: an address or a command that shows the whole event.
        facts: of the event. left_out: how many fields `fit` left out.
        head: of the evidence and audit chains when the message was made, which is proof once it is elsewhere; '' for none.
        case: name of the case, '' for none. language: code of the language of all labels.
        thread: the message that this one continues; None for one that stands for itself.
        take: one-time link by which whoever reads the message acknowledges the alert; '' for none.
    """

    event: str
    kind: str
    severity: Severity
    title: str
    at: str
    fields: tuple[Field, ...]
    advice: str
    link: str
    facts: Mapping[str, Any]
    left_out: int = 0
    head: str = ""
    source: str = ""
    case: str = ""
    language: str = "en"
    thread: Thread | None = None
    take: str = ""

    @property
    def mark(self) -> str:
        """A coloured dot: red for critical, orange for a warning, blue for the rest."""
        return _MARKS.get(self.severity, _OTHER_MARK)

    @property
    def colour(self) -> int:
        """The colour of the mark, as 0xRRGGBB."""
        return _COLOURS.get(self.severity, _OTHER_COLOUR)

    @property
    def headline(self) -> str:
        """The mark and the title."""
        return f"{self.mark} {self.title}"

    @property
    def closing(self) -> tuple[Field, ...]:
        """What to do, what shows everything, and the head of the record: these are always part of the message."""
        phrases = phrases_in(self.language)
        left_out = phrases("left_out", n=self.left_out) if self.left_out else ""

        def field(key: str, text: str, after: str = "") -> Field:
            return Field(phrases(key) + after, (text,), language=self.language)

        advice = (field("label.advice", self.advice),) if self.advice else ()
        take = (field("label.take", self.take),) if self.take else ()
        record = (field("label.record", self.head),) if self.head else ()
        return (*advice, *take, field("label.more", self.link, left_out), *record)

    @property
    def state_key(self) -> tuple[str, ...] | None:
        """What a lasting state is: the kind of its first event, its source and its subject; None for a happening."""
        subject = self.facts.get("subject", self.facts.get("channel") if self.kind != EventKind.DIGEST else None)
        return None if subject is None else (str(self.facts.get("of") or self.kind), self.source, str(subject))

    def thread_key(self) -> str:
        """The same for all messages of a thread, and for the beginning of a lasting state, its reminders and its end.

        Two cases may send to one receiver, and both may have a source of the same name.
        """
        parts = self.state_key or (self.thread.event if self.thread is not None else self.event,)
        # names that others wrote may hold half of a character that needs two code units
        identity = "\0".join((self.case, *parts)).encode(errors="surrogatepass")
        return hashlib.sha256(identity).hexdigest()

    @property
    def text(self) -> str:
        """The whole message as plain text."""
        return "\n".join([self.headline, *(field.text for field in (*self.fields, *self.closing))])


def fit(message: Message, limits: ChatLimits, size: Callable[[str], int] = len) -> Message:
    """The message, cut to the limits of a chat: first line, advice, link and record always fit, then field by field.

    Args:
        message: any.
        limits: of the chat. Their `text` must have room for the title and two fields.
        size: how much of the limits a text takes, after the dialect has escaped it.
    """
    title = shorten(message.title, limits.title - size(f"{message.mark} "), size)
    closing = replace(message, title=title, advice=shorten(message.advice, limits.field, size), left_out=99)
    left = limits.text - size(closing.headline) - sum(size(field.text) + 1 for field in closing.closing)
    kept: list[Field] = []
    most = limits.fields - 2 - bool(message.head) - bool(message.take)
    for field in message.fields:
        fitting = field.cut(min(limits.field, left - 1), size) if len(kept) < most else None
        if fitting is None:
            break
        kept.append(fitting)
        left -= size(fitting.text) + 1
    return replace(closing, fields=tuple(kept), left_out=message.left_out + len(message.fields) - len(kept))


def shorten(text: str, limit: int, size: Callable[[str], int] = len) -> str:
    """The text, or as much of its beginning as the limit allows, with an ellipsis."""
    if size(text) <= limit:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(text[:middle].rstrip() + "…") <= limit else (low, middle - 1)
    return text[:low].rstrip() + "…" if low else ""
