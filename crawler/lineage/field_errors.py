"""Error rates of a sample's fields, and how many known people typing errors make look new (pure).

A person is compared through six record keys, each made of two or three fields. If one key of a person is known and
another is not, some field differs. Counted over all known people, this gives an error rate for each field. People
whose keys are all spoilt by errors look new; their number follows from the rates.
What that means for a verdict is decided by `crawler.lineage.verdict`.

A *pattern* is a set of kinds of key as a number: bit i stands for `RECORD_KINDS[i]`. People are counted by two
patterns: the keys that they have (present) and those of them that a release holds (seen).
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
# the fields of each key as bits, in the order of `RECORD_KINDS`
_KEY_FIELD_BITS = tuple(sum(1 << FIELDS.index(name) for name in KEY_FIELDS[kind]) for kind in RECORD_KINDS)
# A match of one of these keys alone does not prove that two people are the same if everything else differs: families
# share telephones and mailboxes, and a number with another birth date is mistyped or invented.
WEAK_KINDS = (Kind.EMAIL_FIRST, Kind.PHONE_FIRST, Kind.PHONE_DOB, Kind.NIR_FIRST)
WEAK_PATTERN = sum(1 << RECORD_KINDS.index(kind) for kind in WEAK_KINDS)
STRONG_COLUMNS = [at for at, kind in enumerate(RECORD_KINDS) if kind not in WEAK_KINDS]
"""Columns of the keys that prove a person."""
PATTERNS = 1 << len(RECORD_KINDS)

# At least this many people must show swapped columns: that three namesakes born on one day are all new is less likely.
# Of them at most SWAPPED_AT_MOST may be known by a key of the first name.
ENOUGH_SWAPPED, SWAPPED_AT_MOST = 3, 0.1
# They must also be this share of all who have a name and a birth date: namesakes among unrelated people are fewer
# (1.2e-3 beside 15 M people).
SWAPPED_SHARE = 0.01
# At most this share of known people has another surname, telephone or mailbox than in the release, where nothing else in
# the sample shows how many have (chosen; in France there are 240,000 marriages a year for 68 million people, and a tenth
# of the people move each year).
CHANGED_SHARE: Mapping[str, float] = {"surname": 0.1, "phone": 0.4, "email": 0.4}
# A field that differs for so many people and this share of those for whom it was decided was replaced as a whole.
ENOUGH_REPLACED, REPLACED_SHARE = 30, 0.9
# At most this share of known people has another telephone and another mailbox at once, beyond those whom the two rates make
# likely (chosen: people who were not seen for years).
BOTH_CHANGED_SHARE = 0.1
# Error rates that are thought possible before anything is seen, every order of magnitude as likely as another. The
# lowest must be below what so many people can show: with 1e-5, one new person among 3 M was undecided.
_LOWEST_RATE, _HIGHEST_RATE, _STEPS = 1e-5, 0.6, 64
# Where a field is wrong for more people than it is right for, the column was edited or shuffled.
_RATE_OF_WHOLE_COLUMN = 0.999
_LOWEST_SEEN = 0.1
_DRAWS = 256


def count_patterns(people_present: NDArray[np.bool_], people_seen: NDArray[np.bool_]) -> I64:
    """How many people show each pair of patterns: shape (64, 64), keys present x keys seen.

    Args:
        people_present: shape (p, 6), which keys each person has.
        people_seen: shape (p, 6), which of them a release holds.
    """
    code = np.zeros(len(people_present), np.uint16)
    for at in range(len(RECORD_KINDS)):
        code |= people_present[:, at].astype(np.uint16) << np.uint16(len(RECORD_KINDS) + at)
        code |= people_seen[:, at].astype(np.uint16) << np.uint16(at)
    table: I64 = np.bincount(code, minlength=PATTERNS * PATTERNS).reshape(PATTERNS, PATTERNS)
    return table


@lru_cache(maxsize=PATTERNS * PATTERNS)
def fewest_errors(present: int, seen: int) -> int:
    """The least number of fields that must differ for a known person with keys `present` to be seen by `seen` alone."""
    right = _confirmed_fields(seen)
    missed = [
        fields & ~right for key, fields in enumerate(_KEY_FIELD_BITS) if present >> key & 1 and not seen >> key & 1
    ]
    if any(not fields for fields in missed):
        # all fields of this key are confirmed and it is unknown all the same: the release lacks it
        missed = [fields for fields in missed if fields]
    return min(wrong.bit_count() for wrong in range(1 << len(FIELDS)) if all(wrong & fields for fields in missed))


def _confirmed_fields(seen: int, without: int = 0) -> int:
    """Fields that known keys confirm, as bits; keys that contain the field `without` are ignored."""
    right = 0
    for key, fields in enumerate(_KEY_FIELD_BITS):
        if seen >> key & 1 and not fields & without:
            right |= fields
    return right


@lru_cache(maxsize=PATTERNS * PATTERNS)
def _right_and_wrong_fields(present: int, seen: int) -> tuple[int, int]:
    """The fields that are certainly right, and those that certainly differ, of people with these patterns; as bits.

    A field is decided only if both outcomes would show: some key contains it whose other fields are confirmed by keys
    without it. A field of a known key is right even if the deciding key is unknown (name columns that are swapped: only
    name+dob is indifferent to that).
    """
    right = wrong = 0
    confirmed = _confirmed_fields(seen)
    for field in range(len(FIELDS)):
        bit = 1 << field
        others = _confirmed_fields(seen, bit)
        deciding = [
            key
            for key, fields in enumerate(_KEY_FIELD_BITS)
            if present >> key & 1 and fields & bit and not fields & ~bit & ~others
        ]
        if deciding:
            if confirmed & bit:
                right |= bit
            else:
                wrong |= bit
    return right, wrong


def count_field_errors(table: I64) -> tuple[I64, I64]:
    """For how many known people each field is wrong, and for how many it is right; shape (6,) each.

    Args:
        table: as `count_patterns` returns it.
    """
    wrong, right = np.zeros(len(FIELDS), np.int64), np.zeros(len(FIELDS), np.int64)
    for present, seen in zip(*np.nonzero(table), strict=True):
        if seen:
            is_right, is_wrong = _right_and_wrong_fields(int(present), int(seen))
            for field in range(len(FIELDS)):
                right[field] += table[present, seen] * (is_right >> field & 1)
                wrong[field] += table[present, seen] * (is_wrong >> field & 1)
    return wrong, right


def replaced_fields(table: I64) -> tuple[str, ...]:
    """The fields that were replaced in the whole sample.

    Columns that were shuffled, edited or invented differ for nearly all people whom a strong key proves; what is not known
    by such a column says nothing of a person.

    Args:
        table: as `count_patterns` returns it.
    """
    proved = table.copy()
    proved[:, [seen for seen in range(PATTERNS) if not seen & ~WEAK_PATTERN]] = 0
    wrong, right = count_field_errors(proved)
    replaced = (wrong >= ENOUGH_REPLACED) & (wrong >= REPLACED_SHARE * (wrong + right))
    return tuple(name for name, is_replaced in zip(FIELDS, replaced.tolist(), strict=True) if is_replaced)


def _draw_error_rates(wrong: I64, right: I64) -> F64:
    """Error rates that agree with the counts, drawn evenly from what is still possible; shape (draws, 6)."""
    drawn = np.empty((_DRAWS, len(FIELDS)))
    places = (np.arange(_DRAWS) + 0.5) / _DRAWS
    for field in range(len(FIELDS)):
        lowest = min(_LOWEST_RATE, _LOWEST_SEEN / max(1, int(right[field])))
        rates = np.geomspace(lowest, _HIGHEST_RATE, _STEPS)
        if wrong[field] > right[field]:
            rates = np.append(rates, np.linspace(_HIGHEST_RATE, _RATE_OF_WHOLE_COLUMN, _STEPS)[1:])
        log = wrong[field] * np.log(rates) + right[field] * np.log1p(-rates)
        weight = np.exp(log - log.max())
        quantiles = np.interp(places, np.cumsum(weight) / weight.sum(), rates)
        # each field in an order of its own; the seeds are fixed, so that the same sample gives the same answer
        drawn[:, field] = np.random.default_rng(field).permutation(quantiles)
    return drawn


@lru_cache(maxsize=PATTERNS)
def _keys_left(present: int) -> I64:
    """The keys of a pattern that stay known under each set of wrong fields, as bits; shape (64,)."""
    keys = [(1 << key, fields) for key, fields in enumerate(_KEY_FIELD_BITS) if present >> key & 1]
    return np.array([sum(bit for bit, fields in keys if not wrong & fields) for wrong in range(1 << len(FIELDS))])


def names_swapped(keys: NDArray[np.uint64], seen: NDArray[np.bool_]) -> bool:
    """Whether a table has its columns of first names and surnames in each other's place, or the release had.

    The key name+dob is the same either way. People who are known by it are then known by no key that contains the
    first name alone.

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
    # a person whose number is not known with this birth date is a namesake: swapped names leave number and date alone
    deciding = there[:, first].any(axis=1) & (~there[:, numbers].any(axis=1) | known[:, numbers].any(axis=1))
    # a small share is allowed: a relative may have the surname as a first name
    return bool(deciding.sum() >= ENOUGH_SWAPPED and known[deciding][:, first].any(axis=1).mean() < SWAPPED_AT_MOST)


class ErrorRates:
    """Error rates of the fields, as the known people of a sample show them."""

    def __init__(self, table: I64, left_out: I64 | None = None) -> None:
        """Count the errors of a sample.

        Args:
            table: as `count_patterns` returns it.
            left_out: of the same shape: people of `table` who may be known only by chance and therefore do not count.
        """
        self.table = table
        self.wrong, self.right = count_field_errors(table if left_out is None else table - left_out)
        right = self.right
        if not self.wrong.any():
            # if no field is ever wrong, all fields count as evidence for each other: the table was exported, not typed
            right = np.where(right > 0, right.sum(), 0)
        rates = _draw_error_rates(self.wrong, right)
        subsets = np.arange(1 << len(FIELDS))[:, None] >> np.arange(len(FIELDS)) & 1
        # shape (draws, sets of wrong fields)
        self._chances = np.where(subsets[None], rates[:, None, :], 1 - rates[:, None, :]).prod(axis=2)

    def hidden_people(self, present: int, *, judged: int = 0) -> F64:
        """How many known people with these keys look new, one mean for each drawn set of rates; shape (256,).

        With `judged`, errors occur only in fields whose rate was counted on so many people.
        """
        hidden = _keys_left(present) == 0
        if judged:
            guessed = sum(1 << at for at, count in enumerate((self.wrong + self.right).tolist()) if count < judged)
            hidden = hidden & (np.arange(1 << len(FIELDS)) & guessed == 0)
        share = np.minimum(0.95, self._chances @ hidden)
        known, whole = int(self.table[present, 1:].sum()), int(self.table[present].sum())
        # the hidden people are in proportion to the seen ones; one is added, since there may be none by bad luck
        means: F64 = np.minimum(share * whole, share / (1 - share) * (known + 1))
        return means

    def expected_people(self, present: int, seen: int) -> float:
        """How many people would be seen by `seen` alone because of errors, if all with these keys were known."""
        share = self._chances @ (_keys_left(present) == seen)
        return float(np.median(share)) * int(self.table[present].sum())

    def evidence_on_hiding_fields(self, present: int) -> int:
        """The number of people behind the rates of those fields of which one alone can hide all of these keys.

        The least number of all such fields; a very large number if no single field can hide all keys.
        """
        alone = [1 << field for field in range(len(FIELDS)) if not _keys_left(present)[1 << field]]
        both = self.wrong + self.right
        return min((int(both[bit.bit_length() - 1]) for bit in alone), default=2**62)

    def evidence_on_all_fields(self, present: int) -> int:
        """The number of people behind the rates of the fields of these keys, the least of all these fields."""
        fields = [
            at
            for at in range(len(FIELDS))
            if any(present >> key & 1 and bits >> at & 1 for key, bits in enumerate(_KEY_FIELD_BITS))
        ]
        return int((self.wrong + self.right)[fields].min())


def mean_tail(means: F64, least: int) -> float:
    """The probability that a Poisson variable reaches `least`, its mean being any of `means` with equal weight."""
    return float(poisson_tails(means, least).mean())


def upper_bound(means: F64, probability: float) -> int:
    """The number of people that is exceeded with at most this probability; see `mean_tail`."""
    low, high = 0, 1
    while mean_tail(means, high) > probability:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if mean_tail(means, middle) > probability else (low, middle)
    return low
