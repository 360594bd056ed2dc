"""How the statements of a SQL dump begin, and what they name: tables and columns; rows are left to `sql_rows`."""

from __future__ import annotations

import re

from crawler.readers.core.encoding import repair
from crawler.readers.core.regex_compat import possessive

# No statement can begin inside a name: many of them inside each other would each be looked at to their common end.
_NAME = rb"(?:`[^`\n;!]{1,256}`|\"[^\"\n;!]{1,256}\"|\[[^\]\n;!]{1,256}\]|[^\s(),.;`\"\[\]'=]{1,256})"
_QUALIFIED = _NAME + rb"(?:\s{0,9}\.\s{0,9}" + _NAME + rb"){0,3}"
_COLUMNS = rb"\(\s*+" + _NAME + rb"(?:\s*+,\s*+" + _NAME + rb")*\s*+\)"
CREATE = re.compile(
    rb"CREATE\s+(?:(?:GLOBAL|LOCAL)\s+)?(?:TEMP(?:ORARY)?\s+|UNLOGGED\s+|FOREIGN\s+|EXTERNAL\s+)?TABLE\s+"
    rb"(?:IF\s+NOT\s+EXISTS\s+)?(" + _QUALIFIED + rb")\s*+\(",
    re.IGNORECASE,
)
INSERT = re.compile(
    rb"(?:(?:INSERT|REPLACE)\s+(?:(?:LOW_PRIORITY|DELAYED|HIGH_PRIORITY|IGNORE|OVERWRITE|OR\s+[A-Z]+)\s+){0,3}(?:INTO\s+)?(?:TABLE\s+)?"
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
STANDARD = re.compile(rb"SET\s+standard_conforming_strings\s*=\s*'?(on|off)", re.IGNORECASE)
# where a statement of interest may begin: at the beginning of a line, behind another statement or a comment's mark
STARTS = (b"INSERT", b"REPLACE", b"INTO", b"COPY", b"CREATE", b"SET")
START = re.compile(rb"(?:^|[;\n]|/\*!\d{0,6}+)[^\S\n]*+((?:" + b"|".join(STARTS) + rb")\s)", re.IGNORECASE)
_ONE = re.compile(_NAME)
_NO_COLUMN = re.compile(
    rb"(?:CONSTRAINT|PRIMARY\s+KEY|KEY|UNIQUE|INDEX|FOREIGN\s+KEY|CHECK|FULLTEXT|SPATIAL|EXCLUDE|LIKE|PERIOD)\b",
    re.IGNORECASE,
)
# strings and comments are passed over, parentheses counted
_STEP = possessive(
    rb"[^'\"`\[(),\-/#]++|'(?:[^'\\]|\\.|'')*+'|\"[^\"]*+\"|`[^`]*+`|\[[^\]]*+\]|--[^\n]*+|#[^\n]*+|/\*.*?\*/|.",
    re.DOTALL,
)
MAX_COLUMNS = 4096
MAX_DEPTH = 16


def bare(name: bytes) -> bytes:
    """A name without its quotes."""
    return name[1:-1] if name[:1] in (b"`", b'"', b"[") else name


def table_key(name: bytes) -> bytes:
    """What a table's name is found by: its last part, without quotes, in lower case."""
    parts = _ONE.findall(name)
    return bare(parts[-1]).lower() if parts else b""


def names_of(columns: bytes) -> list[str]:
    """The names in a list of columns."""
    return [_text(name) for name in _ONE.findall(columns.strip()[1:-1])]


def columns_of(data: bytes, at: int, stop: int) -> tuple[list[str], int]:
    """Names of the columns of the table whose parenthesis opened before `at`, and its end; [] where that is not there."""
    names: list[str] = []
    depth, item = 0, at
    while at < stop and len(names) < MAX_COLUMNS:
        found = _STEP.match(data, at, stop)
        if found is None:
            break
        sign = data[at : at + 1]
        if found.end() == at + 1 and (sign in (b"'", b'"', b"`", b"[") or data[at : at + 2] == b"/*"):
            # its end was looked for in all that is there
            return [], stop
        at = found.end()
        if sign == b"(":
            depth += 1
            if depth > MAX_DEPTH:
                break
        elif sign == b")" and depth:
            depth -= 1
        elif sign == b")" or (sign == b"," and not depth):
            names += _column(data[item : at - 1])
            item = at
            if sign == b")":
                return names, at
    return [], at


_LEADING = re.compile(rb"(?:\s++|--[^\n]*+|#[^\n]*+|/\*.*?\*/)*", re.DOTALL)


def _column(item: bytes) -> list[str]:
    start = found.end() if (found := _LEADING.match(item)) else 0
    name = _ONE.match(item, start)
    if name is None or _NO_COLUMN.match(item, start):
        return []
    return [_text(name[0])]


def _text(name: bytes) -> str:
    return repair(bare(name)).decode("utf-8", "replace")
