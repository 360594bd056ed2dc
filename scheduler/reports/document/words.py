"""All words of the report in English and in French, and how each language writes numbers, shares and times.

The words are in `catalogue.toml`: one entry for each sentence, with both languages side by side. `{n}` and other places
are filled in; an entry of the form "one | many" is chosen by `n`.
"""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib.resources import files

LANGUAGES = ("en", "fr")
MAX_NAME = 80
"""Characters of a name that others chose; a longer one is cut."""
_THIN, _HARD = "\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}"
_PLURAL = " | "


@functools.cache
def catalogue() -> Mapping[str, Mapping[str, str]]:
    """Every entry by its key: language -> text."""
    return tomllib.loads(files(__package__).joinpath("catalogue.toml").read_text(encoding="utf-8"))


class Words:
    """The words of one language.

    Attributes:
        language: one of `LANGUAGES`; the `lang` of the page.
    """

    def __init__(self, language: str) -> None:
        if language not in LANGUAGES:
            raise ValueError(f"the report is not written in {language}")
        self.language = language

    def __call__(self, key: str, /, **values: object) -> str:
        """The text of an entry with its places filled in; numbers and times as the language writes them."""
        text = catalogue()[key][self.language]
        if _PLURAL in text:
            number = values["n"]
            if not isinstance(number, int):
                raise TypeError(f"{key} needs a number n")
            one, many = text.split(_PLURAL)
            # French counts 0 as one, English as many
            is_one = number in ({0, 1} if self.language == "fr" else {1})
            text = one if is_one else many
        return text.format(**{name: self._value(value) for name, value in values.items()})

    def _value(self, value: object) -> str:
        if isinstance(value, int):
            return self.number(value)
        return self.time(value) if isinstance(value, datetime) else str(value)

    def number(self, number: int) -> str:
        """`15,000` in English, `15 000` in French, with a space at which no line breaks."""
        return f"{number:,}".replace(",", _THIN if self.language == "fr" else ",")

    def percent(self, share: float, *, up: bool = False) -> str:
        """A share in percent, to one decimal place; rounded down, or up for an upper bound."""
        tenths = math.ceil(share * 1000 - 1e-9) if up else math.floor(share * 1000 + 1e-9)
        text = f"{tenths / 10:g}"
        return f"{text.replace('.', ',')}{_THIN}%" if self.language == "fr" else f"{text}{_HARD}%"

    def share(self, bounds: tuple[float, float]) -> str:
        """`3.1 % to 9.9 %`."""
        return self("share_range", low=self.percent(bounds[0]), high=self.percent(bounds[1], up=True))

    def interval(self, low: int, high: int) -> str:
        """`1,200 to 1,300`; one number if both are the same."""
        return self.number(low) if low == high else self("range", low=low, high=high)

    def estimate(self, best: int, low: int, high: int) -> str:
        """`1,250 (1,200 to 1,300)`; the number alone if it is exact."""
        return self.number(best) if low == high == best else self("estimate", best=best, low=low, high=high)

    def bounds(self, best: int, low: int, high: int) -> str:
        """` (between 1,200 and 1,300)`; nothing if the number is exact."""
        return "" if low == high == best else self("sum_bounds", low=low, high=high)

    def date(self, at: datetime) -> str:
        """`30 November 2026`, in UTC."""
        at = at.astimezone(UTC)
        month = self("months").split()[at.month - 1]
        first = "1er" if self.language == "fr" and at.day == 1 else str(at.day)
        return f"{first}{_HARD}{month}{_HARD}{at.year}"

    def time(self, at: datetime) -> str:
        """`30 November 2026, 07:14 UTC`."""
        return self("at_time", day=self.date(at), clock=f"{at.astimezone(UTC):%H:%M}")

    def short(self, at: datetime) -> str:
        """`2026-11-30 07:14`, in UTC: the form for tables."""
        return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"

    def span(self, length: timedelta) -> str:
        """A length of time in its two largest units: `2 d 3 h`, `45 min`."""
        minutes = max(0, int(length.total_seconds() // 60))
        days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
        parts = [(days, "unit_day"), (hours, "unit_hour"), (minutes, "unit_minute")]
        shown = [(number, unit) for number, unit in parts if number][:2] or [(0, "unit_minute")]
        return _HARD.join(f"{self.number(number)}{_HARD}{self(unit)}" for number, unit in shown)
