"""Checks what a crawl process reports before it is stored or shown: keyed ids, masked addresses, words of closed lists.

A crawl process meets hostile sites. If one took it over, it could send a client's data as an address, a field, a format
or a code. What it can send is therefore checked here against what this runner itself knows: the source's definition,
the rules in the job, the imported clients and the registered releases. A frame that no correct crawl process sends ends
the crawl as failed; a sentence that is not ours is replaced.
"""

from __future__ import annotations

import codecs
import contextlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeVar

from crawler.pages.field_ranges import MAX_PAGE_OF_ITEM, MAX_PRECISION, require_fields
from crawler.pages.listing_shape import PAGE_FIELDS, known_names
from crawler.pages.post_identity import AddressMask, host_id, open_due, open_host, open_rules, operator_words, post_id
from crawler.process.control_frames import (
    MAX_PARTS,
    AnnouncedTime,
    AnyQuestion,
    CommitFrame,
    CommittedPost,
    EndFrame,
    LinkedPost,
    ListedFrame,
    ListedPost,
    PageFrame,
    PagesFrame,
    PageShape,
    PartsFrame,
    PostPart,
    PostReference,
    PreviewFrame,
    SourceChangedFrame,
    TurnFrame,
    WalkedFrame,
)
from crawler.process.finding_checks import checked_finding, is_sealed, without_identifiers
from crawler.process.job_frame import IncidentRules
from crawler.process.wire_values import WireValue
from data.errors import TocsinError, WireError
from data.hashing.case_keys import keyed_digest
from data.model import Finding
from data.replaced import replaced
from data.sources.definition import Definition, source_hosts
from data.vocabulary import HIDDEN, rounded, vocabulary

COUNTS = frozenset(["listed", "new", "changed", "examined", "unexamined", "replies", "resumed", "refused", "requests"])
MAX_POSTS, MAX_COUNT, MAX_HOSTS = 10_000, 10**8, 20
MAX_FINDINGS, MAX_LINKS, MAX_DEADLINES = 20_000, 100_000, 64
MAX_LINKED_HOSTS, MAX_HOST_NAME, MAX_FILES = 50, 300, 1000
MAX_BYTES = 2**50
MAX_PAGE = 2**22
MAX_ROBOTS = 2**21
WAYS = frozenset(["zip", "7z", "7z, locked", "torrent", "listing"])
# What is counted beside the codes of troubles.
LEFT_OUT = frozenset(["undeclared link", "further links"])
UNDESCRIBED = "the crawl process reported something that it could not describe"
# An announced time lies in the coming 400 days, or passed a little while ago (`crawler.pages.deadlines.FARTHEST`).
FARTHEST = timedelta(days=401)
_ID = re.compile(r"[0-9a-f]{32}")
_PHRASE = re.compile(r"in \d{1,6} (?:min|h|days|weeks|months)|20\d\d-\d\d-\d\d(?: \d\d:\d\d)?|countdown")
_RULE_OF_FILE = re.compile(r"rule ([A-Za-z_][A-Za-z0-9_]{0,127}) of (.+)")
_PLACE = re.compile(r"(\[[0-9a-f]{6}\]|[a-z0-9.:\[\]-]{1,255}):(\d{1,5})|")
W = TypeVar("W", bound=WireValue)


class QuestionChecks:
    """Checks the questions of the process of one crawl."""

    def __init__(
        self,
        definition: Definition,
        *,
        post_key: bytes,
        follow: Mapping[str, frozenset[tuple[str, int]]],
        rules: IncidentRules,
        clients: Callable[[], Collection[str]],
        releases: Callable[[], Collection[str]],
        bundles: Callable[[], Collection[str]],
    ) -> None:
        """For one crawl.

        Args:
            definition: of the source.
            post_key: of the case; due posts are opened with it.
            follow: other source -> the (host, port) pairs that it declares.
            rules: of the source's incident, as in the job.
            clients: returns the ids of all clients; called when a finding has hits.
            releases: returns the ids of all releases; called when a finding names some.
            bundles: returns the ids of all imported bundles; called when a finding has sighted canaries.
        """
        self._definition, self._post_key, self._rules = definition, post_key, rules
        self._clients, self._releases, self._bundles = clients, releases, bundles
        words = operator_words(definition)
        places = {definition.name: source_hosts(definition), **follow}
        self._masks = {
            source: AddressMask(post_key, frozenset(host for host, _ in pairs), words)
            for source, pairs in places.items()
        }
        self._hosts = frozenset(host for host, _ in source_hosts(definition))
        self._words = words | {definition.name, definition.platform} | self._hosts
        self._known: dict[Callable[[], Collection[str]], frozenset[str]] = {}
        # a commit has the address that its listing had
        self._is_masked = lru_cache(MAX_POSTS)(lambda source, address: self._masks[source].is_masked(address))

    def checked(self, question: AnyQuestion) -> AnyQuestion:
        """The question with nothing in it that may not be stored or shown.

        Raises:
            WireError: no correct crawl process sends this.
        """
        match question:
            case TurnFrame():
                _require(question.host in self._hosts)
            case ListedFrame():
                _require(len(question.posts) <= MAX_POSTS and 0 <= question.page < MAX_COUNT)
                for post in question.posts:
                    self._listed(post)
            case PartsFrame():
                _check_parts(question.parts)
            case WalkedFrame():
                _require(0 <= question.pages < MAX_COUNT and 0 <= question.rows < MAX_COUNT)
                if question.shape is not None:
                    self._shape(question.shape, known_names(self._definition))
            case PagesFrame():
                self._shape(question.shape, PAGE_FIELDS)
            case PageFrame():
                # of a million random bytes some may look readable: the page is left out, and the crawl goes on
                kept = len(question.sealed) <= MAX_PAGE and is_sealed(question.sealed)
                return _with(question, sealed=question.sealed if kept else b"")
            case CommitFrame():
                return self._commit(question)
            case PreviewFrame():
                self._reference(question.post, self._definition.name)
                preview = question.preview
                _require(preview.how in WAYS and 0 <= preview.fetched < MAX_BYTES and 0 <= preview.total < MAX_BYTES)
                return _with(
                    question, preview=_with(preview, fetched=rounded(preview.fetched), total=rounded(preview.total))
                )
            case SourceChangedFrame():
                return self._source_changed(question)
            case EndFrame():
                return self._end(question)
        return question

    def _shape(self, shape: PageShape, names: Collection[str]) -> None:
        _require(0 <= shape.rows <= MAX_POSTS and set(shape.fields) <= set(names))
        for counts in shape.fields.values():
            _require(all(0 <= each <= shape.rows for each in (counts.filled, counts.numbers, counts.words)))
        try:
            _require(not shape.charset or codecs.lookup(shape.charset).name == shape.charset)
        except LookupError:
            _require(condition=False)

    def _listed(self, post: ListedPost) -> None:
        self._reference(post, self._definition.name)
        require_fields(post.fields, self._definition.list.fields.extra, datetime.now(UTC))
        self._due(post.due, self._definition.name, post.id)

    def _reference(self, post: PostReference | ListedPost | LinkedPost | CommittedPost, source: str) -> None:
        _require(bool(_ID.fullmatch(post.id)) and bool(_ID.fullmatch(post.version)))
        _require(self._is_masked(source, post.address))

    def _due(self, sealed: bytes, source: str, identity: str) -> None:
        """A due post must really be sealed, and be the post that it is reported as."""
        post = open_due(self._post_key, sealed)
        _require(post.source == source and post_id(self._post_key, source, post.native) == identity)

    def _commit(self, question: CommitFrame) -> CommitFrame:
        post, now = question.post, datetime.now(UTC)
        self._reference(post, self._definition.name)
        for fields in (post.fields, post.page_fields):
            require_fields(fields, self._definition.list.fields.extra, now)
        _check_parts(post.parts)
        _require(0 <= post.last_page <= MAX_PAGE_OF_ITEM)
        _require(all(self._is_rule(rule) for rule in post.announced.rules))
        _require(len(post.announced.deadlines) <= MAX_DEADLINES)
        for deadline in post.announced.deadlines:
            _check_deadline(deadline, now)
        _require(all(0 <= count < MAX_COUNT for count in post.facts.left.values()))
        left: Counter[str] = Counter()
        for code, count in post.facts.left.items():
            left[code if code in LEFT_OUT else _code(code)] += count
        _require(len(question.findings) <= MAX_FINDINGS and len(question.links) <= MAX_LINKS)
        for link in question.links:
            _require(link.source in self._masks and link.source != self._definition.name)
            self._reference(link, link.source)
            self._due(link.due, link.source, link.id)
        _require(len(question.hosts) <= MAX_LINKED_HOSTS)
        for host in question.hosts:
            # it must really be sealed, and be the host that it is reported as
            name = open_host(self._post_key, host.sealed)
            _require(len(name) <= MAX_HOST_NAME and host_id(self._post_key, name) == host.id)
            _require(0 <= host.files <= MAX_FILES)
        _require(all(_ID.fullmatch(event) for event in question.previews.values()))
        failed = question.failed
        if failed is not None:
            failed = _with(failed, code=_code(failed.code), detail=self._sentence(failed.detail))
        findings = tuple(self._finding(finding) for finding in question.findings)
        if left:
            post = _with(post, facts=_with(post.facts, left=dict(left)))
        return _with(question, post=post, findings=findings, failed=failed)

    def _finding(self, finding: Finding) -> Finding:
        """A finding as it may be stored, and with the ids of clients and releases that this runner knows itself."""
        finding = self._with_known_clients(without_identifiers(checked_finding(finding)))
        lineage = finding.lineage
        if lineage is not None and lineage.parents:
            parents = tuple(
                replaced(parent, release=self._known_id(parent.release, self._releases)) for parent in lineage.parents
            )
            finding = replaced(finding, lineage=replaced(lineage, parents=parents))
        return finding

    def _with_known_clients(self, finding: Finding) -> Finding:
        return replaced(
            finding,
            sighted={self._known_id(bundle, self._bundles): bits for bundle, bits in finding.sighted.items()},
            hits=tuple(replaced(hit, client=self._known_id(hit.client, self._clients)) for hit in finding.hits),
            members=tuple(self._with_known_clients(member) for member in finding.members),
        )

    def _known_id(self, identity: str, read: Callable[[], Collection[str]]) -> str:
        """An id that this runner knows; a keyed id in place of any other: hits are never dropped, names never kept."""
        if identity not in self._known.get(read, ()):
            # a damaged list has an event of its own; what is found must be stored all the same
            with contextlib.suppress(TocsinError):
                self._known[read] = frozenset(read())
        if identity in self._known.get(read, ()):
            return identity
        return f"unknown-{keyed_digest(self._post_key, b'unknown', identity.encode('utf-8', 'replace'))[:8]}"

    def _is_rule(self, name: str) -> bool:
        rules = self._rules
        words = {f"word {word!r}" for word in rules.words} | {f"expression {each!r}" for each in rules.expressions}
        slow = {f"rules {file} (too slow)" for file in rules.files}
        slow |= {f"expression {each!r} (too slow)" for each in rules.expressions}
        if name in words or name in slow:
            return True
        match = _RULE_OF_FILE.fullmatch(name)
        text = rules.files.get(match[2], "") if match is not None else ""
        return match is not None and bool(re.search(rf"\brule\s+{re.escape(match[1])}\b", text))

    def _source_changed(self, question: SourceChangedFrame) -> SourceChangedFrame:
        rules = self._rules
        names = {f"rules {file}" for file in rules.files} | {f"expression {each!r}" for each in rules.expressions}
        subject = question.subject if question.subject in names else _code(question.subject)
        _require(0 <= question.facts.page < MAX_COUNT)
        facts = _with(question.facts, message=self._sentence(question.facts.message))
        return _with(question, subject=subject, facts=facts)

    def _end(self, question: EndFrame) -> EndFrame:
        counts = {name: count for name, count in question.counts.items() if name in COUNTS}
        if question.robots:
            # it must really be sealed
            _require(len(question.robots) <= MAX_ROBOTS)
            open_rules(self._post_key, question.robots)
        _require(all(0 <= count < MAX_COUNT for count in (*question.counts.values(), *question.hosts.values())))
        _require(len(question.hosts) <= MAX_HOSTS)
        for place in question.hosts:
            match = _PLACE.fullmatch(place)
            host = match[1] or "" if match is not None else HIDDEN
            _require(not host or host.strip("[]") in self._hosts or bool(re.fullmatch(r"\[[0-9a-f]{6}\]", host)))
        code = question.code and _code(question.code)
        return _with(question, counts=counts, code=code, error=self._sentence(question.error))

    def _sentence(self, text: str) -> str:
        return (vocabulary().clean(text, self._words) if text else "") or (UNDESCRIBED if text else "")


def _code(code: str) -> str:
    """A code of the closed vocabulary; one that this runner does not know becomes `unexpected`."""
    return code if code in vocabulary().codes else "unexpected"


def _check_parts(parts: Sequence[PostPart]) -> None:
    _require(len(parts) <= MAX_PARTS and all(_ID.fullmatch(part.id) and _ID.fullmatch(part.version) for part in parts))


def _check_deadline(deadline: AnnouncedTime, now: datetime) -> None:
    farthest, minutes = FARTHEST.total_seconds() / 60, now.timestamp() / 60
    _require(bool(_PHRASE.fullmatch(deadline.phrase)) and 1 <= deadline.exact <= MAX_PRECISION)
    _require(deadline.at is None or minutes - farthest <= deadline.at <= minutes + 5 * farthest)
    _require(deadline.after is None or 0 < deadline.after <= farthest)


def _require(condition: bool) -> None:
    if not condition:
        raise WireError("the crawl process sent something invalid")


def _with(value: W, **changed: object) -> W:
    return value.model_copy(update=changed)
