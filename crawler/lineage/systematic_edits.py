"""Whether all rows of a sample were changed in one way, so that known people look new (pure).

Who edits a file before it is posted does so by a program: all birth dates a day later, the last digits of all telephones
exchanged. Undone in all unmatched rows at once, such an edit makes most of them known; chance makes none.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from crawler.lineage.field_errors import KEY_FIELDS
from data.arrays.array_types import I64, U64, Bools
from data.arrays.packed import Packed
from data.hashing.tags import RECORD_KINDS, Kind, record_keys

# Edits of birth dates, by days and by years. 9 and 17 days are controls: nobody chose them, and what they find is chance.
DAYS, YEARS, CONTROL_DAYS = (-1, 1, -2, 2, -3, 3, -7, 7, -10, 10, -30, 30), (-1, 1, -2, 2, -10, 10), (9, -9, 17, -17)
# Other numbers of days, up to this one in both directions, are tried if they make so many of a few people known.
MOST_DAYS, FEW_PEOPLE, FEW_FOUND = 400, 128, 4
# An edit is one if undoing it makes this share of the unmatched people known, and so many of them, and this many times
# as many as a control does.
EDITED_SHARE, EDITED_PEOPLE, ABOVE_CHANCE = 0.05, 5, 5
_HOSTS = [
    "gmail.com",
    "orange.fr",
    "hotmail.fr",
    "hotmail.com",
    "free.fr",
    "wanadoo.fr",
    "laposte.net",
    "yahoo.fr",
    "yahoo.com",
    "sfr.fr",
    "outlook.fr",
    "outlook.com",
    "icloud.com",
    "live.fr",
    "bbox.fr",
    "neuf.fr",
    "aol.com",
    "numericable.fr",
    "proton.me",
]


@dataclass(frozen=True, slots=True)
class SystematicEdits:
    """What undoing the edits of a whole sample found.

    Attributes:
        tried: unmatched people who were looked at.
        found: those of them who are known once an edit is undone.
        notes: sentences about the edits.
        keys: shape (found, 6), the record keys of those who were found, once the edit is undone.
    """

    tried: int = 0
    found: int = 0
    notes: tuple[str, ...] = ()
    keys: U64 = field(default_factory=lambda: np.zeros((0, len(RECORD_KINDS)), np.uint64))

    @property
    def share(self) -> float:
        """The share of the unmatched people who are known people."""
        return self.found / self.tried if self.tried else 0.0


def find_systematic_edits(
    probe_key: bytes, forms: Mapping[str, Packed], holds: Callable[[Kind, U64], Bools]
) -> SystematicEdits:
    """Undo each edit in all unmatched people.

    Args:
        probe_key: of the case.
        forms: normal forms by role, n each.
        holds: returns which tags of record keys of a kind, shape (m,), any release holds.
    """
    count = len(forms["first"])
    least = max(EDITED_PEOPLE, EDITED_SHARE * count)
    if count < least:
        return SystematicEdits()
    chance = max(
        int(_found(probe_key, forms, "dob", _moved(forms["dob"], days), holds)[0].sum()) for days in CONTROL_DAYS
    )
    least = max(least, ABOVE_CHANCE * (chance + 1)) if count > 10 * EDITED_PEOPLE else least
    known, notes, keys = np.zeros(count, np.bool_), [], np.zeros((count, len(RECORD_KINDS)), np.uint64)
    days = _other_days(probe_key, forms, holds)
    for role, edited, sentence in _undone(forms, days):
        found, undone = _found(probe_key, forms, role, edited, holds)
        if role == "email":
            # a namesake may have the mailbox at the other provider: name and birth date must not contradict
            found &= known | (undone[:, RECORD_KINDS.index(Kind.NAME_DOB)] == 0)
        if (people := int(found.sum())) >= least:
            keys[found & ~known] = undone[found & ~known]
            known |= found
            notes.append(sentence(people))
    return SystematicEdits(count, int(known.sum()), tuple(notes), keys[known])


def _other_days(probe_key: bytes, forms: Mapping[str, Packed], holds: Callable[[Kind, U64], Bools]) -> list[int]:
    """By how many days birth dates may have been moved beside `DAYS`, as some of the people show it."""
    dated = np.flatnonzero(forms["dob"].lengths == 6)
    rows = dated[np.linspace(0, len(dated) - 1, min(FEW_PEOPLE, len(dated))).astype(np.int64)]
    tried = [days for days in range(-MOST_DAYS, MOST_DAYS + 1) if days and days not in (*DAYS, *CONTROL_DAYS)]
    if not len(rows):
        return []
    few = {role: column.take(rows) for role, column in forms.items()}
    turns: I64 = np.repeat(np.arange(len(tried)), len(rows))
    people = {role: column.take(np.tile(np.arange(len(rows)), len(tried))) for role, column in few.items()}
    dates = few["dob"].to_list()
    moved = Packed.of([_other_day(date, -days) for days in tried for date in dates])
    found = _found(probe_key, people, "dob", moved, holds)[0]
    counts = np.bincount(turns[found], minlength=len(tried))
    return [days for days, count in zip(tried, counts.tolist(), strict=True) if count >= FEW_FOUND]


def _undone(
    forms: Mapping[str, Packed], other_days: Sequence[int]
) -> Iterator[tuple[str, Packed, Callable[[int], str]]]:
    """Each edit undone: the role, its normal forms, and the sentence about so many people."""
    for days in (*DAYS, *other_days):
        yield "dob", _moved(forms["dob"], -days), partial(_days_sentence, days)
    for years in YEARS:
        yield "dob", _changed(forms["dob"], partial(_other_year, years=-years)), partial(_years_sentence, years)
    for role in ("phone", "nir"):
        for edit in (_swap_last, _reverse_last, _swap_first, _next_last, _previous_last):
            yield role, _changed(forms[role], edit), _digits_sentence
    for host in _HOSTS:
        yield "email", _changed(forms["email"], partial(_at_host, host=host.encode())), _host_sentence


def _days_sentence(days: int, people: int) -> str:
    return f"edited: {people} of the unmatched people looked at are known with birth dates moved by {days} days"


def _years_sentence(years: int, people: int) -> str:
    return f"edited: {people} of the unmatched people looked at are known with birth dates moved by {years} years"


def _digits_sentence(people: int) -> str:
    return f"edited: {people} of the unmatched people looked at are known with digits of their numbers changed"


def _host_sentence(people: int) -> str:
    return f"edited: {people} of the unmatched people looked at are known with the provider of their mailbox changed"


def _found(
    probe_key: bytes, forms: Mapping[str, Packed], role: str, edited: Packed, holds: Callable[[Kind, U64], Bools]
) -> tuple[Bools, U64]:
    """Who is known by a key with the edited field, shape (n,), and all keys with it; an edit that changes nothing finds nobody."""
    keys = record_keys(probe_key, **{**forms, role: edited})
    found = np.zeros(len(keys), np.bool_)
    for at, kind in enumerate(RECORD_KINDS):
        if role in KEY_FIELDS[kind]:
            tags = np.ascontiguousarray(keys[:, at])
            found |= holds(kind, tags) & (tags != 0)
    changed: I64 = np.flatnonzero(found)
    before, after = forms[role].take(changed).to_list(), edited.take(changed).to_list()
    found[changed[[one == other for one, other in zip(before, after, strict=True)]]] = False
    return found, keys


def _changed(column: Packed, edit: Callable[[bytes], bytes]) -> Packed:
    return Packed.of([edit(item) if item else b"" for item in column.to_list()])


def _moved(dates: Packed, days: int) -> Packed:
    return _changed(dates, lambda date: _other_day(date, days))


def _other_day(date: bytes, days: int) -> bytes:
    """A date (yymmdd) so many days later; the date itself if it is none."""
    try:
        # the century does not matter but for leap days: 1972 and 2072 have the same calendar of them
        whole = dt.date(1900 + int(date[:2]) or 2000, int(date[2:4]), int(date[4:6])) + dt.timedelta(days)
    except ValueError:
        return date
    return f"{whole:%y%m%d}".encode()


def _other_year(date: bytes, years: int) -> bytes:
    return b"%02d" % ((int(date[:2]) + years) % 100) + date[2:] if date[:2].isdigit() else date


def _at_host(mail: bytes, host: bytes) -> bytes:
    return mail.partition(b"@")[0] + b"@" + host


def _swap_last(number: bytes) -> bytes:
    return number[:-2] + number[:-3:-1]


def _reverse_last(number: bytes) -> bytes:
    return number[:-4] + number[:-5:-1]


def _swap_first(number: bytes) -> bytes:
    return number[:1] + number[2:3] + number[1:2] + number[3:]


def _next_last(number: bytes) -> bytes:
    return number[:-1] + b"%d" % ((int(number[-1:]) + 1) % 10) if number[-1:].isdigit() else number


def _previous_last(number: bytes) -> bytes:
    return number[:-1] + b"%d" % ((int(number[-1:]) - 1) % 10) if number[-1:].isdigit() else number
