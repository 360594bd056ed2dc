"""The closed vocabulary of process boundaries: names of formats, codes of problems, sentences, and bounded numbers.

What a process that parses hostile bytes reports is stored and shown only as far as it consists of these. A sentence is
rebuilt from the words of our own source code, which `scripts/vocabulary.py` collects in `vocabulary.json`; of values
inside a sentence only small or rounded numbers, names of formats and errors, codes and keyed ids remain.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Self

import orjson

HIDDEN = "…"
"""Stands in a sentence for a value that is not of the closed vocabulary."""
INVALID = "invalid"
"""The code of problems that report that a process sent something invalid."""
MAX_SENTENCE = 400
# A telephone number has 9 digits or more, a social security number 13 or 15: no count is kept exactly from here on.
EXACT_BELOW = 10**8
# Inside sentences numbers matter less, and dates of birth have 6 digits or 8.
EXACT_IN_SENTENCE = 10_000
_SLOT = "\0"
_MAX_SLOTS = 4
_MAX_ITEMS = 64
_NUMBER = re.compile(r"(?:about )?(\d{1,3}(?:,\d{3}){0,6}|\d{1,21})(\.\d{1,4})?(?:e-\d\d)?( ?%)?")
_KEYED = re.compile(r"\[[0-9a-f]{6,32}\]")
_TIMES = re.compile(r"(.+) \((.+) times\)")
_PLAIN_WORD = re.compile(r"[A-Za-z][A-Za-z-]{1,30}")
# "email (12)" and "surname 0.35%": a kind of value and a number
_KIND_AND_NUMBER = re.compile(r"([a-z+]+) (\(?)([^()]+)(\)?)")


def rounded(number: int, exact_below: int = EXACT_BELOW) -> int:
    """A number with three significant digits if it is not below `exact_below`, so that it cannot be an identifier."""
    if abs(number) < exact_below:
        return number
    unit: int = 10 ** (len(str(abs(number))) - 3)
    return (number + unit // 2) // unit * unit


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words that may cross a process boundary.

    Attributes:
        formats: names of formats. codes: of problems and troubles. errors: names of exception classes.
        kinds: of values and record keys.
        sentences: without values. templates: what stands around the values of the others, most specific first.
        words: single words of all sentences.
    """

    formats: frozenset[str]
    codes: frozenset[str]
    errors: frozenset[str]
    kinds: frozenset[str]
    sentences: frozenset[str]
    templates: tuple[tuple[str, ...], ...]
    words: frozenset[str]

    @classmethod
    def of(
        cls, formats: list[str], codes: list[str], errors: list[str], kinds: list[str], sentences: list[str]
    ) -> Self:
        """From the lists of `vocabulary.json`, where NUL stands for each value in a sentence."""
        templates = sorted(
            (each for each in sentences if _SLOT in each), key=lambda text: len(text.replace(_SLOT, "")), reverse=True
        )
        return cls(
            frozenset(formats),
            frozenset([*codes, INVALID]),
            frozenset(errors),
            frozenset(kinds),
            frozenset(each for each in sentences if _SLOT not in each),
            tuple(tuple(each.split(_SLOT)) for each in templates if each.count(_SLOT) <= _MAX_SLOTS),
            frozenset(word for each in sentences for word in re.findall(r"[A-Za-z][A-Za-z-]+", each)),
        )

    def clean(self, text: str, words: Collection[str] = (), depth: int = 2) -> str | None:
        """The sentence as it may be stored; None if it is not one of ours.

        Args:
            text: as another process sent it.
            words: further values that may stand in it, which this process knows by itself.
            depth: how many sentences may stand inside each other.
        """
        if len(text) > MAX_SENTENCE:
            return None
        if text in self.sentences or not text:
            return text
        code, separator, sentence = text.partition(": ")
        if depth and separator and code in self.codes:
            inner = self.clean(sentence, words, depth - 1)
            return None if inner is None else f"{code}: {inner}"
        if (match := _TIMES.fullmatch(text)) and (inner := self.clean(match[1], words, depth)) is not None:
            return f"{inner} ({self._clean_value(match[2], words, 0)} times)"
        for literals in self.templates:
            # most are told apart by how they begin and end, and their expressions are never made
            if not (text.startswith(literals[0]) and text.endswith(literals[-1])):
                continue
            if match := _pattern(literals).fullmatch(text):
                values = [self._clean_value(value, words, depth) for value in match.groups()]
                pairs = zip(literals, [*values, ""], strict=True)
                return "".join(literal + value for literal, value in pairs)
        if depth and "; " in text:
            parts = [self.clean(part, words, depth - 1) for part in text.split("; ", 3)]
            return "; ".join(part for part in parts if part is not None) if None not in parts else None
        return None

    def _clean_value(self, value: str, words: Collection[str], depth: int) -> str:
        """One value inside a sentence, `…` if nothing says that it is harmless."""
        if not value:
            return ""
        if match := _NUMBER.fullmatch(value):
            return _bounded(match)
        if any(value in each for each in (words, self.formats, self.codes, self.errors, self.kinds)):
            return value
        if _KEYED.fullmatch(value) or value == HIDDEN:
            return value
        if (match := _KIND_AND_NUMBER.fullmatch(value)) and match[1] in self.kinds and _NUMBER.fullmatch(match[3]):
            return f"{match[1]} {match[2]}{self._clean_value(match[3], (), 0)}{match[4]}"
        number, _, rest = value.partition(" ")
        if rest and _NUMBER.fullmatch(number) and len(rest) < 40 and self._are_words(rest):
            return f"{self._clean_value(number, (), 0)} {rest}"
        for separator in (", ", " and "):
            if separator in value:
                items = value.split(separator, _MAX_ITEMS)[:_MAX_ITEMS]
                return separator.join(self._clean_value(item, words, depth) for item in items)
        return (self.clean(value, words, depth - 1) if depth else None) or HIDDEN

    def _are_words(self, text: str) -> bool:
        singular = (word if word in self.words else word.removesuffix("s") for word in text.split(" "))
        return all(_PLAIN_WORD.fullmatch(word) and word in self.words for word in singular)


@cache
def _pattern(literals: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("(.{0,200}?)".join(map(re.escape, literals)), re.DOTALL)


def _bounded(match: re.Match[str]) -> str:
    number = int(match[1].replace(",", ""))
    if number < EXACT_IN_SENTENCE:
        return match[0].removeprefix("about ")
    return f"about {rounded(number, EXACT_IN_SENTENCE):,}{match[3] or ''}"


@cache
def vocabulary() -> Vocabulary:
    """The vocabulary of this Tocsin."""
    return Vocabulary.of(**orjson.loads((files("data") / "vocabulary.json").read_bytes()))


@lru_cache(maxsize=4096)
def known_sentence(text: str) -> str | None:
    """A sentence about a problem as it may be stored and shown; None if our source code has no such sentence."""
    return vocabulary().clean(text)


def known_problem(problem: str) -> str | None:
    """A problem "code: sentence" as it may be stored and shown; None if its code or its sentence is not ours."""
    code, _, sentence = problem.partition(": ")
    clean = known_sentence(sentence) if code in vocabulary().codes else None
    return None if clean is None else f"{code}: {clean}"
