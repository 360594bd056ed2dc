"""Tables that stand in running text: their rows are sent as rows, and the text around them as text.

A table may begin and end anywhere: under a sentence, in the output of a program, behind another table. `ruled_tables`
reads those that are drawn with lines; here are runs of lines with the same separators, and forms as browsers send them.
Most text has no table: it must cost no more than the search for a few bytes.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote_to_bytes

import numpy as np

from crawler.readers.core.encoding import repair
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.tables import ruled_tables
from data.identifiers.header_words import role_of

# lines at the end of a block that are kept for the next one: the names of a table stand above its rule
_HELD_LINES, _MAX_HELD_LINES = 2, 20
# a table of so few lines at the end of a block is read together with the next block
_SHORT = 4
# a record of so many lines is not held until it ends
_LONGEST_RECORD = 1000
# an open table that reaches the end of a block is continued by rows with as many cells
_MIN_ROWS, _MIN_SEPARATORS = 3, 2
_SEPARATORS = (b";", b"\t", b"|", b",")
_SAMPLE_ROWS = 40
_SHOWN_SHARE = 0.6
_PERSONAL = frozenset(("surname", "first", "fullname", "dob", "email", "phone", "nir"))
_MIN_ROLES, _LONGEST_NAME = 2, 40
_BOX, _SECOND_OF_BOX = b"\xe2", 0x94
_RARE_MARKS = ((b"=", b"==="), (b"*", b"*** "), (b"[", b"-[ "))
# ends of the names of fields for names and addresses, in lower case; with | 32, by which they are compared, ] becomes }
_FORM_WORDS, _LONGEST_WORD = (b"om", b"ame", b"ail", b"om}", b"ame}", b"%5d"), 3
# values that show a table of people
_VALUE = re.compile(
    r"""\s*['"]?(?:\d{1,2}[/.\-]\d{1,2}[/.\-](?:\d{4}|\d\d)(?:[ T].*)?|\d{4}[/.\-]\d{1,2}[/.\-]\d{1,2}(?:[ T].*)?
    |[^\s@]{1,64}@[\w.-]{3,190}|(?:\+33|0033|0)[ .]?[1-9](?:[ .-]?\d\d){4}
    |[1-478][ ]?\d\d[ ]?[0-9]\d[ ]?\d[\dAB](?:[ ]?\d{3}){2}(?:[ ]?\d\d)?|(?:19|20)\d{6})['"]?\s*""",
    re.VERBOSE,
)
# name=value&name=value, as browsers send forms
_FORM_MARK = re.compile(rb"&[A-Za-z_%][\w.%\[\]-]{0,63}=")
_FORM = re.compile(
    r"(?<![\w%&=])[A-Za-z_%][\w.%\[\]-]{0,63}=[^&\s\"'<>]*(?:&[A-Za-z_%][\w.%\[\]-]{0,63}=[^&\s\"'<>]*)+"
)

# name=value, name=value, as programs print an object in a log
_PAIR_VALUE = r"(?:[A-Za-z][\w.]{0,40}\([^()=\n]{0,80}\)|[^=,;(){}\[\]\n]{0,200})"
_PAIRS = re.compile(rf"(?<![\w.=])[A-Za-z_]\w{{0,63}}={_PAIR_VALUE}(?:[,;] ?[A-Za-z_]\w{{0,63}}={_PAIR_VALUE})+")
# nom: "value", "prenom"=>"value", as Ruby and others print one
_QUOTED_VALUE = r'(?:"(?:[^"\\\n]|\\.){0,500}"|nil|~[DNTU]\[[^\]\n]{1,40}\]|\d[\w.:+-]{0,40})'
# quoted names before a colon are those of JSON, which other readers know
_QUOTED_PAIR = rf"(?:(?<![\w.\"'])[A-Za-z_]\w{{0,63}}: ?|\"[A-Za-z_]\w{{0,63}}(?:\(\d[a-z]\))?\" ?=> ?){_QUOTED_VALUE}"
_QUOTED_PAIRS = re.compile(rf"{_QUOTED_PAIR}(?:, ?{_QUOTED_PAIR})+")
_ONE_QUOTED_PAIR = re.compile(rf'"?([A-Za-z_]\w{{0,63}}(?:\(\d[a-z]\))?)"? ?(?:=>|:) ?({_QUOTED_VALUE})')
_QUOTED_MARKS = (b': "', b'=>"', b'=> "')
_QUOTED = re.compile(r"\s*(['\"])(.*?)\1(?:\s|$)", re.DOTALL)
# datetime.date(2001, 1, 28), as Python prints a date
_DATE_CALL = re.compile(
    rb"(?<![\w.])(?:\w{1,20}\.)?date(?:time)?\((\d{4}), (\d{1,2}), (\d{1,2})(?:, [^()\n]{0,60}(?:\([^()\n]{0,60}\))?)?\)"
)
_DATE_PART = re.compile(r"(\w{1,64})\(([123])i\)")
# midnight, of Paris too where it is told in UTC, is the time of a birth date
_TIME = re.compile(r"\b20\d\d-\d\d-\d\d[T ](?!00:00|2[23]:00:00)\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?")
_NEXT_PAIR = re.compile(r"[,;] ?(?=[A-Za-z_]\w{0,63}=)")
_PAIR_MARK = re.compile(rb"[,;] ?[A-Za-z_]\w{0,63}=")
# lines that are looked at, how much of each, and the share of them that must name the fields of a person
_LABELLED_LINES, _LABELLED_LENGTH, _LABELLED_SHARE = 50, 4096, 0.4
_LABEL = re.compile(r"(?<![\w.])([^\W\d]\w{0,40})['\"]?(?: {0,3}:|=)(?= ?\S)")


class TextTables:
    """Sends a text block by block, and the tables in it as rows.

    Attributes:
        tables: number of tables that were sent as rows.
    """

    def __init__(self, out: Output, limits: Limits) -> None:
        self.tables = 0
        self._out = out
        self._limits = limits
        self._held = b""
        self._columns: list[str] | None = None
        self._is_open = False
        # the separator and the number of separators of a run of lines that reached the end of the block
        self._run: tuple[bytes, int] | None = None
        # a drawn table at whose rows the last block ended
        self._unended: ruled_tables.RuledTable | None = None

    def add(self, block: bytes) -> None:
        """Add whole lines, without the last line end; valid UTF-8."""
        if self._held:
            block = self._held + b"\n" + block
            self._held = b""
        at, lines = len(block), 0
        # the names of a table stand in the line before its rule
        while lines < _HELD_LINES or any(mark in block[at + 1 : at + 200] for mark in ruled_tables.MARKS):
            at = block.rfind(b"\n", 0, at)
            lines += 1
            if at < 0 or lines > _MAX_HELD_LINES:
                break
        if at < 0:
            self._held = block
            return
        block, self._held = block[:at], block[at + 1 :]
        if self._run is None and self._unended is None and not may_hold_table(block):
            self._send_text(block)
        else:
            self._read(block)

    def finish(self) -> None:
        """End the text."""
        if self._held:
            block, self._held = self._held, b""
            self._read(block, is_end=True)

    @property
    def is_in_run(self) -> bool:
        """Whether the last line belonged to a table, which the next line may continue."""
        return self._run is not None

    def interrupt(self) -> None:
        """Another table was sent: the next rows begin a new one."""
        self._is_open, self._run = False, None

    def _read(self, block: bytes, *, is_end: bool = False) -> None:
        has_rules = may_hold_rule(block)
        if has_rules or self._unended is not None:
            block = ruled_tables.without_box_characters(block)
        lines = block.decode("utf-8", "replace").split("\n")
        at = 0
        table, self._unended = self._unended, None
        if table is not None:
            rows, at = ruled_tables.continue_table(table, lines)
            self._send_rows(table.columns, rows)
            self._unended = table if at == len(lines) else None
        if has_rules:
            number = at
            while number < len(lines):
                line = lines[number]
                if ("--" in line or "==" in line or "**" in line or "-[" in line) and ruled_tables.is_rule(line):
                    found = ruled_tables.read_table(lines, number, at)
                    if found is not None and (found.rows or found.columns):
                        self._read_plain(lines[at : found.start])
                        number = at = found.end
                        if at >= len(lines) and not is_end and at - found.start <= _SHORT:
                            # too few lines to tell its names from its rows
                            self._held = "\n".join([*lines[found.start :], ""]).encode() + self._held
                            return
                        if at >= len(lines) and not is_end:
                            self._unended = found if found.last < 0 else None
                            if found.last >= 0 and len(lines) - found.last <= _LONGEST_RECORD:
                                # the last record may go on
                                del found.rows[-1]
                                self._held = "\n".join([*lines[found.last :], ""]).encode() + self._held
                        self._send_rows(found.columns, found.rows)
                        continue
                number += 1
        self._read_plain(lines[at:])

    # --- runs of lines with the same separators --------------------------------------------------------------------

    def _read_plain(self, lines: Sequence[str]) -> None:
        """Send lines that are in no drawn table."""
        if not lines:
            return
        block = "\n".join(lines).encode()
        if self._run is None and not may_hold_run(block):
            self._send_forms([block])
            return
        raw = block.split(b"\n")
        at = start = 0
        # the ends of runs of other tables than those of people
        passed = dict.fromkeys(_SEPARATORS, 0)
        if self._run is not None:
            separator, count = self._run
            while at < len(raw) and raw[at].count(separator) == count:
                at += 1
            self._send_run(raw[:at], separator, names=self._columns)
            start = at
            if at < len(raw):
                self._run = None
        while at < len(raw):
            found = run_at(raw, at, passed)
            if found is None:
                at += 1
                continue
            separator, end = found
            self._send_forms(raw[start:at])
            self._send_run(raw[at:end], separator, names=None)
            self._run = (separator, raw[at].count(separator)) if end == len(raw) else None
            start = at = end
        self._send_forms(raw[start:])

    def _send_run(self, lines: Sequence[bytes], separator: bytes, names: list[str] | None) -> None:
        if not lines:
            return
        reader = csv.reader([line.decode("utf-8", "replace") for line in lines], delimiter=separator.decode())
        try:
            rows = list(reader)
        except csv.Error:
            rows = [line.decode("utf-8", "replace").split(separator.decode()) for line in lines]
        further = next((at for at, row in enumerate(rows) if at and _is_header(row)), 0)
        if further:
            # a table with other columns of the same number follows without a line between
            self._send_run(lines[:further], separator, names)
            self._send_run(lines[further:], separator, None)
            return
        if names is None and _is_header(rows[0]):
            names, rows = rows[0], rows[1:]
        if names is not None:
            rows = [(row + [""] * len(names))[: max(len(names), len(row))] for row in rows]
            names = [*names, *[""] * (max(map(len, rows), default=0) - len(names))]
            rows = [row + [""] * (len(names) - len(row)) for row in rows]
        self._send_rows(names, rows)

    # --- forms -------------------------------------------------------------------------------------------------------

    def _send_forms(self, lines: Sequence[bytes]) -> None:
        """Send lines as text, and the fields of forms in them as rows."""
        if not lines:
            return
        block = b"\n".join(lines)
        if not may_hold_form(block):
            self._send_text(block)
            return
        text = block.decode("utf-8", "replace")
        left: list[str] = []
        at = 0
        pending: list[list[str]] = []
        names: list[str] | None = None
        pattern, decode = (_FORM, _decoded) if _FORM_MARK.search(block) else (_PAIRS, _bare)
        if not may_hold_pairs(block):
            pattern = _QUOTED_PAIRS
        for found in pattern.finditer(text):
            if pattern is _QUOTED_PAIRS:
                pairs = [(each[1], "", each[2]) for each in _ONE_QUOTED_PAIR.finditer(found[0])]
            else:
                parts = found[0].split("&") if pattern is _FORM else _NEXT_PAIR.split(found[0])
                pairs = [part.partition("=") for part in parts]
            values = [decode(value) for _, _, value in pairs]
            keys, values = _whole_dates(_field_names(tuple(key for key, _, _ in pairs)), values)
            if not keys or len(keys) > self._limits.max_columns:
                continue
            left.append(text[at : found.start()])
            if decode is _bare:
                left += [f" {behind} " for _, _, value in pairs if (behind := _behind(value))]
            at = found.end()
            if keys != names and pending:
                self._send_rows(names, pending)
                pending = []
            names = keys
            pending.append(values)
        if pending:
            self._send_rows(names, pending)
            # the times of events are no dates of people
            text, at = _TIME.sub(" ", "".join([*left, text[at:]])), 0
        self._send_text(text.encode())

    # --- what is sent -----------------------------------------------------------------------------------------------

    def _send_text(self, block: bytes) -> None:
        if b"date" in block:
            block = _DATE_CALL.sub(_written_date, block)
        if block.strip():
            self._is_open = False
            self._out.text(block + b"\n")

    def _send_rows(self, columns: list[str] | None, rows: Sequence[Sequence[str]]) -> None:
        rows = [row for row in rows if row]
        if not rows:
            return
        most = self._limits.max_columns
        width = max(len(columns or ()), *map(len, rows))
        if width > most:
            self._out.problem_once("columns", f"a table in it has more than {most} columns; the others are text")
            self._out.text("\n".join([" ; ".join(row[most:]) for row in rows] + [""]).encode("utf-8", "replace"))
            width = most
        if columns is not None:
            columns = [*columns, *[""] * (width - len(columns))][:width]
            rows = [[*row, *[""] * (width - len(row))][:width] for row in rows]
        if not self._is_open or columns != self._columns:
            self._out.header(columns)
            self.tables += 1
            self._is_open, self._columns = True, columns
        self._out.rows([[cell.encode("utf-8", "replace") for cell in row[:width]] for row in rows])


def may_hold_table(block: bytes) -> bool:
    """A quick test: False for a text without tables and forms."""
    return may_hold_rule(block) or may_hold_run(block) or may_hold_form(block)


def may_hold_rule(block: bytes) -> bool:
    """Whether a line of a drawn table may stand in a text."""
    if b"-" in block:
        dashes = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("-"))
        if (dashes[2:] - dashes[:-2] == 2).any():
            return True
    if any(sign in block and mark in block for sign, mark in _RARE_MARKS):
        return True
    if _BOX not in block:
        return False
    # box-drawing characters: their first byte is that of quotation marks as well
    chars = np.frombuffer(block, np.uint8)
    leads = np.flatnonzero(chars[:-1] == _BOX[0])
    return bool((chars[leads + 1] & 0xFE == _SECOND_OF_BOX).any())


def may_hold_run(block: bytes) -> bool:
    """Whether so many separators stand in a text that three lines of it can be a table.

    In prose a comma or semicolon is followed by a space.
    """
    needed = _MIN_ROWS * _MIN_SEPARATORS
    chars = np.frombuffer(block, np.uint8)
    for separator in _SEPARATORS:
        # array operations count in a third of the time of `bytes.count`
        found = chars[:-1] == separator[0]
        if np.count_nonzero(found) < needed:
            continue
        if separator == b"\t" or np.count_nonzero(chars[np.flatnonzero(found) + 1] > ord(" ")) >= needed:
            return True
    return False


def may_hold_form(block: bytes) -> bool:
    """Whether the fields of a form of a person may stand in a text."""
    return any(mark in block for mark in _QUOTED_MARKS) or may_hold_pairs(block)


def may_hold_pairs(block: bytes) -> bool:
    """Whether fields with `=` may stand in a text: one of a name or an address."""
    if b"=" not in block or not (b"&" in block or b"," in block or b";" in block):
        return False
    chars = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(chars == ord("="))
    ends = ends[ends > _LONGEST_WORD]
    return (
        any(
            bool(
                np.logical_and.reduce(
                    [chars[ends - at] | 32 == char for at, char in enumerate(reversed(word), 1)]
                ).any()
            )
            for word in _FORM_WORDS
        )
        and (_FORM_MARK.search(block) or _PAIR_MARK.search(block)) is not None
    )


def holds_labels_of_people(lines: Sequence[bytes]) -> bool:
    """Whether most of these lines name the fields of a person before their values: `nom=Roux`, `Nom:Roux`."""
    lines = [line for line in lines if line.strip()][:_LABELLED_LINES]
    people = 0
    for line in lines:
        if b"=" not in line and b":" not in line:
            continue
        labels = _LABEL.findall(line[:_LABELLED_LENGTH].decode("utf-8", "replace"))
        people += len(set(map(role_of, labels)) & _PERSONAL) >= _MIN_ROLES
    return bool(lines) and people >= _LABELLED_SHARE * len(lines)


def holds_table_of_people(lines: Sequence[bytes]) -> bool:
    """Whether a table of people begins at any of these lines."""
    if len(lines) < _MIN_ROWS or not may_hold_run(b"\n".join(lines)):
        return False
    passed = dict.fromkeys(_SEPARATORS, 0)
    return any(run_at(lines, at, passed) is not None for at in range(len(lines)))


def run_at(lines: Sequence[bytes], at: int, passed: dict[bytes, int]) -> tuple[bytes, int] | None:
    """The separator and the end of a table of people that begins at a line.

    `passed` are the lines before which no such table begins, which is extended: each line is counted only once.
    """
    line = lines[at]
    for separator in _SEPARATORS:
        count = line.count(separator) if at >= passed[separator] else 0
        if count < _MIN_SEPARATORS:
            continue
        end = at + 1
        while end < len(lines) and lines[end].count(separator) == count:
            end += 1
        # where each line names its fields, separators divide no columns
        if (
            end - at >= _MIN_ROWS
            and not holds_labels_of_people(lines[at : at + _SAMPLE_ROWS])
            and _are_people([each.split(separator) for each in lines[at : at + _SAMPLE_ROWS]])
        ):
            return separator, end
        passed[separator] = end
    return None


def _is_header(row: Sequence[str]) -> bool:
    """Whether the cells of a row are the names of columns."""
    known = sum(role_of(cell) in _PERSONAL for cell in row if len(cell) <= _LONGEST_NAME)
    return known >= _MIN_ROLES and not any(map(_VALUE.fullmatch, row))


def _are_people(rows: Sequence[Sequence[bytes]]) -> bool:
    """Whether rows show a table of people: by the names of columns in the first row, or by a column of their values."""
    width = len(rows[0])
    texts = [[cell.decode("utf-8", "replace") for cell in row] for row in rows if len(row) == width]
    if _is_header(texts[0]) or _have_people_in_columns(texts):
        return True
    for at in range(width):
        if sum(_VALUE.fullmatch(row[at]) is not None for row in texts) >= _SHOWN_SHARE * len(texts):
            # a column of dates alone is that of a log
            return len(texts) > 1 and any(_is_word_column([row[other] for row in texts]) for other in range(width))
    return False


def _have_people_in_columns(rows: Sequence[Sequence[str]]) -> bool:
    """Whether rows show a table with a person in each column: names of fields first, and values behind one of these."""
    named = {role_of(row[0]) for row in rows if len(row[0]) <= _LONGEST_NAME}
    return len(named & _PERSONAL) >= _MIN_ROLES and any(
        sum(_VALUE.fullmatch(cell) is not None for cell in row[1:]) >= _SHOWN_SHARE * len(row[1:]) for row in rows
    )


def _is_word_column(cells: Sequence[str]) -> bool:
    return sum(bool(re.fullmatch(r"\s*['\"]?[^\W\d_][^\d@]{0,40}", cell)) for cell in cells) >= 0.8 * len(cells)


def _written_date(found: re.Match[bytes]) -> bytes:
    return b"%s-%02d-%02d" % (found[1], int(found[2]), int(found[3]))


@lru_cache(1024)
def _field_names(keys: tuple[str, ...]) -> list[str]:
    """The names of the fields of a form; [] if it is not about a person."""
    names = [_field_name(_decoded(key)) for key in keys]
    return names if len(set(map(role_of, names)) & _PERSONAL) >= _MIN_ROLES else []


def _whole_dates(names: list[str], values: list[str]) -> tuple[list[str], list[str]]:
    """The fields of a form with the parts of a date as one: `born(1i)=2001`, `born(2i)=1`, `born(3i)=28`, as Rails does."""
    parts: dict[str, dict[str, str]] = {}
    for name, value in zip(names, values, strict=True) if any(each.endswith("i)") for each in names) else ():
        if found := _DATE_PART.fullmatch(name):
            parts.setdefault(found[1], {})[found[2]] = value
    dates = {
        name: each for name, each in parts.items() if len(each) == len("123") and all(map(str.isdigit, each.values()))
    }
    if not dates:
        return names, values
    left = [(name, value) for name, value in zip(names, values, strict=True)
            if not ((found := _DATE_PART.fullmatch(name)) and found[1] in dates)]  # fmt: skip
    left += [(name, f"{each['1']}-{each['2']:0>2}-{each['3']:0>2}") for name, each in dates.items()]
    return [name for name, _ in left], [value for _, value in left]


def _decoded(text: str) -> str:
    """A name or value of a form, which may be encoded in UTF-8 or in another page."""
    return repair(unquote_to_bytes(text.replace("+", " "))).decode("utf-8", "replace")


def _behind(text: str) -> str:
    """What follows the value in quotes at the beginning: `'Roux' né le 3 mai 2003`."""
    found = _QUOTED.match(text)
    return text[found.end(2) + 1 :].strip() if found else ""


def _bare(text: str) -> str:
    """A value without the quotes around it, and without what follows them: `nom='Roux' WHERE id`."""
    if text.startswith("~"):
        return text[3:-1]
    found = _QUOTED.match(text)
    return found[2] if found else text.strip().strip("'\"")


def _field_name(key: str) -> str:
    """The name of a field without the name of its form: `patient[nom]`, `patient.nom`."""
    parts = [part for part in re.split(r"[\[\].]+", key) if part]
    return parts[-1] if parts else key
