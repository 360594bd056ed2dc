"""Counts of a sample compared with all releases: its people by the keys they have and the keys that are known (pure).

People who match a known person only by chance ("lookalikes") are separated here. The effect of typing errors is
estimated by `crawler.lineage.mistyped_people`; bounds are decided by `crawler.lineage.lineage`, the verdict by `crawler.lineage.verdict`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crawler.lineage.chance_matches import (
    ChanceMatchRates,
    MixedKeyCounts,
    chance_match_rates,
)
from crawler.lineage.compared_sample import ComparedSample, TextCounts
from crawler.lineage.field_errors import KEY_FIELDS, ErrorRates, count_patterns, replaced_fields
from crawler.lineage.person_keys import PersonKeys, per_person
from crawler.lineage.repeated_people import hidden_behind_rows, not_met, perhaps_repeated, separate_tables
from crawler.lineage.weakly_known import (
    ERRORS_PLAUSIBLE,
    classify_weakly_known,
    people_known_by_chance,
)
from data.arrays.array_types import I64, U64, Bools
from data.hashing.tags import RECORD_KINDS, VALUE_KINDS, Kind
from data.model import Parent
from data.releases.known_releases import KnownReleases
from data.releases.people import rows_with_key
from data.releases.stored_release import StoredRelease

# An explanation by chance is rejected if what was seen would happen less often than this; six kinds of key are looked
# at, hence a sixth.
CHANCE_PLAUSIBLE = 1e-3 / len(RECORD_KINDS)
# A sample holds a release in full from this coverage (re-post, superset).
FULL_COVERAGE = 0.95
# Names tell who is known under other values if a release has so many of its people by name and birth date.
NAMED_SHARE = 0.95
# From this probability on, chance counts as the cause of what it can explain.
LIKELY = 0.1
_RECORD_KINDS_OF_VALUE: Mapping[str, tuple[Kind, ...]] = {
    "nir": (Kind.NIR_FIRST, Kind.NIR_DOB),
    "email": (Kind.EMAIL_FIRST,),
    "phone": (Kind.PHONE_FIRST, Kind.PHONE_DOB),
}


@dataclass(frozen=True, slots=True)
class PeopleCounts:
    """Numbers of people of a sample.

    Attributes:
        rows: rows with a record key.
        unkeyed_rows: rows without one.
        bare_rows: further rows, in which a name or a value stands that identifies nobody by itself.
        doubtful: at most so many unmatched people may be known people whom only a weak sign ties to a release.
        relatives: so many unmatched people share a number and a surname with a release, and differ in the rest.
        perhaps_twins: so many known people share the number of a parent and a birth date with a known child, and have another
            name: it has changed, or they are its twins.
        total: distinct people.
        known: people of whom a release holds a key, without the lookalikes.
        incomparable: unmatched people all of whose keys are of kinds that the releases do not hold, or that differ for
            nearly all people who are known by other ones.
        lookalikes: people who share a telephone, mailbox or number with a known person and differ in the rest. They
            count as new.
        perhaps_new: people counted as known who may be new people that match a known key by chance.
        hidden_behind_rows: at most so many new people share their row with another person (the same keys), or have no key
            but one of a placeholder that other people of the same first name have as well.
        tables: the groups of kinds of key (as bits) that no person has in common, each with its unmatched people: tables with
            other columns, whose people cannot be recognised in each other.
        repeated: at most so many unmatched people are the same as others, with whom they share a key: mistyped in one of
            their rows.
        not_met: at most so many people of the releases are not among the known people of the sample; None if that was
            not counted, because people have several rows in the sample or not all rows were held.
    """

    rows: int
    unkeyed_rows: int
    bare_rows: int
    doubtful: int
    relatives: int
    perhaps_twins: int
    total: int
    known: int
    incomparable: int
    lookalikes: int
    perhaps_new: int
    hidden_behind_rows: int
    tables: tuple[tuple[int, int], ...] = ()
    repeated: int = 0
    not_met: int | None = None

    @property
    def new(self) -> int:
        """People whom no release knows."""
        return self.total - self.known

    @property
    def counted_twice(self) -> int:
        """At most so many unmatched people are the same as others, who stand in a table with other columns."""
        return sum(sorted(unmatched for _, unmatched in self.tables)[:-1])


@dataclass(frozen=True, slots=True)
class ParentReleases:
    """The releases that explain a sample; the sets hold ids of releases.

    Attributes:
        parents: the releases that hold more of its people than chance explains, the largest share first.
        in_full: releases that the sample holds in full.
        explain_all: releases that hold all known people, except those who match another release by chance.
        may_explain_all: releases for which it cannot be decided whether chance or another release holds the rest.
        same_columns: releases with the same kinds of key as the sample.
    """

    parents: tuple[Parent, ...]
    in_full: frozenset[str]
    explain_all: frozenset[str]
    may_explain_all: frozenset[str]
    same_columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class ValueCounts:
    """Numbers of single values of a sample, by kind.

    Attributes:
        new: values that no release holds.
        totals: all values of the kinds that could be compared.
        owners: unmatched people who have a value, as far as a record key shows it. Placeholders are in no key.
        one_in: the releases keep one value in this many, and the numbers are scaled up accordingly.
        added: kinds of value that known people have here and that no release has which explains them, with the number
            of people; `note` for free texts.
    """

    new: Mapping[str, int]
    totals: Mapping[str, int]
    owners: Mapping[str, int]
    one_in: int
    added: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Measurement:
    """Everything that was counted of a sample compared with the releases.

    Attributes:
        columns: kinds of record key that the sample has.
        comparable: kinds of key that the releases hold and whose fields were not replaced in the whole sample, as bits.
        replaced: fields that were replaced in the whole sample.
        errors: the error rates of its other fields, with people counted by patterns of keys.
        recovery_rate: the share of known people with errors whom undoing one error recovers.
        rates: how often new people match known keys by chance.
        names_are_held: whether the releases that explain the sample have nearly all of their people by name and birth date.
        only_chance: whether new people alone could have matched as many known keys of every kind.
        chance: the probability of that.
    """

    people: PeopleCounts
    releases: ParentReleases
    values: ValueCounts
    columns: tuple[Kind, ...]
    comparable: int
    replaced: tuple[str, ...]
    errors: ErrorRates
    recovery_rate: float
    rates: ChanceMatchRates
    names_are_held: bool
    only_chance: bool
    chance: float


@dataclass(frozen=True, slots=True)
class _FoundParent:
    """A release that explains a part of the sample, and the probability that chance explains the rest of its people."""

    parent: Parent
    rest_by_chance: float
    release: StoredRelease


def measure(sample: ComparedSample, releases: KnownReleases) -> Measurement:
    """Look up all keys of a sample, and count its people by the kinds of key they have and by those that are known.

    Args:
        sample: at least one row, each with a key.
        releases: at least one active release.
    """
    keys = PersonKeys.of(sample, releases)
    total, known = keys.total_people(), keys.known_people()
    columns = tuple(kind for at, kind in enumerate(RECORD_KINDS) if keys.present[:, at].any())
    search = sample.typo_search
    tried = search.try_mixed_keys() if search is not None and keys.known.any() else {}
    active = list(releases.active.values())
    rates = chance_match_rates(columns, releases.people, active, tried)
    found = _find_parents(sample, releases, keys, rates, tried)
    explaining = [each.release for each in found] or active
    held_kinds = {kind for release in explaining for kind in release.columns}
    comparable = np.array([kind in held_kinds for kind in RECORD_KINDS])
    only_chance, chance = _chance_explains(keys, keys.held, rates)
    table = keys.weights.table(count_patterns(keys.present & comparable, keys.held & comparable))
    if replaced := replaced_fields(table):
        # a key that known people have all the same stays, so that they do not count as unmatched
        comparable &= np.array([not {*KEY_FIELDS[kind]} & {*replaced} for kind in RECORD_KINDS])
        present = keys.present & comparable | keys.held
        table = keys.weights.table(count_patterns(present, keys.held))
    comparable_bits = sum(1 << at for at in np.flatnonzero(comparable).tolist())
    errors = ErrorRates(table, people_known_by_chance(table, rates))
    weakly = classify_weakly_known(
        errors, rates, search.search_weakly_known(comparable_bits) if search is not None else {}
    )
    incomparable = ~rows_with_key(keys.present & comparable) & ~keys.known
    new_values, value_totals = new_values_of(sample, releases)
    more_rows = len(sample.keys) - keys.count + sample.repeated_rows
    doubtful = min(total - known, sample.doubtful_rows)
    return Measurement(
        people=PeopleCounts(
            rows=total + more_rows,
            unkeyed_rows=sample.unkeyed_rows,
            bare_rows=sample.bare_rows,
            doubtful=doubtful,
            relatives=min(total - known, sample.rows_of_relatives),
            perhaps_twins=min(known, sample.perhaps_twins),
            total=total,
            known=known - weakly.lookalikes,
            incomparable=round(int(incomparable.sum()) * keys.weights.new),
            lookalikes=weakly.lookalikes,
            perhaps_new=weakly.perhaps_new,
            hidden_behind_rows=hidden_behind_rows(keys, sample.keys, table, active) + min(doubtful, more_rows),
            not_met=not_met(sample, releases, keys, weakly),
            repeated=perhaps_repeated(keys, sample.keys),
            tables=separate_tables(keys.weights.table(count_patterns(keys.present, keys.held))),
        ),
        releases=ParentReleases(
            parents=tuple(each.parent for each in found),
            in_full=frozenset(each.release.id for each in found if each.parent.coverage >= FULL_COVERAGE),
            explain_all=frozenset(each.release.id for each in found if each.rest_by_chance >= LIKELY),
            may_explain_all=frozenset(
                each.release.id for each in found if LIKELY > each.rest_by_chance >= ERRORS_PLAUSIBLE
            ),
            same_columns=frozenset(release.id for release in explaining if set(columns) == set(release.columns)),
        ),
        values=ValueCounts(
            new=new_values,
            totals=value_totals,
            owners=_unmatched_owners(table),
            one_in=releases.value_sample,
            added=_added_values(keys, sample.values, [each.release for each in found], sample.texts),
        ),
        columns=columns,
        comparable=comparable_bits,
        replaced=replaced,
        errors=errors,
        recovery_rate=weakly.recovery_rate,
        rates=rates,
        names_are_held=all(each.key_count(Kind.NAME_DOB) >= NAMED_SHARE * each.people for each in explaining),
        only_chance=only_chance,
        chance=chance,
    )


def _find_parents(
    sample: ComparedSample, releases: KnownReleases, keys: PersonKeys, rates: ChanceMatchRates, tried: MixedKeyCounts
) -> list[_FoundParent]:
    """The releases that hold more people of the sample than chance explains, the largest share first."""
    main = int(np.argmax(keys.present.sum(axis=0)))
    total = keys.total_people()
    kinds = tuple(kind for at, kind in enumerate(RECORD_KINDS) if keys.present[:, at].any())
    found: list[_FoundParent] = []
    for release in releases.find_explaining(sample.keys, keys.held_rows):
        # if there is only one release, it holds what all releases hold
        held = keys.held
        if len(releases) > 1:
            held = per_person(keys.people, keys.count, _held_by(release, sample.keys, keys.held_rows))
        of_release = rows_with_key(held)
        matched = round(int(of_release.sum()) * keys.weights.known)
        own_rates = chance_match_rates(kinds, release.people, [release], tried)
        if not matched or _chance_explains(keys, held, own_rates)[0]:
            continue
        # if not all people of a release have the sample's columns, the coverage is that of the people who have them
        members = release.key_count(RECORD_KINDS[main])
        by_main = float(held[:, main].sum()) * keys.weights.known / members if members else 0.0
        coverage = max(_most_of_one_table(keys, of_release) / release.people, by_main)
        # of the people whom this release does not hold, so many match another release, perhaps by chance
        others = round(int((keys.known & ~of_release).sum()) * keys.weights.known)
        by_chance = rates.highest.among(total - matched).probability_at_least(others) if others else 1.0
        found.append(_FoundParent(Parent(release.id, min(1.0, coverage), matched / total), by_chance, release))
    found.sort(key=lambda each: (-each.parent.share, -each.parent.coverage, each.parent.release))
    return found


def _most_of_one_table(keys: PersonKeys, chosen: Bools) -> float:
    """How many known people are chosen of the table that has most of them: those of another one may be the same people.

    Args:
        keys: of the people of the sample.
        chosen: shape (people,).
    """
    # as if the chosen people were those whom no release knows
    none = np.zeros_like(keys.held[chosen])
    tables = separate_tables(count_patterns(keys.present[chosen], none))
    return max((count for _, count in tables), default=0) * keys.weights.known


def _held_by(release: StoredRelease, rows: U64, held: Bools) -> Bools:
    """Which keys of rows, shape (n, 6), one release holds; only rows of which any release holds a key are looked up."""
    known = np.flatnonzero(rows_with_key(held))
    found = np.zeros(rows.shape, bool)
    found[known] = release.find_known_keys(rows[known])
    return found


def _added_values(
    keys: PersonKeys, values: Mapping[Kind, U64], parents: list[StoredRelease], texts: TextCounts
) -> dict[str, int]:
    """New harm to known people: kinds of value that no release has which explains them, and new texts."""
    if not parents or not keys.known.any():
        return {}
    by = keys.weights.known
    held = {word for parent in parents for word in parent.value_kinds}
    added = {}
    for kind in VALUE_KINDS:
        if kind is Kind.NAME_ADDRESS or kind.word in held or kind not in values or not len(values[kind]):
            continue
        record_kinds = _RECORD_KINDS_OF_VALUE.get(kind.word)
        if record_kinds is None:
            # this value is part of no record key (an account number), so the person who has it is not known: the
            # values themselves are counted
            added[kind.word] = round(min(len(values[kind]), int(keys.known.sum())) * by)
        else:
            columns = [RECORD_KINDS.index(each) for each in record_kinds]
            added[kind.word] = round(int((keys.present[:, columns].any(axis=1) & keys.known).sum()) * by)
    if texts.new_of_known:
        added["note"] = texts.new_of_known
    return {word: count for word, count in added.items() if count}


def _unmatched_owners(table: I64) -> dict[str, int]:
    """`ValueCounts.owners`, from people by patterns of keys."""
    patterns = np.arange(len(table))
    return {
        word: int(table[(patterns & sum(1 << RECORD_KINDS.index(kind) for kind in kinds)) != 0, 0].sum())
        for word, kinds in _RECORD_KINDS_OF_VALUE.items()
    }


def new_values_of(sample: ComparedSample, releases: KnownReleases) -> tuple[dict[str, int], dict[str, int]]:
    """Per kind, the values that no release holds, and all values; both scaled up if only some values were kept."""
    new: dict[str, int] = {}
    totals: dict[str, int] = {}
    by = sample.part.one_in if sample.part else 1
    for kind in VALUE_KINDS:
        tags = sample.values.get(kind)
        if tags is None or not len(tags) or kind is Kind.NAME_ADDRESS:
            continue
        unknown, compared = releases.count_new_values(kind, tags)
        new[kind.word] = round(unknown * by * len(tags) / compared) if compared else 0
        if compared:
            totals[kind.word] = by * len(tags)
    return new, totals


def _chance_explains(keys: PersonKeys, held: Bools, rates: ChanceMatchRates) -> tuple[bool, float]:
    """Whether new people alone could have matched as many known keys of every kind, and how probable that is.

    Args:
        keys: of the people of the sample.
        held: shape (people, 6), which of their keys the releases in question hold.
        rates: of chance matches with these releases.
    """
    least = 1.0
    for column, kind in enumerate(RECORD_KINDS):
        matched = round(int(held[:, column].sum()) * keys.weights.known)
        if matched:
            people = keys.weights.people(keys.present[:, column], keys.known)
            least = min(least, rates.of_kind(kind).among(people).probability_at_least(matched))
    return least >= CHANCE_PLAUSIBLE, min(1.0, least * len(RECORD_KINDS))
