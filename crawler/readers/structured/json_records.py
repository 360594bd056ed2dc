"""Writes nested values, as parsed from JSON or XML, as tables: decides which values are rows, and their columns.

Each record is a row. A list of people inside an object becomes a table of its own; everything about one person stays in
one row, whose nested values are flattened to columns such as `contact.mail` and `contact.tel.0`. Other modules parse.
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
from crawler.readers.structured.json_exports import (
    card_row,
    dicom_row,
    gviz_cells,
    linked_row,
    message_text,
    phpmyadmin_text,
    take_bodies,
    typed_row,
)
from crawler.readers.structured.json_values import parse_json

# If the records of a batch have together more than this many times the columns of the widest record, each set of
# columns becomes a table of its own.
MAX_SPARSITY = 4
# rows of all tables that wait to be written table by table, and the bytes that they were read from
MAX_WAITING, MAX_WAITING_BYTES = MAX_ROWS, 2**20
# how many children of a list are examined to decide what the list holds
_SAMPLED = 5
# Levels below a table that are searched for keys of a person. Without a bound, tables nested many levels deep would
# each walk all levels below them.
_SAMPLED_DEPTH = 8

# Which kind of value the name of a key suggests. This is only good enough to tell the record of one person from an
# object around many people; the record pass decides by itself (`data.identifiers.header_words`), with libraries that
# readers do not have.
_NAME_KEYS = (
    r"(sur|last|first|given|family|full|maiden|birth|patient)_?name|f_?name|l_?name|name|given|family|forename"
    r"|nom.*|pr[eé]noms?.*|patronyme|identit[eé]"
)
_KEY_PATTERNS = (
    ("name", _NAME_KEYS),
    ("dob", r"ddn|dn|dob|bday|date_?(de_?)?naiss.*|n[eé]e?_?le|naissance|birth_?(date|day|time)?|date_?of_?birth"),
    ("email", r".*mail.*|courriel|mel"),
    ("phone", r".*(t[eé]l|phone|mobile|portable|gsm|cell).*"),
    ("nir", r"nir|nss|ssn|.*secu(rite)?_?(sociale)?|insee"),
)  # fmt: skip
_COMPILED_KEYS = tuple((kind, re.compile(pattern)) for kind, pattern in _KEY_PATTERNS)
_WORD_BREAK = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^a-zA-Z0-9é]+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(4096)
def kind_of_key(key: str) -> str:
    """The kind of value that the name of a key suggests: name, dob, email, phone, nir, or ''."""
    if len(key) > 64:
        return ""
    word = _WORD_BREAK.sub("_", key).strip("_").lower()
    return next((kind for kind, pattern in _COMPILED_KEYS if pattern.fullmatch(word)), "")


class RecordWriter:
    """Collects values and writes them to the output as tables.

    Attributes:
        wide: how many records have more values than a row has columns.
    """

    def __init__(self, out: Output, limits: Limits) -> None:
        self.out = out
        self.limits = limits
        self.wide = 0
        self._header: tuple[str, ...] | None = None
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._arrays: dict[str, list[list[Any]]] = {}
        self._waiting = self._waiting_bytes = 0
        # column names that were found beside a table of arrays
        self._suggested_names: list[str] | None = None

    def add(self, values: Sequence[Any], name: str = "", size: int = 0) -> None:
        """Add values of one list, or values that follow each other.

        Args:
            values: an object becomes a row, an array a row without column names, any other value a row of one value.
            name: the name of the list that holds them.
            size: the bytes that they were read from.
        """
        for value in values:
            kind = type(value)
            if kind is dict:
                self._add_object(value, name)
            elif kind is list:
                self._add_list(value, name)
            else:
                self._add_row(name, {name: value})
        self._waiting_bytes += size
        if self._waiting >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES:
            self.flush()

    def suggest_column_names(self, names: list[str]) -> None:
        """Note names that may be the column names of a table of arrays beside them."""
        self._suggested_names = names

    def flush(self) -> None:
        """Write the rows that are waiting."""
        rows, self._rows = self._rows, {}
        arrays, self._arrays = self._arrays, {}
        self._waiting = self._waiting_bytes = 0
        for records in rows.values():
            waiting = iter(records)
            while batch := list(islice(waiting, MAX_ROWS)):
                self._write_batch(batch)
        for lines in arrays.values():
            self._write_arrays(lines)

    def finish(self) -> None:
        """Write the rows that are waiting, and report what was wrong."""
        self.flush()
        if self.wide:
            columns = self.limits.max_columns
            self.out.problem(
                "columns", f"{self.wide} records have more than {columns} values; their last column holds the rest"
            )

    # --- deciding what is a row ----------------------------------------------------------------------------------

    def _add_row(self, name: str, record: dict[str, Any]) -> None:
        self._rows.setdefault(name, []).append(record)
        self._waiting += 1

    def _add_object(self, record: dict[str, Any], name: str) -> None:
        """Add an object as a row, and the tables inside it as tables.

        It uses a stack instead of recursion, because an attacker chooses how deep the input is nested.
        """
        work: list[tuple[str, Any]] = [(name, record)]
        while work:
            name, value = work.pop()
            if type(value) is list:
                self._add_table(value, name, work)
                continue
            if type(value) is not dict:
                self._add_row(name, {name: value})
                continue
            if "response" in value:
                self._add_bodies(value, name, work)
            if (row := dicom_row(value) or typed_row(value) or linked_row(value)) is not None:
                self._add_row(name, row)
                continue
            if (cells := gviz_cells(value)) is not None:
                self._arrays.setdefault(name, []).append(cells)
                self._waiting += 1
                continue
            if (text := message_text(value)) is not None or (text := phpmyadmin_text(value)) is not None:
                # the words of one message are running text, with its people in it
                self.out.text(text.encode("utf-8", "replace") + b"\n\n")
                continue
            if not any(type(each) is dict or type(each) is list for each in value.values()):
                self._add_row(name, value)
            elif (columns := self._rows_of_columns(value)) is not None:
                for row in columns:
                    self._add_row(name, row)
            elif _holds_rows_by_id(value):
                work += reversed([(name, row) for row in _rows_with_ids(value)])
            elif not self._extract_tables(value, work):
                self._add_row(name, value)

    def _add_bodies(self, record: dict[str, Any], name: str, work: list[tuple[str, Any]]) -> None:
        """Add the bodies of HTTP messages: JSON as what it holds, and anything else as text."""
        for body in take_bodies(record, self.out.note_decoded_value):
            if body.lstrip()[:1] in (b"{", b"["):
                value, _ = parse_json(body)
                if type(value) in (dict, list):
                    work.append((name, value))
                    continue
            self.out.text(body + b"\n")

    def _add_list(self, values: list[Any], name: str) -> None:
        work: list[tuple[str, Any]] = []
        self._add_table([values], name, work)
        while work:
            below, value = work.pop()
            if type(value) is dict:
                self._add_object(value, below)
            else:
                self._add_table(value, below, work)

    def _add_table(self, values: list[Any], name: str, work: list[tuple[str, Any]]) -> None:
        """Add the children of a list as rows, or put them on the work stack if they are nested."""
        later: list[tuple[str, Any]] = []
        for value in values:
            if type(value) is dict:
                later.append((name, value))
            elif type(value) is not list:
                self._add_row(name, {name: value})
            elif value[:1] == ["vcard"] and (card := card_row(value)) is not None:
                self._add_row("vcard", card)
            elif (
                value
                and type(value[0]) is list
                and value[0][:1] == ["version"]
                and (card := card_row(["vcard", value]))
            ):
                # the properties of a card that was divided
                self._add_row("vcard", card)
            elif any(type(each) is dict or type(each) is list for each in value):
                later.append((name, value))
            elif value:
                self._arrays.setdefault(name, []).append(value)
                self._waiting += 1
        work += reversed(later)

    def _rows_of_columns(self, record: dict[str, Any]) -> list[dict[str, Any]] | None:
        """The rows of an object that holds a list, or an object by row id, for each column; None for other objects."""
        columns = list(record.values())
        first = columns[0]
        if len(columns) < 2 or type(first) not in (list, dict) or len(first) < 2:
            return None
        if all(type(each) is list and len(each) == len(first) for each in columns):
            if any(type(each) in (dict, list) for column in columns for each in column):
                return None
            return [dict(zip(record, row, strict=True)) for row in zip(*columns, strict=True)]
        if all(type(each) is dict and each.keys() == first.keys() for each in columns):
            if sum(bool(kind_of_key(key)) for key in record) < 2 or any(map(kind_of_key, islice(first, _SAMPLED))):
                return None
            return [{key: column[number] for key, column in record.items()} for number in first]
        return None

    def _extract_tables(self, record: dict[str, Any], work: list[tuple[str, Any]]) -> bool:
        """Move the tables inside an object, and then its other values, to the work stack; False if it has no tables."""
        own_keys: set[str] = set()
        found: list[tuple[list[str], Any]] = []
        # walk everything outside of lists, and collect the paths of tables and the keys that describe a person
        stack: list[tuple[list[str], dict[str, Any]]] = [([], record)]
        while stack:
            path, node = stack.pop()
            for key, value in node.items():
                if type(value) is dict:
                    if _holds_rows_by_id(value):
                        found.append(([*path, key], value))
                    elif len(path) < 64:
                        stack.append(([*path, key], value))
                elif type(value) is list:
                    if value and any(type(each) is dict or type(each) is list for each in value[:_SAMPLED]):
                        found.append(([*path, key], value))
                    elif len(value) > 1 and all(type(each) is str for each in value):
                        self._suggested_names = value
                elif value is not None and value != "" and kind_of_key(key):
                    own_keys.add(key)
        tables = [(path, value) for path, value in found if _holds_other_people(value, own_keys)]
        if not tables:
            return False
        later: list[tuple[str, Any]] = []
        for path, value in tables:
            _remove(record, path)
            name = path[-1]
            if type(value) is dict:
                later.append((name, _rows_with_ids(value)))
            else:
                if names := _described_columns(value):
                    self._suggested_names = names
                later.append((name, value))
        if any(True for _ in flatten(record)):
            later.append(("", record))
        work += reversed(later)
        return True

    # --- writing tables ------------------------------------------------------------------------------------------

    def _write_arrays(self, lines: list[list[Any]]) -> None:
        """Write arrays as rows; if the first one holds the column names, the record pass will notice it."""
        names, self._suggested_names = self._suggested_names, None
        most = self.limits.max_columns
        rows = []
        for line in lines:
            cells = [scalar_text(value) for value in line]
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

    def _write_batch(self, records: list[dict[str, Any]]) -> None:
        keys = tuple(records[0])
        if len(keys) <= self.limits.max_columns and all(tuple(record) == keys for record in records):
            columns = list(zip(*(record.values() for record in records), strict=True))
            kinds = [set(map(type, column)) for column in columns]
            if not any(dict in kind or list in kind for kind in kinds):
                self._begin_table(keys or ("",))
                self.out.columns(
                    [_column_texts(column, kind) for column, kind in zip(columns, kinds, strict=True)]
                    or [[b""] * len(records)]
                )
                return
        self._write_flat_rows([self._flat_row(record) for record in records])

    def _write_flat_rows(self, rows: list[dict[str, bytes]]) -> None:
        union = dict.fromkeys(key for row in rows for key in row)
        widest = max(map(len, rows))
        known = self._header or ()
        if set(union) <= set(known) and len(known) <= MAX_SPARSITY * max(widest, 4):
            union = dict.fromkeys(known)
        elif len(union) > min(self.limits.max_columns, MAX_SPARSITY * max(widest, 4)):
            # the records share few columns: write one table for each set of columns
            by_columns: dict[tuple[str, ...], list[dict[str, bytes]]] = {}
            for row in rows:
                by_columns.setdefault(tuple(row), []).append(row)
            for keys, same in by_columns.items():
                self._begin_table(keys)
                self.out.columns([[row[key] for row in same] for key in keys])
            return
        columns = tuple(union) or ("",)
        self._begin_table(columns)
        self.out.columns([[row.get(key, b"") for row in rows] for key in columns])

    def _begin_table(self, columns: tuple[str, ...]) -> None:
        if columns != self._header:
            self._header = columns
            self.out.header(columns)

    def _flat_row(self, record: dict[str, Any]) -> dict[str, bytes]:
        most = self.limits.max_columns
        row: dict[str, bytes] = {}
        rest: list[bytes] = []
        for key, value in flatten(record):
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


def _holds_rows_by_id(value: dict[str, Any]) -> bool:
    """Whether an object holds rows under their ids: at least two objects, with mostly the same keys."""
    if len(value) < 2 or any(type(each) is not dict for each in value.values()):
        return False
    first, *others = islice(value.values(), _SAMPLED)
    return bool(first) and all(2 * len(first.keys() & other.keys()) >= len(first) for other in others)


def _rows_with_ids(value: dict[str, Any]) -> list[dict[str, Any]]:
    return [row if "key" in row else {"key": key, **row} for key, row in value.items()]


def _holds_other_people(table: Any, own_keys: set[str]) -> bool:
    """Whether the rows of a table inside an object are people, and not details of the person that the object describes.

    Args:
        table: a list of rows, or an object of rows by their ids.
        own_keys: the keys of the object that suggest a value of a person. With fewer than two it describes no person.
    """
    if len(own_keys) < 2:
        return True
    values = islice(table.values(), _SAMPLED) if type(table) is dict else table[:_SAMPLED]
    kinds: set[str] = set()
    for value in values:
        if type(value) is dict:
            paths = (path for path, _ in islice(flatten(value, _SAMPLED_DEPTH), 64))
            kinds |= {kind_of_key(part) for path in paths for part in path.split(".")}
        elif type(value) is list and len(value) > 1:
            kinds |= {kind_of_key(each) for each in value[:64] if type(each) is str}
    kinds.discard("")
    return "name" in kinds and len(kinds) > 1


def _described_columns(table: list[Any]) -> list[str] | None:
    """The column names in a list that describes each column by an object, as in `fields: [{name: …}, …]`, or None."""
    if not 2 <= len(table) <= 1000 or not all(type(each) is dict for each in table):
        return None
    for key in ("name", "label"):
        if all(type(each.get(key)) is str for each in table):
            return [str(each[key]) for each in table]
    return None


def _remove(record: dict[str, Any], path: list[str]) -> None:
    for key in path[:-1]:
        record = record[key]
    del record[path[-1]]


# --- values ----------------------------------------------------------------------------------------------------------


def flatten(record: dict[str, Any], max_depth: int | None = None) -> Iterator[tuple[str, bytes]]:
    """The plain values inside a record, as pairs of path and text, in order.

    It uses a stack instead of recursion, because an attacker chooses how deep the input is nested.

    Args:
        record: the object to walk.
        max_depth: levels of objects and lists to walk; None for all of them.
    """
    stack: list[tuple[str, Iterator[tuple[Any, Any]]]] = [("", iter(record.items()))]
    while stack:
        prefix, items = stack[-1]
        for key, value in items:
            path = f"{prefix}{key}"
            if type(value) is dict:
                if len(value) == 1 and (plain := mongodb_scalar(value)) is not None:
                    yield path, plain
                    continue
                if max_depth is None or len(stack) < max_depth:
                    stack.append((_prefix(path), iter(value.items())))
                    break
                continue
            if type(value) is list:
                if max_depth is None or len(stack) < max_depth:
                    stack.append((_prefix(path), iter(enumerate(value))))
                    break
                continue
            yield path, scalar_text(value)
        else:
            stack.pop()


def mongodb_scalar(value: dict[str, Any]) -> bytes | None:
    """The text of a plain value that MongoDB exports as an object, such as {"$oid": …}; None for other objects."""
    [(key, inner)] = value.items()
    if not key.startswith("$"):
        return None
    if type(inner) is dict and len(inner) == 1:
        [inner] = inner.values()
    if type(inner) is dict or type(inner) is list:
        return None
    if key == "$date" and type(inner) in (int, float, str):
        try:
            # dates before 1970 are negative numbers, which datetime.fromtimestamp does not accept on every platform
            return (_EPOCH + timedelta(milliseconds=int(inner))).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
        except (ValueError, OverflowError):
            return scalar_text(inner)
    return scalar_text(inner)


def _prefix(path: str) -> str:
    # the end of a path that is a thousand levels deep adds no information
    return path[:256] + "." if path else ""


def scalar_text(value: Any) -> bytes:
    """A plain value as UTF-8; b'' for None."""
    if type(value) is str:
        return value.encode("utf-8", "replace")
    if value is None:
        return b""
    if value is True or value is False:
        return b"true" if value else b"false"
    return str(value).encode()


def _column_texts(values: Sequence[Any], kinds: set[type]) -> Sequence[bytes]:
    if kinds == {str}:
        try:
            return list(map(str.encode, values))
        except UnicodeEncodeError:
            return [scalar_text(value) for value in values]
    if kinds == {int}:
        return list(map(str.encode, map(str, values)))
    return [scalar_text(value) for value in values]
