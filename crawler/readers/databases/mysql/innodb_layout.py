"""Finds where the columns of an InnoDB table begin if no file describes them: from what the records have in common.

Before each record stand a bit for each column that may be NULL and the lengths of its values of variable length. How
many of each there are is unknown. But under the right numbers the lengths explain where the next record begins, in all
rows, with the same number of bytes left for the columns of fixed length. Where these bytes stand between the others is
then told by what makes the best texts.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from crawler.readers.databases.mysql.innodb_pages import InnodbRecord
from crawler.readers.databases.unnamed_columns import divide_fixed, shape_of, text_or_none

_HEADER = 5
_SYSTEM = 13
"""Bytes of the numbers of the transaction, which every record has."""
_MAX_FIXED, _MAX_LENGTHS, _MAX_BITMAP = 256, 48, 5
# rows from which a layout is found, and the share of them that must agree
_PAIRS, _TEXTS, _AGREE = 200, 16, 0.6
_MIN_PAIRS = 3
# characters of a value that are looked at
_SEEN = 64
_MAX_TRIES = 400
_OTHER_PAGES = 0x40
# kinds of characters: up to _LETTERS those with which texts begin, up to _ENDS those with which they end
_LETTERS, _ENDS, _HIGH, _CONTROLS = 3, 5, 9, 12
_TEXT_IN_GAP = 1.5
_UTF8 = re.compile(rb"[\xc3-\xc5][\x80-\xbf]|\xe2[\x80-\x84][\x80-\xbf]")
_LATIN = re.compile(rb"[A-Za-z][\xc0-\xff](?=[A-Za-z])")
_KINDS = np.full(256, _CONTROLS, np.uint8)
for _number, _chars in enumerate(
    (b"0123456789", bytes(range(97, 123)), bytes(range(65, 91)), bytes(range(0xC0, 0x100)), b".)!?", b" ", b"@")
):
    _KINDS[list(_chars)] = _number
_KINDS[list(b"-_'")], _KINDS[list(b"/:;,")], _KINDS[list(range(0x80, 0xC0))] = 7, 8, 9
_KINDS[[at for at in range(32, 127) if _KINDS[at] == _CONTROLS]] = 10
# records of the same bits of NULL by which it is found how they are divided
_FIRST_OF_KIND = 9
# bytes of fixed length before each value; values that are NULL
_Way = tuple[tuple[int, ...], tuple[int, ...]]
Lengths = list[tuple[int, bool]]
"""Of each value: its bytes, and whether they end with the place of further ones."""


@dataclass(slots=True)
class InnodbRow:
    """Values of a record: those of variable length, and between them the bytes of fixed length."""

    texts: list[bytes | None]
    elsewhere: list[bool]
    gaps: list[bytes]


@dataclass(frozen=True)
class _Layout:
    """How many bytes of bits and how many lengths stand before a record, and how many bytes before each value."""

    bitmap: int
    lengths: int
    gaps: tuple[int, ...]
    common: bytes

    @property
    def fixed(self) -> int:
        return sum(self.gaps)


def bits_of(record: InnodbRecord, size: int) -> bytes:
    """The bits of NULL, in the order of their columns."""
    at = record.origin - _HEADER
    return record.page[at - size : at]


def lengths_of(record: InnodbRecord, bitmap: int, count: int, short: Sequence[bool] = ()) -> tuple[Lengths, int]:
    """The lengths that stand before a record.

    Args:
        record: of the format COMPACT or DYNAMIC.
        bitmap: bytes of bits of NULL.
        count: how many lengths there are.
        short: which of them are known to have one byte.

    Returns:
        The lengths, and how many bytes all of them take; fewer lengths if the page ends.
    """
    at = begin = record.origin - _HEADER - bitmap - 1
    found: Lengths = []
    page = record.page
    for number in range(count):
        if at < 1:
            break
        first = page[at]
        at -= 1
        if first < 0x80 or (number < len(short) and short[number]):
            found.append((first, False))
        else:
            found.append(((first & 0x3F) << 8 | page[at], bool(first & _OTHER_PAGES)))
            at -= 1
    return found, begin - at


class InnodbRows:
    """Divides the records of a table into values.

    Attributes:
        found: whether a layout was found.

    Args:
        pages: records of some leaf pages, in the order in which they lie there.
    """

    def __init__(self, pages: Sequence[Sequence[InnodbRecord]]) -> None:
        pairs = [pair for records in pages for pair in pairwise(records)][:_PAIRS]
        candidates = sorted(self._candidates(pairs), key=lambda each: each[:3])
        self._layout = candidates[0][3] if candidates else None
        # for the bits of NULL of some records: how many of the first ones were divided in each way
        self._ways: dict[bytes, Counter[_Way | None]] = {}
        self._shapes: list[set[str]] = []
        self._profile(pairs)

    @property
    def found(self) -> bool:
        """Whether the columns were found."""
        return self._layout is not None

    @property
    def divisions(self) -> list[list[tuple[int, int]]]:
        """How the bytes of fixed length before each value, and behind the last one, are divided into columns."""
        return self._divisions

    def _candidates(self, pairs: Sequence[tuple[InnodbRecord, InnodbRecord]]) -> list[tuple[float, int, int, _Layout]]:
        found = []
        for bitmap in range(_MAX_BITMAP):
            groups: dict[bytes, list[tuple[InnodbRecord, InnodbRecord]]] = defaultdict(list)
            for first, second in pairs:
                if first.status == second.status == 0 and bits_of(first, bitmap) == bits_of(second, bitmap):
                    groups[bits_of(first, bitmap)].append((first, second))
            if not groups:
                continue
            bits, group = max(groups.items(), key=lambda item: len(item[1]))
            for count in range(1, _MAX_LENGTHS):
                fixed, agree = _most_common_rest(group, bitmap, count)
                if agree < max(_MIN_PAIRS, _AGREE * len(group)) or not _SYSTEM <= fixed <= _MAX_FIXED:
                    continue
                same = [first for first, second in group if _rest(first, second, bitmap, count) == fixed]
                bits_taken, gaps = _best_gaps(same[:_TEXTS], bitmap, count, fixed)
                found.append((bits_taken * len(pairs) / agree, -bitmap, count, _Layout(bitmap, count, gaps, bits)))
        return found

    def _profile(self, pairs: Sequence[tuple[InnodbRecord, InnodbRecord]]) -> None:
        layout = self._layout
        if layout is None:
            self._divisions: list[list[tuple[int, int]]] = []
            return
        rows = [
            row
            for first, _ in pairs
            if bits_of(first, layout.bitmap) == layout.common and (row := self._divide(first, layout)) is not None
        ]
        gaps = [[row.gaps[at] for row in rows[:64]] for at in range(len(layout.gaps))]
        self._divisions = []
        is_system_found = False
        for gap in gaps:
            if not is_system_found and gap and len(gap[0]) >= _SYSTEM:
                is_system_found = True
                begin = _system_begin(gap)
                before = divide_fixed([each[:begin] for each in gap])
                behind = divide_fixed([each[begin + _SYSTEM :] for each in gap])
                self._divisions.append([*before, *((at + begin + _SYSTEM, size) for at, size in behind)])
            else:
                self._divisions.append(divide_fixed(gap))
        self._shapes = [
            {shape_of(text_or_none(row.texts[at] or b"") or "") for row in rows} for at in range(layout.lengths)
        ]

    def divide(self, record: InnodbRecord) -> InnodbRow | None:
        """The values of a record; None if it does not follow the layout of the table."""
        layout = self._layout
        if layout is None or record.status:
            return None
        bits = bits_of(record, layout.bitmap)
        if bits == layout.common:
            return self._divide(record, layout)
        return self._divide_with_nulls(record, layout, bits)

    @staticmethod
    def _divide(record: InnodbRecord, layout: _Layout) -> InnodbRow | None:
        lengths, _ = lengths_of(record, layout.bitmap, layout.lengths)
        return _cut(record, layout.gaps, lengths, ())

    def _divide_with_nulls(self, record: InnodbRecord, layout: _Layout, bits: bytes) -> InnodbRow | None:
        """Divide a record in which other columns are NULL than in most: which ones is told by what its values are."""
        ways = self._ways.setdefault(bits, Counter())
        if ways.total() < _FIRST_OF_KIND:
            best = min(self._ways_to_divide(record, layout, bits), default=None, key=lambda each: each[0])
            ways[None if best is None else best[1]] += 1
        way = ways.most_common(1)[0][0]
        if way is None:
            return None
        lengths, _ = lengths_of(record, layout.bitmap, layout.lengths - len(way[1]))
        return _cut(record, way[0], lengths, way[1])

    def _ways_to_divide(self, record: InnodbRecord, layout: _Layout, bits: bytes) -> Iterator[tuple[float, _Way]]:
        """Ways in which a record can be divided, and how strange its values are then."""
        here, common = int.from_bytes(bits, "little"), int.from_bytes(layout.common, "little")
        more = (here & ~common).bit_count()
        tries = 0
        for absent in range(min(more, layout.lengths), -1, -1) if not common & ~here else ():
            lengths, _ = lengths_of(record, layout.bitmap, layout.lengths - absent)
            # columns of fixed length that are NULL leave their bytes out
            for left_out in _LEFT_OUT[more - absent]:
                for missing in combinations(range(layout.lengths), absent):
                    for at in range(len(layout.gaps)) if left_out else (0,):
                        if left_out > layout.gaps[at]:
                            continue
                        tries += 1
                        if tries > _MAX_TRIES:
                            return
                        gaps = [*layout.gaps]
                        gaps[at] -= left_out
                        row = _cut(record, gaps, lengths, missing)
                        if row is not None:
                            yield self._strangeness(row) + left_out / 100, (tuple(gaps), missing)

    def _strangeness(self, row: InnodbRow) -> float:
        cost = 0.0
        for text, shapes in zip(row.texts, self._shapes, strict=True):
            if text is None:
                continue
            shown = text_or_none(text)
            if shown is None:
                cost += 20
            elif (shape := shape_of(shown)) not in shapes:
                cost += 1 if any(set(shape) == set(each) for each in shapes) else 3
        return cost


# how many bytes so many columns of fixed length take: dates, numbers, single letters
_LEFT_OUT: tuple[tuple[int, ...], ...] = ((0,), (3, 1, 4, 5, 8, 2), (6, 4, 7, 8, 2, 5, 9), (9, 12, 5, 7))
_LEFT_OUT += ((),) * 64


def _cut(record: InnodbRecord, gaps: Sequence[int], lengths: Lengths, missing: Sequence[int]) -> InnodbRow | None:
    """The values of a record; None if it ends before them."""
    page, at, given = record.page, record.origin, iter(lengths)
    texts: list[bytes | None] = []
    elsewhere: list[bool] = []
    pieces: list[bytes] = []
    last = len(gaps) - 1
    for number, gap in enumerate(gaps):
        pieces.append(page[at : at + gap] if gap else b"")
        at += gap
        if number == last:
            break
        if missing and number in missing:
            texts.append(None)
            elsewhere.append(False)
            continue
        size, goes_on = next(given, (0, False))
        texts.append(page[at : at + size])
        elsewhere.append(goes_on)
        at += size
    return InnodbRow(texts, elsewhere, pieces) if at <= record.end else None


def _rest(first: InnodbRecord, second: InnodbRecord, bitmap: int, count: int) -> int:
    """The bytes of a record that its lengths do not explain, if another one follows it directly."""
    lengths, _ = lengths_of(first, bitmap, count)
    _, before = lengths_of(second, bitmap, count)
    return second.origin - _HEADER - bitmap - before - first.origin - sum(size for size, _ in lengths)


def _most_common_rest(group: Sequence[tuple[InnodbRecord, InnodbRecord]], bitmap: int, count: int) -> tuple[int, int]:
    rests = Counter(_rest(first, second, bitmap, count) for first, second in group)
    return rests.most_common(1)[0]


def _best_gaps(records: Sequence[InnodbRecord], bitmap: int, count: int, fixed: int) -> tuple[float, tuple[int, ...]]:
    """How the bytes of fixed length stand before the values and behind the last one.

    Of all ways that one is chosen under which the kinds of the characters say most about each other: digits stand with
    digits, and each column begins and ends as its other values do.

    Returns:
        The bits a record that the kinds of all characters take then, fewer are better; and the number of bytes before
        each value and behind the last one.
    """
    begins: list[list[int]] = []
    sizes: list[list[int]] = []
    for record in records:
        lengths, _ = lengths_of(record, bitmap, count)
        at, places = record.origin, []
        for size, _ in lengths:
            places.append(at)
            at += size
        places.append(at)
        begins.append(places)
        sizes.append([max(0, size - 20 if elsewhere else size) for size, elsewhere in lengths])
    kinds = _kinds_of(records)

    def gap_costs(column: int) -> NDArray[np.float64]:
        """Bits of the first 0, 1, 2, … fixed bytes, if they stand before a value."""
        rows = np.stack(
            [row[places[column] : places[column] + fixed] for row, places in zip(kinds, begins, strict=True)]
        )
        # characters of a text rather belong to a value than to the numbers between values
        texts = _TEXT_IN_GAP * (rows != _CONTROLS).sum(axis=0) - _TEXT_IN_GAP * (rows == _HIGH).sum(axis=0)
        return np.concatenate(([0.0], np.cumsum([_bits(rows[:, at]) for at in range(fixed)] + texts)))

    costs: NDArray[np.float64] | None = None
    ways: list[NDArray[np.intp]] = []
    for column in range(count + 1):
        gaps = gap_costs(column)
        if costs is None:
            here, way = gaps.copy(), np.zeros(fixed + 1, np.intp)
        else:
            rest = costs - gaps
            # the last of the best places so far
            way = np.maximum.accumulate(np.where(rest <= np.minimum.accumulate(rest), np.arange(fixed + 1), 0))
            here = rest[way] + gaps
        if column < count:
            for shift in range(fixed + 1):
                here[shift] += _column_bits(
                    [
                        _ends(row[places[column] + shift : places[column] + shift + own[column]])
                        for row, places, own in zip(kinds, begins, sizes, strict=True)
                    ]
                )
        costs = here
        ways.append(way)
    assert costs is not None  # noqa: S101 - there is at least one turn
    shift, shifts = fixed, []
    for way in reversed(ways):
        shifts.append(shift)
        shift = int(way[shift])
    shifts.reverse()
    return float(costs[fixed]) / len(records), (shifts[0], *(second - first for first, second in pairwise(shifts)))


def _kinds_of(records: Sequence[InnodbRecord]) -> list[NDArray[np.uint8]]:
    """The kinds of the characters of the page of each record."""
    pages = {id(record.page): record.page for record in records}
    found: dict[int, NDArray[np.uint8]] = {}
    for key, page in pages.items():
        data = page
        kinds = _KINDS[np.frombuffer(data, np.uint8)]
        sequences = [match.span() for match in _UTF8.finditer(data)]
        if len(sequences) > len(_LATIN.findall(data)):
            # what is above 127 and no UTF-8 belongs to a number
            kinds[np.frombuffer(data, np.uint8) >= 0x80] = _CONTROLS
            for begin, end in sequences:
                kinds[begin:end] = _HIGH
                kinds[begin] = _LETTERS
        found[key] = kinds
    return [found[id(record.page)] for record in records]


def _ends(value: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A value, or the beginning and the last character of a long one."""
    return value if len(value) <= _SEEN else np.append(value[: _SEEN - 1], value[-1])


def _bits(kinds: NDArray[np.uint8]) -> float:
    """The bits that these kinds of characters take, each by its share, and the shares themselves."""
    counts = np.bincount(kinds)
    counts = counts[counts > 0]
    if len(counts) < 2:
        return 0.0
    return float(-(counts * np.log2(counts / counts.sum())).sum() + 0.5 * (len(counts) - 1) * np.log2(1 + counts.sum()))


def _column_bits(values: Sequence[NDArray[np.uint8]]) -> float:
    """The bits of the kinds of the characters of a column: its first ones, its last ones, and those between."""
    values = [value for value in values if len(value)]
    if not values:
        return 0.0
    first = np.array([value[0] for value in values], np.uint8)
    last = np.array([value[-1] for value in values if len(value) > 1], np.uint8)
    middle = np.concatenate([value[1:-1] for value in values])
    strange = 2 * int((first > _LETTERS).sum() + (last > _ENDS).sum())
    return (
        _bits(first)
        + _bits(last)
        + _bits(middle)
        + strange
        + 8 * sum(int((part == _CONTROLS).sum()) for part in (first, middle, last))
    )


def _system_begin(gap: Sequence[bytes]) -> int:
    """Where the numbers of the transaction begin in bytes before a value: 4 and 8 bytes of a key are the usual ones."""
    size = len(gap[0])
    places = [at for at in (4, 8, 6, 0, 2, 3, 1) if at + _SYSTEM <= size]

    def likeness(at: int) -> int:
        # the first bytes of the number of a transaction are zeros, and few of its changes lie in few places
        return sum(row[at] == 0 and row[at + 1] == 0 for row in gap) * 4 - 2 * len({row[at : at + 6] for row in gap})

    return max(places, key=lambda at: (likeness(at), -places.index(at)))
