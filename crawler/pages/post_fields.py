"""Takes a post apart into fields that may be stored: words of a closed list, numbers and keyed digests, never its text.

Other trackers of leak sites ignore "part 2", "full data" or a new link on a known listing. Here signs of a further
part, links, sizes, percentages, prices and countdowns are fields of their own, so that a change of each is noticed. The
rest of the text is one digest, without the words that change by themselves (times, counters). Pure; what a change of a
field means is in `data.store.post_changes`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson

from crawler.pages.extract import without_session
from crawler.pages.field_ranges import MAX_FILES, MAX_ITEMS, MAX_PRICE, MAX_RECORDS, MAX_SIZE, bounded_number, is_timer
from crawler.pages.html_text import addresses_in
from crawler.pages.post_identity import origin_of
from data.hashing.case_keys import keyed_digest
from data.identifiers.normalise import fold
from data.model import Post

# Characters of a text that are read; a longer text is a dump, which the examiner reads.
MAX_TEXT = 200_000
PAGE_FIELDS = ("part", "links", "size", "records")
OUT_OF_RANGE = "field: a number on the page is out of the range of what it claims to be, and was left out"

_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6, "vii": 7, "viii": 8, "ix": 9, "x": 10}
_PART = re.compile(
    r"\b(?:part(?:ie)?s?|pt|vol(?:ume)?|batch|lot|tranche|chunk|tome)\b[\s.:#_n°-]{0,4}(\d{1,3}|[ivx]{1,4})\b"
    r"(?:\s*(?:-|–|\.{2,3}|to|a|of|sur|de|/)\s*(\d{1,3})\b)?"
)
# Signs of a further part, and how each is written in folded English and French text.
_MARKS = {
    "full": r"\bfull (?:data|dump|leak|db|database|base|release|archive|version|set|pack)\b|\b(?:complete|whole|entire)"
    r" (?:data|dump|leak|database|base|archive|set)\b|\b(?:fuite|base|archive|version|fichier)s? (?:complete|integrale"
    r"|entiere)s?\b|\b100 ?% published\b",
    "updated": r"\bupdated?\b|\bmise? a jour\b|\bmaj\b|\bedit(?:ed)?\s*:",
    "free": r"\bfor free\b|\bfree download\b|\bnow (?:free|public)\b|\bgratuit(?:e|ement)?\b|\bpublished\b"
    r"|\bpublie[es]?\b|\breleased\b|\bleaked\b",
    "sold": r"\bsold\b|\bvendu[es]?\b",
    "torrent": r"\btorrent\b",
    "mirror": r"\bmirrors?\b|\bmiroirs?\b|\bre-?up(?:load(?:ed)?)?\b",
    "proof": r"\b(?:evidence|proofs?|preuves?|samples?|echantillons?)\b",
    "password": r"\bpass(?:word|code)\b|\bmot de passe\b",
    "auction": r"\bauction\b|\bbid\b|\bencheres?\b",
    "new": r"\bnew (?:data|files?|links?|parts?|leak|dump|batch)\b|\bnouve(?:au|lle)s? (?:fichiers?|donnees|liens?"
    r"|partie|fuite|lot)\b",
    "rest": r"\b(?:remaining|rest of the) (?:data|files?|part|dump)\b|\ble reste\b|\bla suite\b|\bsecond (?:part|half"
    r"|batch)\b",
}
_MARK_PATTERNS = {mark: re.compile(pattern) for mark, pattern in _MARKS.items()}
_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_SIZE = re.compile(r"(?<![\d.,])(\d{1,5}(?:[.,]\d{1,3})?)\s*([kmgt])(?:i?[bo]|(?:ega|iga|era)?(?:bytes?|octets?))\b")
_COUNT = re.compile(
    r"(?<![\d.,])([1-9]\d{0,2}(?:[ .,']\d{3}){1,3}|[1-9]\d{0,8}|[1-9]\d{0,3}(?:[.,]\d{1,2})?\s?[km])\+?\s*"
    r"(?:lines|records|rows|patients|users|people|persons|victims|entries|accounts|lignes|enregistrements|personnes"
    r"|dossiers|comptes|entrees)\b"
)
_PERCENT = re.compile(r"(?<![\d.,])(\d{1,3})(?:[.,]\d{1,2})?\s?%")
_PRICE = re.compile(
    r"(?:([$€£])\s?(\d{1,3}(?:[ ,.']\d{3}){1,2}|\d{1,6})(?:[.,]\d{2})?(k?)\b)"
    r"|(?<![\d.,])(\d{1,3}(?:[ ,.']\d{3}){1,2}|\d{1,6})(?:[.,]\d{1,4})?\s?(k?)\s?(usd|eur|euros?|dollars?|btc|xmr"
    r"|[$€£])(?![a-z])"
)
_CURRENCY = {"$": "usd", "dollar": "usd", "dollars": "usd", "€": "eur", "euro": "eur", "euros": "eur", "£": "gbp"}
_LIMITS = {"size": MAX_SIZE, "records": MAX_RECORDS, "files": MAX_FILES}
# Words of a text that change by themselves: numbers, names of days and months, how long ago, who is online.
_VOLATILE = re.compile(
    r"\d+|\b(?:mon|tues?|wed(?:nes)?|thurs?|fri|sat(?:ur)?|sun)(?:day)?\b|\b(?:lun|mar|mercre|jeu|vendre|same)di\b"
    r"|\bdimanche\b"
    r"|\b(?:jan(?:uary|vier)?|feb(?:ruary)?|fevr?(?:ier)?|mar(?:ch|s)?|apr(?:il)?|avr(?:il)?|may|mai|june?|juin|july?"
    r"|juil(?:let)?"
    r"|aug(?:ust)?|aout|sept?(?:ember|embre)?|oct(?:ober|obre)?|nov(?:ember|embre)?|dec(?:ember|embre)?)\b"
    r"|\b(?:today|yesterday|just now|ago|aujourd'?hui|hier|a l'instant|il y a|an?|am|pm|st|nd|rd|th)\b"
    r"|\b(?:second|minute|hour|day|week|month|year|seconde|heure|jour|semaine|mois|an|annee)s?\b"
    r"|\b(?:online|offline|away|en ligne|hors ligne|views?|vues?|repl(?:y|ies)|reponses?|guests?|invites?|members?"
    r"|membres?|downloads?)\b"
)
_TOKEN = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9_.%+/=-]{16,}|[0-9a-fA-F]{16,}|\d{10,}")
_SPAN = re.compile(
    r"(\d{1,4})\s*(y(?:ears?)?|ans?|mo(?:nths?|is)?|w(?:eeks?)?|sem(?:aines?)?|d(?:ays?)?|j(?:ours?)?|h(?:ours?|rs?"
    r"|eures?)?"
    r"|m(?:in(?:utes?)?)?|s(?:ec(?:ond(?:e?s)?)?)?)\b"
)
_CLOCK = re.compile(r"(?:(?:(\d{1,3})[: ]\s*)?(\d{1,3}):)?(\d{1,3}):(\d{2})$")
_MINUTES = {"y": 525_600, "a": 525_600, "mo": 43_200, "w": 10_080, "se": 10_080, "d": 1440, "j": 1440, "h": 60, "m": 1}


def listing_fields(post_key: bytes, post: Post, now: datetime, problems: Counter[str] | None = None) -> dict[str, Any]:
    """The fields of a post as its listing shows it.

    Args:
        post_key: of the case; texts become digests keyed with it.
        post: as listed.
        now: a countdown becomes the time of its end, counted from here.
        problems: counts `OUT_OF_RANGE` if a number was left out.
    """
    origin = origin_of(post.url)
    found = _fields_of_text(post_key, post.title + "\n" + post.body, (post.raw, *post.attachments), origin)
    found["title"] = _digest(post_key, _stable_words(post.title))
    found["text"] = _digest(post_key, _stable_words(post.body))
    found["address"] = _digest(post_key, plain_link(post.url, origin))
    for name, value in post.fields.items():
        _add_field(found, post_key, name, value, now)
    return _bounded(post_key, _without_empty(found), now, problems)


def text_fields(post_key: bytes, text: str, links: Iterable[str], *, origin: str = "") -> dict[str, Any]:
    """The fields of a text and of the links beside it.

    Args:
        post_key: of the case.
        text: of a page or title; its first `MAX_TEXT` characters are read.
        links: of the page to further samples.
        origin: scheme and host of the page, left out of links because they differ on a mirror.
    """
    return _bounded(post_key, _fields_of_text(post_key, text, links, origin), datetime.now(UTC))


def _fields_of_text(post_key: bytes, text: str, links: Iterable[str], origin: str) -> dict[str, Any]:
    text = text[:MAX_TEXT]
    folded = fold(text)
    every = dict.fromkeys(
        plain_link(link, origin) for link in (*links, *addresses_in(text)) if link and not link.startswith("data:")
    )
    return _without_empty(
        {
            "part": _parts(folded),
            "links": _first_sorted({keyed_digest(post_key, b"link", link.encode("utf-8", "replace"))[:12] for link in every}),
            "size": _first_sorted({round(_number(number) * _UNITS[unit]) for number, unit in _SIZE.findall(folded)}),
            "records": _first_sorted({_count(number) for number in _COUNT.findall(folded)}),
            "percent": _first_sorted({int(number) for number in _PERCENT.findall(folded) if int(number) <= 100}),
            "price": _first_sorted({_price(match) for match in _PRICE.finditer(folded)}),
        }
    )  # fmt: skip


def _bounded(
    post_key: bytes, found: dict[str, Any], now: datetime, problems: Counter[str] | None = None
) -> dict[str, Any]:
    """The fields with every number in its range; the digest `exact` stands for the numbers that were changed."""
    exact: dict[str, Any] = {}
    kept = dict(found)
    for name, limit in _LIMITS.items():
        numbers = [value for value in found.get(name, ()) if isinstance(value, int)]
        inside = {bounded_number(number, limit) for number in numbers}
        if inside - set(numbers):
            exact[name] = numbers
            others = [value for value in found[name] if not isinstance(value, int)]
            kept[name] = [*sorted(number for number in inside if number is not None), *others]
        if None in inside and problems is not None:
            problems[OUT_OF_RANGE] += 1
    prices = {price: _bounded_price(price) for price in found.get("price", ())}
    if any(price != other for price, other in prices.items()):
        exact["price"] = list(prices)
        kept["price"] = sorted({price for price in prices.values() if price})
    if "timer" in found and not is_timer(found["timer"][0], found["timer"][1], now):
        exact["timer"] = found["timer"]
        del kept["timer"]
        if problems is not None:
            problems[OUT_OF_RANGE] += 1
    if exact:
        kept["exact"] = _digest(post_key, orjson.dumps(exact, option=orjson.OPT_SORT_KEYS).decode())
    return _without_empty(kept)


def _bounded_price(price: str) -> str:
    currency, _, amount = price.partition(" ")
    number = bounded_number(int(amount), MAX_PRICE)
    return "" if number is None else f"{currency} {number}"


def page_fields(post_key: bytes, text: str, links: Iterable[str], origin: str) -> dict[str, Any]:
    """The fields of a post's own page that replies below the post do not change by chance (`PAGE_FIELDS`)."""
    found = text_fields(post_key, text, links, origin=origin)
    # `read` tells a page without any of these fields from a page that was never read
    return {"read": 1, **{name: found[name] for name in (*PAGE_FIELDS, "exact") if name in found}}


def plain_link(link: str, origin: str) -> str:
    """A link without the parts that change between visits: session ids, tokens, and the host of the page itself."""
    link = without_session(link).removeprefix(origin)
    try:
        parts = urlsplit(link)
        query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True)]
    except ValueError:
        return link
    kept = [(name, value) for name, value in query if not _TOKEN.fullmatch(value) or name in {"xt", "id", "file"}]
    return link if kept == query else parts._replace(query=urlencode(kept)).geturl()


def timer_end(text: str, now: datetime) -> tuple[int, int] | None:
    """When a countdown ends: minutes since 1970, and the precision in minutes; None if the text states no time.

    Formats: seconds and milliseconds since 1970, ISO 8601, "12d 4h 3m", "3 jours 4 heures" and "1:04:05:06".
    """
    text = fold(text).strip()
    if re.fullmatch(r"\d{10}(?:\d{3})?(?:\.\d+)?", text):
        return int(float(text[:10]) // 60), 5
    at = _iso(text)
    if at is not None:
        return int(at.timestamp() // 60), 5 if ":" in text else 1440
    left, exact = _left(text)
    if exact is None:
        return None
    # the page may come from a cache and be a little old: the precision is 1.5 times the smallest unit
    return int((now + timedelta(minutes=left)).timestamp() // 60), max(10, round(1.5 * exact))


def _iso(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text.upper().replace(" UTC", "+00:00"))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _left(text: str) -> tuple[float, int | None]:
    """Minutes of a time span, and minutes of its smallest unit; (0, None) if the text is not a time span."""
    total, exact = 0.0, None
    for number, unit in _SPAN.findall(text):
        minutes = (
            _MINUTES.get(unit[:2], _MINUTES.get(unit[0], 0)) if unit[0] != "s" or unit.startswith("sem") else 1 / 60
        )
        total += int(number) * minutes
        exact = max(1, round(minutes))
    if exact is not None:
        return total, exact
    if match := _CLOCK.search(text):
        days, hours, minutes_, seconds = (int(part or 0) for part in match.groups())
        if match[2] is None:
            # two numbers mean hours and minutes
            hours, minutes_, seconds = minutes_, seconds, 0
        return days * 1440 + hours * 60 + minutes_ + seconds / 60, 1
    return 0.0, None


# --- parts -----------------------------------------------------------------------------------------------------------


def _add_field(found: dict[str, Any], post_key: bytes, name: str, value: str, now: datetime) -> None:
    """Add one of the fields that the listing itself states."""
    if name == "timer":
        try:
            end = timer_end(value, now)
        except (OverflowError, ValueError):
            # a countdown of thousands of years
            end = None
        if end is not None:
            found["timer"] = list(end)
        else:
            found["extra timer"] = _digest(post_key, fold(value))
    elif name == "percent":
        numbers = re.findall(r"\d{1,3}", value)
        shares = {int(number) for number in numbers[:1] if int(number) <= 100}
        found["percent"] = sorted({*found.get("percent", ()), *shares})
    elif name == "size":
        sizes = {round(_number(number) * _UNITS[unit]) for number, unit in _SIZE.findall(fold(value))}
        plain = value.strip()
        if not sizes and plain.isdecimal() and len(plain) < 16:
            sizes = {int(plain)}
        found["size"] = sorted({*found.get("size", ()), *sizes}) if sizes else [_digest(post_key, fold(value))]
    elif name == "files":
        plain = value.strip()
        found["files"] = (
            [int(plain)]
            if plain.isdecimal() and len(plain) < 10
            else sorted({_digest(post_key, part) for part in re.split(r"[\s,;|]+", fold(value)) if part})[:MAX_ITEMS]
        )
    elif name == "magnet":
        found["magnet"] = _digest(post_key, plain_link(value, ""))
    elif name in ("state", "last"):
        found[name] = _digest(post_key, fold(value))
    elif name == "price":
        found["price"] = sorted({*found.get("price", ()), *(_price(match) for match in _PRICE.finditer(fold(value)))})
    else:
        found[f"extra {name}"] = _digest(post_key, fold(value))


def _parts(folded: str) -> list[str]:
    """Signs of a further part: words of the closed list `_MARKS`, and numbers of parts."""
    found = {mark for mark, pattern in _MARK_PATTERNS.items() if pattern.search(folded)}
    for first, last in _PART.findall(folded):
        number = int(first) if first.isdecimal() else _ROMAN.get(first, 0)
        if number:
            found.add(f"part {number}")
        if last:
            found.add(f"part … {int(last)}")
    return sorted(found)[:MAX_ITEMS]


def _first_sorted(values: set[Any]) -> list[Any]:
    return sorted(values)[:MAX_ITEMS]


def _number(text: str) -> float:
    return float(text.replace(",", "."))


def _count(text: str) -> int:
    unit = text[-1] if text[-1] in "km" else ""
    if unit:
        return round(_number(text[:-1].strip()) * _UNITS[unit])
    return int(re.sub(r"\D", "", text))


def _price(match: re.Match[str]) -> str:
    sign, before, kilo_before, after, kilo_after, unit = match.groups()
    amount = int(re.sub(r"\D", "", before or after)) * (1000 if kilo_before or kilo_after else 1)
    currency = sign or unit
    return f"{_CURRENCY.get(currency, currency)} {amount}"


def _stable_words(text: str) -> str:
    """The words of a text, without those that change by themselves."""
    words = re.findall(r"[^\W_]+", _VOLATILE.sub(" ", fold(text)))
    return " ".join(word for word in words if len(word) > 1)


def _digest(post_key: bytes, text: str) -> str:
    return keyed_digest(post_key, b"trait", text.encode("utf-8", "replace"))[:12] if text else ""


def _without_empty(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value not in ("", [], None)}


def version_of(post_key: bytes, fields: dict[str, Any]) -> str:
    """32 hex digits that change when a field changes.

    `timer` is left out: the end of a countdown varies with the time at which the page was read.
    """
    counted = {name: value for name, value in fields.items() if name != "timer"}
    return keyed_digest(post_key, b"version", orjson.dumps(counted, option=orjson.OPT_SORT_KEYS))
