"""Values as JSON and XML hold them to tables: which of them are rows, and which columns they have.

Records are rows. A list of people inside an object is a table of its own; what belongs to one person stays in one row,
nested values flattened to columns such as `contact.mail` and `contact.tel.0`. Parsing is left to others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any

from crawler.readers.core.limits import MAX_ROWS, Limits
from crawler.readers.core.output import Output

# a batch whose records have together more than this many times the columns of its widest is cut by shape
MAX_SPREAD = 4
# rows of all tables, and bytes they were made of, that wait to go out table by table
MAX_WAITING, MAX_WAITING_BYTES = MAX_ROWS, 2**20
# children that are looked at to see what a list is
_LOOK = 5
# what a table says of itself stands so near to its rows; a look at each of many levels must not walk all below it
_DEEPEST = 8

# What a key promises, roughly: enough to tell a person from a wrapper around many. The record pass decides for itself
# (`data.identifiers.header_words`), with libraries that readers do not have.
_PROMISES = (
    ("name", r"(sur|last|first|given|family|full|maiden|birth|patient)_?name|f_?name|l_?name|name|given|family|forename|nom.*|pr[eé]noms?.*|patronyme|identit[eé]"),
    ("dob", r"ddn|dn|dob|bday|date_?(de_?)?naiss.*|n[eé]e?_?le|naissance|birth_?(date|day|time)?|date_?of_?birth"),
    ("email", r".*mail.*|courriel|mel"),
    ("phone", r".*(t[eé]l|phone|mobile|portable|gsm|cell).*"),
    ("nir", r"nir|nss|ssn|.*secu(rite)?_?(sociale)?|insee"),
)  # fmt: skip
_COMPILED = tuple((kind, re.compile(pattern)) for kind, pattern in _PROMISES)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^a-zA-Z0-9é]+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(4096)
def promise(key: str) -> str:
    """What a key says of its values: name, dob, email, phone, nir, or ''."""
    if len(key) > 64:
        return ""
    word = _CAMEL.sub("_", key).strip("_").lower()
    return next((kind for kind, pattern in _COMPILED if pattern.fullmatch(word)), "")


class Records:
    """Values on their way to row frames.

    Attributes:
        wide: records with more values than a row has columns.
    """

    def __init__(self, out: Output, limits: Limits) -> None:
        self.out = out
        self.limits = limits
        self.wide = 0
        self._header: tuple[str, ...] | None = None
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._arrays: dict[str, list[list[Any]]] = {}
        self._waiting = self._waiting_bytes = 0
        # names of columns that stood beside a table of bare arrays
        self._names: list[str] | None = None

    def add(self, values: Sequence[Any], name: str = "", size: int = 0) -> None:
        """Take values of one list, or that stand one behind the other.

        Args:
            values: objects become rows, arrays become rows without names, others rows of one value.
            name: of the list they are in.
            size: bytes they were read from.
        """
        for value in values:
            kind = type(value)
            if kind is dict:
                self._object(value, name)
            elif kind is list:
                self._list(value, name)
            else:
                self._row(name, {name: value})
        self._waiting_bytes += size
        if self._waiting >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES:
            self.flush()

    def names(self, names: list[str]) -> None:
        """Names that may be those of the columns of a table of arrays beside them."""
        self._names = names

    def flush(self) -> None:
        """Give out what waits."""
        rows, self._rows = self._rows, {}
        arrays, self._arrays = self._arrays, {}
        self._waiting = self._waiting_bytes = 0
        for records in rows.values():
            waiting = iter(records)
            while batch := list(islice(waiting, MAX_ROWS)):
                self._batch(batch)
        for lines in arrays.values():
            self._bare(lines)

    def finish(self) -> None:
        """Give out what waits, and say what was wrong."""
        self.flush()
        if self.wide:
            self.out.problem(
                "columns",
                f"{self.wide} records have more than {self.limits.max_columns} values; the last holds the rest",
            )

    # --- what is a row -------------------------------------------------------------------------------------------

    def _row(self, name: str, record: dict[str, Any]) -> None:
        self._rows.setdefault(name, []).append(record)
        self._waiting += 1

    def _object(self, record: dict[str, Any], name: str) -> None:
        """An object is a row, without the tables inside it; a stack in place of recursion, for depth is hostile."""
        work: list[tuple[str, Any]] = [(name, record)]
        while work:
            name, value = work.pop()
            if type(value) is list:
                self._table(value, name, work)
                continue
            if type(value) is not dict:
                self._row(name, {name: value})
                continue
            if not any(type(each) is dict or type(each) is list for each in value.values()):
                self._row(name, value)
            elif (columns := self._by_column(value)) is not None:
                for row in columns:
                    self._row(name, row)
            elif _is_keyed(value):
                work += reversed([(name, row) for row in _with_keys(value)])
            elif not self._take_apart(value, work):
                self._row(name, value)

    def _list(self, values: list[Any], name: str) -> None:
        work: list[tuple[str, Any]] = []
        self._table([values], name, work)
        while work:
            below, value = work.pop()
            if type(value) is dict:
                self._object(value, below)
            else:
                self._table(value, below, work)

    def _table(self, values: list[Any], name: str, work: list[tuple[str, Any]]) -> None:
        """The children of a list that is a table."""
        later: list[tuple[str, Any]] = []
        for value in values:
            if type(value) is dict:
                later.append((name, value))
            elif type(value) is not list:
                self._row(name, {name: value})
            elif any(type(each) is dict or type(each) is list for each in value):
                later.append((name, value))
            elif value:
                self._arrays.setdefault(name, []).append(value)
                self._waiting += 1
        work += reversed(later)

    def _by_column(self, record: dict[str, Any]) -> list[dict[str, Any]] | None:
        """The rows of an object that holds a list for each column; None where it is none."""
        columns = list(record.values())
        first = columns[0]
        if len(columns) < 2 or type(first) not in (list, dict) or len(first) < 2:
            return None
        if all(type(each) is list and len(each) == len(first) for each in columns):
            if any(type(each) in (dict, list) for column in columns for each in column):
                return None
            return [dict(zip(record, row, strict=True)) for row in zip(*columns, strict=True)]
        if all(type(each) is dict and each.keys() == first.keys() for each in columns):
            if sum(bool(promise(key)) for key in record) < 2 or any(promise(key) for key in islice(first, _LOOK)):
                return None
            return [{key: column[number] for key, column in record.items()} for number in first]
        return None

    def _take_apart(self, record: dict[str, Any], work: list[tuple[str, Any]]) -> bool:
        """Move the tables inside an object to the work, what is left of it to the rows; False if there are none."""
        own: set[str] = set()
        found: list[tuple[list[str], Any]] = []
        # a pass over all that is no list: paths of the tables and what the object says of itself
        stack: list[tuple[list[str], dict[str, Any]]] = [([], record)]
        while stack:
            path, node = stack.pop()
            for key, value in node.items():
                if type(value) is dict:
                    if _is_keyed(value):
                        found.append(([*path, key], value))
                    elif len(path) < 64:
                        stack.append(([*path, key], value))
                elif type(value) is list:
                    if value and any(type(each) is dict or type(each) is list for each in value[:_LOOK]):
                        found.append(([*path, key], value))
                    elif len(value) > 1 and all(type(each) is str for each in value):
                        self._names = value
                elif value is not None and value != "" and promise(key):
                    own.add(key)
        tables = [(path, value) for path, value in found if _stands_alone(value, own)]
        if not tables:
            return False
        later: list[tuple[str, Any]] = []
        for path, value in tables:
            _remove(record, path)
            name = path[-1]
            if type(value) is dict:
                later.append((name, _with_keys(value)))
            else:
                if names := _names_of(value):
                    self._names = names
                later.append((name, value))
        if any(True for _ in leaves(record)):
            later.append(("", record))
        work += reversed(later)
        return True

    # --- tables --------------------------------------------------------------------------------------------------

    def _bare(self, lines: list[list[Any]]) -> None:
        """Arrays: the first may name the columns, which is for the record pass to see."""
        names, self._names = self._names, None
        most = self.limits.max_columns
        rows = []
        for line in lines:
            cells = [text(value) for value in line]
            if len(cells) > most:
                self.wide += 1
                cells = [*cells[: most - 1], b" ".join(cells[most - 1 :])]
            rows.append(cells)
        if names is not None and len(names) == max(map(len, rows)) and len(names) <= most:
            self._header = tuple(names)
            self.out.header(names)
        else:
            self._header = None
            self.out.header(None)
        self.out.rows(rows)

    def _batch(self, records: list[dict[str, Any]]) -> None:
        keys = tuple(records[0])
        if len(keys) <= self.limits.max_columns and all(tuple(record) == keys for record in records):
            columns = list(zip(*(record.values() for record in records), strict=True))
            kinds = [set(map(type, column)) for column in columns]
            if not any(dict in kind or list in kind for kind in kinds):
                self._begin(keys or ("",))
                self.out.columns(
                    [_column(column, kind) for column, kind in zip(columns, kinds, strict=True)]
                    or [[b""] * len(records)]
                )
                return
        self._flattened([self._flat(record) for record in records])

    def _flattened(self, rows: list[dict[str, bytes]]) -> None:
        union = dict.fromkeys(key for row in rows for key in row)
        widest = max(map(len, rows))
        known = self._header or ()
        if set(union) <= set(known) and len(known) <= MAX_SPREAD * max(widest, 4):
            union = dict.fromkeys(known)
        elif len(union) > min(self.limits.max_columns, MAX_SPREAD * max(widest, 4)):
            # records that share little: one table for each shape
            shapes: dict[tuple[str, ...], list[dict[str, bytes]]] = {}
            for row in rows:
                shapes.setdefault(tuple(row), []).append(row)
            for shape, same in shapes.items():
                self._begin(shape)
                self.out.columns([[row[key] for row in same] for key in shape])
            return
        columns = tuple(union) or ("",)
        self._begin(columns)
        self.out.columns([[row.get(key, b"") for row in rows] for key in columns])

    def _begin(self, columns: tuple[str, ...]) -> None:
        if columns != self._header:
            self._header = columns
            self.out.header(columns)

    def _flat(self, record: dict[str, Any]) -> dict[str, bytes]:
        most = self.limits.max_columns
        row: dict[str, bytes] = {}
        rest: list[bytes] = []
        for key, value in leaves(record):
            if key in row:
                row[key] += b" " + value
            elif len(row) < most - 1:
                row[key] = value
            else:
                rest.append(value)
        if len(rest) == 1:
            row["…"] = rest[0]
        elif rest:
            self.wide += 1
            row["…"] = b" ".join(rest)
        return row or {"": b""}


def _is_keyed(value: dict[str, Any]) -> bool:
    """Whether an object holds rows under their ids: two objects at least, and of one shape."""
    if len(value) < 2 or any(type(each) is not dict for each in value.values()):
        return False
    first, *others = islice(value.values(), _LOOK)
    return bool(first) and all(2 * len(first.keys() & other.keys()) >= len(first) for other in others)


def _with_keys(value: dict[str, Any]) -> list[dict[str, Any]]:
    return [row if "key" in row else {"key": key, **row} for key, row in value.items()]


def _stands_alone(table: Any, own: set[str]) -> bool:
    """Whether the rows of a table inside an object are people of their own, and no part of the one around them."""
    if len(own) < 2:
        return True
    values = islice(table.values(), _LOOK) if type(table) is dict else table[:_LOOK]
    said: set[str] = set()
    for value in values:
        if type(value) is dict:
            said |= {promise(part) for key, _ in islice(leaves(value, _DEEPEST), 64) for part in key.split(".")}
        elif type(value) is list and len(value) > 1:
            said |= {promise(each) for each in value[:64] if type(each) is str}
    said.discard("")
    return "name" in said and len(said) > 1


def _names_of(table: list[Any]) -> list[str] | None:
    """Names of columns where a list holds one object for each: `fields: [{name: …}, …]`."""
    if len(table) < 2 or not all(type(each) is dict and type(each.get("name")) is str for each in table[:1000]):
        return None
    return [str(each["name"]) for each in table] if len(table) <= 1000 else None


def _remove(record: dict[str, Any], path: list[str]) -> None:
    for key in path[:-1]:
        record = record[key]
    del record[path[-1]]


# --- values ------------------------------------------------------------------------------------------------------------


def leaves(record: dict[str, Any], deepest: int | None = None) -> Iterator[tuple[str, bytes]]:
    """The values of a record with their paths, in order; a stack in place of recursion, for depth is hostile.

    Args:
        record: what is walked.
        deepest: objects and lists inside each other that are walked; None for all.
    """
    stack: list[tuple[str, Iterator[tuple[Any, Any]]]] = [("", iter(record.items()))]
    while stack:
        prefix, items = stack[-1]
        for key, value in items:
            path = f"{prefix}{key}"
            if type(value) is dict:
                if len(value) == 1 and (plain := extended(value)) is not None:
                    yield path, plain
                    continue
                if deepest is None or len(stack) < deepest:
                    stack.append((_prefix(path), iter(value.items())))
                    break
                continue
            if type(value) is list:
                if deepest is None or len(stack) < deepest:
                    stack.append((_prefix(path), iter(enumerate(value))))
                    break
                continue
            yield path, text(value)
        else:
            stack.pop()


def extended(value: dict[str, Any]) -> bytes | None:
    """The text of a value that MongoDB writes as an object, such as {"$oid": …}; None where it is an object."""
    [(key, inner)] = value.items()
    if not key.startswith("$"):
        return None
    if type(inner) is dict and len(inner) == 1:
        [inner] = inner.values()
    if type(inner) is dict or type(inner) is list:
        return None
    if key == "$date" and type(inner) in (int, float, str):
        try:
            # years before 1970 are negative, which fromtimestamp does not take everywhere
            return (_EPOCH + timedelta(milliseconds=int(inner))).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
        except (ValueError, OverflowError):
            return text(inner)
    return text(inner)


def _prefix(path: str) -> str:
    # a path a thousand levels deep tells nothing more than its beginning
    return path[:256] + "." if path else ""


def text(value: Any) -> bytes:
    """A single value as UTF-8."""
    if type(value) is str:
        return value.encode("utf-8", "replace")
    if value is None:
        return b""
    if value is True or value is False:
        return b"true" if value else b"false"
    return str(value).encode()


def _column(values: Sequence[Any], kinds: set[type]) -> Sequence[bytes]:
    if kinds == {str}:
        try:
            return list(map(str.encode, values))
        except UnicodeEncodeError:
            return [text(value) for value in values]
    if kinds == {int}:
        return list(map(str.encode, map(str, values)))
    return [text(value) for value in values]
