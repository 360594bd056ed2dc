"""People in running text: which names, dates, numbers and addresses belong together, and in which readings. Pure.

Where to look is `text_anchors`, what stands there `text_items`; tags and counts are the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import itemgetter
from pathlib import PurePosixPath

from crawler.records.plain_text import plain
from crawler.records.text_anchors import regions
from crawler.records.text_items import DATE, EMAIL, NAME, NIR, PHONE, Item, Line, lines
from crawler.records.word_classes import is_first_name
from data.identifiers.normalise import fold

# How many readings of one person are tried; the first is the best.
MAX_READINGS = 16
# What a piece of text that is cut in the middle is held back for: the lines of one form.
HELD = 4096
# A form or letter goes on over this many lines that say nothing.
_MAX_GAP = 6
_MAX_NAMES, _MAX_VALUES = 6, 4
_MAX_WORDS = 5
# People of one text who may be spoken of again.
_REMEMBERED = 256
# From this score on a name is one for certain, see `_score`.
_CERTAIN = 3

_HALVES = frozenset({"surname", "first"})

Reading = tuple[str, str, str, str, str, str]
"""One way to understand a person: surname, first name, date of birth, NIR, e-mail address, phone; '' for unknown."""


@dataclass(slots=True)
class Found:
    """One person of a text.

    Attributes:
        readings: at most `MAX_READINGS`, the best first. certain: whether the best one is certainly a person;
            else it is one only if some reading is known.
    """

    readings: list[Reading] = field(repr=False)
    certain: bool


@dataclass(slots=True)
class _Person:
    """What was said of one person so far."""

    names: list[Item] = field(default_factory=list)
    values: dict[str, list[Item]] = field(default_factory=dict)
    last: str = ""  # kind of the last item
    named: bool = False  # a name stands here since the last value
    by_value: bool = False  # a value came before all names
    form: bool = False  # said by lines with labels
    gap: int = 0  # lines since the last item
    told: bool = False  # its readings went out

    def is_called(self, name: Item) -> bool:
        """Whether a name was said already, in any order of its words."""
        return bool(self.names) and _called(name.words) in [_called(known.words) for known in self.names]


@lru_cache(maxsize=65_536)
def _called(words: tuple[str, ...]) -> frozenset[str]:
    """The words of a name in no order and no case."""
    return frozenset(map(_folded, words))


class RunningText:
    """Reads one text piece by piece."""

    def __init__(self, name: str = "") -> None:
        """`name` is that of the file: where one person has one file, it often holds the name."""
        self._held = b""
        self._title = _names_of_file(name)
        self._person = _Person()
        self._recent: dict[frozenset[str], _Person] = {}
        self._done: list[_Person] = []

    def feed(self, text: bytes) -> list[Found]:
        """The people of the next piece, as far as they are complete."""
        text = self._held + text
        end = max(0, len(text) - HELD)
        # better where a block ends: a wrapped number may go on in the next line
        cut = (text.rfind(b"\n\n", max(0, end - HELD), end) + 1) or (text.rfind(b"\n", 0, end) + 1)
        self._held = text[cut:]
        if cut:
            self._read(text[:cut])
        return self._found(whole=False)

    def finish(self) -> list[Found]:
        """The people of what was held back; the text is then over."""
        self._read(self._held)
        self._held = b""
        return self._found(whole=True)

    def _read(self, text: bytes) -> None:
        at = 0
        for start, end in regions(text):
            if start > at:
                self._close()
            for line in lines(plain(text[start:end].decode("utf-8", "replace"))):
                self._line(line)
            at = end

    def _found(self, *, whole: bool) -> list[Found]:
        """People who are told; those of one name are put together as long as the text goes on nearby."""
        if whole:
            self._close()
        done, self._done = self._done, []
        for person in done:
            person.told = True
        return [found for person in done if (found := _readings(person, self._title)) is not None]

    # --- what belongs together ---------------------------------------------------------------------------------

    def _line(self, line: Line) -> None:
        person = self._person
        if not line.items:
            person.gap += 2 if line.blank else 1
            if person.gap > _MAX_GAP or (line.blank and person.names and person.values):
                self._close()
            return
        if person.names and person.values and self._line_begins_another(line):
            self._close()
        self._person.form = self._person.form or line.form
        fresh, staff = True, False
        # a date in a sentence without a name is not one of birth unless it says so
        told = line.prose and not line.names
        for item in line.items:
            if item.kind == NAME:
                staff = item.staff
                self._name(item, line)
            elif staff or (item.kind == DATE and (item.role == "date" or (told and not item.role))):
                self._person.gap = 0
            else:
                self._value(item, line, fresh=fresh)
            fresh = False
        self._person.gap = 0

    def _line_begins_another(self, line: Line) -> bool:
        """Whether a line is about somebody else than the lines before it, who have names and values."""
        person = self._person
        names = [item for item in line.items if item.kind == NAME and not item.staff]
        first = line.items[0]
        if line.form and first.role in _HALVES and any(name.role == first.role for name in person.names):
            # the same label again: also of a relative with the same name
            return True
        if not names or all(person.is_called(name) for name in names):
            return False
        if not line.form:
            # a word that only begins a sentence says nothing
            names = [name for name in names if _plausible(name)] or names
            return len(names) > 1 or _plausible(names[0])
        return first.kind == NAME and (not person.form or any(name.role == first.role for name in person.names))

    def _name(self, item: Item, line: Line) -> None:
        person = self._person
        if item.staff or person.is_called(item):
            return
        if person.names and person.values and person.last != NAME:
            # a name after values, where one was given before them; single words may be two cells of a row
            given = len(person.names) > 1 or len(person.names[0].words) > 1
            if given and not _plausible(item):
                return
            if given and not line.form:
                self._close()
        if len(self._person.names) < _MAX_NAMES:
            self._person.names.append(item)
        self._person.last, self._person.named = NAME, True

    def _value(self, item: Item, line: Line, *, fresh: bool) -> None:
        have = self._person.values.get(item.kind)
        known = have is not None and any(value.text == item.text for value in have)
        if have and not known and self._value_begins_another(item, line, fresh):
            self._close()
        person = self._person
        values = person.values.setdefault(item.kind, [])
        if len(values) < _MAX_VALUES and not known:
            values.append(item)
        person.by_value = person.by_value or not person.names
        person.last, person.named = item.kind, False

    def _value_begins_another(self, item: Item, line: Line, fresh: bool) -> bool:
        """Whether a second value of its kind is of somebody else."""
        person = self._person
        if item.kind == DATE and item.role != person.values[DATE][0].role:
            # one of them is said to be of birth: the other is another date of the same person
            return False
        if not fresh:
            # address, name; address, name
            return person.named and person.by_value
        if item.kind in (DATE, NIR):
            return True
        return line.names or not (line.form or person.last == item.kind)

    def _close(self) -> None:
        """What follows speaks of somebody else, or of nobody."""
        person, self._person = self._person, _Person()
        if not person.values:
            return
        names = [name for name in person.names if _plausible(name)] or self._title or person.names
        key = frozenset(_folded(word) for name in names for word in name.words)
        before = self._recent.get(key) if key else None
        if before is not None and _agree(before, person):
            if before.told:
                # told once more with all that is known: both share what was known before
                before = replace(
                    before, values={kind: list(items) for kind, items in before.values.items()}, told=False
                )
                self._done.append(before)
                self._recent[key] = before
            for kind, items in person.values.items():
                have = before.values.setdefault(kind, [])
                said = {item.text for item in have}
                have += [item for item in items if item.text not in said][: _MAX_VALUES - len(have)]
            return
        self._done.append(person)
        if key:
            if len(self._recent) >= _REMEMBERED:
                self._recent.clear()
            self._recent[key] = person


def _plausible(item: Item) -> bool:
    """Whether a name is more than a capitalised word."""
    return len(item.words) > 1 or item.titled or bool(item.role) or is_first_name(item.words[0])


def _agree(a: _Person, b: _Person) -> bool:
    """Whether two mentions of one name can be of one person: nothing that everybody has once is different."""
    return all(
        not a.values.get(kind)
        or not b.values.get(kind)
        or bool({i.text for i in a.values[kind]} & {i.text for i in b.values[kind]})
        for kind in (DATE, NIR)
    )


# --- readings --------------------------------------------------------------------------------------------------------


def _readings(person: _Person, title: Sequence[Item]) -> Found | None:
    """The readings of a person, the best first; None where there is nobody."""
    values = person.values
    dates = values.get(DATE, [])
    if len(dates) > 1:
        dates = sorted(dates, key=lambda item: item.role != "dob")
    dob = [item.text for item in dates]
    nirs, emails, phones = ([item.text for item in values.get(kind, ())] for kind in (NIR, EMAIL, PHONE))
    is_birth = bool(dates and dates[0].role == "dob")
    names = _names(person.names, is_birth)
    if title and (not names or names[0][0] < _CERTAIN):
        names = [*_names(title, is_birth), *names]
    day, nir, email, phone = ("".join(texts[:1]) for texts in (dob, nirs, emails, phones))
    readings: dict[Reading, None] = {}
    for _, surname, first_name in names:
        readings[surname, first_name, day, nir, email, phone] = None
    best = names[0] if names else (0, "", "")
    for other in dob[1:]:
        readings[best[1], best[2], other, nir, email, phone] = None
    for other in emails[1:]:
        readings[best[1], best[2], day, nir, other, phone] = None
    for other in phones[1:]:
        readings[best[1], best[2], day, nir, email, other] = None
    if not names and dob and (nir or phone):
        readings["", "", day, nir, email, phone] = None
    if not readings:
        return None
    known_as = best[0] >= _CERTAIN and bool(nir or email or phone or (dates and dates[0].role != "date"))
    return Found(list(readings)[:MAX_READINGS], known_as or bool(nir and dob))


def _names(items: Sequence[Item], is_birth: bool) -> list[tuple[int, str, str]]:
    """Score, surname and first name of each reading of the names, the best first."""
    found: list[tuple[int, str, str]] = []
    for surname in (item for item in items if item.role == "surname"):
        found += [(10, surname.text, item.text) for item in items if item.role == "first"]
    for at, item in enumerate(items):
        found += _splits(item, is_birth)
        if at + 1 < len(items) and not (item.role and item.role == items[at + 1].role):
            found += _beside(item, items[at + 1], is_birth)
    if len(items) == 1 and len(items[0].words) == 1:
        # a first name alone goes with an address or a number
        score = _CERTAIN if items[0].role == "first" or is_first_name(items[0].words[0]) else 0
        found.append((score, "", items[0].text))
    best: dict[tuple[str, str], int] = {}
    for score, last, given in found:
        best[last, given] = max(score, best.get((last, given), -1))
    return sorted(((score, *pair) for pair, score in best.items()), key=itemgetter(0), reverse=True)


def _beside(a: Item, b: Item, is_birth: bool) -> Iterator[tuple[int, str, str]]:
    """Two names with a mark or a label between: `DUPONT, Jean`, two cells."""
    near = 0 < b.near <= 1 or (a.bare and b.bare)
    swapped = b.role == "surname" or a.role == "first" or (is_first_name(a.words[0]) and not is_first_name(b.words[0]))
    score = (
        1
        + 2 * (is_first_name(a.words[0]) or is_first_name(b.words[0]))
        + near
        + is_birth
        + 3 * (not {a.role, b.role}.isdisjoint(_HALVES))
    )
    one, two = (b, a) if swapped else (a, b)
    yield score, one.text, two.text
    yield 0, two.text, one.text
    if a.lead or b.lead:
        # "de la | Fontaine" in a cell of its own is whole
        yield score + (one.led or two.led), one.whole, two.whole


def _splits(item: Item, is_birth: bool) -> Iterator[tuple[int, str, str]]:
    """Surname and first name of one run of words, in every place where they may part, in both orders."""
    if item.lead:
        # "de Guillaume": at the beginning the particle is part of the name, elsewhere it may be
        yield from _ways((*item.lead, *item.words), item, is_birth, 1 if item.led else -1, len(item.lead))
    yield from _ways(item.words, item, is_birth, 0, 0)


def _ways(words: tuple[str, ...], item: Item, is_birth: bool, more: int, lead: int) -> Iterator[tuple[int, str, str]]:
    """As `_splits`, of these words; the first `lead` of them are particles, which belong to what follows."""
    words = words[: _MAX_WORDS + 2]
    if len(words) < 2 + lead:
        return
    score = more + 2 * item.titled + 2 * bool(item.role) + is_birth + 1
    capitals = [word.isupper() and len(word) > 1 for word in words]
    changes = [at for at in range(1, len(words)) if capitals[at] != capitals[at - 1]]
    firsts = [is_first_name(word) for word in words]
    firsts[0] = firsts[0] and not lead
    if len(changes) == 1 or (capitals[-1] and len(changes) == 2 and not words[0][0].isupper()):
        at = changes[-1]
        head, tail = " ".join(words[:at]), " ".join(words[at:])
        yield (score + 3, *((head, tail) if capitals[0] or not capitals[-1] else (tail, head)))
    elif firsts[0] and not firsts[-1]:
        yield score + 2, " ".join(words[1:]), words[0]
        if len(words) > 2 and firsts[1]:
            yield score + 3, " ".join(words[2:]), " ".join(words[:2])
    elif firsts[-1] and not firsts[0]:
        yield score + 2, " ".join(words[:-1]), words[-1]
    elif lead:
        yield score, " ".join(words[:-1]), words[-1]
    else:
        yield score + firsts[0], " ".join(words[1:]), words[0]
    if len(words) == 2:
        yield 0, words[0], words[1]
        yield 0, words[1], words[0]
        return
    for low, high in ((0, len(words)), (1, len(words)), (0, len(words) - 1)):
        part = words[low:high][:_MAX_WORDS]
        for at in range(1 if low else 1 + lead, len(part)):
            head, tail = " ".join(part[:at]), " ".join(part[at:])
            yield 0, head, tail
            yield 0, tail, head


@lru_cache(maxsize=65_536)
def _folded(word: str) -> str:
    return fold(word)


def _names_of_file(name: str) -> list[Item]:
    """The names that a file's name may hold, from its last part that holds any."""
    for part in reversed(PurePosixPath(name.replace("\\", "/")).parts[-2:]):
        stem = re.sub(r"\.\w{1,5}$", "", part)
        words = [word for word in re.findall(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*", stem) if len(word) > 1]
        if 2 <= len(words) <= _MAX_WORDS and any(map(is_first_name, words)):
            return [Item(NAME, " ".join(words), tuple(words))]
    return []
