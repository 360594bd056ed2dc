"""What is counted of a sample beside all releases: people by the keys they have and those that are known (pure).

Lookalikes by chance are told apart here. What errors may have done, bounds and the verdict are left to `crawler.lineage.lineage`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from crawler.lineage.chance_matches import NEVER, Chance, Meetings, meetings, merging
from crawler.lineage.field_errors import WEAK, ErrorRates, fewest_errors, patterns
from crawler.lineage.typo_search import SecondLook, Undone
from data.arrays.array_types import I64, U64, Bools
from data.hashing.tags import RECORD_KINDS, VALUE_KINDS, Kind
from data.model import Parent
from data.releases.known_releases import KnownReleases
from data.releases.people import KEY_FAMILIES, any_per_person, rows_with_key
from data.releases.stored_release import StoredRelease

# An explanation by chance or noise is given up when what was seen would happen less often than this.
# Of a thousand worn samples one has more lost people than 1e-3 allows (seen: 2 people mistyped in both first name and
# birth date among 2,000 at 1 %). Six keys are looked at, hence a sixth for coincidences.
NOISE_PLAUSIBLE = 1e-4
CHANCE_PLAUSIBLE = 1e-3 / len(RECORD_KINDS)
# A release is out again in full from this coverage (re-post, superset).
FULL_COVERAGE = 0.95
# So probable, chance is taken for the reason of what it can explain.
LIKELY = 0.1
# Undoing one error usually recovers nearly all of the mistyped; that is worth so many people who were tried.
USUALLY_RECOVERED = 0.9
PRIOR_UNDONE = 2.0
_FIELD_KINDS: Mapping[str, tuple[Kind, ...]] = {
    "nir": (Kind.NIR_FIRST, Kind.NIR_DOB),
    "email": (Kind.EMAIL_FIRST,),
    "phone": (Kind.PHONE_FIRST, Kind.PHONE_DOB),
}


@dataclass(frozen=True, slots=True)
class Texts:
    """Free texts of a sample (medical notes) beside those of all releases; see `crawler.records.note_prints`.

    read: texts. known, new: recognised, and long enough to be recognised but in no release. of_known: new texts in
    rows of known people.
    """

    read: int = 0
    known: int = 0
    new: int = 0
    of_known: int = 0


NO_TEXTS = Texts()


@dataclass(frozen=True, slots=True)
class Part:
    """That the rows at hand are a part of a sample, drawn person by person.

    Attributes:
        one_in: values are those of one in so many.
        people: of the whole sample.
        all_new: whether everybody unmatched is there, and only known people were drawn.
    """

    one_in: int
    people: int
    all_new: bool


@dataclass(frozen=True, slots=True)
class Weights:
    """For how many people a known and an unmatched one of those at hand stand."""

    known: float = 1.0
    new: float = 1.0

    @classmethod
    def of(cls, part: Part | None, known: int, new: int) -> Weights:
        """Of so many known and unmatched people that are at hand; None for `part` where they are all."""
        if part is None:
            return cls()
        if part.all_new:
            return cls(max(1.0, (part.people - new) / known) if known else 1.0)
        share = part.people / (known + new)
        return cls(share, share)

    def people(self, those: Bools, known: Bools) -> int:
        """How many people a choice of those at hand, shape (people,), stands for."""
        count = int(those.sum())
        if self.known == self.new:
            return round(count * self.known)
        seen = int((those & known).sum())
        return round(seen * self.known + (count - seen) * self.new)

    def table(self, table: I64) -> I64:
        """Numbers of people by patterns."""
        if self == Weights():
            return table
        scaled: I64 = np.rint(table * self.known).astype(np.int64)
        scaled[:, 0] = np.rint(table[:, 0] * self.new)
        return scaled


@dataclass(frozen=True, slots=True)
class Measured:
    """What was counted; people by patterns of keys (see `crawler.lineage.field_errors.patterns`)."""

    rows: int
    unkeyed: int
    people: int
    known: int
    beyond: int
    """Unmatched people all of whose keys are of kinds that the releases beside them do not hold."""
    by_chance: bool
    chance: float
    lookalikes: int
    """Counted as new: they share a telephone, mailbox or number with somebody known, and differ in the rest."""
    doubtful: int
    """Counted as known, who may be new ones that met a known key by chance."""
    undone: float
    """The share of known people's errors that one error undone mends."""
    comparable: int
    """Kinds of key that the releases beside them hold, as bits."""
    errors: ErrorRates
    parents: tuple[Parent, ...]
    full: frozenset[str]
    whole: frozenset[str]
    """Releases that explain all known people, but for those who meet another release by chance."""
    perhaps: frozenset[str]
    """Those that may do so: whether the rest is chance or another release cannot be told."""
    alike: frozenset[str]
    columns: tuple[Kind, ...]
    rates: Meetings
    merged: int
    """So many new people at most are behind another row of the sample."""
    new_values: Mapping[str, int]
    value_totals: Mapping[str, int]
    value_sample: int
    """New values are estimated from one in so many."""
    added: Mapping[str, int]

    @property
    def new(self) -> int:
        """People whom no release knows."""
        return self.people - self.known


def measure(
    rows: U64, unkeyed: int, people: I64, values: Mapping[Kind, U64], releases: KnownReleases, seen: Bools | None,
    texts: Texts, second: SecondLook | None, part: Part | None,
) -> Measured:  # fmt: skip
    """Look everything up, and count people by the kinds of key they have and by those that are known."""
    held_people = int(people.max()) + 1
    seen_rows = releases.find_known_keys(rows) if seen is None else seen
    present, held = _per_person(people, held_people, rows != 0), _per_person(people, held_people, seen_rows)
    totals = present.sum(axis=0)
    columns = tuple(kind for at, kind in enumerate(RECORD_KINDS) if totals[at])
    main = int(np.argmax(totals))
    known_people = rows_with_key(held)
    known_count = int(known_people.sum())
    weights = Weights.of(part, known_count, held_people - known_count)
    known_count = round(known_count * weights.known)
    count = known_count + round((held_people - int(known_people.sum())) * weights.new)
    tried = second.by_chance() if second is not None and known_people.any() else {}
    active = list(releases.active.values())
    rates = meetings(columns, releases.people, active, tried)
    found: list[tuple[Parent, float, StoredRelease]] = []
    for release in releases.find_explaining(rows, seen_rows):
        # what the only release holds is what all hold
        hits = held if len(releases) == 1 else _per_person(people, held_people, _hits(release, rows, seen_rows))
        of_release = rows_with_key(hits)
        matched = round(int(of_release.sum()) * weights.known)
        own = meetings(columns, release.people, [release], tried)
        if matched and not _chance_explains(hits, present, own, known_people, weights)[0]:
            # of a release whose people do not all have the sample's columns, those that have them count
            members = release.key_count(RECORD_KINDS[main])
            by_main = float(hits[:, main].sum()) * weights.known / members if members else 0.0
            coverage = max(matched / release.people, by_main)
            others = round(int((known_people & ~of_release).sum()) * weights.known)
            # of those whom this release does not hold, so many are known by chance to another
            by_luck = rates.worst.of(count - matched).tail(others) if others else 1.0
            found.append((Parent(release.id, min(1.0, coverage), matched / count), by_luck, release))
    found.sort(key=lambda each: (-each[0].share, -each[0].coverage, each[0].release))
    explaining = [release for *_, release in found] or active
    kinds = {kind for release in explaining for kind in release.columns}
    comparable = np.array([kind in kinds for kind in RECORD_KINDS])
    by_chance, chance = _chance_explains(held, present, rates, known_people, weights)
    new_values, value_totals = new_values_of(values, releases, part)
    table = weights.table(patterns(present & comparable, held & comparable))
    errors = ErrorRates(table, _by_chance(table, rates))
    held_kinds = sum(1 << at for at in np.flatnonzero(comparable).tolist())
    weakly = weakly_known(errors, rates, second.undone(held_kinds) if second is not None else {})
    return Measured(
        count + len(rows) - held_people,
        unkeyed,
        count,
        known_count - weakly.lookalikes,
        round(int((~rows_with_key(present & comparable) & ~known_people).sum()) * weights.new),
        by_chance,
        chance,
        weakly.lookalikes,
        weakly.doubtful,
        weakly.undone,
        held_kinds,
        errors,
        tuple(parent for parent, *_ in found),
        frozenset(parent.release for parent, *_ in found if parent.coverage >= FULL_COVERAGE),
        frozenset(parent.release for parent, by_luck, _ in found if by_luck >= LIKELY),
        frozenset(parent.release for parent, by_luck, _ in found if LIKELY > by_luck >= NOISE_PLAUSIBLE),
        frozenset(release.id for release in explaining if set(columns) == set(release.columns)),
        columns,
        rates,
        _merged(people, known_people, table, active),
        new_values,
        value_totals,
        releases.value_sample,
        _added(present, known_people, values, [release for *_, release in found], texts, weights.known),
    )


def _hits(release: StoredRelease, rows: U64, seen: Bools) -> Bools:
    """Which keys of rows, shape (n, 6), a release holds; looked up are those that any holds."""
    known = np.flatnonzero(rows_with_key(seen))
    found = np.zeros(rows.shape, bool)
    found[known] = release.find_known_keys(rows[known])
    return found


def _per_person(people: I64, count: int, rows: Bools) -> Bools:
    """Shape (people, 6): for whom any row is true."""
    if count == len(people) and not (people[1:] < people[:-1]).any():
        return rows
    return any_per_person(people, rows)


def _added(
    present: Bools, known: Bools, values: Mapping[Kind, U64], parents: list[StoredRelease], texts: Texts, by: float
) -> dict[str, int]:
    """New harm to known people: kinds of identifier that no release has which explains them, and new texts."""
    if not parents or not known.any():
        return {}
    held = {word for parent in parents for word in parent.value_kinds}
    added = {}
    for kind in VALUE_KINDS:
        if kind.word in held or kind not in values or not len(values[kind]):
            continue
        record_kinds = _FIELD_KINDS.get(kind.word)
        if record_kinds is None:
            # an account number is part of no record key: its values are counted, by nobody's name
            added[kind.word] = round(min(len(values[kind]), int(known.sum())) * by)
        else:
            columns = [RECORD_KINDS.index(each) for each in record_kinds]
            added[kind.word] = round(int((present[:, columns].any(axis=1) & known).sum()) * by)
    if texts.of_known:
        added["note"] = texts.of_known
    return {word: count for word, count in added.items() if count}


def new_values_of(
    values: Mapping[Kind, U64], releases: KnownReleases, part: Part | None
) -> tuple[dict[str, int], dict[str, int]]:
    """Per kind: values that no release holds, and all values; both scaled up from the sample of values."""
    new: dict[str, int] = {}
    totals: dict[str, int] = {}
    by = part.one_in if part else 1
    for kind in VALUE_KINDS:
        tags = values.get(kind)
        if tags is None or not len(tags):
            continue
        unknown, compared = releases.count_new_values(kind, tags)
        new[kind.word] = round(unknown * by * len(tags) / compared) if compared else 0
        if compared:
            totals[kind.word] = by * len(tags)
    return new, totals


def _merged(people: I64, known: Bools, table: I64, releases: list[StoredRelease]) -> int:
    """How many new people there may be at most behind a row that another one shares (fathers and sons, namesakes)."""
    if len(known) == len(people):
        return 0
    twice = int((np.bincount(people)[~known] - 1).sum())
    told, likely = 0, NEVER
    for family in KEY_FAMILIES:
        bits = sum(1 << RECORD_KINDS.index(kind) for kind in family)
        # whom nothing more telling keeps apart
        count = sum(int(number) for present, number in enumerate(table[:, 0]) if present & bits and not present & told)
        told |= bits
        if twice and count:
            likely += max((merging(kind, count, releases) for kind in family), key=lambda each: each.mean).of(count)
    return min(twice, likely.most())


def _chance_explains(
    seen: Bools, present: Bools, rates: Meetings, known: Bools, weights: Weights
) -> tuple[bool, float]:
    """Whether new people alone could have met as many known keys of every kind, and how likely; shapes (people, 6)."""
    least = 1.0
    for column, kind in enumerate(RECORD_KINDS):
        met = round(int(seen[:, column].sum()) * weights.known)
        if met:
            least = min(least, rates.one(kind).of(weights.people(present[:, column], known)).tail(met))
    return least >= CHANCE_PLAUSIBLE, min(1.0, least * len(RECORD_KINDS))


def doubtful_patterns(table: I64, rates: Meetings) -> Iterator[tuple[int, int, int, Chance]]:
    """Patterns of people who may be taken for known ones by chance: present, seen, how many, a mean of how many by chance.

    That are those seen by weak keys alone whose other keys say otherwise, and whoever differs in two fields or more.
    """
    for present, seen in zip(*(each.tolist() for each in np.nonzero(table)), strict=True):
        errors = fewest_errors(present, seen) if seen else 0
        if errors >= 2 or (errors and not seen & ~WEAK):
            count = int(table[present, seen])
            rate = rates.together(kind for at, kind in enumerate(RECORD_KINDS) if seen >> at & 1)
            yield present, seen, count, rate.of(count + int(table[present, 0]))


def _by_chance(table: I64, rates: Meetings) -> I64:
    """The people who are seen by a weak key alone, and no more often than chance makes it: they tell no errors."""
    apart = np.zeros_like(table)
    for present, seen, count, by_chance in doubtful_patterns(table, rates):
        if not seen & ~WEAK and by_chance.tail(count) >= NOISE_PLAUSIBLE:
            apart[present, seen] = count
    return apart


@dataclass(frozen=True, slots=True)
class WeaklyKnown:
    """People who may be taken for known ones by chance; see `Measured`."""

    lookalikes: int
    doubtful: int
    undone: float


def weakly_known(errors: ErrorRates, rates: Meetings, undone: Undone) -> WeaklyKnown:
    """Tell those who are known and mistyped from lookalikes.

    Who is better known with one error undone is known and mistyped. Of the rest, and of whom was not looked at, those
    whose keys say otherwise are lookalikes where errors are the less likely reason.
    """
    lookalikes = doubtful = 0
    of_errors, mended = PRIOR_UNDONE, PRIOR_UNDONE * USUALLY_RECOVERED
    for present, seen, count, by_chance in doubtful_patterns(errors.table, rates):
        tried, found = undone.get((present, seen), (0, 0))
        rest = count - round(count * found / tried) if tried else count
        expected = errors.expected(present, seen)
        left = expected * (1 - USUALLY_RECOVERED) if tried else expected
        if not seen & ~WEAK and left < by_chance.mean:
            lookalikes += rest
        else:
            # where neither errors nor chance account for them, somebody made them up from known values
            doubtful += rest if expected < count / 2 else min(rest, by_chance.most())
        if expected > by_chance.mean:
            of_errors, mended = of_errors + tried, mended + found
    return WeaklyKnown(lookalikes, doubtful, mended / of_errors)
