"""Finds announced deadlines in the text of a post, in English and French: "part 2 in 48h", "le reste vendredi".

Pure. A time alone is not an announcement: its sentence must be about something in the future. Which announcements cause
an alert is decided by `crawler.alerts.events`.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from data.identifiers.normalise import fold

DAY = 1440
MAX_TEXT = 200_000
MAX_DEADLINES = 8
# A time that is further away is not taken for the announcement of a release.
FARTHEST = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Deadline:
    """One announced time.

    Attributes:
        at: minutes since 1970; None if the text states only a time span, which counts from when it was written.
        after: minutes of that time span; None if `at` is given.
        exact: precision in minutes. phrase: the announcement in normal form ("in 48 h"), of a closed vocabulary.
    """

    at: int | None
    after: int | None
    exact: int
    phrase: str

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        return asdict(self)


_NUMBERS = {
    "a": 1, "an": 1, "one": 1, "un": 1, "une": 1, "two": 2, "deux": 2, "three": 3, "trois": 3, "four": 4, "quatre": 4,
    "five": 5, "cinq": 5, "six": 6, "seven": 7, "sept": 7, "eight": 8, "huit": 8, "nine": 9, "neuf": 9, "ten": 10,
    "dix": 10, "couple of": 2, "few": 3, "quelques": 3,
}  # fmt: skip
_UNITS = (
    ("mi", "min", 1),
    ("h", "h", 60),
    ("w", "weeks", 7 * DAY),
    ("se", "weeks", 7 * DAY),
    ("mo", "months", 30 * DAY),
    ("d", "days", DAY),
    ("j", "days", DAY),
)
_NUMBER = r"(\d{1,3}|" + "|".join(sorted(_NUMBERS, key=len, reverse=True)) + r")"
_UNIT = r"(min(?:ute)?s?|h(?:(?:ou)?rs?|eures?)?|hours?|d(?:ays?)?|j(?:ours?)?|w(?:ee)?ks?|semaines?|months?|mois)"
_SPAN = _NUMBER + r"\s*-?\s*" + _UNIT
_RELATIVE = re.compile(
    rf"\b(?:in|within|after|dans|sous|d'ici|apres)\s+(?:the\s+(?:next\s+|coming\s+)?|les\s+(?:prochaines?\s+)?"
    rf"|a\s+(?=couple|few))?{_SPAN}\b"
    rf"|\b(?:you have|you got|vous avez|il (?:vous |leur )?reste|they have|ils ont)\s+(?:only\s+|until\s+|encore\s+"
    rf"|plus que\s+)?{_SPAN}\b"
    rf"|\b{_SPAN}\s+(?:left|remaining|to go|to pay|to contact|restant\w*|pour (?:payer|repondre|nous))\b"
)
_DAYS = {
    "mon": 0, "lun": 0, "tue": 1, "mar": 1, "wed": 2, "mer": 2, "thu": 3, "jeu": 3, "fri": 4, "ven": 4, "sat": 5,
    "sam": 5, "sun": 6, "dim": 6,
}  # fmt: skip
_WEEKDAY = re.compile(
    r"\b(monday|tuesday|wednesday|thursday|friday|saturday|sunday|lundi|mardi|mercredi|jeudi|vendredi|samedi"
    r"|dimanche)\b"
)
_SOON = re.compile(
    r"\b(tomorrow|demain|tonight|ce soir|next week|(?:la )?semaine prochaine|end of (?:the |this )?week"
    r"|fin de (?:la )?semaine"
    r"|this weekend|ce week-?end|end of (?:the |this )?month|fin du mois|next month|(?:le )?mois prochain)\b"
)
_MONTHS = {
    "jan": 1, "feb": 2, "fev": 2, "mar": 3, "apr": 4, "avr": 4, "may": 5, "mai": 5, "jun": 6, "juin": 6, "jul": 7,
    "juil": 7, "aug": 8, "aou": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip
_MONTH = (
    r"(january|february|march|april|may|june|july|august|september|october|november|december"
    r"|janvier|fevrier|mars|avril|mai|juin|juillet|aout|septembre|octobre|novembre|decembre"
    r"|(?:jan|feb|fev|mar|apr|avr|jun|jul|juil|aug|sept?|oct|nov|dec)\b\.?)"
)
_DATES = (
    re.compile(r"\b(?P<y>20\d\d)-(?P<m>\d{1,2})-(?P<d>\d{1,2})"),
    re.compile(
        rf"\b(?P<d>\d{{1,2}})(?:st|nd|rd|th|er)?\s+(?:of\s+)?(?P<month>{_MONTH[1:-1]})(?:,?\s+(?P<y>20\d\d))?\b"
    ),
    re.compile(rf"\b(?P<month>{_MONTH[1:-1]})\s+(?:the\s+)?(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s+(?P<y>20\d\d))?\b"),
    re.compile(r"\b(?P<d>\d{1,2})[/.](?P<m>\d{1,2})[/.](?P<y>20\d\d|\d\d)\b"),
)
_CLOCK = re.compile(
    r"^[t,\s]{0,3}(?:at|a|@|around|vers)?\s{0,2}(?P<h>\d{1,2})(?:[:h](?P<min>\d{2})?"
    r"|(?=\s?[ap]m))(?::\d{2})?\s?(?P<half>am|pm)?"
)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+|\s-\s|\s\|\s")
# Words about the future, whatever else the sentence is about.
_FUTURE_WORDS = re.compile(
    r"\b(?:will|we'll|going to|gonna|shall|to be (?:published|released|leaked|continued)|coming|soon|remaining"
    r"|the rest|deadline|due|until|expires?|countdown|ultimatum"
    r"|next part|otherwise|or else|sera|seront|va|vont|allons|publierons|diffuserons|publierai|le reste|la suite"
    r"|echeance|jusqu'?au?|delai|expire|sinon|bientot|prochaine partie)\b"
    r"|\b(?:left|remaining|restantes?|restants?)\b"
)
# Words about a release. A sentence with one of them and a future time is an announcement, unless it has a word about
# the past.
_RELEASE_WORDS = re.compile(
    r"\b(?:publish\w*|releas\w*|leak\w*|dump\w*|upload\w*|drop|data|database|db|files?|part(?:ie)?|batch|full|archive"
    r"|auction|ransom|pay\w*|contact"
    r"|publi\w+|diffus\w+|fuite\w*|donnees|fichiers?|base|lot|tranche|rancon|encheres?|mise? en ligne)\b"
)
# Words about the past, or about times that have nothing to do with a release.
_PAST_WORDS = re.compile(
    r"\b(?:posted|published|released|leaked|uploaded|joined|registered|edited|born|since|ago|last (?:edited|seen"
    r"|visit\w*|active)|copyright"
    r"|was|were|had|nee? le|depuis|il y a|publiee?s? le|mis en ligne le|inscrit\w*|modifie\w*|etait|etaient|open(?:ed"
    r"|ing)? hours?|consultation|rendez-vous|appointment)\b"
)

# Words without which an expression above cannot match. Most texts hold none of them, and then none of their sentences
# needs to be searched.
_WORD = re.compile(r"[a-z]+")
_DIVIDED = re.compile(r"\d[/.]\d")
_AROUND_SPANS = frozenset({
    "in", "within", "after", "dans", "sous", "ici", "apres", "have", "got", "avez", "reste", "ont", "left", "remaining",
    "to", "pour",
})  # fmt: skip
_NAMES_OF_DAYS = frozenset(_WEEKDAY.pattern[3:-3].split("|"))
_IN_SOON = frozenset({"tomorrow", "demain", "tonight", "soir", "week", "semaine", "weekend", "month", "mois", "end"})
_NAMES_OF_MONTHS = frozenset({
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december", "janvier", "fevrier", "mars", "avril", "mai", "juin", "juillet", "aout", "septembre", "octobre",
    "novembre", "decembre", "jan", "feb", "fev", "mar", "apr", "avr", "jun", "jul", "juil", "aug", "sep", "sept", "oct",
    "nov", "dec",
})  # fmt: skip
_IN_FUTURE = frozenset({
    "will", "ll", "going", "gonna", "shall", "be", "coming", "soon", "remaining", "rest", "deadline", "due", "until",
    "expire", "expires", "countdown", "ultimatum", "next", "otherwise", "else", "sera", "seront", "va", "vont", "allons",
    "publierons", "diffuserons", "publierai", "reste", "suite", "echeance", "jusqu", "jusqua", "jusquau", "delai",
    "sinon", "bientot", "prochaine", "left", "restant", "restants", "restante", "restantes",
})  # fmt: skip
_IN_RELEASE = frozenset({
    "drop", "data", "database", "db", "file", "files", "part", "partie", "batch", "full", "archive", "auction", "ransom",
    "contact", "donnees", "fichier", "fichiers", "base", "lot", "tranche", "rancon", "enchere", "encheres", "ligne",
})  # fmt: skip
_RELEASE_STEMS = ("publi", "releas", "leak", "dump", "upload", "pay", "diffus", "fuite")


def find_deadlines(text: str, now: datetime) -> list[Deadline]:
    """The future times that a text announces, each once, at most `MAX_DEADLINES`.

    Args:
        text: of a post; its first `MAX_TEXT` characters are read.
        now: aware; a day of the week, or a date without a year, means the next one after it.
    """
    found: dict[str, Deadline] = {}
    folded = fold(text[:MAX_TEXT])
    searches = _Searches.of(folded)
    if not searches or not searches.announcements:
        return []
    for sentence in _SENTENCE.split(folded):
        if not (4 <= len(sentence) <= 2000):
            continue
        about_future = bool(_FUTURE_WORDS.search(sentence))
        if not about_future and (not _RELEASE_WORDS.search(sentence) or _PAST_WORDS.search(sentence)):
            continue
        if (
            about_future
            and not _RELEASE_WORDS.search(sentence)
            and not re.search(
                r"deadline|ultimatum|countdown|echeance|delai|left|remaining|le reste|la suite|expire", sentence
            )
        ):
            continue
        for deadline in _times(sentence, now.astimezone(UTC), searches):
            found.setdefault(deadline.phrase, deadline)
    return list(found.values())[:MAX_DEADLINES]


@dataclass(frozen=True, slots=True)
class _Searches:
    """Which expressions can match anywhere in a text.

    Attributes:
        announcements: words about the future or about a release.
        spans: spans of time. weekdays: names of days. soon: words such as "tomorrow". dates: dates.
    """

    announcements: bool
    spans: bool
    weekdays: bool
    soon: bool
    dates: tuple[re.Pattern[str], ...]

    @classmethod
    def of(cls, text: str) -> _Searches:
        """The searches that a folded text needs."""
        words = set(_WORD.findall(text))
        by_number, day_first, month_first, divided = _DATES
        named = not words.isdisjoint(_NAMES_OF_MONTHS)
        possible = (
            (by_number, "20" in text and "-" in text),
            (day_first, named),
            (month_first, named),
            (divided, ("/" in text or "." in text) and bool(_DIVIDED.search(text))),
        )
        return cls(
            announcements=not words.isdisjoint(_IN_RELEASE)
            or not words.isdisjoint(_IN_FUTURE)
            or any(word.startswith(_RELEASE_STEMS) for word in words),
            spans=not words.isdisjoint(_AROUND_SPANS) or "restant" in text,
            weekdays=not words.isdisjoint(_NAMES_OF_DAYS),
            soon=not words.isdisjoint(_IN_SOON),
            dates=tuple(pattern for pattern, may_match in possible if may_match),
        )

    def __bool__(self) -> bool:
        return self.spans or self.weekdays or self.soon or bool(self.dates)


def _times(sentence: str, now: datetime, searches: _Searches) -> list[Deadline]:
    found: list[Deadline] = []
    if searches.spans:
        for match in _RELATIVE.finditer(sentence):
            number, unit = next((match[at], match[at + 1]) for at in (1, 3, 5) if match[at])
            found += _span(number, unit)
    today = now.date()
    if searches.weekdays:
        for match in _WEEKDAY.finditer(sentence):
            ahead = (_DAYS[match[1][:3]] - now.weekday()) % 7
            found.append(_on(today + timedelta(days=ahead or 7), sentence[match.end() :]))
    if searches.soon:
        for match in _SOON.finditer(sentence):
            found.append(_soon(match[1], now))
    for pattern in searches.dates:
        for match in pattern.finditer(sentence):
            day = _date(match.groupdict(), today)
            if day is not None:
                found.append(_on(day, sentence[match.end() :]))
    limit = int((now + FARTHEST).timestamp() // 60)
    return [
        each
        for each in found
        if each.at is None or (now.timestamp() // 60 - 60 < each.at + each.exact and each.at < limit)
    ]


def _span(number: str, unit: str) -> list[Deadline]:
    count = int(number) if number.isdecimal() else _NUMBERS[number]
    word, minutes = next(((word, minutes) for begin, word, minutes in _UNITS if unit.startswith(begin)), ("", 0))
    if not count or count * minutes > FARTHEST.total_seconds() / 60:
        return []
    return [Deadline(None, count * minutes, max(10, minutes), f"in {count} {word}")]


def _on(day: date, following: str) -> Deadline:
    """A day, with the time of day that directly follows it in the text."""
    at = datetime(day.year, day.month, day.day, tzinfo=UTC)
    exact = DAY
    clock = _CLOCK.match(following)
    if clock is not None and (clock["min"] or clock["half"] or "h" in clock[0] or ":" in clock[0]):
        hour, minute = int(clock["h"]), int(clock["min"] or 0)
        hour = hour % 12 + 12 if clock["half"] == "pm" else hour % 12 if clock["half"] == "am" else hour
        if hour < 24 and minute < 60:
            # the text states no time zone: the time may be off by a few hours
            at, exact = at + timedelta(hours=hour, minutes=minute), 180
    return Deadline(int(at.timestamp() // 60), None, exact, f"{at:%Y-%m-%d %H:%M}" if exact < DAY else f"{at:%Y-%m-%d}")


def _soon(words: str, now: datetime) -> Deadline:
    today = now.date()
    if words in {"tomorrow", "demain", "tonight", "ce soir"}:
        # counts from the day on which the text was written
        minutes = DAY if words in {"tomorrow", "demain"} else 720
        return Deadline(None, minutes, DAY, f"in {minutes // 60} h")
    if words.startswith(("end of", "fin d")) and "mo" in words:
        day, exact = _first_of_next_month(today) - timedelta(days=1), 2 * DAY
    elif "month" in words or "mois" in words:
        day, exact = _first_of_next_month(today), 30 * DAY
    elif words.startswith(("end of", "fin d")) or "end" in words:
        day, exact = today + timedelta(days=(6 - now.weekday()) % 7), 2 * DAY
    else:
        day, exact = today + timedelta(days=7 - now.weekday()), 7 * DAY
    at = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return Deadline(int(at.timestamp() // 60), None, exact, f"{at:%Y-%m-%d}")


def _first_of_next_month(today: date) -> date:
    return (today.replace(day=1) + timedelta(days=32)).replace(day=1)


def _date(parts: dict[str, str | None], today: date) -> date | None:
    day = int(parts["d"] or 0)
    named = parts.get("month")
    by_name = _MONTHS.get(named[:4].rstrip("."), _MONTHS.get(named[:3], 0)) if named else 0
    month = by_name or int(parts.get("m") or 0)
    year = parts.get("y")
    try:
        if year:
            return date(int(year) + (2000 if len(year) == 2 else 0), month, day)
        found = date(today.year, month, day)
        # a date more than 60 days ago means next year; a date more recent than that is simply past
        return found.replace(year=today.year + 1) if (today - found).days > 60 else found
    except ValueError:
        return None
