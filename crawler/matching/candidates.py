"""Values of a sample that may be canaries, in arrays: no object is made for a single one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from data.arrays.array_types import I64, U8, U64
from data.arrays.packed import Packed

# The last bits of a tag, which make room for the number of the tag in `order_by_tag`.
_NUMBER = np.uint64(2**20 - 1)


def order_by_tag(tags: U64) -> I64:
    """The numbers of tags in the order of their first 44 bits, which is that of a watch-list; shape (n,) both."""
    if len(tags) > int(_NUMBER):
        return np.argsort(tags)
    # numbers are sorted with their tags in one word, which takes a fifth of the time of an indirect sort
    numbered = tags & ~_NUMBER | np.arange(len(tags), dtype=np.uint64)
    return (np.sort(numbered) & _NUMBER).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Values whose probe tags are on the watch-list; each becomes a hit once its confirm digest agrees.

    Attributes:
        kinds: shape (n,), the kind of each value or record key (`data.hashing.tags.Kind`).
        tags: shape (n,), their probe tags.
        values: n normal forms, or inputs of record keys, without the kind byte.
        places: shape (n,), where each was found: in the byte pass where it begins in the sample's bytes, from 0; in the
            record pass the number of its row.
    """

    kinds: U8
    tags: U64
    values: Packed
    places: I64

    def __repr__(self) -> str:
        """Their number only: the values are content of a sample."""
        return f"<Candidates {len(self)}>"

    def __len__(self) -> int:
        return len(self.tags)

    @staticmethod
    def none() -> Candidates:
        """No candidates; the same object each time, since most pieces of a sample have none."""
        return _NONE

    @classmethod
    def concatenated(cls, parts: Sequence[Candidates]) -> Candidates:
        """The candidates of several parts, one part after the other."""
        if not parts:
            return cls.none()
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([part.kinds for part in parts]),
            np.concatenate([part.tags for part in parts]),
            Packed.concatenated([part.values for part in parts]),
            np.concatenate([part.places for part in parts]),
        )

    def each_once(self) -> Self:
        """The candidates in the order of their places, each once at its place whatever the number of its readings."""
        order = np.lexsort((self.tags, self.places))
        repeated = np.zeros(len(order), np.bool_)
        tags, places = self.tags[order], self.places[order]
        repeated[1:] = (tags[1:] == tags[:-1]) & (places[1:] == places[:-1])
        return self.take(order[~repeated])

    def without(self, tags: U64) -> Self:
        """The candidates whose tag is none of `tags`, shape (m,), in any order; sorted runs of tags cost least."""
        if not len(self) or not len(tags):
            return self
        ordered, order = np.sort(tags, kind="stable"), order_by_tag(self.tags)
        # a search among sorted numbers is several times as fast in their order
        own = self.tags[order]
        places = np.minimum(np.searchsorted(ordered, own), len(ordered) - 1)
        return self.take(np.sort(order[ordered[places] != own]))

    def unread(self) -> UnreadCandidates:
        """The same, as if their values were still to be made."""
        return UnreadCandidates(self.kinds, self.tags, self.places, self.values.take)

    def first(self, count: int) -> Self:
        """The first candidates, `count` of them or all if there are fewer."""
        return self if len(self) <= count else self.take(np.arange(count))

    def take(self, chosen: I64) -> Self:
        """The candidates with these numbers, in this order."""
        return type(self)(self.kinds[chosen], self.tags[chosen], self.values.take(chosen), self.places[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class UnreadCandidates:
    """Candidates whose values are made only when they are asked for; most record keys of a row are never asked for.

    Attributes:
        kinds, tags, places: as for `Candidates`, shape (n,).
        values: makes the values of some of them, given by their numbers.
    """

    kinds: U8
    tags: U64
    places: I64
    values: Callable[[I64], Packed]

    def __repr__(self) -> str:
        """Their number only."""
        return f"<UnreadCandidates {len(self)}>"

    def __len__(self) -> int:
        return len(self.tags)

    def take(self, chosen: I64) -> Candidates:
        """The candidates with these numbers, in this order, with their values."""
        return Candidates(self.kinds[chosen], self.tags[chosen], self.values(chosen), self.places[chosen])


_NONE = Candidates(np.zeros(0, np.uint8), np.zeros(0, np.uint64), Packed.empty(0), np.zeros(0, np.int64))
