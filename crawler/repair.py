"""Unmatched people looked up again with one typing error undone, while their normal forms are still in memory.

How many of them turn out to be known tells noise from news where a sample has one kind of key only, and so does not
show its errors itself. Every try is made a second time with another person's other half: what that finds is chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.tags import Kind, Packed, join_packed, pair_packed, probe_tags, read_only

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

MOST = 1024
"""So many people are tried; the share among them then has a standard error of 1.6 % at most."""
ROLES = ("first", "surname", "dob", "nir", "email", "phone")
_MAX_LENGTH = 64
# So many pairs of a name and a date not its own are looked up, to see how often these are known.
_NAMESAKES = 65_536
# So many numbers are tried beside first names of other people; each number at least beside so many of them.
_HALVES, _OTHERS = 8192, 16
_DAYS = np.array([list(b"%02d%02d" % (month, day)) for month in range(1, 13) for day in range(1, 29)], np.uint8)

# Per key: its parts. Both parts are varied, one at a time, the other as it stands.
_PARTS: tuple[tuple[Kind, str, str], ...] = (
    (Kind.NAME_DOB, "names", "dob"),
    (Kind.EMAIL_FIRST, "email", "first"),
    (Kind.PHONE_DOB, "phone", "dob"),
    (Kind.NIR_DOB, "nir", "dob"),
    (Kind.PHONE_FIRST, "phone", "first"),
    (Kind.NIR_FIRST, "nir", "first"),
)


class Unmatched:
    """Keeps the normal forms of at most `MOST` unmatched rows of a sample, chosen by their tags and not by their place."""

    def __init__(self) -> None:
        self._ranks = np.zeros(0, np.uint64)
        self._forms: dict[str, list[bytes]] = {role: [] for role in ROLES}

    def __repr__(self) -> str:
        """How many; normal forms are content of a sample."""
        return f"<Unmatched {len(self._ranks)} rows>"

    def wanted(self, keys: U64) -> I64:
        """Which of these unmatched rows, shape (n, 6), are to be kept: numbers of rows, distinct people by their keys."""
        ranks = _rank(keys)
        limit = self._ranks[-1] if len(self._ranks) >= MOST else np.uint64(2**64 - 1)
        rows = np.flatnonzero(ranks < limit)
        rows = rows[np.argsort(ranks[rows], kind="stable")]
        order = ranks[rows]
        fresh = np.ones(len(rows), bool)
        fresh[1:] = order[1:] != order[:-1]
        return rows[fresh & ~np.isin(order, self._ranks)][:MOST]

    def keep(self, keys: U64, forms: Mapping[str, Packed]) -> None:
        """Keep rows that `wanted` named: their keys, shape (m, 6), and normal forms by role, m each."""
        ranks = np.concatenate([self._ranks, _rank(keys)])
        order = np.argsort(ranks, kind="stable")[:MOST]
        for role, held in self._forms.items():
            column = forms.get(role)
            whole = held + (column.to_list() if column is not None else [b""] * len(keys))
            self._forms[role] = [whole[at] for at in order]
        self._ranks = ranks[order]

    def forms(self) -> dict[str, Packed]:
        """The normal forms of the rows kept, by role."""
        return {role: Packed.of(held) for role, held in self._forms.items()}

    def __len__(self) -> int:
        return len(self._ranks)


def _rank(keys: U64) -> U64:
    """A number for each row that hangs on its first key alone: as good as drawn by lot, and the same for the same row."""
    first = np.argmax(keys != 0, axis=1)
    picked: U64 = keys[np.arange(len(keys)), first] * np.uint64(0x9E3779B97F4A7C15)
    return picked


@dataclass(frozen=True, slots=True)
class Repair:
    """What undoing one error found.

    Attributes:
        tried: people. found: of them known with one error undone. by_chance: known in the same way with another
            person's half in place of their own: so many of `found` are chance.
    """

    tried: int = 0
    found: int = 0
    by_chance: int = 0

    @property
    def share(self) -> float:
        """The share of the tried people that are known but mistyped, chance taken off."""
        return max(0, self.found - self.by_chance) / self.tried if self.tried else 0.0


@dataclass(frozen=True, slots=True)
class SecondLook:
    """What can still be asked about unmatched people while their normal forms are there.

    probe_key: of the case. unmatched: what was kept of them. holds: which tags of record keys of a kind, shape (n,),
    any release has.
    """

    probe_key: bytes
    unmatched: Unmatched
    holds: Callable[[Kind, U64], Bools]

    def __repr__(self) -> str:
        """No key."""
        return f"<SecondLook at {len(self.unmatched)} people>"

    def repair(self) -> Repair:
        """See `repair`."""
        return repair(self.probe_key, self.unmatched, self.holds)

    def by_chance(self) -> dict[Kind, tuple[int, int]]:
        """How often keys made of halves of different people are known: per kind (known, tried).

        The share is the rate at which new people meet a known key by chance, among the very people and releases at hand:
        a name with a birth date of the same year that is not its own, a known number with somebody else's first name.
        """
        forms = self.unmatched.forms()
        found = {Kind.NAME_DOB: self._namesakes(forms)}
        for kind, number in ((Kind.NIR_FIRST, "nir"), (Kind.EMAIL_FIRST, "email"), (Kind.PHONE_FIRST, "phone")):
            rows = np.flatnonzero(_there(forms, number) & _there(forms, "first"))
            if len(rows) < 2:
                continue
            others = min(len(rows) - 1, max(_OTHERS, _HALVES // len(rows)))
            mates = np.concatenate([np.roll(rows, turn) for turn in range(1, others + 1)])
            halves = join_packed(forms[number].take(np.tile(rows, others)), forms["first"].take(mates))
            found[kind] = int(self.holds(kind, probe_tags(self.probe_key, kind, halves)).sum()), len(mates)
        return found

    def _namesakes(self, forms: Mapping[str, Packed]) -> tuple[int, int]:
        rows = np.flatnonzero(_there(forms, "names") & _there(forms, "dob") & (forms["dob"].lengths == 6))
        if not len(rows):
            return 0, 0
        others = min(len(_DAYS), max(1, _NAMESAKES // len(rows)))
        days = _DAYS[np.linspace(0, len(_DAYS) - 1, others).astype(int)]
        own = forms["dob"].take(rows).blob.reshape(-1, 6)
        made = np.repeat(own, others, axis=0)
        made[:, 2:] = np.tile(days, (len(rows), 1))
        tried = (made[:, 2:] != np.repeat(own[:, 2:], others, axis=0)).any(axis=1)
        dates = Packed(made.reshape(-1), np.arange(len(made) + 1) * 6)
        names = _names_or(forms, "names", np.repeat(rows, others))
        known = self.holds(Kind.NAME_DOB, probe_tags(self.probe_key, Kind.NAME_DOB, join_packed(names, dates)))
        return int((known & tried).sum()), int(tried.sum())


def repair(probe_key: bytes, unmatched: Unmatched, holds: Callable[[Kind, U64], Bools]) -> Repair:
    """Try every single error in every unmatched person that was kept.

    Args:
        probe_key: of the case.
        unmatched: what was kept.
        holds: which tags of record keys of a kind, shape (n,), any release has.
    """
    count = len(unmatched)
    if not count:
        return Repair()
    forms = unmatched.forms()
    # the halves of another person, two places on: neighbours may be relatives
    other = (np.arange(count) + max(1, count // 2)) % count
    tried, found, by_chance = np.zeros(count, bool), np.zeros(count, bool), np.zeros(count, bool)
    for kind, left, right in _PARTS:
        # a person without name+dob is tried through what else there is
        rows = np.flatnonzero(~tried & _there(forms, left) & _there(forms, right))
        tried[rows] = True
        for varied, still in ((left, right), (right, left)):
            for role, mates in (("surname", "first"), ("first", "surname")) if varied == "names" else ((varied, ""),):
                found[rows] |= _tries(probe_key, kind, forms, role, mates, still, rows, rows, holds)
                if count > 1:
                    by_chance[rows] |= _tries(probe_key, kind, forms, role, mates, still, rows, other[rows], holds)
    return Repair(count, int(found.sum()), int(by_chance.sum()))


def _there(forms: Mapping[str, Packed], part: str) -> Bools:
    if part == "names":
        return _there(forms, "surname") & _there(forms, "first")
    filled: Bools = forms[part].lengths > 0
    return filled


def _tries(
    probe_key: bytes, kind: Kind, forms: Mapping[str, Packed], role: str, mates: str, still: str, rows: I64,
    still_rows: I64, holds: Callable[[Kind, U64], Bools],
) -> Bools:  # fmt: skip
    """Shape of `rows`: for whom some variant of `role` is known beside the other parts; `still` from `still_rows`."""
    if not len(rows):
        return np.zeros(0, bool)
    from crawler.repair_kernels import variants

    column = forms[role].take(rows)
    lengths_vary = role in {"first", "surname", "email"}
    blob, offsets, owners = variants(column.blob, column.offsets, _alphabet(role), lengths_vary, _MAX_LENGTH)
    varied = Packed(blob, offsets)
    if mates:
        varied = pair_packed(varied, forms[mates].take(rows[owners]))
    beside = _names_or(forms, still, still_rows[owners])
    is_second = not mates and next(second for each, _, second in _PARTS if each is kind) == role
    tags = probe_tags(probe_key, kind, join_packed(beside, varied) if is_second else join_packed(varied, beside))
    hit = np.zeros(len(rows), bool)
    hit[owners[holds(kind, tags) & (tags != 0)]] = True
    return hit


def _names_or(forms: Mapping[str, Packed], part: str, rows: I64) -> Packed:
    if part == "names":
        return pair_packed(forms["surname"].take(rows), forms["first"].take(rows))
    return forms[part].take(rows)


def _alphabet(role: str) -> NDArray[np.uint8]:
    if role in {"first", "surname"}:
        signs = b"abcdefghijklmnopqrstuvwxyz"
    elif role == "email":
        signs = b"abcdefghijklmnopqrstuvwxyz0123456789._-"
    else:
        signs = b"0123456789"
    array: NDArray[np.uint8] = read_only(np.frombuffer(signs, np.uint8), np.uint8)
    return array
