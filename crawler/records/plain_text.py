"""Takes mark-up and escapes out of running text: BBCode, HTML, backslashes, quoted-printable. Pure."""

from __future__ import annotations

import re
import unicodedata
from html import unescape

from crawler.records.lost_letters import restore_word
from crawler.records.word_classes import MONTH_PATTERN, word_class

_BBCODE = re.compile(r"\[/?[a-zA-Z*]{1,10}(?:=[^\]\n]{0,100})?\]")
# the BBCode that separates cells, and the BBCode that separates lines
_BB_CELL = re.compile(r"\[/?(?:td|th)(?:=[^\]\n]{0,100})?\]", re.IGNORECASE)
_BB_LINE = re.compile(
    r"\[/?(?:tr|\*|li|list|table|quote|code|center|spoiler|hr|row)(?:=[^\]\n]{0,100})?\]", re.IGNORECASE
)
_INLINE_TAG = re.compile(
    r"</?(?:a|abbr|b|big|code|em|font|i|kbd|mark|q|s|small|span|strike|strong|sub|sup|tt|u|wbr)"
    r"(?:\s[^<>\n]{0,200})?/?>",
    re.IGNORECASE,
)
_BREAK_TAG = re.compile(r"<(?:br|/p|/div|/li|/tr|/h[1-6])(?:\s[^<>\n]{0,200})?/?>", re.IGNORECASE)
# this does not match the address in "Jean Dupont <jean@example.org>"
_TAG = re.compile(r"<(?:/[a-zA-Z_][\w:-]*|!?([a-zA-Z_][\w:-]*))(?:\s[^<>\n]{0,200})?/?>")
_ROLES = frozenset({"surname", "first", "fullname", "birth", "phone", "email", "nir"})
_BACKSLASH = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([nrt])|(['\"\\/]))")
# a text may be quoted in a string within another string: so many rounds of escapes are undone
_MAX_ESCAPE_ROUNDS = 3
# a line end that may be within a number or a date
_WRAP = re.compile(r"\n(?<=[\d)]\n)(?=[\d(jfmasond])|\n(?<=[A-Za-zéû]\n)(?=(?:19|20)\d\d)")
# numbers and dates that are wrapped over a line end
_WRAPPED = re.compile(
    rf"""
      (?:(?:\+|00)33[ .\n-]?(?:\(0\)[ \n]?)?|\b0)[1-9](?:[ .\n-]\d\d){{4}}(?!\d)
    | (?<![\d])[1-478][ \n]\d\d[ \n]\d\d[ \n](?:\d\d|2[abAB])[ \n]\d{{3}}[ \n]\d{{3}}(?:[ \n]\d\d(?!\d))?
    | (?<![\d])\d{{1,2}}(?:er)?[ \n](?i:{MONTH_PATTERN})[ \n]\d{{4}}(?!\d)
    """,
    re.VERBOSE,
)
_LOST_BIRTH_WORD = re.compile(r"(?<!\w)([Nn])[?\ufffd]{1,2}(e?)(?=\s{1,3}le\s)")
# a word with a question mark for a letter within it, but no question of an address: `page?name=`
_LOST_LETTER = re.compile(
    r"(?<![\w/.?=&])(?:[^\W\d_]{1,30}[?\ufffd]{1,2}|\ufffd{1,2})[^\W\d_]+(?:[?\ufffd]{1,2}[^\W\d_]+){0,3}(?![\w=&/])"
)
# the end of one row and the beginning of the next on one line: VALUES (…),(…), arrays and objects
_NEXT_ROW = re.compile(r"([)\]}])\s?[,;]\s?(?=[(\[{])")
# lists of files: `dir` begins a line with time and size of a file, and names folders in lines of their own
_FILE_LINE = re.compile(
    r"^[ \t]*\d\d[/.-]\d\d[/.-]\d{4}[ \t]+\d\d:\d\d(?::\d\d)?(?:[ \t]+[AP]M)?[ \t]+"
    r"(?:<[A-Z]{3,10}>|\d{1,3}(?:[ \u00a0\u202f.,]?\d{3})*)[ \t]+(?=\S)",
    re.MULTILINE,
)
# the time of an event before its line, in brackets or before another date: of a log, a chat; midnight is a birth date's
_EVENT_TIME = re.compile(
    r"^[ \t]*(?:[A-Z]{3,8}[ \t]+)?(?P<open>[\[(])?"
    r"(?:20(?P<iso>\d\d)-\d\d-\d\d[T ]|\d{1,2}[-/.](?:\d{1,2}|[A-Za-z]{3})[-/.](?:20)?(?P<year>\d\d),?[ ](?:à[ ]|at[ ])?)"
    r"(?!0?0:00)\d{1,2}:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:[ \u202f]?[APap][Mm])?(?:Z|[ ]?[+-]\d\d:?\d\d)?"
    r"(?(open)[\])]|(?=[ \t,;|<:-][^\n]*?(?:\d[/.-]\d{1,2}[/.-](?:\d{4}|\d\d)\b|\d{4}-\d\d-\d\d)))",
    re.MULTILINE,
)
# the same of somebody who was born before there were such logs
_TIME_OF_BIRTH = re.compile(
    r"^[ \t]*[\[(]?(?:19\d\d-\d\d-\d\d[T ]|\d{1,2}[-/.](?:\d{1,2}|[A-Za-z]{3})[-/.]19\d\d,?[ ])(?!0?0:00)\d{1,2}:\d\d",
    re.MULTILINE,
)
_FOLDER_LINE = re.compile(r"^[ \t]*(?:R[ée]pertoire de|Directory of)[ \t]+(?:[^\n\\]*\\)+(?=[^\n\\])", re.MULTILINE)
_PRINTABLE = re.compile(r"(?:=[0-9A-F]{2})+")


def _without_event_times(text: str) -> str:
    """Leave out the times of events; the years of events are in order, and those of births are not."""
    years = [int(found["iso"] or found["year"]) for found in _EVENT_TIME.finditer(text)]
    if not years or sorted(years) not in (years, years[::-1]) or _TIME_OF_BIRTH.search(text):
        return text
    return _EVENT_TIME.sub(" ", text)


def to_plain_text(text: str) -> str:
    """The text without mark-up and escapes; tags become separators, line breaks or labels."""
    if "=\n" in text or "=C3" in text:
        text = _PRINTABLE.sub(_bytes_of, text.replace("=\n", ""))
    if "ory of " in text or "oire de " in text:
        text = _FILE_LINE.sub("", _FOLDER_LINE.sub("", text))
    if ":" in text:
        text = _without_event_times(text)
    for _ in range(_MAX_ESCAPE_ROUNDS):
        if "\\" not in text:
            break
        text = _BACKSLASH.sub(_unescaped, text)
    if "[" in text:
        text = _BBCODE.sub("", _BB_LINE.sub("\n", _BB_CELL.sub(" | ", text)))
    if "<" in text:
        text = _TAG.sub(_label_of_tag, _BREAK_TAG.sub("\n", _INLINE_TAG.sub("", text)))
    if "&" in text:
        text = unescape(text)
    if "''" in text:
        text = text.replace("''", "'")
    if "(" in text or "[" in text or "{" in text:
        text = _NEXT_ROW.sub("\\1\n", text)
    if not unicodedata.is_normalized("NFC", text):
        # the patterns do not take a combining accent for a letter
        text = unicodedata.normalize("NFC", text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if ("?" in text or "\ufffd" in text) and _LOST_LETTER.search(text):
        text = _LOST_LETTER.sub(lambda found: restore_word(found[0]), _LOST_BIRTH_WORD.sub(r"\1é\2", text))
    if _WRAP.search(text):
        text = _WRAPPED.sub(lambda found: found[0].replace("\n", " "), text)
    return text


def _label_of_tag(found: re.Match[str]) -> str:
    """The replacement of a tag: a label if its name is one (`<nom>`), else a separator."""
    name = found[1]
    return f" | {name} : " if name and word_class(name) in _ROLES else " | "


def _bytes_of(found: re.Match[str]) -> str:
    try:
        return bytes.fromhex(found[0].replace("=", "")).decode()
    except UnicodeDecodeError:
        return found[0]


def _unescaped(found: re.Match[str]) -> str:
    point = found[1] or found[2]
    if point:
        code = int(point, 16)
        return "" if 0xD800 <= code < 0xE000 else chr(code)
    return {"n": "\n", "r": "\n", "t": "\t"}.get(found[3] or "", found[4] or "")
