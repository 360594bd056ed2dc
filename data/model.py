"""The words of Tocsin as frozen dataclasses; no behaviour but their JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

VERDICTS = ("re-post", "re-packaged", "subset", "superset", "overlap", "new", "padded", "unrelated", "undecided")


class Severity(StrEnum):
    """How loud an event is; `WARNING` and above ring in every channel that no route narrows."""

    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for info up to 3 for critical."""
        return list(Severity).index(self)


class EventKind(StrEnum):
    """What happened, or stopped happening (DESIGN section 7)."""

    FURTHER_RELEASE = "further_release"
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
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True)
class Post:
    """One published entry that a listing links to, as the crawl process sees it. Never stored as it is.

    Attributes:
        source: name of the source. native: the site's own id, else the canonical URL: the identity with `source`.
        url: where a person reads it. raw: where its bytes are best fetched, '' for at `url`.
        fields: what else the listing said and matters (title, size, files, percent, timer, magnet, state, links…);
            all of it enters the version digest. volatile fields are left out by the platform.
        body: text the listing itself already carried (feeds); examined with the post.
        attachments: addresses of further samples.
        time: the site's own time as it wrote it, a hint only.
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
        """Only lengths: titles and addresses of a leak are leaked content."""
        return f"<Post of {self.source}, {len(self.title)} title characters, {len(self.attachments)} attachments>"

    def to_json(self) -> dict[str, Any]:
        """Plain containers, for the sealed due record and the wire."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(**{**value, "attachments": tuple(value.get("attachments", ()))})


@dataclass(frozen=True, slots=True)
class Hit:
    """What of one client a sample holds: distinct canaries, rows that held one, kinds of tag that agreed."""

    client: str
    canaries: int
    records: int
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parent:
    """A release that explains part of a sample: coverage of the release, share of the sample (both 0..1)."""

    release: str
    coverage: float
    share: float


@dataclass(frozen=True, slots=True)
class Whole:
    """What a small sample says of the unseen whole it came from, under a condition that nobody can check.

    condition: the sentence that must hold. confidence: of the bounds, 0..1. new_share: bounds for the share of new
    people.
    """

    condition: str
    confidence: float
    new_share: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Lineage:
    """How a sample stands to all releases.

    Attributes:
        verdict: one of `VERDICTS`.
        records: distinct people of the sample; known and new partition them. interval: bounds for `new`.
        new_values: per kind, values of the sample that no release holds. notes: assumptions and what was not decided.
        confidence: of the verdict, 0..1; 0 for `undecided`.
        columns: kinds of record key that the sample has.
        mistyped: of the new people, so many are probably known ones with typing errors.
        added: new harm to known people: kinds of value (`note` for free text) that no release has which explains
            them, and of how many people.
        whole: of a small sample, what follows for the whole under a condition; else None.
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
    whole: Whole | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """From plain containers; what an older Tocsin did not write has its default."""
        whole = value.get("whole")
        return cls(
            **{
                **value,
                "interval": tuple(value["interval"]),
                "parents": tuple(Parent(**parent) for parent in value["parents"]),
                "notes": tuple(value.get("notes", ())),
                "columns": tuple(value.get("columns", ())),
                "whole": None if whole is None else Whole(**{**whole, "new_share": tuple(whole["new_share"])}),
            }
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """What the examiner says of one sample (or member); holds no plaintext but member names, which are never stored.

    Attributes:
        path: the name under which the sample or member came; '' when stored.
        sha256: hex, of the sample's bytes. bytes: their number. format: `unknown` where no reader took it.
        rows: table rows read. records: rows that gave at least one record key.
        complete: every byte was examined. problems: sentences "code: what happened", no content in them.
        hits: of the sample with all its members. lineage: None where there were no records.
        fingerprint: keyed hex digest of the set of canaries that hit, '' without hits: equal for the same dump
            in other clothes. sealed: age-sealed proof, base64, '' without hits.
        sighted: the canaries that hit, by bundle, as `data.case.canary_bitmaps` packs them; only of the sample itself.
        release: id of the release that the examiner would make of its records, '' for none.
        prints: of the sample and of all files in it, two each, as `data.hashing.file_fingerprints` encodes them; '' when stored.
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

    def to_json(self, *, public: bool = False) -> dict[str, Any]:
        """Plain containers; `public` leaves out what only the store needs (the shape of `scan --json`)."""
        value = asdict(self)
        value["members"] = [member.to_json(public=public) for member in self.members]
        if self.lineage is not None and public:
            value["lineage"]["interval"] = list(self.lineage.interval)
            value["lineage"]["columns"] = list(self.lineage.columns)
        if public:
            del value["fingerprint"], value["sealed"], value["sighted"], value["release"], value["prints"]
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
            }
        )


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened or stopped happening, about leaks or about the watching itself.

    Attributes:
        id: 32 hex digits, deterministic: the same happening gives the same id, so that it is stored and told once.
        source: name of the source, '' for the installation itself. incident: '' where none applies.
        at: aware UTC. post: keyed id of the post, ''. address: masked address of the post, '' where there is none.
        facts: counts, client ids, verdict, codes: what the wording needs; never text of a sample.
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


@dataclass(frozen=True, slots=True)
class Alert:
    """One message about one event to one channel; `id` is the idempotency key on the wire."""

    id: str
    event: Event
    channel: str


@dataclass(frozen=True, slots=True)
class Incident:
    """What the team works on: an attacker's threat with its clients, sources, words and baselines.

    Attributes:
        words, expressions: looked for in the text of posts. yara: names of files in the home's `rules/`.
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
        """Whether posts are told apart by words or rules."""
        return bool(self.words or self.expressions or self.yara)


@dataclass(frozen=True, slots=True)
class Client:
    """An organisation whose data we look for: opaque id, display name, how many canaries it has in each state."""

    id: str
    name: str
    active: int = 0
    retired: int = 0
