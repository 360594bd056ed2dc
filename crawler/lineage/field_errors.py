"""What typing errors may have done to a sample: error rates of its fields, and how many known people they hide (pure).

A person is seen through six record keys, each made of two or three fields. Where one key of a person is known and
another is not, a field differs; that tells, field by field, how often. People all of whose keys are spoilt look new,
and from the rates follows how many those may be. What it means for a verdict is `crawler.lineage.lineage`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crawler.lineage.probability import poisson_tails
from data.arrays.array_types import F64, I64
from data.hashing.tags import RECORD_KINDS, Kind

FIELDS = ("first", "surname", "dob", "nir", "email", "phone")
KEY_FIELDS: Mapping[Kind, tuple[str, ...]] = {
    Kind.NAME_DOB: ("surname", "first", "dob"),
    Kind.NIR_FIRST: ("nir", "first"),
    Kind.NIR_DOB: ("nir", "dob"),
    Kind.EMAIL_FIRST: ("email", "first"),
    Kind.PHONE_FIRST: ("phone", "first"),
    Kind.PHONE_DOB: ("phone", "dob"),
}
# fields of each key as bits, in the order of `RECORD_KINDS`
_MASKS = tuple(sum(1 << FIELDS.index(name) for name in KEY_FIELDS[kind]) for kind in RECORD_KINDS)
# One of these alone, everything else being different, is no proof of a person: families share telephones and mailboxes,
# and a number with another birth date is mistyped or invented.
WEAK_KINDS = (Kind.EMAIL_FIRST, Kind.PHONE_FIRST, Kind.PHONE_DOB, Kind.NIR_FIRST)
WEAK = sum(1 << RECORD_KINDS.index(kind) for kind in WEAK_KINDS)
STRONG = [at for at, kind in enumerate(RECORD_KINDS) if kind not in WEAK_KINDS]
"""Columns of the keys that prove a person."""
PATTERNS = 1 << len(RECORD_KINDS)

# So many people speak for swapped columns: that three namesakes of one day are new is less likely.
ENOUGH_SWAPPED, SWAPPED_AT_MOST = 3, 0.1
# And so large a share of all who have a name and a birth date: namesakes among strangers are fewer (1.2e-3 beside 15 M people).
SWAPPED_SHARE = 0.01
# Error rates that are thought possible before anything is seen: every order of magnitude as likely as another, the
# least of them below what so many people can show (with 1e-5 at the least, one new person among 3 M was undecided).
_LEAST, _MOST, _STEPS = 1e-5, 0.6, 64
_LEAST_SEEN = 0.1
_DRAWS = 256


def patterns(people_present: NDArray[np.bool_], people_seen: NDArray[np.bool_]) -> I64:
    """How many people show each pattern: shape (64, 64), kinds of key present x kinds known, both as bits."""
    code = np.zeros(len(people_present), np.uint16)
    for at in range(len(RECORD_KINDS)):
        code |= people_present[:, at].astype(np.uint16) << np.uint16(len(RECORD_KINDS) + at)
        code |= people_seen[:, at].astype(np.uint16) << np.uint16(at)
    table: I64 = np.bincount(code, minlength=PATTERNS * PATTERNS).reshape(PATTERNS, PATTERNS)
    return table


@lru_cache(maxsize=PATTERNS * PATTERNS)
def fewest_errors(present: int, seen: int) -> int:
    """How many fields must differ, at least, for a known person with these keys to show no more than the `seen` ones."""
    right = _right(seen)
    missed = [_MASKS[key] & ~right for key in range(len(_MASKS)) if present >> key & 1 and not seen >> key & 1]
    if any(not mask for mask in missed):
        # a key both of whose parts are right and that is unknown all the same: the release lacks it
        missed = [mask for mask in missed if mask]
    return min(wrong.bit_count() for wrong in range(1 << len(FIELDS)) if all(wrong & mask for mask in missed))


def _right(seen: int, without: int = 0) -> int:
    """Fields that known keys confirm, as bits; keys that hold the field `without` are left aside."""
    right = 0
    for key, mask in enumerate(_MASKS):
        if seen >> key & 1 and not mask & without:
            right |= mask
    return right


@lru_cache(maxsize=PATTERNS * PATTERNS)
def _judged(present: int, seen: int) -> tuple[int, int]:
    """Fields that are certainly right, and those that differ, of people with this pattern; bits.

    A field is judged only where both outcomes would show: some key holds it whose other fields are confirmed by keys
    without it. One that stands in a known key is right even if that key is not known (swapped columns of names: only
    name+dob does not mind).
    """
    right = wrong = 0
    confirmed = _right(seen)
    for field in range(len(FIELDS)):
        bit = 1 << field
        others = _right(seen, bit)
        telling = [
            key for key, mask in enumerate(_MASKS) if present >> key & 1 and mask & bit and not mask & ~bit & ~others
        ]
        if telling:
            if confirmed & bit:
                right |= bit
            else:
                wrong |= bit
    return right, wrong


def field_errors(table: I64) -> tuple[I64, I64]:
    """Per field, shape (6,), how many known people show it wrong, and how many right (see `patterns`)."""
    wrong, right = np.zeros(len(FIELDS), np.int64), np.zeros(len(FIELDS), np.int64)
    for present, seen in zip(*np.nonzero(table), strict=True):
        if seen:
            is_right, is_wrong = _judged(int(present), int(seen))
            for field in range(len(FIELDS)):
                right[field] += table[present, seen] * (is_right >> field & 1)
                wrong[field] += table[present, seen] * (is_wrong >> field & 1)
    return wrong, right


def _rates(wrong: I64, right: I64) -> F64:
    """Shape (draws, 6): error rates that agree with what was seen, drawn evenly from what is still possible."""
    drawn = np.empty((_DRAWS, len(FIELDS)))
    places = (np.arange(_DRAWS) + 0.5) / _DRAWS
    for field in range(len(FIELDS)):
        rates = np.geomspace(min(_LEAST, _LEAST_SEEN / max(1, int(right[field]))), _MOST, _STEPS)
        log = wrong[field] * np.log(rates) + right[field] * np.log1p(-rates)
        weight = np.exp(log - log.max())
        quantiles = np.interp(places, np.cumsum(weight) / weight.sum(), rates)
        # every field in an order of its own (seeds are part of the method: the same sample, the same answer)
        drawn[:, field] = np.random.default_rng(field).permutation(quantiles)
    return drawn


@lru_cache(maxsize=PATTERNS)
def _shown(present: int) -> I64:
    """Shape (64,): the keys that stay known of a pattern under each set of wrong fields, as bits."""
    keys = [(1 << key, mask) for key, mask in enumerate(_MASKS) if present >> key & 1]
    return np.array([sum(bit for bit, mask in keys if not wrong & mask) for wrong in range(1 << len(FIELDS))])


def names_swapped(keys: NDArray[np.uint64], seen: NDArray[np.bool_]) -> bool:
    """Whether a table's columns of first names and surnames stand in each other's place, or did so in the release.

    name+dob does not mind. Who is known by it is then known by no key that takes the first name alone.

    Args:
        keys: shape (n, 6).
        seen: shape (n, 6), which of them are known.
    """
    name = RECORD_KINDS.index(Kind.NAME_DOB)
    first = [RECORD_KINDS.index(kind) for kind in (Kind.NIR_FIRST, Kind.EMAIL_FIRST, Kind.PHONE_FIRST)]
    numbers = [RECORD_KINDS.index(kind) for kind in (Kind.NIR_DOB, Kind.PHONE_DOB)]
    rows = np.flatnonzero(seen[:, name])
    if len(rows) < max(ENOUGH_SWAPPED, SWAPPED_SHARE * np.count_nonzero(keys[:, name])):
        return False
    there, known = keys[rows] != 0, seen[rows]
    # whose number is not known with this birth date is a namesake: a swap leaves number and date as they are
    telling = there[:, first].any(axis=1) & (~there[:, numbers].any(axis=1) | known[:, numbers].any(axis=1))
    # a relative may bear the surname as a first name
    return bool(telling.sum() >= ENOUGH_SWAPPED and known[telling][:, first].any(axis=1).mean() < SWAPPED_AT_MOST)


class ErrorRates:
    """Error rates of the fields, as far as the known people of a sample tell them."""

    def __init__(self, table: I64, apart: I64 | None = None) -> None:
        """`table`: as `patterns` gives it; `apart`: of its people those who may be known by chance, and do not speak."""
        self.table = table
        self.wrong, self.right = field_errors(table if apart is None else table - apart)
        right = self.right
        if not self.wrong.any():
            # where no field is ever wrong, all speak for each other: such a table was exported, not typed
            right = np.where(right > 0, right.sum(), 0)
        rates = _rates(self.wrong, right)
        subsets = np.arange(1 << len(FIELDS))[:, None] >> np.arange(len(FIELDS)) & 1
        # shape (draws, sets of wrong fields)
        self._chances = np.where(subsets[None], rates[:, None, :], 1 - rates[:, None, :]).prod(axis=2)

    def hidden(self, present: int) -> F64:
        """Shape (256,): how many known people with these keys may look new: means for rates that fit what is seen."""
        share = np.minimum(0.95, self._chances @ (_shown(present) == 0))
        known, whole = int(self.table[present, 1:].sum()), int(self.table[present].sum())
        # those that are hidden stand in proportion to those that are seen, of whom there may be none by bad luck
        means: F64 = np.minimum(share * whole, share / (1 - share) * (known + 1))
        return means

    def expected(self, present: int, seen: int) -> float:
        """Were all people with these keys known, so many should show only the `seen` ones because of errors."""
        share = self._chances @ (_shown(present) == seen)
        return float(np.median(share)) * int(self.table[present].sum())

    def judged(self, present: int) -> int:
        """By how many people the rates are known of the fields that hide these keys alone; many if none does."""
        alone = [1 << field for field in range(len(FIELDS)) if not _shown(present)[1 << field]]
        both = self.wrong + self.right
        return min((int(both[bit.bit_length() - 1]) for bit in alone), default=2**62)

    def judged_all(self, present: int) -> int:
        """By how many people the rates are known of all fields of these keys."""
        fields = [
            at
            for at in range(len(FIELDS))
            if any(present >> key & 1 and mask >> at & 1 for key, mask in enumerate(_MASKS))
        ]
        return int((self.wrong + self.right)[fields].min())


def tail(means: F64, least: int) -> float:
    """Probability that a Poisson number reaches `least`, its mean being one of `means`."""
    return float(poisson_tails(means, least).mean())


def upper(means: F64, chance: float) -> int:
    """The number of people that errors hide and that is exceeded with probability `chance` at most."""
    low, high = 0, 1
    while tail(means, high) > chance:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if tail(means, middle) > chance else (low, middle)
    return low
