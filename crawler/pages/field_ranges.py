"""What the fields of a post may hold at rest: words of closed lists, keyed digests, and numbers in a stated range.

`crawler.pages.post_fields` makes the fields, and the runner checks those that a crawl process sends. A number that is
shown on a page may be anything: a telephone number in place of a size, a date of birth in place of a counter. So every
number has a range for what it claims to be, and a large one keeps three digits; a keyed digest of the exact values
tells whether they changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from data.errors import WireError
from data.vocabulary import EXACT_IN_SENTENCE, rounded

# Upper bounds: bytes of a size, records or files that a page counts, an amount of money.
MAX_SIZE, MAX_RECORDS, MAX_FILES, MAX_PRICE = 2**50, 10**10, 10**7, 10**9
MAX_ITEMS = 64
# Value of {page} or {offset} of a page of a post: too few digits for somebody's telephone number or date of birth.
MAX_PAGE_OF_ITEM = 10**7 - 1
# A countdown ends in the coming years, or ended not long ago. Its precision is at most a year and a half.
OLDEST_TIMER, LATEST_TIMER = timedelta(days=400), timedelta(days=5 * 366)
MAX_PRECISION = 800_000
# A post may be reported long after its row was read, by another clock.
SLACK = timedelta(days=30)
# Signs of a further part, which `crawler.pages.post_fields` finds in texts.
MARKS = frozenset(
    ["auction", "free", "full", "mirror", "new", "password", "proof", "rest", "sold", "torrent", "updated"]
)
CURRENCIES = frozenset(["btc", "eur", "gbp", "usd", "xmr"])
_DIGEST = re.compile(r"[0-9a-f]{12}")
_PART = re.compile(r"part (?:… )?\d{1,3}")
_EXTRA = re.compile(r"extra [A-Za-z_][A-Za-z0-9_-]{0,40}")


def bounded_number(number: int, limit: int) -> int | None:
    """A number of a page as it may be stored: with three digits if it is large; None if it is out of its range."""
    return rounded(number, EXACT_IN_SENTENCE) if 0 <= number < limit else None


def is_timer(end: int, precision: int, now: datetime, slack: timedelta = timedelta()) -> bool:
    """Whether a countdown may end then (minutes since 1970), with such a precision (minutes)."""
    minutes = now.astimezone(UTC).timestamp() / 60
    earliest, latest = (minutes + span.total_seconds() / 60 for span in (-OLDEST_TIMER - slack, LATEST_TIMER + slack))
    return earliest <= end <= latest and 1 <= precision <= MAX_PRECISION


def require_fields(fields: Mapping[str, Any], names: Collection[str], now: datetime) -> None:
    """Return if every field holds what `crawler.pages.post_fields` can have made.

    Args:
        fields: as a crawl process sent them.
        names: of the further fields that the source's definition declares.
        now: aware UTC.

    Raises:
        WireError: a field is unknown, or has a value that it cannot have.
    """
    for name, value in fields.items():
        if name == "timer":
            sound = _is_list(value, 2, _is_number) and len(value) == 2 and is_timer(value[0], value[1], now, SLACK)
        elif name == "read":
            sound = value == 1
        elif name in _LISTS:
            sound = _is_list(value, MAX_ITEMS, _LISTS[name])
        elif name in _DIGESTS or (_EXTRA.fullmatch(name) and name.removeprefix("extra ") in {*names, *_OF_PLATFORMS}):
            sound = _is_digest(value)
        else:
            sound = False
        if not sound:
            raise WireError("the crawl process sent a field of a post with a value that it cannot have")


def _is_list(value: object, most: int, check: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) <= most and all(check(each) for each in value)


def _is_number(value: object) -> bool:
    return type(value) is int


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and bool(_DIGEST.fullmatch(value))


def _in_range(limit: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and bounded_number(value, limit) == value


def _is_price(value: object) -> bool:
    currency, _, amount = value.partition(" ") if isinstance(value, str) else ("", "", "")
    return currency in CURRENCIES and amount.isdecimal() and len(amount) < 12 and _in_range(MAX_PRICE)(int(amount))


_LISTS: Mapping[str, Callable[[Any], bool]] = {
    "part": lambda value: isinstance(value, str) and (value in MARKS or bool(_PART.fullmatch(value))),
    "links": _is_digest,
    "size": lambda value: _in_range(MAX_SIZE)(value) or _is_digest(value),
    "records": _in_range(MAX_RECORDS),
    "percent": lambda value: type(value) is int and 0 <= value <= 100,
    "price": _is_price,
    "files": lambda value: _in_range(MAX_FILES)(value) or _is_digest(value),
}
# Further fields that are added to what a definition declares: the time of a file of a folder, sizes and times of the parts of a divided file.
_OF_PLATFORMS = frozenset(["timer", "mtime", "parts"])
_DIGESTS = frozenset(["title", "text", "address", "magnet", "state", "exact", "last"])
