"""Beginnings of the statements of a SQL dump, and the tables and columns that they name; `sql_rows` reads the rows."""

from __future__ import annotations

import re

from crawler.readers.core.encoding import repair
from crawler.readers.core.regex_compat import possessive

# A name may not contain the characters between statements. Otherwise many nested beginnings of statements would each be
# searched up to their common end.
_NAME = rb"(?:`[^`\n;!]{1,256}`|\"[^\"\n;!]{1,256}\"|\[[^\]\n;!]{1,256}\]|[^\s(),.;`\"\[\]'=]{1,256})"
_QUALIFIED = _NAME + rb"(?:\s{0,9}\.\s{0,9}" + _NAME + rb"){0,3}"
# mysqldump-php writes the expression of its SELECT instead of a name: HEX(`nom`) AS `nom`
_COLUMN = rb"(?:[A-Za-z_]{1,20}\(" + _NAME + rb"\)\s{1,9}AS\s{1,9})?" + _NAME
_COLUMNS = rb"\(\s*+" + _COLUMN + rb"(?:\s*+,\s*+" + _COLUMN + rb")*\s*+\)"
CREATE = re.compile(
    rb"CREATE\s+(?:(?:GLOBAL|LOCAL)\s+)?(?:TEMP(?:ORARY)?\s+|UNLOGGED\s+|FOREIGN\s+|EXTERNAL\s+)?TABLE\s+"
    rb"(?:IF\s+NOT\s+EXISTS\s+)?(" + _QUALIFIED + rb")\s*+\(",
    re.IGNORECASE,
)
INSERT = re.compile(
    rb"(?:(?:INSERT|REPLACE)\s+(?:(?:LOW_PRIORITY|DELAYED|HIGH_PRIORITY|IGNORE|OVERWRITE|OR\s+[A-Z]+)\s+){0,3}"
    rb"(?:INTO\s+)?(?:TABLE\s+)?"
    rb"|INTO\s+)(" + _QUALIFIED + rb")\s*+(" + _COLUMNS + rb")?\s*+"
    rb"(?:OVERRIDING\s+(?:SYSTEM|USER)\s+VALUE\s+)?VALUES?\s*+(?=\()",
    re.IGNORECASE,
)
COPY = possessive(
    rb"COPY\s+("
    + _QUALIFIED
    + rb")\s*+("
    + _COLUMNS
    + rb")?\s*+FROM\s+stdin\b((?:[^;'\n]|'[^'\n]{0,9}'){0,400}+);?[^\S\n]*+\n",
    re.IGNORECASE,
)
STANDARD_STRINGS = re.compile(rb"SET\s+standard_conforming_strings\s*=\s*'?(on|off)", re.IGNORECASE)
# A statement of interest begins at the start of a line, after another statement, or after the start of a comment.
FIRST_WORDS = (b"INSERT", b"REPLACE", b"INTO", b"COPY", b"CREATE", b"SET")
STATEMENT_START = re.compile(
    rb"(?:^|[;\n]|/\*!\d{0,6}+|\d (?:Query|Execute)\t|: {1,2}statement: )[^\S\n]*+((?:"
    + b"|".join(FIRST_WORDS)
    + rb")\s)",
    re.IGNORECASE,
)
_ONE_NAME = re.compile(_NAME)
_EXPRESSION = re.compile(rb"[A-Za-z_]{1,20}\(" + _NAME + rb"\)\s{1,9}AS\s{1,9}", re.IGNORECASE)
_TABLE_CONSTRAINT = re.compile(
    rb"(?:CONSTRAINT|PRIMARY\s+KEY|KEY|UNIQUE|INDEX|FOREIGN\s+KEY|CHECK|FULLTEXT|SPATIAL|EXCLUDE|LIKE|PERIOD)\b",
    re.IGNORECASE,
)
# one token of a CREATE TABLE: strings and comments are skipped whole, parentheses are counted
_TOKEN = possessive(
    rb"[^'\"`\[(),\-/#]++|'(?:[^'\\]|\\.|'')*+'|\"[^\"]*+\"|`[^`]*+`|\[[^\]]*+\]|--[^\n]*+|#[^\n]*+|/\*.*?\*/|.",
    re.DOTALL,
)
MAX_COLUMNS = 4096
MAX_DEPTH = 16


def strip_quotes(name: bytes) -> bytes:
    """A name without its quotes."""
    return name[1:-1] if name[:1] in (b"`", b'"', b"[") else name


def table_key(name: bytes) -> bytes:
    """The key under which a table is looked up: the last part of its name, without quotes, in lower case."""
    parts = _ONE_NAME.findall(name)
    return strip_quotes(parts[-1]).lower() if parts else b""


def parse_column_list(columns: bytes) -> list[str]:
    """The names in a parenthesised list of columns."""
    return [_as_text(name) for name in _ONE_NAME.findall(_EXPRESSION.sub(b"", columns.strip()[1:-1]))]


def parse_column_definitions(data: bytes, at: int, stop: int) -> tuple[list[str], int]:
    """The column names of a CREATE TABLE, and the place after its closing parenthesis.

    The names are [] if that parenthesis is not found before `stop`. `at` is the place after the opening parenthesis.
    """
    names: list[str] = []
    depth, item = 0, at
    while at < stop and len(names) < MAX_COLUMNS:
        found = _TOKEN.match(data, at, stop)
        if found is None:
            break
        sign = data[at : at + 1]
        if found.end() == at + 1 and (sign in (b"'", b'"', b"`", b"[") or data[at : at + 2] == b"/*"):
            # an unclosed string or comment: the search for its end has examined all data up to `stop`
            return [], stop
        at = found.end()
        if sign == b"(":
            depth += 1
            if depth > MAX_DEPTH:
                break
        elif sign == b")" and depth:
            depth -= 1
        elif sign == b")" or (sign == b"," and not depth):
            names += _column_name(data[item : at - 1])
            item = at
            if sign == b")":
                return names, at
    return [], at


_LEADING = re.compile(rb"(?:\s++|--[^\n]*+|#[^\n]*+|/\*.*?\*/)*", re.DOTALL)


def _column_name(item: bytes) -> list[str]:
    start = found.end() if (found := _LEADING.match(item)) else 0
    name = _ONE_NAME.match(item, start)
    if name is None or _TABLE_CONSTRAINT.match(item, start):
        return []
    return [_as_text(name[0])]


def _as_text(name: bytes) -> str:
    return repair(strip_quotes(name)).decode("utf-8", "replace")
