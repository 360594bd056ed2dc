"""The terms of Tocsin as frozen dataclasses, with no behaviour but their JSON form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

ORIGINS = ("ours", "another's", "open")
NO_RELEASES = "no release is registered, so all people count as new"
"""The note of a lineage if there was nothing to compare with, so that nothing is known about the origin either."""
VERDICTS = (
    "re-post", "re-packaged", "subset", "superset", "overlap", "new", "padded", "recombined", "unrelated", "undecided"
)  # fmt: skip
AUTHENTICITY = ("genuine", "recombined", "padded", "invented", "open")
HIT_DATA = ("names", "dob", "nir", "email", "phone", "iban", "note", "minor")
"""What is counted of the people of a client in a sample: kinds of value in their rows, and who is under 18."""
LIKELIHOODS = ("practically certain", "very likely", "likely", "not decided")


class Severity(StrEnum):
    """The severity of an event. Without routes, events from `WARNING` on are sent to every channel."""

    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for info up to 3 for critical."""
        return list(Severity).index(self)


class EventKind(StrEnum):
    """What happened, or stopped happening; `docs/alerts.md` says what each kind means."""

    FURTHER_RELEASE = "further_release"
    SHARED_PEOPLE = "shared_people"
    REPOST = "repost"
    EARLY_LOOK = "early_look"
    CANARY_HIT = "canary_hit"
    LISTING_CHANGED = "listing_changed"
    ANNOUNCEMENT = "announcement"
    UNEXAMINED = "unexamined"
    GAP = "gap"
    SOURCE_SILENT = "source_silent"
    SOURCE_CHANGED = "source_changed"
    TOR_DOWN = "tor_down"
    DELIVERY_FAILED = "delivery_failed"
    SELFTEST_FAILED = "selftest_failed"
    UNACKNOWLEDGED = "unacknowledged"
    DIGEST = "digest"
    RECOVERED = "recovered"
    HEARTBEAT = "heartbeat"


LEAKS = frozenset({EventKind.FURTHER_RELEASE, EventKind.CANARY_HIT, EventKind.SHARED_PEOPLE})
"""Kinds of events about data that was not all known before."""


class TriageState(StrEnum):
    """How far people are with an event."""

    NEW = "new"
    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    CLOSED = "closed"


class ClosingReason(StrEnum):
    """Why a person closed an event; all but `TEST` count towards the precision of its kind and its source."""

    TRUE = "true"
    FALSE_ALARM = "false-alarm"
    REPOST = "re-post"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Post:
    """One published entry that a listing links to, as the crawl process sees it. It is never stored in this form.

    Attributes:
        source: name of the source. native: the site's own id, or else the canonical URL; with `source` it
            identifies the post.
        url: where a person reads it. raw: where its bytes are best downloaded from, '' if that is `url`.
        fields: other relevant fields of the listing (title, size, files, percent, timer, magnet, state, links…);
            all of it enters the version digest. The platform leaves out volatile fields.
        body: text that the listing itself carries (feeds); it is examined with the post.
        attachments: addresses of further samples.
        time: the time as the site writes it, a hint only.
    """

    source: str
    native: str
    url: str
    raw: str = ""
    title: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    attachments: tuple[str, ...] = ()
    time: str = ""

    def __repr__(self) -> str:
        """Only lengths, because titles and addresses of a leak are leaked content."""
        return f"<Post of {self.source}, {len(self.title)} title characters, {len(self.attachments)} attachments>"

    def to_json(self) -> dict[str, Any]:
        """Plain containers, to seal a due post and to send it to another process."""
        # not by `asdict`, which copies each text and takes ten times as long
        return {name: getattr(self, name) for name in self.__slots__} | {"fields": dict(self.fields)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(**{**value, "attachments": tuple(value.get("attachments", ()))})


@dataclass(frozen=True, slots=True)
class Hit:
    """What a sample holds of one client.

    Attributes:
        canaries: distinct canaries. records: people of the sample that were hit, at most `canaries`: a person counts
            once in however many rows, and a value that several canaries share counts for one of them.
        kinds: the kinds of tag that matched.
        data: what stands in the rows of these people: one of `HIT_DATA` -> how many of them; None if an older Tocsin
            counted the hit, or if it is outside of rows and of text.
    """

    client: str
    canaries: int
    records: int
    kinds: tuple[str, ...]
    data: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Parent:
    """A release that shares people with a sample.

    Attributes:
        coverage: share of the release that the sample holds, 0..1.
        share: share of the sample that the release holds, 0..1.
    """

    release: str
    coverage: float
    share: float


@dataclass(frozen=True, slots=True)
class Extrapolation:
    """What a small sample says about the larger body it was taken from, if a condition holds that nobody can check.

    Attributes:
        condition: the sentence that must be true. confidence: of the bounds, 0..1.
        new_share: bounds for the share of new people.
    """

    condition: str
    confidence: float
    new_share: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose breach a sample is from.

    Attributes:
        answer: one of `ORIGINS`. likelihood: that it is the breach of the registered releases, 0..1.
        reasons: what tells, as sentences.
    """

    answer: str = "open"
    likelihood: float = 0.5
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnAuthenticity:
    """Whether one column of a sample is genuine.

    Attributes:
        column: `names`, `dob`, `nir`, `email` or `phone`.
        answer: one of `AUTHENTICITY`. rows: how many rows it rests on, the sum of the next three.
        agree: rows whose value belongs to the registered person of the row.
        of_others: rows whose value is that of another registered person, or of another row.
        of_nobody: rows of registered people whose value no release holds.
    """

    column: str
    answer: str
    rows: int
    agree: int
    of_others: int
    of_nobody: int


@dataclass(frozen=True, slots=True)
class Authenticity:
    """Whether a sample is genuine: not put together from known values, filled up, or invented.

    Attributes:
        answer: one of `AUTHENTICITY`. likelihood: of the answer, in words, one of `LIKELIHOODS`.
        weight: decimal logarithm of a likelihood ratio; positive speaks for genuine.
        rows: how many rows it rests on, one for each person.
        known, recombined, invented: how many of these rows are of known people, put together from known values, or
            invented; all others are open.
        known_share: bounds for the share of such rows in the sample (95 %).
        columns: each column by itself.
        reasons: what tells, as sentences.
    """

    answer: str
    likelihood: str
    weight: float
    rows: int
    known: int
    recombined: int
    invented: int
    known_share: tuple[float, float]
    columns: tuple[ColumnAuthenticity, ...] = ()
    reasons: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """From plain containers."""
        return cls(
            **{
                **value,
                "known_share": tuple(value["known_share"]),
                "columns": tuple(ColumnAuthenticity(**column) for column in value["columns"]),
                "reasons": tuple(value["reasons"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Lineage:
    """How the people of a sample compare with all releases.

    Attributes:
        verdict: one of `VERDICTS`.
        records: distinct people of the sample, each of them either `known` or `new`. interval: bounds for `new`.
        new_values: per kind, values of the sample that no release holds. notes: assumptions, and what was not decided.
        confidence: of the verdict, 0..1; 0 for `undecided`.
        columns: kinds of record key that the sample has.
        mistyped: how many of the new people are probably known ones with typing errors.
        added: new data about known people: kind of value (`note` for free text) -> of how many people. Only kinds that
            none of the releases with these people has.
        whole: what a small sample says about the body of data it was taken from; None for other samples.
        origin: whose breach it is, which shared people alone do not prove; None if an older Tocsin judged the sample.
        authentic: whether the sample is genuine; None if it has fewer than five rows with a record key, or an
            older Tocsin judged it.
    """

    verdict: str
    records: int
    known: int
    new: int
    interval: tuple[int, int]
    parents: tuple[Parent, ...] = ()
    new_values: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    confidence: float = 0.0
    columns: tuple[str, ...] = ()
    mistyped: int = 0
    added: Mapping[str, int] = field(default_factory=dict)
    whole: Extrapolation | None = None
    origin: Origin | None = None
    authentic: Authenticity | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        value: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        value["parents"] = tuple(asdict(parent) for parent in self.parents)
        value["new_values"], value["added"] = dict(self.new_values), dict(self.added)
        value["whole"] = None if self.whole is None else asdict(self.whole)
        value["origin"] = None if self.origin is None else asdict(self.origin)
        value["authentic"] = None if self.authentic is None else asdict(self.authentic)
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """From plain containers; fields that an older Tocsin did not write have their defaults."""
        whole, origin, authentic = value.get("whole"), value.get("origin"), value.get("authentic")
        return cls(
            **{
                **value,
                "interval": tuple(value["interval"]),
                "parents": tuple(Parent(**parent) for parent in value["parents"]),
                "notes": tuple(value.get("notes", ())),
                "columns": tuple(value.get("columns", ())),
                "whole": None if whole is None else Extrapolation(**{**whole, "new_share": tuple(whole["new_share"])}),
                "origin": None if origin is None else Origin(**{**origin, "reasons": tuple(origin["reasons"])}),
                "authentic": None if authentic is None else Authenticity.from_json(authentic),
            }
        )


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """What one column of a table was understood as.

    Attributes:
        role: the kind of its values; '' if the column is ignored.
        by: `header` or `values`, whichever decided that; '' if it is ignored.
        fits: the share of its filled cells that have the form of the role; None if the role has none.
        of_others: whether its values are about somebody else than the person of the row, and identify nobody.
    """

    role: str
    by: str
    fits: float | None = None
    of_others: bool = False


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One table of a sample, as `scan --explain` tells it: numbers of rows, of those with a record key, and columns."""

    rows: int
    keyed: int
    columns: tuple[ColumnFacts, ...] = ()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """From plain containers."""
        return cls(value["rows"], value["keyed"], tuple(ColumnFacts(**column) for column in value["columns"]))


@dataclass(frozen=True, slots=True)
class Finding:
    """What the examiner found in one sample or member. Names are its only plaintext, and they are never stored.

    Attributes:
        path: name of the sample or member; '' when stored.
        sha256: hex, of the sample's bytes. bytes: their number. format: `unknown` if no reader recognised it.
        rows: table rows that were read. records: rows that gave at least one record key.
        complete: every byte was examined. problems: sentences of the form "code: what happened", without any content.
        hits: of the sample with all its members. lineage: None if there were no records.
        fingerprint: keyed hex digest of the set of canaries that hit, '' without hits; the same dump in another format
            has the same fingerprint.
        sealed: age-sealed proof, base64, '' without hits.
        sighted: the canaries that hit, by bundle, encoded by `data.case.canary_bitmaps`, of the sample itself alone.
        release: id of the release that the examiner would register for its records, '' for none.
        prints: fingerprints of the sample and of all files in it, two each, as `data.hashing.file_fingerprints`
            encodes them; '' when stored.
        seen: tags of its values (`data.case.seen_tags`) if nothing tied it to a client; '' when stored.
        tables: what the columns of its tables were understood as; only where that was asked for, and never stored.
    """

    path: str
    sha256: str
    bytes: int
    format: str
    members: tuple[Finding, ...] = ()
    rows: int = 0
    records: int = 0
    complete: bool = True
    problems: tuple[str, ...] = ()
    hits: tuple[Hit, ...] = ()
    lineage: Lineage | None = None
    fingerprint: str = ""
    sealed: str = ""
    sighted: Mapping[str, str] = field(default_factory=dict)
    release: str = ""
    prints: str = ""
    seen: str = ""
    tables: tuple[TableFacts, ...] = ()

    def to_json(self, *, public: bool = False) -> dict[str, Any]:
        """Plain containers; `public` leaves out what only the store needs (the form of `scan --json`)."""
        # not by `asdict`, which copies the members of members once for each level, and takes ten times as long
        value: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        value["hits"] = tuple(asdict(hit) for hit in self.hits)
        value["lineage"] = None if self.lineage is None else self.lineage.to_json()
        value["sighted"] = dict(self.sighted)
        del value["tables"]
        if self.tables:
            value["tables"] = [asdict(table) for table in self.tables]
        value["members"] = [member.to_json(public=public) for member in self.members]
        if self.lineage is not None and public:
            value["lineage"]["interval"] = list(self.lineage.interval)
            value["lineage"]["columns"] = list(self.lineage.columns)
        if public:
            del value["fingerprint"], value["sealed"], value["sighted"], value["release"], value["prints"]
            del value["seen"]
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        lineage = value.get("lineage")
        return cls(
            **{
                **value,
                "members": tuple(cls.from_json(member) for member in value.get("members", ())),
                "problems": tuple(value.get("problems", ())),
                "hits": tuple(Hit(**{**hit, "kinds": tuple(hit["kinds"])}) for hit in value.get("hits", ())),
                "lineage": None if lineage is None else Lineage.from_json(lineage),
                "tables": tuple(TableFacts.from_json(table) for table in value.get("tables", ())),
            }
        )


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened or stopped happening, about a leak or about the monitoring itself.

    Attributes:
        id: 32 hex digits. A repeated event has the same id, so that it is stored and reported once.
        source: name of the source, '' for the installation itself. incident: its id, '' for none.
        at: aware UTC. post: keyed id of the post, '' for none. address: masked address of the post, '' for none.
        facts: what the text of the alert needs: counts, client ids, verdict, codes; never text of a sample.
        thread: id of the event whose message this one continues, '' for one that stands for itself.
    """

    id: str
    kind: EventKind
    severity: Severity
    at: datetime
    source: str = ""
    incident: str = ""
    post: str = ""
    address: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    thread: str = ""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The event that a row of table `event` holds; columns of other tables in the row are ignored."""
        return cls(
            id=row["id"],
            kind=EventKind(row["kind"]),
            severity=Severity(row["severity"]),
            at=datetime.fromisoformat(row["at"]),
            source=row["source"],
            incident=row["incident"],
            post=row["post"],
            address=row["address"],
            facts=json.loads(row["facts"]),
            thread=row["thread"],
        )


@dataclass(frozen=True, slots=True)
class Alert:
    """One message about one event to one channel; `id` is the idempotency key that the channel gets."""

    id: str
    event: Event
    channel: str


@dataclass(frozen=True, slots=True)
class Incident:
    """What the team works on: an attacker's threat.

    Attributes:
        clients: ids of the clients that it concerns. sources: names of the sources that belong to it.
        words, expressions: searched for in the text of posts. yara: names of files in the home's `rules/`.
    """

    id: str
    name: str
    clients: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    expressions: tuple[str, ...] = ()
    yara: tuple[str, ...] = ()

    @property
    def has_rules(self) -> bool:
        """Whether words or rules decide which posts belong to the incident."""
        return bool(self.words or self.expressions or self.yara)


@dataclass(frozen=True, slots=True)
class Client:
    """An organisation whose data Tocsin searches for.

    Attributes:
        id: opaque. name: display name. active, retired: numbers of its canaries in each state.
    """

    id: str
    name: str
    active: int = 0
    retired: int = 0
