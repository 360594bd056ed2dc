"""Logs of statements: values that stand beside a statement, or in one that is no plain INSERT, become rows of its columns.

Programs that talk to a database log a statement with marks (`VALUES (?, ?)`, `$1`, `@p0`) and its values elsewhere: PostgreSQL,
SQL Server's `sp_executesql`, Hibernate, MyBatis, Doctrine, Rails, Django, SQLAlchemy, Entity Framework, Sequelize, TypeORM.
Without the names of their columns these values are words in a line. `INSERT … SELECT … UNION ALL`, `EXEC … @Nom = …`,
`WHERE nom = … AND …` and `'…' AS nom` name their values too. `sql_dump` reads dumps of plain statements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from crawler.readers.core.encoding import Lines, as_utf8, is_text
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.regex_compat import possessive
from crawler.readers.core.source import Source
from crawler.readers.tables.text_tables import TextTables
from data.identifiers.header_words import role_of

FORMAT = "statement_log"
EMBEDDED_SEARCH = "all"
ENCODED_VALUES = "sql"

_PERSONAL = frozenset(("surname", "first", "fullname", "dob", "email", "phone", "nir"))
_MIN_ROLES, _SNIFFED = 2, 2**16
# a statement and its values are held up to so many bytes
_LONGEST = 2**18
# characters of text beside values that are sent together
_TEXT_AT_ONCE = 2**15
# the first line of a statement is remembered up to this length
_LONGEST_LINE = 4096

_NAME = r"(?:`[^`\n]{1,128}`|\"[^\"\n]{1,128}\"|\[[^\]\n]{1,128}\]|[A-Za-z_]\w{0,127})"
_QUALIFIED = rf"{_NAME}(?:\s?\.\s?{_NAME}){{0,3}}"
_QUOTED = r"(?:[NnEeBb]?'(?:[^'\\\n]++|''|\\.)*+'|\"(?:[^\"\\\n]++|\\.)*+\")"
# UPPER('…'), CAST(N'…' AS Date), TO_DATE('…', '…'), datetime.date(2001, 1, 28)
_CALL = rf"[A-Za-z_][\w.]{{0,40}}\((?:[^()'\"\n]++|{_QUOTED}|\((?:[^()'\"\n]++|{_QUOTED}|\([^()\n]{{0,200}}\))*+\))*+\)"
_BARE = r"[-+]?\d[\w.:+\-]*+|None\b|NULL\b|null\b|[Tt]rue\b|[Ff]alse\b|DEFAULT\b"
_LITERAL = rf"(?:{_QUOTED}|(?:DATE|date|TIMESTAMP)\s?'[^'\n]{{0,40}}'|{_CALL}|{_BARE})"
_KEY = r"(?:[\"']?\w{1,64}[\"']?\s?(?:=>|:|=)\s?)?"
_SEQUENCE = possessive(rf"(?<!\w){_KEY}{_LITERAL}(?:\s*+,\s*+{_KEY}{_LITERAL})*+")
_ONE = possessive(rf"{_KEY}({_LITERAL})")
_FIRST_QUOTED = possessive(rf"({_QUOTED})")
_MARK = r"(?:\?|%s|%\(\w+\)s|\$\d{1,4}|@\w{1,64}|:\w{1,64})"
_VALUE_OR_MARK = possessive(rf"(?P<mark>{_MARK})(?:::\w+)?|{_LITERAL}|\s*+,\s*+")
_INSERT = possessive(
    rf"(?:INSERT|REPLACE)\s+(?:IGNORE\s+|OR\s+\w+\s+)?(?:INTO\s+)?(?:TABLE\s+)?(?:{_QUALIFIED})\s*+\(\s*+(?P<columns>{_QUALIFIED}(?:\s*+,\s*+{_QUALIFIED})*+)\s*+\)"
    r"\s*+(?:OUTPUT\s[^()\n]{0,200})?(?P<values>VALUES?\s*+\(|\(?SELECT\s)",
    re.IGNORECASE,
)
_WITH_VALUES = possessive(
    rf"(?:WITH\s+|,\s*){_NAME}\s*+\(\s*+(?P<columns>{_NAME}(?:\s*+,\s*+{_NAME})*+)\s*+\)\s*+AS\s*+(?P<values>\(\s*+VALUES\s*+\()",
    re.IGNORECASE,
)
# a column beside its mark, or beside its value, as in SET and WHERE
_EQUAL = possessive(rf"(?<!\w)(?P<name>{_QUALIFIED})\s?(?:=|LIKE)\s?(?P<mark>{_MARK})", re.IGNORECASE)
_MARK_BEHIND = re.compile(rf"[=eE]\s?{_MARK}")
_EQUALS = possessive(
    rf"(?<!\w){_QUALIFIED}\s?=\s?{_LITERAL}(?:(?:\s*+,\s*+|\s++AND\s++){_QUALIFIED}\s?=\s?{_LITERAL})++", re.IGNORECASE
)
_ONE_EQUAL = possessive(rf"(?<!\w)({_QUALIFIED})\s?=\s?({_LITERAL})", re.IGNORECASE)
_ALIASES = possessive(rf"(?<!\w){_LITERAL}\s++AS\s++{_NAME}(?:\s*+,\s*+{_LITERAL}\s++AS\s++{_NAME})++", re.IGNORECASE)
_ONE_ALIAS = possessive(rf"({_LITERAL})\s++AS\s++({_NAME})", re.IGNORECASE)
_LAST_NAME = re.compile(rf"{_NAME}\s*\Z")
_ONE_COLUMN = re.compile(_QUALIFIED)

# values by the number or the name of their mark
_NUMBERED = possessive(rf"\$(\d{{1,4}})\s?=\s?({_LITERAL}|[^,\n]*+)")
_NAMED = possessive(rf"@(\w{{1,64}})\s?=\s?({_LITERAL}|[^,\s)\]]++)")
_BOUND = re.compile(r"binding parameter [\[(](\d{1,4})(?:\]|:)[^\n]{0,80}?(?:- |<- )\[([^\n]*)\]\s*(?:\n|\Z)")
_PAIRS = possessive(rf"\[\s?\"(\w{{1,64}})\",\s?({_LITERAL})\]")
_TYPED_LIST = re.compile(r"Parameters: ([^\n]*\(\w{1,40}\))\s*(?:\n|\Z)")
_TYPED = re.compile(r"(?:\A|(?<=\), ))(.*?)\(\w{1,40}\)(?=, |\Z)")
# where a statement, or the values that are logged before it, begin; PostgreSQL's `execute S_1: ` is none
_START = re.compile(
    r"\[Parameters=\[|\bsp_executesql\b|\b(?:INSERT|REPLACE)\s+(?:INTO|IGNORE|OR|TABLE|\[|[`\"])|\bUPDATE\s+[\w\[`\"]|\bDELETE\s+FROM\b|\bSELECT\s|\bEXEC(?:UTE)?\s+(?!sp_executesql|(?:fetch\s+from\s+)?[\w/<>]{1,64}:\s)[\w\[]|\bWITH\s+\w+\s*\(",
    re.IGNORECASE,
)
# A word of `_START`, small: to find such words first is ten times as fast as to try the expression at every character.
_WORDS = (
    "[parameters=[", "sp_executesql", "insert", "replace", "update", "delete", "select", "exec", "with",
)  # fmt: skip
_TIME = re.compile(r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?")
_QUICK = re.compile(rb"(?i)\b(?:INSERT|UPDATE|SELECT|EXEC|sp_executesql)\b")
_QUICK_WORDS = (b"insert", b"update", b"select", b"exec")
_HINT = re.compile(
    rb"(?i)[(,=] ?(?:\?|%s|\$\d|@\w)|\bUNION\b|\bSELECT\s+N?'|\bEXEC\s[^\n]{0,200}@\w+ ?=|'\s+AND\s|\bAS\s*\(\s*VALUES"
)


# a row of one value beside its column is about nobody
_AT_LEAST = 2


class _Row(NamedTuple):
    columns: tuple[str, ...]
    values: tuple[str, ...]
    by_marks: bool


class _Insert(NamedTuple):
    """An INSERT as far as its first values.

    Attributes:
        columns: that it names.
        start: where it begins. at: where its values begin. end: where the list of its marks ends.
        marks: the column of each mark; None if rows follow that are no marks (SELECT).
    """

    columns: tuple[str, ...]
    start: int
    at: int
    end: int
    marks: Mapping[str, str] | None


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """High if values stand beside a statement about people; lower if in a statement that is no plain INSERT."""
    small = head.lower()
    # to look for the words alone takes a tenth of the time of the expression, and most files hold none of them
    if not any(word in small for word in _QUICK_WORDS) or not _QUICK.search(head) or not _HINT.search(head):
        return 0.0
    text = as_utf8(head[:_SNIFFED])
    if not is_text(text):
        return 0.0
    rows = [row for part, _ in _parts(text.decode("utf-8", "replace")) for row in _rows(part)[0]]
    if not rows:
        return 0.0
    return 0.97 if any(row.by_marks for row in rows) else 0.95


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send the values of each statement as a row, and everything else as text."""
    lines = Lines(source, limits.max_line)
    log = _LogReader(out, limits)
    for block in lines.blocks():
        log.add(block.decode("utf-8", "replace") + "\n")
    log.finish()
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")


class _LogReader:
    """Sends rows of statements with the same columns together, and the text between them."""

    def __init__(self, out: Output, limits: Limits) -> None:
        self.out, self.limits = out, limits
        self._held = ""
        self._columns: tuple[str, ...] | None = None
        self._rows: list[tuple[str, ...]] = []
        # what stands beside the values of statements, and its length
        self._beside: list[str] = []
        self._beside_size = 0
        # the columns of a statement that was longer than what is held, and whose further rows follow
        self._continued: tuple[str, ...] = ()

    def add(self, text: str) -> None:
        """Add whole lines."""
        if self._continued and not self._held:
            # the end of the statement before was cut off here
            text = f"UNION ALL\n{text}"
        text = self._held + text
        parts = list(_parts(text))
        # the values of the last statement may come with the next lines
        last = parts.pop()[0] if parts and len(parts[-1][0]) < _LONGEST else ""
        self._held = last
        for number, (part, _) in enumerate(parts, 1):
            self._read(part, is_cut=number == len(parts) and not last)

    def finish(self) -> None:
        """End the log."""
        for part, _ in _parts(self._held):
            self._read(part)
        self._held = ""
        self._flush()

    def _read(self, part: str, *, is_cut: bool = False) -> None:
        if self._continued and _START.match(part) is None:
            rows, rest = _sequences(part, 0, self._continued, 0, by_marks=False)
        else:
            rows, rest = _rows(part)
        self._continued = rows[-1].columns if is_cut and rows and not rows[-1].by_marks else ()
        for row in rows:
            if len(row.columns) > self.limits.max_columns:
                rest += "\n" + " ; ".join(row.values)
                continue
            if row.columns != self._columns:
                self._flush()
                self._columns = row.columns
            self._rows.append(row.values)
        if len(self._rows) >= 1000:
            self._send()
        if rest.strip():
            if not rows:
                # tables may stand between the statements
                self._flush()
                tables = TextTables(self.out, self.limits)
                tables.add(_TIME.sub(" ", rest).rstrip("\n").encode("utf-8", "replace"))
                tables.finish()
            else:
                self._beside.append(rest)
                self._beside_size += len(rest)
                if self._beside_size >= _TEXT_AT_ONCE:
                    self._send_beside()

    def _send(self) -> None:
        if self._rows and self._columns is not None:
            self.out.header(list(self._columns))
            self.out.rows([[value.encode("utf-8", "replace") for value in row] for row in self._rows])
        self._rows = []

    def _send_beside(self) -> None:
        """Send what stands beside the values; the times of events are no dates of people."""
        if self._beside:
            self.out.text(_TIME.sub(" ", "\n".join([*self._beside, ""])).encode("utf-8", "replace"))
        self._beside, self._beside_size = [], 0

    def _flush(self) -> None:
        self._send_beside()
        self._send()
        self._columns = None


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """The text before the first statement, and each statement with what follows it up to the next one."""
    at, waits, is_call = 0, False, False
    for found in _starts(text):
        word = found[0].upper()
        if found.start() < at:
            continue
        if waits and not word.startswith(("[PARAMETERS", "SP_EXEC")):
            # the statement of the values before it
            waits = False
            continue
        if word.startswith("SELECT") and (is_call or _follows(text, found.start())):
            continue
        if found.start() > at:
            yield text[at : found.start()], True
        at = found.start()
        waits = is_call = word.startswith(("[PARAMETERS", "SP_EXEC"))
    if at < len(text):
        yield text[at:], False


def _starts(text: str) -> Iterator[re.Match[str]]:
    """What `_START.finditer` finds."""
    small = text.lower()
    if len(small) != len(text):
        # some letters are two when they are small
        small = "".join(char.lower() if char.isascii() else char for char in text)
    places: list[int] = []
    for word in _WORDS:
        at = small.find(word)
        while at >= 0:
            places.append(at)
            at = small.find(word, at + len(word))
    end = 0
    for place in sorted(places):
        if place >= end and (found := _START.match(text, place)) is not None:
            yield found
            end = found.end()


_BEFORE_SELECT = re.compile(r"(?:UNION(?:\s+ALL)?|\)|\bAS|\(|[\]`\"\w]\s+AS)\s*\Z", re.IGNORECASE)


def _follows(text: str, at: int) -> bool:
    """Whether a SELECT is part of the statement before it."""
    return _BEFORE_SELECT.search(text, max(0, at - 40), at) is not None


def _rows(part: str) -> tuple[list[_Row], str]:
    """The rows of one statement with what follows it, and the text that is left."""
    # whether a word or a sign stands there at all is found at once, an expression tries every character
    small = part.lower()
    for find in (_insert_rows, _equal_rows, _named_rows, _literal_rows):
        rows, rest = find(part, small)
        rows = [row for row in rows if _is_about_people(row.columns)]
        if rows:
            return rows, rest
    return [], part


@lru_cache(maxsize=1024)
def _is_about_people(columns: tuple[str, ...]) -> bool:
    return len({role_of(name) for name in columns} & _PERSONAL) >= _MIN_ROLES


def _insert_rows(part: str, small: str) -> tuple[list[_Row], str]:
    if "insert" not in small and "replace" not in small and "values" not in small:
        return [], part
    # most statements of a log are the same but for their values
    line = part[: part.find("\n") + 1]
    found = _insert_in_line(line) if 0 < len(line) <= _LONGEST_LINE else None
    # the list of marks may go on in the next line
    if found is None or max(found.at, found.end) >= len(line.rstrip()):
        match = _INSERT.search(part) or _WITH_VALUES.search(part)
        found = _insert_of(part, match) if match else None
    if found is None:
        return [], part
    if not found.marks:
        return _sequences(part, found.at, found.columns, found.start, by_marks=False)
    return _values_of_marks(part, found.end, found.marks, found.start)


@lru_cache(maxsize=256)
def _insert_in_line(line: str) -> _Insert | None:
    match = _INSERT.search(line)
    return _insert_of(line, match) if match else None


def _insert_of(part: str, found: re.Match[str]) -> _Insert:
    columns = tuple(_plain_name(each[0]) for each in _ONE_COLUMN.finditer(found["columns"]))
    at = found.end()
    if not found["values"].upper().startswith(("VALUE", "(")) or found["values"].upper().startswith("(S"):
        return _Insert(columns, found.start(), at, at, None)
    marks: dict[str, str] = {}
    place = count = 0
    end = at
    while (value := _VALUE_OR_MARK.match(part, end)) is not None and value.end() > end:
        end = value.end()
        if value[0].strip() == ",":
            place += 1
        elif (mark := value["mark"]) and place < len(columns):
            count += 1
            marks[_mark_name(mark, count)] = columns[place]
    return _Insert(columns, found.start(), at, end, marks)


def _equal_rows(part: str, small: str) -> tuple[list[_Row], str]:
    if ("=" not in part and "like" not in small) or _MARK_BEHIND.search(part) is None:
        return [], part
    marks: dict[str, str] = {}
    end = start = -1
    for count, found in enumerate(_EQUAL.finditer(part), 1):
        if found["name"].startswith(("$", "@")):
            continue
        marks.setdefault(_mark_name(found["mark"], count), _plain_name(found["name"]))
        start = found.start() if start < 0 else start
        end = found.end()
    return _values_of_marks(part, end, marks, start) if marks else ([], part)


def _named_rows(part: str, small: str) -> tuple[list[_Row], str]:  # noqa: ARG001 - as the functions beside it
    """Parameters of a procedure, whose names say what they hold."""
    if "@" not in part:
        return [], part
    found = list(_NAMED.finditer(part))
    values = {each[1]: _plain(each[2]) for each in found}
    return ([_Row(tuple(values), tuple(values.values()), True)], _without(part, found)) if values else ([], part)


def _literal_rows(part: str, small: str) -> tuple[list[_Row], str]:
    """Columns beside their values: `WHERE nom = 'Roux' AND …`, `SELECT 'Roux' AS nom, …`."""
    rows, spans = [], []
    for whole, one, sign in ((_EQUALS, _ONE_EQUAL, "="), (_ALIASES, _ONE_ALIAS, "as")):
        step = 1 if one is _ONE_EQUAL else -1
        if small.count(sign) < _AT_LEAST:
            continue
        for found in whole.finditer(part):
            pairs = {
                _plain_name(name): _plain(value) for name, value in (each[::step] for each in one.findall(found[0]))
            }
            rows.append(_Row(tuple(pairs), tuple(pairs.values()), False))
            spans.append(found)
    return rows, _without(part, spans)


def _values_of_marks(part: str, end: int, marks: Mapping[str, str], start: int) -> tuple[list[_Row], str]:
    """Rows of the values that are given to marks, behind the statement or before it."""
    columns = tuple(dict.fromkeys(marks.values()))
    for pattern in (_NUMBERED, _NAMED, _BOUND):
        found = [each for each in pattern.finditer(part) if not start <= each.start() < end]
        given = {each[1]: each[2] if pattern is _BOUND else _plain(each[2]) for each in found}
        if given and (row := _row(marks, columns, given)):
            return [row], _without(part, found)
    if (found := list(_PAIRS.finditer(part, end))) and {each[1] for each in found} & set(columns):
        pairs = {each[1]: _plain(each[2]) for each in found}
        return [_Row(tuple(pairs), tuple(pairs.values()), True)], _without(part, found)
    if typed := _TYPED_LIST.search(part, end):
        given = {str(number): each[1] for number, each in enumerate(_TYPED.finditer(typed[1]), 1)}
        if len(given) == len(marks) and (row := _row(marks, columns, given)):
            return [row], _without(part, [typed])
    if len(set(marks)) != len(marks):
        return [], part
    return _sequences(part, end, tuple(marks.values()), end, by_marks=True)


def _row(marks: Mapping[str, str], columns: Sequence[str], given: Mapping[str, str]) -> _Row | None:
    values = dict.fromkeys(columns, "")
    hit = 0
    for mark, column in marks.items():
        if mark in given:
            values[column] = given[mark]
            hit += 1
    return _Row(tuple(values), tuple(values.values()), True) if hit else None


def _sequences(part: str, at: int, columns: tuple[str, ...], start: int, *, by_marks: bool) -> tuple[list[_Row], str]:
    """The rows that are lists of as many values as there are columns."""
    rows, spans = [], []
    for found in _SEQUENCE.finditer(part, at):
        literals = _ONE.findall(found[0])
        if len(literals) == len(columns) and any(literal.endswith(("'", '"', ")")) for literal in literals):
            rows.append(_Row(columns, tuple(map(_plain, literals)), by_marks))
            spans.append(found)
    return rows, _without(part[:start] + part[at:] if start < at and not spans else part, spans)


def _without(part: str, spans: Sequence[re.Match[str]]) -> str:
    """The text without these parts."""
    kept, at = [], 0
    for found in spans:
        kept.append(part[at : found.start()])
        at = max(at, found.end())
    return " ".join([*kept, part[at:]])


def _mark_name(mark: str, count: int) -> str:
    """The number of a mark without a name, or its name or number."""
    return str(count) if mark in ("?", "%s") else mark.lstrip("$@:").removeprefix("%(").removesuffix(")s")


@lru_cache(maxsize=4096)
def _plain_name(name: str) -> str:
    last = _LAST_NAME.search(name)
    return (last[0] if last else name).strip().strip('`"[]')


def _plain(literal: str) -> str:
    """The value of a literal: of a call the first string in it."""
    if literal[-1:] == "'" and (begin := literal.find("'")) < 2:
        inside = literal[begin + 1 : -1]
        if inside and "'" not in inside and "\\" not in inside and (not begin or literal[0] in "NnEeBb"):
            return inside
    literal = literal.strip()
    if literal[:1].isalpha() and "(" in literal and not literal[:2].endswith("'"):
        inner = _FIRST_QUOTED.search(literal)
        return _plain(inner[1]) if inner else literal
    if literal.upper() in ("NULL", "NONE", "DEFAULT"):
        return ""
    found = _FIRST_QUOTED.search(literal) if literal.endswith(("'", '"')) else None
    if found is None:
        return literal
    quote = literal[-1]
    text = found[1][found[1].index(quote) + 1 : -1].replace(quote * 2, quote)
    return re.sub(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", _unescaped, text) if "\\" in text else text


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1][1:], 16)) if found[1][0] in "ux" and len(found[1]) > 1 else found[1]
