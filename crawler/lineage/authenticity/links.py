"""Which columns of a row belong to one person: by the record keys of the releases, and by the values themselves.

A link is a pair of columns. It holds in a row if both values belong to one person. Every value is also tried beside the
other values of all other rows: that is the chance rate under a permutation of the sample, and it finds the row in which
the rest of a person stands after a column was shuffled.

Sources: Fellegi and Sunter 1969, "A theory for record linkage" (agreement patterns); Pitman 1937 (permutation tests).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crawler.lineage.authenticity.held_rows import ROLES, AuthenticityRows
from crawler.lineage.number_owners import MAX_FIRST_NAMES, find_owners
from crawler.records.column_roles import VALUE_ROLES
from data.arrays.array_types import Bools
from data.arrays.packed import Packed, join_packed, pair_packed
from data.hashing.tags import RECORD_KINDS, Kind, probe_tags
from data.identifiers.first_names import FIRST_NAMES
from data.releases.known_releases import KnownReleases

COLUMNS = ("names", "dob", "nir", "email", "phone")
"""The columns that are judged; surname and first name are one."""
NUMBERS = ("nir", "email", "phone")
"""Columns whose values are known or unknown by themselves."""
COLUMNS_OF_KIND: Mapping[Kind, tuple[str, str]] = {
    Kind.NAME_DOB: ("names", "dob"),
    Kind.NIR_FIRST: ("nir", "names"),
    Kind.NIR_DOB: ("nir", "dob"),
    Kind.EMAIL_FIRST: ("email", "names"),
    Kind.PHONE_FIRST: ("phone", "names"),
    Kind.PHONE_DOB: ("phone", "dob"),
}
# A date of birth tells people apart beside a name or a number; a first name alone is that of many people.
_DISTINCTIVE = (Kind.NAME_DOB, Kind.NIR_DOB, Kind.PHONE_DOB)
UNTOLD, AGREES, CONFLICTS, PARENTS = range(4)
"""What two values of a row say of each other without any release: nothing; they agree; they conflict; the number is that of
somebody who may be a parent."""
# A child stands in files with the number of a parent, who is so many years older.
_PARENT_YEARS = range(15, 51)
# A mailbox resembles a name if it contains so many letters of its beginning.
_BEGINNING, _SHORTEST = 5, 4
_DAYS = 31
_KIND_OF = {role: VALUE_ROLES[role] for role in NUMBERS}

Holds = Callable[[Kind, NDArray[np.uint64]], Bools]


@dataclass(frozen=True, slots=True, eq=False)
class RowEvidence:
    """What is known of n rows of a sample. All arrays have the shape (n,), but for those with another one.

    Attributes:
        links: number of record keys that could be compared. agreeing: number of those that a release holds.
        anchored: by column, whether a held record key ties it to a registered person.
        comparable: by column, whether it has a record key that could be compared with an anchored column.
        partner: by column, whether the rest of a person with its value stands in another row; without relatives.
        tested: by number, whether its value could be looked up alone. known: whether a release holds it.
        several: whether owners of two numbers or more were found; looked for in rows without a held key.
        in_common: whether two of these numbers have an owner with the same first name, or the same date of birth.
        chance_in_common: how often numbers of different rows have owners with the same first name.
        nir_dob: what the year and month in the number say of the date of birth.
        nir_partner: whether the number agrees with the date of birth of another row.
        email_names: as `nir_dob`, whether the mailbox resembles a name.
        chance: for each of these two, the share of each answer among the pairs of different rows.
        nir_keys: as `AuthenticityRows.nir_keys`.
        outside_plan: whether the telephone number is outside of the French numbering plan.
        has_partner_test: whether any link could show a partner.
    """

    links: NDArray[np.int64]
    agreeing: NDArray[np.int64]
    anchored: Mapping[str, Bools]
    comparable: Mapping[str, Bools]
    partner: Mapping[str, Bools]
    tested: Mapping[str, Bools]
    known: Mapping[str, Bools]
    several: Bools
    in_common: Bools
    chance_in_common: float
    nir_dob: NDArray[np.int64]
    nir_partner: Bools
    email_names: NDArray[np.int64]
    nir_keys: NDArray[np.int8]
    outside_plan: Bools
    has_partner_test: bool
    filled: Mapping[str, Bools]
    chance: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.links)


def find_evidence(rows: AuthenticityRows, releases: KnownReleases, probe_key: bytes) -> RowEvidence:
    """Look for everything that tells whether the values of each row belong together.

    Args:
        rows: at least one.
        releases: what is known; perhaps nothing.
        probe_key: of the case.
    """
    forms, count = rows.forms(), len(rows)
    kinds = [kind for kind in RECORD_KINDS if any(each.key_count(kind) for each in releases.active.values())]
    filled = {role: forms[role].lengths > 0 for role in ROLES} | {
        "names": (forms["first"].lengths > 0) | (forms["surname"].lengths > 0)
    }
    links, agreeing = np.zeros(count, np.int64), np.zeros(count, np.int64)
    held_of: dict[Kind, Bools] = {}
    tested_of: dict[Kind, Bools] = {}
    for kind in kinds:
        at = RECORD_KINDS.index(kind)
        tested_of[kind] = rows.keys[:, at] != 0
        held_of[kind] = rows.held[:, at] | _held_with_surname(kind, forms, tested_of[kind], releases, probe_key)
        links += tested_of[kind]
        agreeing += held_of[kind]
    anchored = {column: np.zeros(count, np.bool_) for column in COLUMNS}
    for kind, of_kind in held_of.items():
        for column in COLUMNS_OF_KIND[kind]:
            anchored[column] |= of_kind
    comparable = {column: np.zeros(count, np.bool_) for column in COLUMNS}
    for kind, compared in tested_of.items():
        one, other = COLUMNS_OF_KIND[kind]
        comparable[one] |= compared & anchored[other]
        comparable[other] |= compared & anchored[one]
    partner = _find_partners(forms, held_of, tested_of, releases, probe_key)
    unmatched = np.flatnonzero(agreeing == 0)
    tested, known = _known_values(forms, releases, probe_key)
    family = _Family(np.zeros(count, np.bool_), np.zeros(count, np.bool_), 0.0)
    if len(unmatched) and kinds:
        family = _find_family(forms, unmatched, tested, known, releases, probe_key)
    nir_dob, email_names = _nir_and_dob(forms), _email_and_names(forms)
    return RowEvidence(
        links, agreeing, anchored, comparable, partner, tested, known, family.several, family.in_common, family.chance,
        nir_dob.diagonal(), _has_partner(nir_dob), email_names.diagonal(), rows.nir_keys, _outside_plan(forms["phone"]),
        any(tested_of[kind].sum() > 1 for kind in _DISTINCTIVE if kind in tested_of), filled,
        {"nir_dob": _chance(nir_dob), "email_names": _chance(email_names)},
    )  # fmt: skip


def _held_with_surname(
    kind: Kind, forms: Mapping[str, Packed], tested: Bools, releases: KnownReleases, probe_key: bytes
) -> Bools:
    """Which rows are held with the surname in the place of the first name: the release has these columns exchanged."""
    found = np.zeros(len(tested), np.bool_)
    if "first" not in kind.word or not tested.any():
        return found
    rows = np.flatnonzero(tested)
    number = COLUMNS_OF_KIND[kind][0]
    tags = probe_tags(probe_key, kind, join_packed(forms[number].take(rows), forms["surname"].take(rows)))
    found[rows] = releases.contains(kind, tags) & (tags != 0)
    return found


def _find_partners(
    forms: Mapping[str, Packed],
    held_of: Mapping[Kind, Bools],
    tested_of: Mapping[Kind, Bools],
    releases: KnownReleases,
    probe_key: bytes,
) -> dict[str, Bools]:
    """`RowEvidence.partner`: each value beside the values of all other rows."""
    count = len(forms["first"])
    partner = {column: np.zeros(count, np.bool_) for column in COLUMNS}
    surnames = np.array(forms["surname"].to_list(), object)
    for kind in _DISTINCTIVE:
        if kind not in tested_of:
            continue
        one, other = COLUMNS_OF_KIND[kind]
        open_ = np.flatnonzero(tested_of[kind] & ~held_of[kind])
        if len(open_) < 2:
            continue
        left = pair_packed(forms["surname"], forms["first"]) if one == "names" else forms[one]
        mine, theirs = np.repeat(open_, len(open_)), np.tile(open_, len(open_))
        tags = probe_tags(probe_key, kind, join_packed(left.take(mine), forms[other].take(theirs)))
        # relatives share a number, and stand beside each other in files
        are_others = (surnames[mine] != surnames[theirs]).astype(np.bool_) | (surnames[mine] == b"").astype(np.bool_)
        found = releases.contains(kind, tags) & (tags != 0) & (mine != theirs) & are_others
        partner[one][mine[found]] = True
        partner[other][theirs[found]] = True
    return partner


def _known_values(
    forms: Mapping[str, Packed], releases: KnownReleases, probe_key: bytes
) -> tuple[dict[str, Bools], dict[str, Bools]]:
    """Which numbers and mailboxes could be looked up by themselves, and which any release holds."""
    tested, known = {}, {}
    for role, kind in _KIND_OF.items():
        tags = probe_tags(probe_key, kind, forms[role])
        tested[role], known[role] = releases.find_known_values(kind, tags)
    return tested, known


@dataclass(frozen=True, slots=True, eq=False)
class _Family:
    """`RowEvidence.several`, `in_common` and `chance_in_common`."""

    several: Bools
    in_common: Bools
    chance: float


def _find_family(
    forms: Mapping[str, Packed],
    rows: NDArray[np.int64],
    tested: Mapping[str, Bools],
    known: Mapping[str, Bools],
    releases: KnownReleases,
    probe_key: bytes,
) -> _Family:
    """Whether the numbers of rows that no release knows have an owner in common, as those of a parent have.

    The owner is found by usual first names, and those of the sample, beside the number; or by the 31 days of the month
    that the social security number gives. Numbers whose owner is found so are known: `tested` and `known` are completed.
    """
    owned = _owners(forms, rows, releases, probe_key)
    for role in NUMBERS:
        found = owned[role].any(axis=1)
        known[role][rows] |= found
        tested[role][rows] |= found
    by_name = np.array([each.any(axis=1) for each in owned.values()]).sum(axis=0) >= 2
    same_name = (np.array([each.astype(np.int64) for each in owned.values()]).sum(axis=0) >= 2).any(axis=1)
    dated, same_date = _same_date(forms, rows, releases, probe_key)
    several, in_common = np.zeros(len(known["nir"]), np.bool_), np.zeros(len(known["nir"]), np.bool_)
    several[rows] = by_name | (dated & known["phone"][rows])
    in_common[rows] = same_name | same_date
    return _Family(several, in_common, _chance_of_names(owned))


def _owners(
    forms: Mapping[str, Packed], rows: NDArray[np.int64], releases: KnownReleases, probe_key: bytes
) -> dict[str, Bools]:
    """With which usual first names, and those of the sample, each number of some rows is known; shape (m, names)."""
    of_sample = [name for name in dict.fromkeys(forms["first"].to_list()) if name]
    usual = [name.encode() for name in sorted(FIRST_NAMES)]
    given = Packed.of(list(dict.fromkeys([*of_sample, *usual]))[:MAX_FIRST_NAMES])
    kinds = {"nir": Kind.NIR_FIRST, "email": Kind.EMAIL_FIRST, "phone": Kind.PHONE_FIRST}
    return {
        role: find_owners(probe_key, kind, forms[role].take(rows), given, releases.contains)
        for role, kind in kinds.items()
    }


def _chance_of_names(owned: Mapping[str, Bools]) -> float:
    """How often numbers of two different rows have an owner with the same first name, by their most frequent pair."""
    rates = [0.0]
    for one, other in (("nir", "email"), ("nir", "phone"), ("email", "phone")):
        left, right = owned[one].astype(np.int64), owned[other].astype(np.int64)
        pairs = np.outer(left.any(axis=1), right.any(axis=1))
        np.fill_diagonal(pairs, False)
        if pairs.any():
            rates.append(float((((left @ right.T) > 0) & pairs).sum() / pairs.sum()))
    return max(rates)


def _same_date(
    forms: Mapping[str, Packed], rows: NDArray[np.int64], releases: KnownReleases, probe_key: bytes
) -> tuple[Bools, Bools]:
    """Whose social security number is known with a day of its month, and whose telephone with the same day; shape (m,)."""
    numbers = forms["nir"].take(rows).to_list()
    dated, same = np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.bool_)
    usable = np.flatnonzero([_year_and_month(item[1:5].decode()) >= 0 for item in numbers])
    if not len(usable):
        return dated, same
    dates = Packed.of([numbers[at][1:5] + b"%02d" % day for at in usable.tolist() for day in range(1, _DAYS + 1)])
    each = np.repeat(usable, _DAYS)
    known = []
    for role, kind in (("nir", Kind.NIR_DOB), ("phone", Kind.PHONE_DOB)):
        tags = probe_tags(probe_key, kind, join_packed(forms[role].take(rows[each]), dates))
        known.append(releases.contains(kind, tags) & (tags != 0))
    dated[each[known[0]]] = True
    same[each[known[0] & known[1]]] = True
    return dated, same


# --- what values say of each other -----------------------------------------------------------------------------------


def _nir_and_dob(forms: Mapping[str, Packed]) -> NDArray[np.int64]:
    """Whether each number agrees with each date of birth in year and month; shape (n, n), rows are numbers."""
    numbers = [item.decode() for item in forms["nir"].to_list()]
    dates = [item.decode() for item in forms["dob"].to_list()]
    of_nir = np.array([_year_and_month(item[1:5]) for item in numbers]).reshape(-1, 1)
    of_dob = np.array([_year_and_month(item[:4]) for item in dates]).reshape(1, -1)
    years = (of_dob // 100 - of_nir // 100) % 100
    is_parents = np.isin(years, _PARENT_YEARS)
    told: NDArray[np.int64] = np.where(of_nir == of_dob, AGREES, np.where(is_parents, PARENTS, CONFLICTS))
    return np.where((of_nir < 0) | (of_dob < 0), UNTOLD, told)


def _year_and_month(digits: str) -> int:
    """`yymm` as a number; -1 if there is none, or if the month is unknown (INSEE gives such numbers other months)."""
    return int(digits) if len(digits) == 4 and digits.isdigit() and "01" <= digits[2:] <= "12" else -1


def _email_and_names(forms: Mapping[str, Packed]) -> NDArray[np.int64]:
    """Whether each mailbox contains each name; shape (n, n), rows are mailboxes."""
    boxes = [item.decode("utf-8", "replace").partition("@")[0] for item in forms["email"].to_list()]
    letters = ["".join(filter(str.isalpha, box)) for box in boxes]
    names = [
        ["".join(filter(str.isalpha, item.decode("utf-8", "replace"))) for item in pair]
        for pair in zip(forms["surname"].to_list(), forms["first"].to_list(), strict=True)
    ]
    told = np.zeros((len(letters), len(names)), np.int64)
    for column, (surname, first) in enumerate(names):
        long = [name[:_BEGINNING] for name in (surname, first) if len(name) >= _SHORTEST]
        both = surname and first and [surname, first]
        if not long and not both:
            continue
        for row, box in enumerate(letters):
            if box:
                agrees = any(name in box for name in long) or bool(both and all(name in box for name in both))
                told[row, column] = AGREES if agrees else CONFLICTS
    return told


def _has_partner(told: NDArray[np.int64]) -> Bools:
    """Which rows agree with another row; shape (n,)."""
    found: Bools = ((told == AGREES) & ~np.eye(len(told), dtype=np.bool_)).any(axis=1)
    return found


def _chance(told: NDArray[np.int64]) -> dict[int, float]:
    """The share of each answer among the pairs of different rows, with half a case added to each."""
    others = told[~np.eye(len(told), dtype=np.bool_)]
    counts = {each: int((others == each).sum()) + 0.5 for each in (AGREES, CONFLICTS, PARENTS)}
    return {each: count / sum(counts.values()) for each, count in counts.items()}


def _outside_plan(phones: Packed) -> Bools:
    """Which telephone numbers are French by their length and not in the plan for subscribers.

    Source: ARCEP, "Plan national de numérotation": 01 to 05, 06, 073 to 079, 09; 08 are services, 070 to 072 machines.
    """
    plan = [item.decode() for item in phones.to_list()]
    return np.array([len(item) == 9 and (item[0] == "8" or item[:2] in {"70", "71", "72"}) for item in plan], np.bool_)
