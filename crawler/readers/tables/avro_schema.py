"""Checks the schema of an Avro file before a library reads records by it.

A type that contains itself lets a file choose how deep the library recurses, in C, without a bound. Lists of values that
have no bytes let it choose how long they are.
"""

from __future__ import annotations

from typing import Any

import orjson
from fastavro import parse_schema
from fastavro.schema import SchemaParseException

from crawler.readers.core.limits import Damaged

MAX_DEPTH, MAX_NODES = 48, 20_000
_NAMED = ("record", "error", "enum", "fixed")
_ERRORS = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError, ArithmeticError)


def check_schema(data: bytes) -> Any:
    """The schema, parsed by fastavro.

    Raises:
        Damaged: it is damaged; it has a type that contains itself; it has lists or records of values without bytes.
    """
    try:
        schema = orjson.loads(data)
        if _Checker().has_no_bytes(schema, ""):
            raise Damaged("unread", "its records have no bytes by their schema")
        return parse_schema(schema)
    except (SchemaParseException, *_ERRORS):
        raise Damaged("damaged", "the schema of the records is damaged") from None


class _Checker:
    """Walks the tree of types."""

    def __init__(self) -> None:
        self._nodes = 0
        # for each named type whether its values have no bytes; None while its definition is open
        self._known: dict[str, bool | None] = {}

    def has_no_bytes(self, schema: Any, space: str, depth: int = 0) -> bool:
        """Whether values of a type have no bytes at all."""
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise Damaged("unread", "its schema is nested too deep or has too many types")
        if isinstance(schema, list):
            for each in schema:
                self.has_no_bytes(each, space, depth + 1)
            return False
        if isinstance(schema, str):
            known = self._known.get(_full(schema, space), self._known.get(schema, schema == "null"))
            if known is None:
                raise Damaged("unread", "its schema has a type that contains itself")
            return known
        kind = schema["type"]
        if kind in ("array", "map"):
            items = schema["items" if kind == "array" else "values"]
            if self.has_no_bytes(items, space, depth + 1) and kind == "array":
                raise Damaged("unread", "its schema has lists of values without bytes")
            return False
        if not isinstance(kind, str) or kind not in _NAMED:
            return self.has_no_bytes(kind, space, depth + 1)
        name = _full(str(schema["name"]), str(schema.get("namespace", space)))
        self._known[name] = None
        found = False
        if kind == "fixed":
            found = not schema["size"]
        elif kind != "enum":
            inner = name.rpartition(".")[0]
            have_none = [self.has_no_bytes(field["type"], inner, depth + 1) for field in schema["fields"]]
            found = all(have_none)
        self._known[name] = found
        return found


def _full(name: str, space: str) -> str:
    return name if "." in name or not space else f"{space}.{name}"
