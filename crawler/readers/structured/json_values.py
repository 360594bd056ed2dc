"""Parses JSON text into Python values, tolerates text that is not quite JSON, and reports how valid the text was.

No part of the text is lost. `json_splitter` finds where values begin and end; `json_records` decides what they mean.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain, pairwise
from typing import Any

import orjson

from crawler.readers.core.encoding import repair
from crawler.readers.core.regex_compat import possessive

MAX_DEPTH = 100_000
"""The parser stops inside a value that is nested deeper than this."""

BLANKS_AND_COMMAS = b" \t\r\n\f\v,"
"""Characters that may surround a child of a container."""
# orjson refuses these, but other JSON writers produce them
_REFUSED_BY_ORJSON = re.compile(rb"\\[uU][dD][89a-fA-F]|NaN|Infinity")
_TOKEN = possessive(
    r"""(?:
      (?P<mark>[{}\[\]:,])
    | (?P<arrow>=>)
    | "(?P<double>(?:[^"\\]++|\\.|"(?!\s*+(?:[,:}\])]|=>|/[/*]|\Z)))*+)(?:"|\\?\Z)
    | '(?P<single>(?:[^'\\]++|\\.|'(?!\s*+(?:[,:}\])]|=>|/[/*]|\Z)))*+)(?:'|\\?\Z)
    | (?:new\s++)?(?:Date(?:\.UTC)?|(?:datetime\.)?date(?:time)?)\(\s*+(?P<call>\d{4}\s*+,\s*+\d{1,2}\s*+,\s*+\d{1,2}(?:\s*+,[^()"']{0,60})?)\)
    | (?P<skip>\s++|//[^\n]*+|/\*.*?(?:\*/|\Z)|\#[^\n]*+|new\s++(?=[A-Z])|[A-Za-z_$][\w$.]*+\s*+\(|\)|;)
    | (?P<bare>[^\s{}\[\]:,"'()]++)
    | (?P<junk>.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_STRAY_QUOTE = possessive(r'(?:[^"\\]++|\\.)*+"', re.DOTALL)
# JavaScript, Python and YAML also write \xe9
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.)|\Z)", re.DOTALL)
_SHORT_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_BARE_KEY = re.compile(r"[^\W\d][\w$.-]*")
_NUMBER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|[\d.][\d.eE+_-]*|Infinity)")
_CONSTANTS = {
    "true": True,
    "True": True,
    "false": False,
    "False": False,
    "null": None,
    "None": None,
    "undefined": None,
}
# these are kept as strings, so that nothing is lost
_NOT_NUMBERS = frozenset({"NaN", "nan", "Infinity", "inf"})


class Validity(IntEnum):
    """How valid a JSON text was.

    VALID: it follows the standard. NONSTANDARD: it breaks the standard, but its meaning is clear. DAMAGED: a part of it
    could not be understood.
    """

    VALID = 0
    NONSTANDARD = 1
    DAMAGED = 2


def parse_json(data: bytes) -> tuple[Any, Validity]:
    """Parse one JSON text, whatever is wrong with it; never fails.

    Returns:
        The value, and how valid the text was. The value of a damaged text may lack parts; the caller still has the text
        itself. If a key occurs twice in an object, the object holds both values, as `key` and `key_2`.
    """
    try:
        return _parse_strictly(data), Validity.VALID
    except (ValueError, RecursionError):
        return _parse_leniently(decode_json(data))


def _parse_strictly(data: bytes) -> Any:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        # orjson also refuses what other JSON writers produce: lone surrogates, NaN, strings that are not UTF-8
        if data.isascii() and not _REFUSED_BY_ORJSON.search(data):
            raise
    else:
        if not may_repeat_keys(data, value):
            return value
    return json.loads(decode_json(data), object_pairs_hook=_object_with_all_keys)


def parse_children(region: bytes, opening: bytes, patterns: StringPatterns) -> Iterator[tuple[Any, Validity, bytes]]:
    """Parse the children of a container from the text between its brackets: all at once if they are valid.

    Args:
        region: whole children with their commas.
        opening: the opening bracket of the container.
        patterns: for the quotes of the text.

    Yields:
        A list (for an array) or an object (for an object) of children, how valid their text was, and that text.
    """
    region = region.strip(BLANKS_AND_COMMAS)
    if not region:
        return
    closing = b"]" if opening == b"[" else b"}"
    try:
        yield _parse_strictly(opening + region + closing), Validity.VALID, region
    except (ValueError, RecursionError):
        # parse each part by itself, so that a broken child does not affect the others
        for part in _split_after_brackets(region, patterns):
            value, validity = parse_json(opening + part + closing)
            yield value, validity, part


def _split_after_brackets(region: bytes, patterns: StringPatterns) -> Iterator[bytes]:
    """Split text behind each closing bracket that no other bracket encloses."""
    at = begin = depth = 0
    while at < len(region):
        # the pattern also matches an empty string
        at = patterns.to_bracket.match(region, at).end()  # type: ignore[union-attr]
        if at == len(region):
            break
        char = region[at]
        if char == patterns.quote:
            found = patterns.final_string_end.match(region, at + 1)
            at = found.end() if found else len(region)
            continue
        at += 1
        depth = depth + 1 if char in b"{[" else max(0, depth - 1)
        if not depth:
            if part := region[begin:at].strip(BLANKS_AND_COMMAS):
                yield part
            begin = at
    if part := region[begin:].strip(BLANKS_AND_COMMAS):
        yield part


def decode_json(data: bytes) -> str:
    """Decode JSON text as UTF-8; only the strings that are not valid UTF-8 are decoded as windows-1252."""
    return repair(data, b'"').decode()


def may_repeat_keys(data: bytes, value: Any) -> bool:
    """Whether an object may hold a key twice: orjson keeps only the last value and does not report it."""
    written = data.count(b'":')
    count = 0
    open_: list[Any] = [value] if type(value) in (dict, list) else []
    while open_:
        node = open_.pop()
        if type(node) is dict:
            count += len(node)
            node = node.values()
        open_ += [each for each in node if type(each) is dict or type(each) is list]
    if count == written:
        return False
    return count != len(re.findall(rb'"\s*+:', data))


def _object_with_all_keys(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for key, value in pairs:
        _add_pair(found, counts, key, value)
    return found


def _add_pair(found: dict[str, Any], counts: dict[str, int], key: str, value: Any) -> None:
    """Add a value; a key that the object already has gets a number. `counts` keeps the search for the number linear."""
    if key not in found:
        found[key] = value
        return
    number = counts.get(key, 1) + 1
    while f"{key}_{number}" in found:
        number += 1
    counts[key] = number
    found[f"{key}_{number}"] = value


@dataclass(frozen=True, slots=True)
class StringPatterns:
    """Patterns that find the ends of strings and the brackets outside of strings.

    A quote ends a string only if JSON can continue after it: a comma, a colon, a closing bracket or a comment must
    follow. For valid JSON this makes no difference. If a quote is missing or superfluous, the next string is read
    correctly again; otherwise strings and the text between them would be confused up to the end of the file.

    Attributes:
        quote: the character around strings.
        to_bracket: matches up to the next bracket, or to a string without a proper end.
        to_last_comma: matches up to the last comma, in text without brackets.
        string_end: matches from inside a string to its end.
        final_string_end: as `string_end`, but the string may also end where the text ends.
    """

    quote: int
    to_bracket: re.Pattern[bytes]
    to_last_comma: re.Pattern[bytes]
    string_end: re.Pattern[bytes]
    final_string_end: re.Pattern[bytes]

    @classmethod
    def for_quote(cls, quote: bytes) -> StringPatterns:
        """The patterns for text whose strings are in these quotes."""
        inner = rb"[^Q\\]*+(?:\\.[^Q\\]*+)*+"
        string = rb"Q" + inner + rb"Q(?=\s*+(?:[,:}\]]|/[/*]))"
        end = rb"(?:[^Q\\]++|\\.|Q(?!\s*+(?:[,:}\]]|/[/*]LAST)))*+Q"
        return cls(
            quote[0],
            *(
                possessive(pattern.replace(b"Q", quote), re.DOTALL)
                for pattern in (
                    rb"[^Q{}\[\]]*+(?:" + string + rb"[^Q{}\[\]]*+)*+",
                    rb"(?:[^Q,]*+(?:" + string + rb"[^Q,]*+)*+,)*+",
                    end.replace(b"LAST", b""),
                    end.replace(b"LAST", rb"|\Z"),
                )
            ),
        )


# --- lenient parsing of text that is not valid JSON ------------------------------------------------------------------


class _OpenContainer:
    """A container that has begun and not ended."""

    __slots__ = ("counts", "key", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.key: str | None = None
        self.counts: dict[str, int] = {}


class _Builder:
    """Builds values from tokens; it does not recurse, because an attacker chooses how deep the input is nested."""

    def __init__(self) -> None:
        self.open: list[_OpenContainer] = []
        self.done: list[Any] = []
        self.validity = Validity.NONSTANDARD

    def add_value(self, value: Any) -> None:
        """Add a value to the innermost open container, or to the finished values."""
        if not self.open:
            self.done.append(value)
            return
        top = self.open[-1]
        if type(top.value) is list:
            top.value.append(value)
        elif top.key is not None:
            _add_pair(top.value, top.counts, top.key, value)
            top.key = None
        else:
            # a value without a key
            self.validity = Validity.DAMAGED
            _add_pair(top.value, top.counts, "", value)

    def open_container(self, value: Any) -> None:
        """Begin a list or an object."""
        self.add_value(value)
        self.open.append(_OpenContainer(value))

    def close_container(self, kind: type) -> None:
        """End the innermost container at a closing bracket, which may be of the wrong kind."""
        if not self.open:
            self.validity = Validity.DAMAGED
            return
        top = self.open[-1]
        if type(top.value) is not kind:
            self.validity = Validity.DAMAGED
            if len(self.open) < 2 or type(self.open[-2].value) is not kind:
                return
            self.keep_unused_key(self.open.pop())
        self.keep_unused_key(self.open.pop())

    def keep_unused_key(self, top: _OpenContainer) -> None:
        """Keep a key that got no value, as a value without a key."""
        if top.key is not None:
            self.validity = Validity.DAMAGED
            _add_pair(top.value, top.counts, "", top.key)


def _parse_leniently(text: str) -> tuple[Any, Validity]:
    made = _Builder()
    for (kind, word), following in pairwise(chain(_tokens(text), [("end", "")])):
        if kind == "mark":
            if word == "{":
                made.open_container({})
            elif word == "[":
                made.open_container([])
            elif word == "}":
                made.close_container(dict)
            elif word == "]":
                made.close_container(list)
            if len(made.open) > MAX_DEPTH:
                # no exporter nests so deep; callers still examine the text
                made.validity = Validity.DAMAGED
                break
            continue
        if kind == "junk":
            made.validity = Validity.DAMAGED
            continue
        top = made.open[-1] if made.open else None
        if (
            following == ("mark", ":")
            and top is not None
            and type(top.value) is dict
            and (kind != "bare" or _BARE_KEY.fullmatch(word) or word.isdigit())
        ):
            made.keep_unused_key(top)
            top.key = word
        elif kind != "bare":
            made.add_value(word)
        elif word in _CONSTANTS:
            made.add_value(_CONSTANTS[word])
        else:
            if word not in _NOT_NUMBERS and not _NUMBER.fullmatch(word):
                made.validity = Validity.DAMAGED
            made.add_value(word)
    if made.open:
        made.validity = Validity.DAMAGED
        while made.open:
            made.keep_unused_key(made.open.pop())
    if len(made.done) != 1:
        return made.done, Validity.DAMAGED
    return made.done[0], made.validity


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup or "junk"
        if kind == "skip":
            continue
        word = found[kind]
        if kind == "arrow":
            # as Perl, Ruby and PHP write a colon
            yield "mark", ":"
            continue
        if kind == "double" and '"' in word and _STRAY_QUOTE.match(word):
            # there is a quote inside the string, so its end was guessed
            yield "junk", ""
        if kind == "call":
            # JavaScript counts months from 0, and Python from 1
            year, month, day = (int(part) for part in word.split(",")[:3])
            yield "string", f"{year}-{month + ('Date' in found[0]):02}-{day:02}"
        elif kind in ("double", "single"):
            yield "string", unescape_string(word)
        else:
            yield kind, word


def unescape_string(text: str) -> str:
    """Resolve the escapes of a JSON string; an unknown escape becomes its letter."""
    if "\\" not in text:
        return text
    plain = _ESCAPE.sub(_unescaped, text)
    if _SURROGATE.search(plain):
        plain = plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return plain


def _unescaped(found: re.Match[str]) -> str:
    if digits := found[1] or found[2]:
        return chr(int(digits, 16))
    return _SHORT_ESCAPES.get(found[3], found[3] or "")
