"""Checks a finding that another process sent: closed vocabularies, bounded and consistent numbers, no made-up text.

A process that hostile bytes have taken over can send any finding. What is checked here may be stored and shown: names
of formats, codes, sentences of our own source code, keyed digests, and numbers within the range of what they claim to
be. Anything else is replaced, and the finding then counts as not examined to its end.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from data.errors import WireError
from data.identifiers.header_words import ROLES
from data.model import (
    AUTHENTICITY,
    HIT_DATA,
    LIKELIHOODS,
    ORIGINS,
    VERDICTS,
    Authenticity,
    Extrapolation,
    Finding,
    Hit,
    Lineage,
    Origin,
    Parent,
    TableFacts,
)
from data.replaced import replaced
from data.vocabulary import INVALID, known_problem, known_sentence, rounded, vocabulary

# Bounds of what the numbers claim to be: bytes of a sample, its rows, people or values.
MAX_BYTES = 2**50
MAX_COUNT = 2**40
# Budgets of one finding with all of its members.
MAX_FINDINGS = 20_000
MAX_PROBLEMS = 60
MAX_HITS = 100_000
MAX_PARENTS = 1000
MAX_NOTES = 100
MAX_BUNDLES = 1_000_000
MAX_DEPTH = 40
# Characters of base64 of the tags of a sample, `data.case.seen_tags.MAX_TAGS` of them.
MAX_SEEN = 200_000
MAX_TABLES, MAX_COLUMNS = 50, 200
# Of a sample so few rows are judged, so that no count among them is anybody's number; the weight of 128 rows stays below.
MAX_JUDGED_ROWS, MAX_WEIGHT = 1000, 10_000
JUDGED_COLUMNS = frozenset({"names", "dob", "nir", "email", "phone"})
COLUMN_ROLES = frozenset({"", *(role for role, _ in ROLES)})

SENT_INVALID = f"{INVALID}: the examiner sent something invalid, which is not shown"
_HEX = re.compile(r"(?:[0-9a-f]{2}){1,64}|")
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_RELEASE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_SIGHTED = re.compile(r"sighted-[0-9a-f]{16}")
# one stanza for each of at most 16 recipients (`data.case.evidence.MAX_RECIPIENTS`)
_AGE_HEADER = re.compile(rb"age-encryption\.org/v1\n(?:-> X25519 [A-Za-z0-9+/]{43}\n[A-Za-z0-9+/]{43}\n){1,16}")
_AGE_MAC = re.compile(rb"\n--- [A-Za-z0-9+/]{43}\n")
_MAX_AGE_HEADER = 4096
# Sealed bytes are random: 24 printable characters in a row stand there once in 10**10 bytes.
_READABLE = re.compile(rb"[\t\n\r -~]{24}")


def checked_finding(finding: Finding) -> Finding:
    """The finding as it may be stored and shown; with problem code `invalid` and not complete if that differs.

    Raises:
        WireError: a value has the wrong type or form, a number is out of its range, or there are too many of something.
    """
    try:
        return _Check().finding(finding)
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise WireError("a finding holds a value of the wrong type") from error


class _Check:
    """Checks one finding with all of its members, which share the budgets."""

    def __init__(self) -> None:
        self._findings = MAX_FINDINGS

    def finding(self, finding: Finding, depth: int = 0) -> Finding:
        self._findings -= 1
        _require(self._findings >= 0 and depth <= MAX_DEPTH, "too many members")
        members = tuple(self.finding(member, depth + 1) for member in finding.members)
        _count(finding.bytes, MAX_BYTES)
        _count(finding.rows)
        _count(finding.records)
        for name in ("rows", "records"):
            total = sum(getattr(member, name) for member in members)
            _require(total <= getattr(finding, name), "members with more rows than the sample")
        _require(isinstance(finding.complete, bool) and isinstance(finding.path, str), "a wrong type")
        _require(all(_HEX.fullmatch(each) for each in (finding.sha256, finding.fingerprint)), "a digest that is none")
        _require(not finding.release or bool(_SIGHTED.fullmatch(finding.release)), "an id that is none")
        _require(len(finding.problems) <= MAX_PROBLEMS, "too many problems")
        _tables(finding.tables)
        formats, sound = vocabulary().formats, True
        problems = [known_problem(problem) for problem in finding.problems]
        lineage, notes_known = (None, True) if finding.lineage is None else _lineage(finding.lineage)
        sound = finding.format in formats and None not in problems and notes_known
        kept = tuple(problem for problem in problems if problem is not None)
        return replaced(
            finding,
            format=finding.format if finding.format in formats else "unknown",
            members=members,
            complete=finding.complete and sound and all(member.complete for member in members),
            problems=kept if sound or SENT_INVALID in kept else (*kept, SENT_INVALID),
            hits=_hits(finding.hits),
            lineage=lineage,
            sealed=_sealed(finding.sealed),
            sighted=_sighted(finding.sighted),
            seen=_seen(finding.seen),
        )


def without_identifiers(finding: Finding) -> Finding:
    """The finding as the runner keeps it: without names, and without numbers that could be somebody's identifier."""
    return replaced(
        finding,
        path="",
        tables=(),
        bytes=rounded(finding.bytes),
        rows=rounded(finding.rows),
        records=rounded(finding.records),
        hits=tuple(_with_rounded_hit(hit) for hit in finding.hits),
        lineage=None if finding.lineage is None else _with_rounded_counts(finding.lineage),
        members=tuple(without_identifiers(member) for member in finding.members),
    )


def _with_rounded_hit(hit: Hit) -> Hit:
    data = None if hit.data is None else {kind: rounded(count) for kind, count in hit.data.items()}
    return replaced(hit, canaries=rounded(hit.canaries), records=rounded(hit.records), data=data)


def _with_rounded_counts(lineage: Lineage) -> Lineage:
    low, high = lineage.interval
    return replaced(
        lineage,
        records=rounded(lineage.records),
        known=rounded(lineage.known),
        new=rounded(lineage.new),
        interval=(rounded(low), rounded(high)),
        mistyped=rounded(lineage.mistyped),
        new_values={kind: rounded(count) for kind, count in lineage.new_values.items()},
        added={kind: rounded(count) for kind, count in lineage.added.items()},
    )


def _tables(tables: tuple[TableFacts, ...]) -> None:
    _require(len(tables) <= MAX_TABLES, "too many tables")
    for table in tables:
        _count(table.rows)
        _count(table.keyed)
        _require(len(table.columns) <= MAX_COLUMNS, "too many columns")
        for column in table.columns:
            known = column.role in COLUMN_ROLES and column.by in {"", "header", "values"}
            fits = column.fits is None or (isinstance(column.fits, float | int) and 0 <= column.fits <= 1)
            _require(known and fits and isinstance(column.of_others, bool), "a column that is none")


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise WireError(f"a finding holds {what}")


def _count(number: object, limit: int = MAX_COUNT) -> None:
    _require(type(number) is int and 0 <= number < limit, "a number out of its range")


def _share(number: object) -> None:
    # an estimate may be a little more than all
    _require(isinstance(number, int | float) and 0 <= number <= 2, "a share that is none")


def _kinds(kinds: Iterable[str]) -> None:
    _require(set(kinds) <= vocabulary().kinds, "a kind that does not exist")


def _hits(hits: tuple[Hit, ...]) -> tuple[Hit, ...]:
    _require(len(hits) <= MAX_HITS, "too many hits")
    for hit in hits:
        _count(hit.canaries)
        _count(hit.records)
        _kinds(hit.kinds)
        _require(isinstance(hit.client, str) and bool(hit.client) and len(hit.client) <= 200, "a client without an id")
        for count in (hit.data or {}).values():
            _count(count)
        _require(set(hit.data or ()) <= set(HIT_DATA), "a kind that does not exist")
    return hits


def _lineage(lineage: Lineage) -> tuple[Lineage, bool]:
    """The lineage as it may be stored, and whether all its notes are sentences of ours."""
    _require(lineage.verdict in VERDICTS, "a verdict that does not exist")
    low, high = lineage.interval
    numbers = (lineage.records, lineage.known, lineage.new, lineage.mistyped, low, high)
    for number in (*numbers, *lineage.new_values.values(), *lineage.added.values()):
        _count(number)
    _require(all(one <= other for one, other in pairwise((low, high))), "an interval that ends before it begins")
    _require(len(lineage.parents) <= MAX_PARENTS and len(lineage.notes) <= MAX_NOTES, "too many releases or notes")
    _kinds((*lineage.new_values, *lineage.added, *lineage.columns))
    _share(lineage.confidence)
    for parent in lineage.parents:
        _parent(parent)
    if lineage.whole is not None:
        _extrapolation(lineage.whole)
    notes = [known_sentence(note) for note in lineage.notes]
    origin, reasons_known = (None, True) if lineage.origin is None else _origin(lineage.origin)
    authentic, tells_known = (None, True) if lineage.authentic is None else _authentic(lineage.authentic)
    kept = tuple(note for note in notes if note is not None)
    known = reasons_known and tells_known and None not in notes
    return replaced(lineage, notes=kept, origin=origin, authentic=authentic), known


def _origin(origin: Origin) -> tuple[Origin, bool]:
    _require(origin.answer in ORIGINS and len(origin.reasons) <= MAX_NOTES, "an origin that does not exist")
    _share(origin.likelihood)
    reasons = [known_sentence(reason) for reason in origin.reasons]
    return replaced(origin, reasons=tuple(each for each in reasons if each is not None)), None not in reasons


def _authentic(authentic: Authenticity) -> tuple[Authenticity, bool]:
    """The answer as it may be stored, and whether all its reasons are sentences of ours."""
    _require(authentic.answer in AUTHENTICITY and authentic.likelihood in LIKELIHOODS, "an answer that does not exist")
    rows = authentic.known, authentic.recombined, authentic.invented
    for number in (authentic.rows, *rows):
        _count(number, MAX_JUDGED_ROWS)
    _require(sum(rows) <= authentic.rows and len(authentic.known_share) == 2, "rows that do not add up")
    weight = authentic.weight
    _require(isinstance(weight, int | float) and abs(weight) <= MAX_WEIGHT, "a number out of its range")
    for share in authentic.known_share:
        _share(share)
    _require(len(authentic.columns) <= len(JUDGED_COLUMNS), "too many columns")
    for column in authentic.columns:
        _require(column.column in JUDGED_COLUMNS and column.answer in AUTHENTICITY, "a column that is none")
        for number in (column.rows, column.agree, column.of_others, column.of_nobody):
            _count(number, MAX_JUDGED_ROWS)
    _require(len(authentic.reasons) <= MAX_NOTES, "too many releases or notes")
    reasons = [known_sentence(reason) for reason in authentic.reasons]
    kept = tuple(reason for reason in reasons if reason is not None)
    return replaced(authentic, reasons=kept), None not in reasons


def _parent(parent: Parent) -> None:
    _require(bool(_RELEASE.fullmatch(parent.release)), "an id that is none")
    _share(parent.coverage)
    _share(parent.share)


def _extrapolation(whole: Extrapolation) -> None:
    _require(known_sentence(whole.condition) == whole.condition, "a condition that is not one of ours")
    for share in (whole.confidence, *whole.new_share):
        _share(share)
    _require(len(whole.new_share) == 2, "bounds that are not two")


def is_sealed(data: bytes) -> bool:
    """Whether bytes are sealed in the age format, as far as that can be seen without the private key."""
    end = _AGE_MAC.search(data[:_MAX_AGE_HEADER])
    return _AGE_HEADER.match(data) is not None and end is not None and not _READABLE.search(data, end.end())


def _sealed(sealed: str) -> str:
    """Sealed evidence in the form that `data.case.evidence.seal` makes, in which nothing can be read."""
    if not sealed:
        return ""
    try:
        data = base64.b64decode(sealed, validate=True)
    except binascii.Error as error:
        raise WireError("a finding holds sealed evidence that is not base64") from error
    if not is_sealed(data):
        raise WireError("a finding holds evidence that is not sealed")
    return sealed


def _seen(seen: str) -> str:
    # the runner seals it before it is stored: what stands in it rests nowhere in clear
    _require(isinstance(seen, str) and len(seen) <= MAX_SEEN and bool(_BASE64.fullmatch(seen)), "values that are none")
    return seen


def _sighted(sighted: Mapping[str, Any]) -> Mapping[str, str]:
    _require(len(sighted) <= MAX_BUNDLES, "too many bundles")
    for bundle, bitmap in sighted.items():
        _require(bool(_IDENTIFIER.fullmatch(bundle)) and isinstance(bitmap, str), "a bundle without an id")
    return sighted
