"""JSON text to values, also where it is not quite JSON: nothing is lost, and how far it was off is told.

Where text begins and ends is left to `json_cutter`, what values mean to `json_records`.
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
"""Levels at which reading a value ends."""

BLANK = b" \t\r\n\f\v,"
"""What may stand around a child of a container."""
_PARDON = re.compile(rb"\\[uU][dD][89a-fA-F]|NaN|Infinity")
_TOKEN = possessive(
    r"""(?:
      (?P<mark>[{}\[\]:,])
    | "(?P<double>(?:[^"\\]++|\\.|"(?!\s*+(?:[,:}\])]|/[/*]|\Z)))*+)(?:"|\\?\Z)
    | '(?P<single>(?:[^'\\]++|\\.|'(?!\s*+(?:[,:}\])]|/[/*]|\Z)))*+)(?:'|\\?\Z)
    | (?P<skip>\s++|//[^\n]*+|/\*.*?(?:\*/|\Z)|\#[^\n]*+|new\s++(?=[A-Z])|[A-Za-z_$][\w$.]*+\s*+\(|\)|;)
    | (?P<bare>[^\s{}\[\]:,"'()]++)
    | (?P<junk>.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_STRAY = possessive(r'(?:[^"\\]++|\\.)*+"', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.)|\Z)", re.DOTALL)
_SHORT = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_NAME = re.compile(r"[^\W\d][\w$.-]*")
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
# numbers that are none keep their word, so that nothing of them is lost
_WORDS = frozenset({"NaN", "nan", "Infinity", "inf"})


class Trust(IntEnum):
    """How far text was JSON: as its standard says; only in what it means; not to be understood whole."""

    GOOD = 0
    LOOSE = 1
    DAMAGED = 2


def parse(data: bytes) -> tuple[Any, Trust]:
    """The value of a JSON text, whatever is wrong with it.

    Returns:
        The value and what to think of it. Of a damaged one parts may be missing: its text says what was there. A key
        that comes twice in an object is there as `key` and `key_2`.
    """
    try:
        return _strict(data), Trust.GOOD
    except (ValueError, RecursionError):
        return _read(text_of(data))


def _strict(data: bytes) -> Any:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        # it also refuses what other writers let through: lone surrogates, NaN, strings that are no UTF-8
        if data.isascii() and not _PARDON.search(data):
            raise
    else:
        if not may_repeat(data, value):
            return value
    return json.loads(text_of(data), object_pairs_hook=_object)


def members(region: bytes, kind: bytes, signs: Signs) -> Iterator[tuple[Any, Trust, bytes]]:
    """The children of a container from the text between its brackets, all at once where they are good.

    Args:
        region: whole children with their commas.
        kind: the opening bracket.
        signs: of the text.

    Yields:
        A list (of an array) or an object (of an object), what to think of it, and its text.
    """
    region = region.strip(BLANK)
    if not region:
        return
    close = b"]" if kind == b"[" else b"}"
    try:
        yield _strict(kind + region + close), Trust.GOOD, region
    except (ValueError, RecursionError):
        # one child that is broken costs itself
        for part in _parts(region, signs):
            value, trust = parse(kind + part + close)
            yield value, trust, part


def _parts(region: bytes, signs: Signs) -> Iterator[bytes]:
    """Text cut behind each closing bracket that has nothing open around it."""
    at = begin = depth = 0
    while at < len(region):
        at = signs.run.match(region, at).end()  # type: ignore[union-attr] # it matches no byte at least
        if at == len(region):
            break
        sign = region[at]
        if sign == signs.quote:
            found = signs.last_end.match(region, at + 1)
            at = found.end() if found else len(region)
            continue
        at += 1
        depth = depth + 1 if sign in b"{[" else max(0, depth - 1)
        if not depth:
            if part := region[begin:at].strip(BLANK):
                yield part
            begin = at
    if part := region[begin:].strip(BLANK):
        yield part


def text_of(data: bytes) -> str:
    """Bytes of JSON text as text; a string that is no UTF-8 is read as windows-1252, and it alone."""
    return repair(data, b'"').decode()


def may_repeat(data: bytes, value: Any) -> bool:
    """Whether a key may have come twice in an object: orjson keeps the last without a word."""
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


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for key, value in pairs:
        _put(found, counts, key, value)
    return found


def _put(found: dict[str, Any], counts: dict[str, int], key: str, value: Any) -> None:
    """Keep a key that was there already under a name of its own; the count keeps the work linear."""
    if key not in found:
        found[key] = value
        return
    number = counts.get(key, 1) + 1
    while f"{key}_{number}" in found:
        number += 1
    counts[key] = number
    found[f"{key}_{number}"] = value


@dataclass(frozen=True, slots=True)
class Signs:
    """Where strings and containers begin and end.

    A quote ends a string only where JSON goes on behind it. For JSON that says nothing; where a quote is missing or one
    too many, the next string is right again, in place of everything being inside out to the end of the file.

    Attributes:
        quote: around strings. run: all up to the next bracket, or to a string that does not end well. commas: all up to
        the last comma, where there are no brackets. end, last_end: from within a string to its end; the latter where
        the text ends behind it.
    """

    quote: int
    run: re.Pattern[bytes]
    commas: re.Pattern[bytes]
    end: re.Pattern[bytes]
    last_end: re.Pattern[bytes]

    @classmethod
    def of(cls, quote: bytes) -> Signs:
        """For text with these quotes."""
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


# --- what is not JSON ------------------------------------------------------------------------------------------------


class _Open:
    """A container that has begun and not ended."""

    __slots__ = ("counts", "key", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.key: str | None = None
        self.counts: dict[str, int] = {}


class _Builder:
    """Values from tokens, without recursion: depth is hostile."""

    def __init__(self) -> None:
        self.open: list[_Open] = []
        self.done: list[Any] = []
        self.trust = Trust.LOOSE

    def put(self, value: Any) -> None:
        """A value at this place."""
        if not self.open:
            self.done.append(value)
            return
        top = self.open[-1]
        if type(top.value) is list:
            top.value.append(value)
        elif top.key is not None:
            _put(top.value, top.counts, top.key, value)
            top.key = None
        else:
            # a value without a key
            self.trust = Trust.DAMAGED
            _put(top.value, top.counts, "", value)

    def begin(self, value: Any) -> None:
        """A container at this place."""
        self.put(value)
        self.open.append(_Open(value))

    def end(self, kind: type) -> None:
        """A closing bracket, which may be the wrong one."""
        if not self.open:
            self.trust = Trust.DAMAGED
            return
        top = self.open[-1]
        if type(top.value) is not kind:
            self.trust = Trust.DAMAGED
            if len(self.open) < 2 or type(self.open[-2].value) is not kind:
                return
            self.settle(self.open.pop())
        self.settle(self.open.pop())

    def settle(self, top: _Open) -> None:
        """A key without a value is a value."""
        if top.key is not None:
            self.trust = Trust.DAMAGED
            _put(top.value, top.counts, "", top.key)


def _read(text: str) -> tuple[Any, Trust]:
    made = _Builder()
    for (kind, word), following in pairwise(chain(_tokens(text), [("end", "")])):
        if kind == "mark":
            if word == "{":
                made.begin({})
            elif word == "[":
                made.begin([])
            elif word == "}":
                made.end(dict)
            elif word == "]":
                made.end(list)
            if len(made.open) > MAX_DEPTH:
                # no exporter writes so; what it holds is still there as text
                made.trust = Trust.DAMAGED
                break
            continue
        if kind == "junk":
            made.trust = Trust.DAMAGED
            continue
        top = made.open[-1] if made.open else None
        if (
            following == ("mark", ":")
            and top is not None
            and type(top.value) is dict
            and (kind != "bare" or _NAME.fullmatch(word) or word.isdigit())
        ):
            made.settle(top)
            top.key = word
        elif kind != "bare":
            made.put(word)
        elif word in _CONSTANTS:
            made.put(_CONSTANTS[word])
        else:
            if word not in _WORDS and not _NUMBER.fullmatch(word):
                made.trust = Trust.DAMAGED
            made.put(word)
    if made.open:
        made.trust = Trust.DAMAGED
        while made.open:
            made.settle(made.open.pop())
    if len(made.done) != 1:
        return made.done, Trust.DAMAGED
    return made.done[0], made.trust


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup or "junk"
        if kind == "skip":
            continue
        word = found[kind]
        if kind == "double" and '"' in word and _STRAY.match(word):
            # where it ends was guessed
            yield "junk", ""
        if kind in ("double", "single"):
            yield "string", unescape(word)
        else:
            yield kind, word


def unescape(text: str) -> str:
    """The text of a JSON string; escapes that nobody knows stand for their letter."""
    if "\\" not in text:
        return text
    plain = _ESCAPE.sub(_one, text)
    if _SURROGATE.search(plain):
        plain = plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return plain


def _one(found: re.Match[str]) -> str:
    if found[1]:
        return chr(int(found[1], 16))
    return _SHORT.get(found[2], found[2] or "")
