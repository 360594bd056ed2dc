"""Rows to typed columns to record keys: what each column holds, and the tags of what it holds. Pure."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from crawler.headers import role_of
from data import normalise
from data.errors import WireError
from data.tags import RECORD_KINDS, Kind, Packed, join_packed, pair_packed, probe_tags, record_inputs
from data.tags import record_keys as keys_of

U64 = NDArray[np.uint64]
MAX_COLUMNS = 1 << 16
MAX_ROWS = 1 << 20

# Roles that carry a value of their own, and the kind of its tag.
VALUE_ROLES = {
    "email": Kind.EMAIL,
    "phone": Kind.PHONE,
    "nir": Kind.NIR,
    "iban": Kind.IBAN,
    "professional": Kind.PROFESSIONAL,
    "token": Kind.TOKEN,
}
# Roles that take part in record keys, in the order of the arguments of `record_inputs`.
KEY_ROLES = ("first", "surname", "dob", "nir", "email", "phone")
ROLES = (*dict.fromkeys((*KEY_ROLES, *VALUE_ROLES)), "fullname", "note")
# A column shows a kind when this share of its filled cells has its form; clearly when nearly all have.
SHOWN, CLEARLY = 0.6, 0.9
# What values can show, the most telling first: an IBAN holds digits that look like a telephone number.
_TESTS: tuple[tuple[str, Callable[[str], bytes]], ...] = (
    ("email", normalise.email),
    ("iban", normalise.iban),
    ("nir", normalise.nir),
    ("dob", normalise.dob),
    ("phone", normalise.phone),
    ("professional", normalise.professional),
)
MAX_NAME = 40


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a plan: its header, its role ('' for ignored), and whether `header` or `values` said so."""

    name: str
    role: str
    by: str


@dataclass(frozen=True)
class Plan:
    """Which column of a table holds what."""

    columns: tuple[Column, ...]

    @cached_property
    def places(self) -> dict[str, tuple[int, ...]]:
        """Column numbers of each role."""
        found: dict[str, list[int]] = {}
        for number, column in enumerate(self.columns):
            if column.role:
                found.setdefault(column.role, []).append(number)
        return {role: tuple(numbers) for role, numbers in found.items()}

    @property
    def is_useful(self) -> bool:
        """Whether any row could give a tag."""
        roles = set(self.places)
        names = {"first", "surname"} <= roles or "fullname" in roles
        return bool(roles & set(VALUE_ROLES)) or (names and "dob" in roles)

    def describe(self) -> list[str]:
        """A line per column: what was understood, by what, and what is ignored."""
        return [
            f"column {number} {column.name!r}: " + (f"{column.role}, by its {column.by}" if column.role else "ignored")
            for number, column in enumerate(self.columns, 1)
        ]


@dataclass(frozen=True, slots=True, eq=False)
class RowBatch:
    """Rows of one table as columns of UTF-8 cells."""

    columns: tuple[Packed, ...]
    rows: int

    def __repr__(self) -> str:
        """Its shape; cells are content of a sample."""
        return f"<RowBatch {self.rows} rows, {len(self.columns)} columns>"

    def __len__(self) -> int:
        return self.rows

    @classmethod
    def of(cls, rows: Sequence[Sequence[str]]) -> RowBatch:
        """From rows of cells; short rows are filled up with empty cells."""
        width = max((len(row) for row in rows), default=0)
        return cls(
            tuple(Packed.of([row[at].encode() if at < len(row) else b"" for row in rows]) for at in range(width)),
            len(rows),
        )

    @classmethod
    def from_frame(cls, payload: bytes) -> RowBatch:
        """From the payload of an `R` frame, every number of which is checked.

        Raises:
            WireError: it is not a frame that an honest reader makes.
        """
        if len(payload) < 8:
            raise WireError("a row frame without its numbers")
        rows, width = struct.unpack_from("<II", payload)
        if rows > MAX_ROWS or width > MAX_COLUMNS or 4 * width * (rows + 1) > len(payload):
            raise WireError("a row frame claims more than it holds")
        at = 8
        columns = []
        whole = np.frombuffer(payload, np.uint8)
        for _ in range(width):
            end = at + 4 * (rows + 1)
            if end > len(payload):
                raise WireError("a row frame ends inside its offsets")
            offsets = np.frombuffer(payload, "<u4", rows + 1, at).astype(np.int64)
            size = int(offsets[-1])
            if offsets[0] != 0 or (offsets[1:] < offsets[:-1]).any() or end + size > len(payload):
                raise WireError("a row frame has offsets that lead nowhere")
            columns.append(Packed(whole[end : end + size], offsets))
            at = end + size
        if at != len(payload):
            raise WireError("a row frame is longer than its rows")
        return cls(tuple(columns), rows)

    def to_frame(self) -> bytes:
        """The payload of an `R` frame; the inverse of `from_frame`."""
        parts = [struct.pack("<II", self.rows, len(self.columns))]
        for column in self.columns:
            parts += [column.offsets.astype("<u4").tobytes(), column.blob.tobytes()]
        return b"".join(parts)

    def cells(self, column: int) -> list[str]:
        """One column as text; a column that this batch does not have is empty."""
        if column >= len(self.columns):
            return [""] * self.rows
        packed = self.columns[column]
        blob, cuts = packed.blob.tobytes(), packed.offsets.tolist()
        if blob.isascii():
            text = blob.decode("ascii")
            return [text[start:end] for start, end in pairwise(cuts)]
        return [blob[start:end].decode("utf-8", "replace") for start, end in pairwise(cuts)]

    def cell(self, row: int, column: int) -> str:
        """One cell; '' where this batch has no such column."""
        return self.columns[column].item(row).decode("utf-8", "replace") if column < len(self.columns) else ""

    def texts(self, start: int, stop: int) -> list[list[str]]:
        """Some rows as lists of cells."""
        return [
            [self.cell(row, column) for column in range(len(self.columns))]
            for row in range(start, min(stop, self.rows))
        ]

    def drop(self, count: int) -> RowBatch:
        """Without the first rows."""
        left = []
        for column in self.columns:
            cut = column.offsets[count]
            left.append(Packed(column.blob[cut:], column.offsets[count:] - cut))
        return RowBatch(tuple(left), self.rows - count)


# --- which column holds what -----------------------------------------------------------------------------------------


def looks_like_header(row: Sequence[str], following: Sequence[Sequence[str]] = ()) -> bool:
    """Whether a first row names columns: it promises something and holds no value itself.

    Args:
        row: the first row.
        following: some rows after it; where these show kinds and the first row none, it is a header even if no word
            of it is known.
    """
    if not any(cell.strip() for cell in row) or any(_kind_of(cell) for cell in row if cell.strip()):
        return False
    known = sum(bool(role_of(cell)) for cell in row)
    if known >= 2 or known == len(row):
        return True
    shown = sum(any(_kind_of(other[at]) for other in following[:5] if at < len(other)) for at in range(len(row)))
    return shown > 0 and bool(following)


def _kind_of(cell: str) -> str:
    for role, test in _TESTS:
        if test(cell):
            return role
    return ""


def _shares(cells: Sequence[str]) -> dict[str, float]:
    """For each kind, the share of filled cells that have its form."""
    filled = [cell for cell in cells if cell.strip()]
    if not filled:
        return {}
    return {role: sum(bool(test(cell)) for cell in filled) / len(filled) for role, test in _TESTS}


def sniff(header: Sequence[str] | None, sample: Sequence[Sequence[str]]) -> Plan:
    """What each column of a table holds, from its header's words and its values.

    The kinds that values clearly show win over a wrong header. Names show themselves only through the header, common
    first names, or their place beside them.

    Args:
        header: words, or None.
        sample: some rows; short rows are allowed.
    """
    width = max([len(row) for row in sample] + [len(header or ())], default=0)
    names = [header[at] if header is not None and at < len(header) else "" for at in range(width)]
    promised = [role_of(name) if name else "" for name in names]
    columns = [[row[at] if at < len(row) else "" for row in sample] for at in range(width)]
    found = [_decide(promised[at], columns[at]) for at in range(width)]
    _one_birth_date(found, promised, columns)
    if not {"surname", "fullname"} & {role for role, _ in found} or "first" not in {role for role, _ in found}:
        _find_names(found, promised, columns)
    return Plan(tuple(Column(names[at], *found[at]) for at in range(width)))


def _decide(promise: str, cells: Sequence[str]) -> tuple[str, str]:
    shares = _shares(cells)
    best = next((role for role, _ in _TESTS if shares.get(role, 0.0) >= CLEARLY), "")
    if promise in shares and shares[promise] >= (SHOWN if best else 0.01):
        return promise, "header"
    if best and (best != promise or promise not in ROLES):
        # digits alone are weak: nine of them are a professional number, a telephone number without its 0, or anything
        if best == "professional" and not promise:
            return "", ""
        return (best, "values") if best != "dob" or promise != "date" else ("", "")
    shown = next((role for role, _ in _TESTS if shares.get(role, 0.0) >= SHOWN and role != "professional"), "")
    if promise in {"surname", "first", "fullname", "note", "token"}:
        return (shown, "values") if shown and promise != "note" and promise != "token" else (promise, "header")
    if promise in ROLES and not shares:
        return promise, "header"
    return (shown, "values") if shown and promise != "date" else ("", "")


def _one_birth_date(found: list[tuple[str, str]], promised: Sequence[str], columns: Sequence[Sequence[str]]) -> None:
    """Of several columns of dates the promised one is the birth date, else the one that lies furthest back."""
    dates = [at for at, (role, _) in enumerate(found) if role == "dob"]
    if len(dates) < 2:
        return
    keep = [at for at in dates if promised[at] == "dob"] or [min(dates, key=lambda at: _middle_year(columns[at]))]
    for at in dates:
        if at not in keep:
            found[at] = ("", "")


def _middle_year(cells: Sequence[str]) -> int:
    """The median year of a column of dates as four digits where the text has them."""
    import re

    years = sorted(int(year) for cell in cells for year in re.findall(r"(?:19|20)\d\d", cell))
    return years[len(years) // 2] if years else 9999


def _find_names(found: list[tuple[str, str]], promised: Sequence[str], columns: Sequence[Sequence[str]]) -> None:
    """Name columns without words: the one with common first names, and a wordy neighbour as its surname."""
    from data.catalogue.names import FIRST_NAMES

    roles = {role for role, _ in found}
    open_ = [at for at, (role, _) in enumerate(found) if not role and not promised[at] and _wordy(columns[at])]
    if "first" not in roles:
        shares = {
            at: sum(
                normalise.name(cell.split("-")[0].split(" ")[0]).decode() in FIRST_NAMES
                for cell in columns[at]
                if cell.strip()
            )
            / max(1, sum(bool(cell.strip()) for cell in columns[at]))
            for at in open_
        }
        best = max(shares, key=lambda at: shares[at], default=None)
        if best is not None and shares[best] >= 0.3:
            found[best] = ("first", "values")
            open_.remove(best)
    firsts = [at for at, (role, _) in enumerate(found) if role == "first"]
    if not {"surname", "fullname"} & roles and open_ and firsts:
        beside = min(open_, key=lambda at: (abs(at - firsts[0]), at))
        if abs(beside - firsts[0]) <= 2:
            found[beside] = ("surname", "values")
    elif "surname" in roles and not firsts and open_:
        surname = next(at for at, (role, _) in enumerate(found) if role == "surname")
        beside = min(open_, key=lambda at: (abs(at - surname), at))
        if abs(beside - surname) == 1:
            found[beside] = ("first", "values")


def _wordy(cells: Sequence[str]) -> bool:
    """Cells like names: short, letters, and not the same few words again and again."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    if not filled:
        return False
    like = sum(
        len(cell) <= MAX_NAME and any(map(str.isalpha, cell)) and not any(map(str.isdigit, cell)) for cell in filled
    )
    return like >= CLEARLY * len(filled) and len(Counter(filled)) > len(filled) // 10 + (len(filled) > 5)


# --- tags of rows ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class RowTags:
    """Tags of a batch.

    Attributes:
        keys: shape (n, 6), the record keys of each row, 0 where a part is missing.
        extra_keys: shape (m,), further record keys of rows with several values of one role; extra_rows: their rows.
        values: per kind, rows and value tags, both shape (k,), absent ones left out.
    """

    keys: U64
    extra_keys: U64
    extra_rows: NDArray[np.int64]
    values: dict[Kind, tuple[NDArray[np.int64], U64]]


def split_name(text: str) -> list[tuple[str, str]]:
    """(surname, first) readings of a full name: by comma, by capitals, else both orders."""
    surname, comma, first = text.partition(",")
    if comma:
        return [(surname.strip(), first.strip())]
    words = text.split()
    if len(words) < 2:
        return []
    capitals = [word for word in words if word.isupper() and len(word) > 1]
    others = [word for word in words if not (word.isupper() and len(word) > 1)]
    if capitals and others:
        return [(" ".join(capitals), " ".join(others))]
    return list(dict.fromkeys([(" ".join(words[:-1]), words[-1]), (" ".join(words[1:]), words[0])]))


def readings(plan: Plan, count: int, cells: Callable[[int], list[str]]) -> Iterator[dict[str, Packed]]:
    """Columns in normal form, one dict for the first reading and one for every other column of a role in its place."""
    places = plan.places
    columns: dict[str, list[Packed]] = {
        role: [normalise.normalise_column(role, cells(at)) for at in places[role]]
        for role in KEY_ROLES
        if role in places
    }
    for at in places.get("fullname", ()):
        split = [split_name(cell) for cell in cells(at)]
        for reading in range(2):
            parts = [pairs[reading] if reading < len(pairs) else ("", "") for pairs in split]
            if reading and not any(parts_ != ("", "") for parts_ in parts):
                continue
            pair = {
                "surname": normalise.normalise_column("surname", [part[0] for part in parts]),
                "first": normalise.normalise_column("first", [part[1] for part in parts]),
            }
            if "surname" not in columns and "first" not in columns:
                columns = {**columns, "surname": [pair["surname"]], "first": [pair["first"]]}
            else:
                yield {role: options[0] for role, options in columns.items()} | pair
    if not columns and count:
        return
    yield {role: options[0] for role, options in columns.items()}
    for role, options in columns.items():
        for option in options[1:]:
            yield {each: (option if each == role else choices[0]) for each, choices in columns.items()}


def tag_rows(plan: Plan, batch: RowBatch, probe_key: bytes) -> RowTags:
    """The tags of every row of a batch, whole columns at a time."""
    cache: dict[int, list[str]] = {}

    def cells(at: int) -> list[str]:
        if at not in cache:
            cache[at] = batch.cells(at)
        return cache[at]

    # the reading with all of the plan's own columns is the widest one
    found_readings = sorted(readings(plan, len(batch), cells), key=len, reverse=True)
    keys = np.zeros((len(batch), len(RECORD_KINDS)), np.uint64)
    extra_keys: list[U64] = []
    extra_rows: list[NDArray[np.int64]] = []
    for number, parts in enumerate(found_readings):
        made = keys_of(probe_key, **parts) if parts else keys
        if number == 0:
            keys = made
            continue
        rows, places = np.nonzero((made != keys) & (made != 0))
        extra_keys.append(made[rows, places])
        extra_rows.append(rows)
    values: dict[Kind, tuple[NDArray[np.int64], U64]] = {}
    for role, kind in VALUE_ROLES.items():
        found = [
            probe_tags(probe_key, kind, normalise.normalise_column(role, cells(at))) for at in plan.places.get(role, ())
        ]
        if found:
            rows = np.concatenate([np.flatnonzero(tags) for tags in found])
            values[kind] = rows, np.concatenate([tags[tags != 0] for tags in found])
    return RowTags(
        keys,
        np.concatenate(extra_keys) if extra_keys else np.zeros(0, np.uint64),
        np.concatenate(extra_rows) if extra_rows else np.zeros(0, np.int64),
        values,
    )


def row_inputs(plan: Plan, batch: RowBatch, row: int) -> list[tuple[Kind, bytes]]:
    """Kind and normal form of everything that `tag_rows` tags in one row: what confirm digests are made of."""
    single = RowBatch(tuple(Packed.of([column.item(row)]) for column in batch.columns), 1)
    inputs: dict[tuple[Kind, bytes], None] = {}
    for parts in readings(plan, 1, single.cells):
        for pair in record_inputs(**{role: packed.item(0) for role, packed in parts.items()}):
            inputs[pair] = None
    for role, kind in VALUE_ROLES.items():
        for at in plan.places.get(role, ()):
            value = normalise.normalise(role, single.cell(0, at))
            if value:
                inputs[kind, value] = None
    return list(inputs)


def record_columns(parts: dict[str, Packed]) -> list[tuple[Kind, Packed]]:
    """The inputs of the six record keys as columns, for confirm digests in batch; empty where a part is missing."""
    first, surname, dob = parts.get("first"), parts.get("surname"), parts.get("dob")
    nir, email, phone = parts.get("nir"), parts.get("email"), parts.get("phone")
    names = pair_packed(surname, first) if surname is not None and first is not None else None
    pairs = ((names, dob), (nir, first), (nir, dob), (email, first), (phone, first), (phone, dob))
    return [
        (kind, join_packed(a, b))
        for kind, (a, b) in zip(RECORD_KINDS, pairs, strict=True)
        if a is not None and b is not None
    ]
