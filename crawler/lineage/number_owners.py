"""Whether the numbers of unmatched people belong to their relatives, or to strangers who were mixed (pure).

A child stands in a patient file with a parent's NIR, telephone and mailbox. All these numbers are known and the child is
not: exactly as with people who were invented from known values. What tells them apart is the owner of the numbers. The
keys of a number with each usual first name tell who owns it: of a family the numbers have owners in common, and the owner
of a NIR has the family's surname. Numbers that were mixed have different owners, with other surnames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from data.arrays.array_types import I64, U64, Bools
from data.arrays.packed import Packed, join_packed, pair_packed
from data.hashing.tags import Kind, probe_tags
from data.identifiers.first_names import FIRST_NAMES

# So many people are looked at, beside so many first names at most: 0.3 million keys.
MAX_PEOPLE, MAX_FIRST_NAMES = 192, 640
_NUMBERS: Mapping[str, Kind] = {"nir": Kind.NIR_FIRST, "email": Kind.EMAIL_FIRST, "phone": Kind.PHONE_FIRST}
_DAYS = 31
# A telephone tells nothing of its owner's birth date, so all dates of a century are tried, for so many people.
_DATED_PHONES = 32
# With fewer people whose owners were found nothing is decided.
ENOUGH = 3
# Of relatives at least this share has the surname of the owner (a child may have that of the other parent); of strangers
# at most the second share.
RELATIVES_SHARE, STRANGERS_SHARE = 0.25, 0.1
# Of people whose numbers were mixed, at most this share has two numbers of owners with one first name.
MIXED_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class NumberOwners:
    """What is known of the owners of the numbers of unmatched people.

    Attributes:
        several: people with known numbers of two kinds or more whose owners were found.
        in_common: those of them two of whose numbers have an owner with the same first name.
        dated: people the owner of whose NIR, or else of whose telephone, was found with name and birth date.
        same_surname: those of them who have the surname of the owner.
    """

    several: int = 0
    in_common: int = 0
    dated: int = 0
    same_surname: int = 0

    @property
    def are_relatives(self) -> bool | None:
        """Whether the people are relatives of known people (True), invented from known values (False), or either."""
        if self.dated >= ENOUGH:
            if self.same_surname >= RELATIVES_SHARE * self.dated:
                return True
            if self.same_surname <= STRANGERS_SHARE * self.dated:
                return False
        # without a surname beside the number, somebody's numbers beside an invented name look like a family
        if self.several >= ENOUGH and self.in_common <= MIXED_SHARE * self.several:
            return False
        return None


def find_number_owners(
    probe_key: bytes, forms: Mapping[str, Packed], first_names: list[bytes], holds: Callable[[Kind, U64], Bools]
) -> NumberOwners:
    """Look for the owners of the numbers of unmatched people.

    Args:
        probe_key: of the case.
        forms: normal forms by role, n each, of people whom no release knows.
        first_names: normal forms of first names that occur in the sample; the usual ones are tried as well.
        holds: returns which tags of record keys of a kind, shape (m,), any release holds.
    """
    count = min(MAX_PEOPLE, len(forms["first"]))
    usual = [name.encode() for name in sorted(FIRST_NAMES)]
    names = list(dict.fromkeys([*usual, *first_names]))[:MAX_FIRST_NAMES]
    if not count:
        return NumberOwners()
    people, given = np.arange(count), Packed.of(names)
    owners = {
        role: find_owners(probe_key, kind, forms[role].take(people), given, holds) for role, kind in _NUMBERS.items()
    }
    found = np.array([owners[role].any(axis=1) for role in owners])
    whole = np.sum([owners[role].astype(np.int64) for role in owners], axis=0)
    in_common = (whole >= 2).any(axis=1)
    several = found.sum(axis=0) >= 2
    dated, same = _owners_of_surname(probe_key, forms, owners["nir"], given, holds)
    if dated.sum() < ENOUGH:
        dated, same = _phone_owners_of_surname(probe_key, forms, owners["phone"], given, holds)
    return NumberOwners(int(several.sum()), int((several & in_common).sum()), int(dated.sum()), int(same.sum()))


def find_owners(
    probe_key: bytes, kind: Kind, numbers: Packed, given: Packed, holds: Callable[[Kind, U64], Bools]
) -> Bools:
    """Which of the first names each number is known with; shape (people, names)."""
    rows = np.flatnonzero(numbers.lengths > 0)
    found = np.zeros((len(numbers), len(given)), np.bool_)
    if len(rows):
        inputs = join_packed(
            numbers.take(np.repeat(rows, len(given))), given.take(np.tile(np.arange(len(given)), len(rows)))
        )
        found[rows] = holds(kind, probe_tags(probe_key, kind, inputs)).reshape(len(rows), len(given))
    return found


def _owners_of_surname(
    probe_key: bytes, forms: Mapping[str, Packed], owners: Bools, given: Packed, holds: Callable[[Kind, U64], Bools]
) -> tuple[Bools, Bools]:
    """Whose NIR has an owner with a known birth date, and whose owner of these has the surname of the person.

    A NIR begins with the sex and the year and month of birth, so that at most 31 dates are possible.
    """
    dated, same = np.zeros(len(owners), np.bool_), np.zeros(len(owners), np.bool_)
    people, name_at = np.nonzero(owners)
    numbers = forms["nir"].take(people).to_list()
    born = [number[1:5] for number in numbers]
    usable = np.array([len(part) == 4 and part.isdigit() and b"01" <= part[2:] <= b"12" for part in born], np.bool_)
    people, name_at = people[usable], name_at[usable]
    if not len(people):
        return dated, same
    dates = Packed.of(
        [part + b"%02d" % day for part, fits in zip(born, usable, strict=True) if fits for day in range(1, _DAYS + 1)]
    )
    each: I64 = np.repeat(np.arange(len(people)), _DAYS)
    tags = probe_tags(probe_key, Kind.NIR_DOB, join_packed(forms["nir"].take(people[each]), dates))
    known = np.flatnonzero(holds(Kind.NIR_DOB, tags))
    if not len(known):
        return dated, same
    owner = each[known]
    dated[people[owner[forms["surname"].lengths[people[owner]] > 0]]] = True
    pairs = pair_packed(forms["surname"].take(people[owner]), given.take(name_at[owner]))
    keys = probe_tags(probe_key, Kind.NAME_DOB, join_packed(pairs, dates.take(known)))
    same[people[owner[holds(Kind.NAME_DOB, keys)]]] = True
    return dated, same


def _phone_owners_of_surname(
    probe_key: bytes, forms: Mapping[str, Packed], owners: Bools, given: Packed, holds: Callable[[Kind, U64], Bools]
) -> tuple[Bools, Bools]:
    """Whose telephone has an owner with a known birth date, and whose owner of these has the surname of the person."""
    dated, same = np.zeros(len(owners), np.bool_), np.zeros(len(owners), np.bool_)
    people = np.flatnonzero(owners.any(axis=1) & (forms["surname"].lengths[: len(owners)] > 0))[:_DATED_PHONES]
    if not len(people):
        return dated, same
    days = np.arange(np.datetime64("1926-01-01"), np.datetime64("2026-01-01"))
    century = [b"%s%s%s" % (day[2:4], day[5:7], day[8:]) for day in days.astype("S10").tolist()]
    dates = Packed.of(century)
    for person in people.tolist():
        number = forms["phone"].take(np.full(len(dates), person))
        known = np.flatnonzero(holds(Kind.PHONE_DOB, probe_tags(probe_key, Kind.PHONE_DOB, join_packed(number, dates))))
        if not len(known):
            continue
        dated[person] = True
        names = np.flatnonzero(owners[person])
        pairs = pair_packed(
            forms["surname"].take(np.full(len(known) * len(names), person)), given.take(np.tile(names, len(known)))
        )
        whose = join_packed(pairs, dates.take(np.repeat(known, len(names))))
        same[person] = bool(holds(Kind.NAME_DOB, probe_tags(probe_key, Kind.NAME_DOB, whose)).any())
    return dated, same
