"""Phrases by key in one language, and how that language writes numbers, shares, times and plurals.

What is no phrase stays as it is: names, ids, commands, and the reasons that programs gave for a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from crawler.alerts.phrases import english, french
from data.plural import percent

Catalogue = Mapping[str, str | tuple[str, str]]
"""Key -> phrase with `{names}` of values; a noun has a phrase for one and one for any other number."""


@dataclass(frozen=True, slots=True)
class Phrases:
    """One language.

    Attributes:
        language: its code. catalogue: its phrases.
        thousands, decimal: what separates groups of digits, and the fraction.
        time_format: for `datetime.strftime`. is_one: whether a number takes the singular.
    """

    language: str
    catalogue: Catalogue
    thousands: str
    decimal: str
    time_format: str
    is_one: Callable[[int], bool]

    def __call__(self, key: str, **values: Any) -> str:
        """The phrase of a key with its values; whole numbers are written as the language writes them.

        Raises:
            KeyError: there is no such key.
        """
        phrase = self.catalogue[key]
        if isinstance(phrase, tuple):
            raise KeyError(f"{key} is a noun: use `count`")
        return phrase.format(**{name: self._shown(value) for name, value in values.items()})

    def get(self, key: str, otherwise: str) -> str:
        """The phrase of a key without values, or another text if there is no such key."""
        found = self.catalogue.get(key, otherwise)
        return found if isinstance(found, str) else otherwise

    def count(self, noun: str, number: int) -> str:
        """`1 record`, `2,000 records`: a number with its noun."""
        phrase = self.catalogue[f"noun.{noun}"]
        if isinstance(phrase, str):
            raise KeyError(f"{noun} has no plural")
        return phrase[0 if self.is_one(number) else 1].format(n=self.number(number))

    def number(self, number: int) -> str:
        """A whole number with its digits in groups of three."""
        return f"{number:,}".replace(",", self.thousands)

    def percent(self, share: float, digits: int = 1) -> str:
        """A share, 0..1, in percent, rounded down as in reports."""
        shown = percent(share, digits).removesuffix("%").replace(".", self.decimal)
        return self("percent", number=shown)

    def time(self, iso: str) -> str:
        """A time in ISO 8601 as people read it, in UTC to the minute; '' for no time."""
        try:
            return datetime.fromisoformat(iso).strftime(self.time_format)
        except ValueError:
            return ""

    def _shown(self, value: Any) -> Any:
        return self.number(value) if isinstance(value, int) and not isinstance(value, bool) else value


@cache
def phrases_in(language: str) -> Phrases:
    """The phrases of a language: `en` or `fr`.

    Raises:
        KeyError: there is no such language.
    """
    return {
        "en": Phrases("en", english.PHRASES, ",", ".", "%Y-%m-%d %H:%M UTC", lambda number: number == 1),
        # 0 and 1 take the singular; digits are grouped by spaces (Lexique des règles typographiques)
        "fr": Phrases("fr", french.PHRASES, " ", ",", "%d/%m/%Y %H:%M UTC", lambda number: abs(number) < 2),
    }[language]
