"""How a sample stands to all releases: verdict, counts, interval (pure). What is kept of releases is `data.releases`.

The count of record is exact: people none of whose keys any release holds. Everything else is a bracket around what
exactness cannot see: two people who look like one (coincidence), and one who looks like two (noise, `crawler.noise`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crawler.noise import FIELDS, WEAK, ErrorRates, fewest_errors, patterns, poisson_tail, tail, upper
from crawler.repair import Repair, SecondLook
from data.model import VERDICTS, Lineage, Parent, Whole
from data.people import any_key, any_per_person, count_people, group_people
from data.releases import Release, Releases
from data.tags import RECORD_KINDS, VALUE_KINDS, Kind
from data.tagset import CUT_BITS

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Share of new people who meet a key of a baseline of MEASURED_PEOPLE by chance (namesakes of one day, families with
# one telephone). Measured with persons held out at random, whose relatives stayed behind: upper bounds.
MEASURED_PEOPLE = 15_000_000
COINCIDENCE: Mapping[Kind, float] = {
    Kind.NAME_DOB: 1.2e-3,
    Kind.NIR_FIRST: 3e-4,
    Kind.NIR_DOB: 1.6e-5,
    Kind.EMAIL_FIRST: 4.2e-4,
    Kind.PHONE_FIRST: 7.8e-4,
    # 3.8e-6 without twins; 3 in 100 people are one, a fifth of them share a telephone, and few are in different releases
    Kind.PHONE_DOB: 2e-4,
}
# Namesakes grow with the baseline; families, who share telephones and mailboxes, do not. Below this share of
# MEASURED_PEOPLE the rates fall no further (a guess on the safe side: it makes us abstain more often).
SMALLEST_SCALE = 0.01
_OF_FAMILIES = frozenset({Kind.EMAIL_FIRST, Kind.PHONE_FIRST, Kind.PHONE_DOB})
BEFOREHAND = 3000
# An explanation by chance or noise is given up when what was seen would happen less often than this.
# Of a thousand worn samples one has more lost people than 1e-3 allows (seen: 2 people mistyped in both first name and
# birth date among 2,000 at 1 %). Six keys are looked at, hence a sixth for coincidences.
NOISE_PLAUSIBLE = 1e-4
CHANCE_PLAUSIBLE = 1e-3 / len(RECORD_KINDS)
# Errors are taken for the reason of unmatched people only if known people show errors and the rates of all fields are
# known, or if errors are so many that this share of the unmatched is likely. (That they are not too many is another test.)
ERRORS_SEEN = 0.1
# Errors of fields are not quite independent: 601 people were hidden where 464 were expected (accents lost, 100,000 people).
DEPENDENT = 1.5
# Where known people cannot show errors, these are taken for the reason of unmatched people only if undoing one error
# makes so many of them known.
REPAIRED_SEEN = 0.6
# Undoing one error recovers at least this share of the mistyped (74 % measured with names alone, 67 % of names that
# lost their accents), and usually nearly all.
RECOVERED = 0.5
USUALLY_RECOVERED = 0.9
# Without a second look: the share of known people who look new at 5 % of fields mistyped, by name+dob alone (measured).
MISTYPED = 0.127
# At worst this share of known people is hidden in a sample with one kind of key (a third with accents lost).
WORST = 0.6
# A field's error rate is known from so many people; standard deviations for the share that repair finds.
ENOUGH = 30
SIGMAS = 3.3
# A release is out again in full from this coverage (re-post, superset).
FULL_COVERAGE = 0.95
# "New" bears this share of known people.
FEW_KNOWN = 0.01
# Single values (numbers, addresses) known to this share tie a sample to a release even when no record does.
VALUES_TIE = 0.05
# So few people who are no more than relatives of known ones make no mixture.
SEVERAL = 3
# "Padded": this share of the unmatched people carry values that are known; not padded: no more than that share.
PADDED, NOT_PADDED = 0.8, 0.4
# Of fewer unmatched people one mistyped number decides which of the two it is.
TOO_FEW = 10
# Below this many people a sample is a teaser: what it says of the whole is said apart.
TEASER = 1000
# The confidence of a statement about the whole.
WHOLE = 0.95
_FIELD_KINDS: Mapping[str, tuple[Kind, ...]] = {
    "nir": (Kind.NIR_FIRST, Kind.NIR_DOB),
    "email": (Kind.EMAIL_FIRST,),
    "phone": (Kind.PHONE_FIRST, Kind.PHONE_DOB),
}


@dataclass(frozen=True, slots=True)
class Texts:
    """Free texts of a sample (medical notes) beside those of all releases; see `crawler.notes`.

    read: texts. known, new: recognised, and long enough to be recognised but in no release. of_known: new texts in
    rows of known people.
    """

    read: int = 0
    known: int = 0
    new: int = 0
    of_known: int = 0


NO_TEXTS = Texts()


@dataclass(frozen=True, slots=True)
class _Noise:
    """What errors may have done: `most` unmatched people they can explain, `likely` ones that they do."""

    most: int
    likely: float
    seen: bool
    chance: float
    """Probability that errors make so many people look new."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """What was counted; people by patterns of keys (see `crawler.noise.patterns`)."""

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
    errors: ErrorRates
    parents: tuple[Parent, ...]
    full: frozenset[str]
    whole: frozenset[str]
    alike: frozenset[str]
    columns: tuple[Kind, ...]
    rates: Mapping[Kind, float]
    new_values: Mapping[str, int]
    value_totals: Mapping[str, int]
    added: Mapping[str, int]

    @property
    def new(self) -> int:
        return self.people - self.known


def compare(
    keys: U64,
    values: Mapping[Kind, U64],
    releases: Releases,
    *,
    has_hits: bool,
    seen: Bools | None = None,
    second: SecondLook | None = None,
    texts: Texts = NO_TEXTS,
    one_in: int = 1,
    unkeyed: int = 0,
) -> Lineage:
    """Set a sample beside all releases.

    Args:
        keys: shape (n, 6), the record keys of all rows of the sample, columns as `RECORD_KINDS`, 0 for absent.
        values: per kind the distinct tags of single values, shape (m,).
        releases: what is known.
        has_hits: whether canaries of a client hit in the sample.
        seen: shape (n, 6), which keys any release holds, if that was looked up before.
        second: what can be asked again about unmatched people; asked only where it can matter.
        texts: what was recognised of free texts.
        one_in: the rows are those of one person in so many; only coverage is made up for that here.
        unkeyed: rows without a key that the sample has beside those in `keys`.

    Returns:
        The lineage. `records` counts people, not rows (see `group_people`); a person is known if any of their keys is
        known to any release. `new` is `records - known` whatever the verdict: no verdict takes anything from it.

        - without a release to compare with: `new` if canaries hit, else `undecided`; everything counts as new.
        - nobody unmatched, or no more than the sample's own typing errors explain: `re-post` (one release, in full,
          by the same kinds of key), `re-packaged` (in full with other columns, or put together from several
          releases), `subset`.
        - unmatched people, few or none known: `new` if canaries or known people tie it to a client or a release,
          `unrelated` if nothing does.
        - both known and unmatched: `superset` (a release in full and more), `padded` (the unmatched carry known
          numbers), `overlap`.
        - `undecided` where noise or chance explains the smaller part as well as a mixture does.
    """
    keyed = any_key(keys)
    # 720 MB of 15 M rows are not copied
    rows = keys if keyed.all() else keys[keyed]
    unkeyed += len(keys) - len(rows)
    if not len(rows):
        said = "no row gave a record key: nothing could be compared"
        return Lineage("undecided", 0, 0, 0, (0, 0), notes=(said,), new_values=_text_values(texts))
    if not len(releases):
        return _without_releases(rows, count_people(rows), unkeyed, values, releases, has_hits, texts)
    m = _measure(
        rows,
        unkeyed,
        group_people(rows),
        values,
        releases,
        None if seen is None else seen[keyed],
        texts,
        second,
        one_in,
    )
    noise = _noise(m, second)
    verdict, reason = _verdict(m, noise, has_hits=has_hits, stale=bool(releases.stale))
    assert verdict in VERDICTS  # noqa: S101 - a misspelt verdict would pass every count
    low, high = _interval(m, noise)
    notes = _notes(m, noise, releases)
    if reason:
        notes.append(reason)
    if releases.value_sample > 1 and m.new_values:
        notes.append(f"new values are estimated from one in {releases.value_sample}")
    return Lineage(
        verdict,
        m.people,
        m.known,
        m.new,
        (low, high),
        m.parents,
        {**m.new_values, **_text_values(texts)},
        tuple(notes),
        confidence=_confidence(verdict, m, noise),
        columns=tuple(kind.word for kind in m.columns),
        mistyped=min(m.new, round(noise.likely)),
        added=m.added,
        whole=_whole(m.people, m.new) if verdict != "undecided" and m.people <= TEASER else None,
    )


def _without_releases(
    rows: U64, count: int, unkeyed: int, values: Mapping[Kind, U64], releases: Releases, has_hits: bool, texts: Texts
) -> Lineage:
    notes = [*_counts(len(rows), unkeyed, count), *_stale(releases)]
    return Lineage(
        "new" if has_hits and not releases.stale else "undecided",
        count,
        0,
        count,
        (0 if releases.stale else count, count),
        new_values={**_new_values(values, releases)[0], **_text_values(texts)},
        notes=(*notes, "no release is registered, so all people count as new"),
        columns=tuple(kind.word for at, kind in enumerate(RECORD_KINDS) if rows[:, at].any()),
    )


def _text_values(texts: Texts) -> dict[str, int]:
    return {"note": texts.new} if texts.read else {}


# --- what a person is told -------------------------------------------------------------------------------------------


def _counts(rows: int, unkeyed: int, people: int) -> list[str]:
    notes = []
    if rows != people:
        notes.append(f"{rows} rows with record keys speak of {people} people")
    if unkeyed:
        notes.append(f"{unkeyed} rows gave no record key and are not compared")
    return notes


def _stale(releases: Releases) -> list[str]:
    if not releases.stale:
        return []
    return [f"not compared, made by another normaliser version: {', '.join(releases.stale)} (register them again)"]


def _notes(m: _Measured, noise: _Noise, releases: Releases) -> list[str]:
    notes = [*_counts(m.rows, m.unkeyed, m.people), *_stale(releases)]
    if m.beyond:
        notes.append(f"{m.beyond} people have only kinds of key that no release holds: they may be known")
    wrong, right = m.errors.wrong, m.errors.right
    told = [
        f"{name} {wrong[at] / (wrong[at] + right[at]):.2%}"
        for at, name in enumerate(FIELDS)
        if wrong[at] and wrong[at] + right[at] >= ENOUGH
    ]
    if told:
        notes.append(f"fields of known people that differ from what is registered: {', '.join(told)}")
    if m.new and m.known:
        notes.append(f"interval: typing errors hide up to {noise.most} known people among the {m.new} unmatched")
    worst = max(m.rates.values(), default=0.0)
    notes.append(f"interval: up to {worst:.1g} of new people meet a known key by chance (rate of synthetic data)")
    if m.lookalikes:
        notes.append(
            f"{m.lookalikes} people share a telephone, mailbox or number with a known person, and differ in all else: new"
        )
    if m.added:
        said = ", ".join(f"{word} ({count})" for word, count in m.added.items())
        notes.append(f"known people come with what no release that explains them has: {said}")
    return notes


def _confidence(verdict: str, m: _Measured, noise: _Noise) -> float:
    """How sure the verdict is: one less the probability of the explanation that was given up."""
    if verdict == "undecided":
        return 0.0
    against = 0.0
    if m.known and verdict != "unrelated" and not m.by_chance:
        against = max(against, m.chance)
    if m.new and m.known and verdict not in {"re-post", "re-packaged", "subset"} and not m.by_chance:
        against = max(against, noise.chance)
    return round(1 - against, 6)


def _whole(people: int, new: int) -> Whole:
    """What a random draw would say of what it was drawn from."""
    low, high = _binomial_bounds(new, people)
    return Whole("the sample is a random draw", WHOLE, (round(low, 4), round(high, 4)))


def _binomial_bounds(hits: int, tried: int) -> tuple[float, float]:
    """Exact bounds for a share (Clopper and Pearson 1934)."""
    risk = (1 - WHOLE) / 2

    def above(share: float, least: int) -> float:
        return sum(
            math.exp(
                math.lgamma(tried + 1) - math.lgamma(k + 1) - math.lgamma(tried - k + 1)
                + k * math.log(share) + (tried - k) * math.log1p(-share)
            )
            for k in range(least, tried + 1)
        )  # fmt: skip

    def solve(least: int, wanted: float) -> float:
        low, high = 1e-9, 1 - 1e-9
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if above(middle, least) < wanted else (low, middle)
        return low

    return (solve(hits, risk) if hits else 0.0), (solve(hits + 1, 1 - risk) if hits < tried else 1.0)


# --- measuring -------------------------------------------------------------------------------------------------------


def _measure(
    rows: U64, unkeyed: int, people: I64, values: Mapping[Kind, U64], releases: Releases, seen: Bools | None,
    texts: Texts, second: SecondLook | None, one_in: int,
) -> _Measured:  # fmt: skip
    """Look everything up, and count people by the kinds of key they have and by those that are known."""
    count = int(people.max()) + 1
    seen_rows = releases.held(rows) if seen is None else seen
    present, held = _per_person(people, count, rows != 0), _per_person(people, count, seen_rows)
    totals = present.sum(axis=0)
    columns = tuple(kind for at, kind in enumerate(RECORD_KINDS) if totals[at])
    main = int(np.argmax(totals))
    known_people = any_key(held)
    namesakes = second.namesakes() if second is not None and known_people.any() else (0, 0)
    rates = {kind: _rate(kind, _scale(releases.people), releases.members(kind), namesakes) for kind in columns}
    found: list[tuple[Parent, int, bool, Release]] = []
    for release in releases.explaining(rows, seen_rows):
        # what the only release holds is what all hold
        hits = held if len(releases) == 1 else _per_person(people, count, _hits(release, rows, seen_rows))
        of_release = any_key(hits)
        matched = int(of_release.sum())
        own = {kind: _rate(kind, _scale(release.people), release.members(kind), namesakes) for kind in columns}
        if matched and not _chance_explains(hits, present, own)[0]:
            # of a release whose people do not all have the sample's columns, those that have them count
            members = release.members(RECORD_KINDS[main])
            coverage = one_in * max(matched / release.people, hits[:, main].sum() / members if members else 0.0)
            rest = int((known_people & ~of_release).sum())
            whole = not rest or _plausible(rest, count * max(rates.values()), NOISE_PLAUSIBLE)
            found.append((Parent(release.id, min(1.0, coverage), matched / count), matched, whole, release))
    found.sort(key=lambda each: (-each[0].share, -each[0].coverage, each[0].release))
    explaining = [release for *_, release in found] or list(releases.active.values())
    kinds = {kind for release in explaining for kind in release.columns}
    comparable = np.array([kind in kinds for kind in RECORD_KINDS])
    by_chance, chance = _chance_explains(held, present, rates)
    new_values, value_totals = _new_values(values, releases)
    table = patterns(present & comparable, held & comparable)
    errors = ErrorRates(table, _by_chance(table, rates))
    lookalikes = _lookalikes(errors, rates)
    return _Measured(
        len(rows),
        unkeyed,
        count,
        int(known_people.sum()) - lookalikes,
        int((~any_key(present & comparable) & ~known_people).sum()),
        by_chance,
        chance,
        lookalikes,
        errors,
        tuple(parent for parent, *_ in found),
        frozenset(parent.release for parent, *_ in found if parent.coverage >= FULL_COVERAGE),
        frozenset(parent.release for parent, _, whole, _ in found if whole),
        frozenset(release.id for release in explaining if set(columns) == set(release.columns)),
        columns,
        rates,
        new_values,
        value_totals,
        _added(present, known_people, values, [release for *_, release in found], texts),
    )


def _hits(release: Release, rows: U64, seen: Bools) -> Bools:
    """Which keys of rows, shape (n, 6), a release holds; looked up are those that any holds."""
    known = np.flatnonzero(any_key(seen))
    found = np.zeros(rows.shape, bool)
    found[known] = release.hits(rows[known])
    return found


def _per_person(people: I64, count: int, rows: Bools) -> Bools:
    """Shape (people, 6): for whom any row is true."""
    if count == len(people) and not (people[1:] < people[:-1]).any():
        return rows
    return any_per_person(people, rows)


def _added(
    present: Bools, known: Bools, values: Mapping[Kind, U64], parents: list[Release], texts: Texts
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
            added[kind.word] = min(len(values[kind]), int(known.sum()))
        else:
            columns = [RECORD_KINDS.index(each) for each in record_kinds]
            added[kind.word] = int((present[:, columns].any(axis=1) & known).sum())
    if texts.of_known:
        added["note"] = texts.of_known
    return {word: count for word, count in added.items() if count}


def _new_values(values: Mapping[Kind, U64], releases: Releases) -> tuple[dict[str, int], dict[str, int]]:
    """Per kind: values that no release holds, and all values; both scaled up from the sample of values."""
    new: dict[str, int] = {}
    totals: dict[str, int] = {}
    for kind in VALUE_KINDS:
        tags = values.get(kind)
        if tags is None or not len(tags):
            continue
        unknown, compared = releases.new_values(kind, tags)
        new[kind.word] = round(unknown * len(tags) / compared) if compared else 0
        if compared:
            totals[kind.word] = len(tags)
    return new, totals


# --- chance and noise ------------------------------------------------------------------------------------------------


def _scale(people: int) -> float:
    return max(people / MEASURED_PEOPLE, SMALLEST_SCALE)


def _rate(kind: Kind, scale: float, members: int, namesakes: tuple[int, int]) -> float:
    """Share of new people that meet a key of this kind by chance: coincidences, and the cut of the tags (exact)."""
    rate = COINCIDENCE[kind] * (max(1.0, scale) if kind in _OF_FAMILIES else scale)
    if kind is Kind.NAME_DOB:
        # what was seen at hand counts as much as its trials, the measured rate as much as BEFOREHAND of them
        known, tried = namesakes
        rate = (known + rate * BEFOREHAND) / (tried + BEFOREHAND)
    return min(0.5, rate + members / (1 << CUT_BITS))


def _chance_explains(seen: Bools, present: Bools, rates: Mapping[Kind, float]) -> tuple[bool, float]:
    """Whether new people alone could have met as many known keys of every kind, and how likely; shapes (people, 6)."""
    least = 1.0
    for column, kind in enumerate(RECORD_KINDS):
        met = int(seen[:, column].sum())
        if met:
            least = min(least, poisson_tail(int(present[:, column].sum()) * rates[kind], met))
    return least >= CHANCE_PLAUSIBLE, min(1.0, least * len(RECORD_KINDS))


def _plausible(seen: int, mean: float, least: float) -> bool:
    """Whether a Poisson number of this mean reaches `seen` with probability `least` or more."""
    return seen <= mean or poisson_tail(mean, seen) >= least


def _chances(table: I64, rates: Mapping[Kind, float]) -> Iterator[tuple[int, int, int, float]]:
    """Patterns of people who may be taken for known ones by chance: present, seen, how many, how many by chance.

    That are those seen by weak keys alone whose other keys say otherwise, and whoever differs in two fields or more.
    """
    for present, seen in zip(*(each.tolist() for each in np.nonzero(table)), strict=True):
        errors = fewest_errors(present, seen) if seen else 0
        if errors >= 2 or (errors and not seen & ~WEAK):
            count = int(table[present, seen])
            rate = min(rates[kind] for at, kind in enumerate(RECORD_KINDS) if seen >> at & 1)
            yield present, seen, count, rate * (count + int(table[present, 0]))


def _by_chance(table: I64, rates: Mapping[Kind, float]) -> I64:
    """The people who are seen by a weak key alone, and no more often than chance makes it: they tell no errors."""
    apart = np.zeros_like(table)
    for present, seen, count, mean in _chances(table, rates):
        if not seen & ~WEAK and poisson_tail(mean, count) >= NOISE_PLAUSIBLE:
            apart[present, seen] = count
    return apart


def _lookalikes(errors: ErrorRates, rates: Mapping[Kind, float]) -> int:
    """People seen by one weak key alone, whose other keys say otherwise: rather chance among the new than errors."""
    return sum(
        count
        for present, seen, count, mean in _chances(errors.table, rates)
        if not seen & ~WEAK and errors.expected(present, seen) < mean
    )


def _noise(m: _Measured, second: SecondLook | None) -> _Noise:
    """How many of the unmatched people typing errors can explain, and how many they do."""
    if not m.new or not m.known or m.by_chance:
        return _Noise(0, 0.0, seen=False, chance=0.0)
    table = m.errors.table
    most, likely, chance = 0, 0.0, 1.0
    blindly, surely = 0, True
    hiding = [int(pattern) for pattern in np.flatnonzero(table[:, 0]) if pattern]
    for pattern in hiding:
        unmatched = int(table[pattern, 0])
        if m.errors.judged(pattern) < ENOUGH:
            blindly += unmatched
            continue
        surely = surely and m.errors.judged_all(pattern) >= ENOUGH
        mean = m.errors.hidden(pattern)
        most += min(unmatched, upper(mean * DEPENDENT, NOISE_PLAUSIBLE / len(hiding)))
        likely += min(unmatched, float(np.median(mean)))
        chance = min(chance, tail(mean * DEPENDENT, unmatched) * len(hiding))
    apart = m.new - m.beyond - m.lookalikes - blindly
    seen = bool(m.errors.wrong.any() and surely) or likely >= ERRORS_SEEN * apart
    if blindly:
        # however bad the columns are: known people are not hidden by the hundred behind a handful of seen ones
        worst = WORST / (1 - WORST) * (m.known + 1)
        cap = min(blindly, math.ceil(worst + SIGMAS * math.sqrt(worst)))
        if second is None:
            mistyped = MISTYPED / (1 - MISTYPED) * m.known
            most += min(cap, math.ceil(mistyped + SIGMAS * math.sqrt(mistyped)))
            seen = False
            chance = min(chance, poisson_tail(mistyped, blindly))
        else:
            found = second.repair()
            high = _share_at_most(found) / RECOVERED
            most += min(cap, math.ceil(blindly * high))
            likely += min(cap, blindly * found.share / USUALLY_RECOVERED)
            seen = seen and found.share >= REPAIRED_SEEN
            chance = min(chance, 1.0 if high >= 1 and cap >= blindly else NOISE_PLAUSIBLE)
    return _Noise(most, likely, seen=seen, chance=min(1.0, chance))


def _share_at_most(found: Repair) -> float:
    """An upper bound for the share of unmatched people that undoing an error recovers (Wilson 1927)."""
    if not found.tried:
        return 1.0
    share, spread = found.share, SIGMAS**2 / found.tried
    centre = share + spread / 2
    return min(1.0, (centre + math.sqrt(spread * (share * (1 - share) + spread / 4))) / (1 + spread))


def _interval(m: _Measured, noise: _Noise) -> tuple[int, int]:
    """Bounds for the number of new people.

    Below: known people who were mistyped in every key look new, and people who have nothing that could be compared may
    be known. Above: new people who met a known key by chance look known. Those whose other keys contradict the known
    one are counted; where a pattern of keys cannot contradict, the rates of coincidence speak, with two standard
    deviations for small numbers. Nobody can hide but among the known, and
    behind another row of the sample.
    """
    table = m.errors.table
    doubtful = sum(
        # where neither errors nor chance account for them, somebody made them up from known values
        count
        if m.errors.expected(present, seen) < count / 2
        else min(count, math.ceil(mean + SIGMAS * math.sqrt(mean)))
        for present, seen, count, mean in _chances(table, m.rates)
    )
    hidden = 0.0
    for present in np.flatnonzero(table[1:, 0]).tolist():
        rate = sum(
            m.rates[kind]
            for at, kind in enumerate(RECORD_KINDS)
            if present + 1 >> at & 1 and fewest_errors(present + 1, 1 << at) < 2
        )
        hidden += min(0.5, rate) / (1 - min(0.5, rate)) * int(table[present + 1, 0])
    low = max(0, m.new - noise.most - m.beyond - m.lookalikes)
    # two rows of what families share may be two people
    room = m.known + m.rows - m.people
    return low, m.new + min(room, max(0, doubtful - m.lookalikes) + math.ceil(hidden + 2 * math.sqrt(hidden)))


# --- the verdict -----------------------------------------------------------------------------------------------------


def _verdict(m: _Measured, noise: _Noise, *, has_hits: bool, stale: bool) -> tuple[str, str]:
    """The verdict, and what could not be decided."""
    tie = bool(m.known and not m.by_chance)
    if m.beyond == m.people:
        return "undecided", "no release holds a kind of key that the sample has"
    if not m.new:
        if not tie:
            return "undecided", "all people are known, but so few that chance may explain it"
        return _explained(m), ""
    if stale:
        return "undecided", "releases that were not compared may hold the unmatched people"
    if tie and m.new == m.lookalikes and m.new < SEVERAL:
        return "undecided", f"the {m.new} unmatched people are relatives of known ones, or known and mistyped"
    if tie and m.new - m.beyond - m.lookalikes <= noise.most and m.new > m.lookalikes:
        if m.beyond:
            return "undecided", f"{m.beyond} people cannot be compared"
        if noise.seen:
            return _explained(m), f"the {m.new} unmatched people are no more than the sample's typing errors explain"
        return "undecided", f"the {m.new} unmatched people may be new, or known and mistyped"
    if tie and _full(m, noise):
        return "superset", ""
    if not tie or m.known <= FEW_KNOWN * m.people:
        if has_hits or tie:
            return "new", ""
        if m.known and m.known > FEW_KNOWN * m.people:
            return "undecided", "too few people to tell known ones from namesakes"
        if _values_tie(m):
            return "undecided", "no person is known but many single values are: recombined or invented people"
        return "unrelated", ""
    if any(parent.coverage * (1 + noise.most / m.known) >= FULL_COVERAGE for parent in m.parents):
        return "undecided", "a release is out in full and more, or nearly in full: too few people to tell"
    return _padded(m)


def _full(m: _Measured, noise: _Noise) -> frozenset[str]:
    """Releases that are out in full, mistyped people counted in."""
    grown = 1 + noise.likely / m.known
    return m.full | {parent.release for parent in m.parents if parent.coverage * grown >= FULL_COVERAGE}


def _explained(m: _Measured) -> str:
    """The verdict on a sample all of whose people are known."""
    whole = [parent for parent in m.parents if parent.release in m.whole]
    if not whole:
        return "re-packaged"
    # whoever is unmatched here is known and mistyped
    grown = m.people / m.known
    full = [parent for parent in whole if parent.coverage * grown >= FULL_COVERAGE]
    if not full:
        return "subset"
    return "re-post" if any(parent.release in m.alike for parent in full) else "re-packaged"


def _values_tie(m: _Measured) -> bool:
    return any(total and 1 - m.new_values.get(word, 0) / total >= VALUES_TIE for word, total in m.value_totals.items())


def _padded(m: _Measured) -> tuple[str, str]:
    """Of known and unmatched people together: whether the unmatched were made from known values."""
    telling = {kind.word for kind in (Kind.NIR, Kind.EMAIL, Kind.PHONE)} & m.value_totals.keys()
    if Kind.NIR.word not in telling and len(telling) < 2:
        return "overlap", "whether the unmatched people are invented cannot be told without their numbers"
    known = [1 - m.new_values.get(word, 0) / m.new for word in telling]
    if min(known) >= PADDED:
        return "padded", "the unmatched people carry known numbers"
    if max(known) > NOT_PADDED and m.new < TOO_FEW:
        # a typing error or two in one kind of number would decide
        return "undecided", "too few unmatched people to tell invented ones from further ones"
    if min(known) > NOT_PADDED:
        return "undecided", "many unmatched people carry known numbers: invented, or relatives of known ones"
    return "overlap", ""
