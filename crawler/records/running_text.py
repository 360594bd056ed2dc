"""Finds people in running text: decides which names, dates, numbers and addresses belong together. Pure.

`crawler.records.text_anchors` finds the places to read, `crawler.records.text_items` the items there. The caller makes
tags and counts. A person may be understood in several ways ("readings"), for instance if it is not clear which word is
the surname.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import itemgetter
from pathlib import PurePosixPath

from crawler.records.date_forms import swap_day_and_month, written_order
from crawler.records.plain_text import to_plain_text
from crawler.records.text_anchors import anchor_regions
from crawler.records.text_items import DATE, EMAIL, NAME, NIR, PHONE, TextItem, TextLine, read_lines
from crawler.records.word_classes import is_first_name
from data.identifiers.normalise import fold

# So many readings of one person are kept; the first is the best.
# Lines of a person that are kept, and characters of each.
MAX_LINES, _MAX_KEPT = 4, 160
MAX_READINGS = 16
# So many bytes at the end of a piece of text are held back, so that the lines of one form are read together.
HELD = 4096
# A line that is longer is not held as a whole.
_MAX_LINE = 1 << 18
# A form or letter may have so many lines without an item between two items.
_MAX_GAP = 6
_MAX_NAMES, _MAX_VALUES = 6, 4
_MAX_WORDS = 5
# So many people of one text are remembered, in case they are mentioned again.
_REMEMBERED = 256
# From this score on, a name is certain; `_name_readings` makes the scores.
_CERTAIN_SCORE = 3
# In a list a name is certain from this score on. A list has so many entries of the same kind, and this share of them has
# a common first name, or it has more entries.
_LISTED_SCORE = 1
_LIST, _LEAST_FIRST_NAMES, _CERTAIN_LIST = 5, 0.3, 12

_NAME_PARTS = frozenset({"surname", "first"})

Reading = tuple[str, str, str, str, str, str]
"""One way to understand a person: surname, first name, date of birth, NIR, e-mail address, phone; '' for unknown."""


@dataclass(slots=True)
class FoundPerson:
    """One person of a text.

    Attributes:
        readings: at most `MAX_READINGS`, the best first.
        certain: whether the best reading is certainly a person. Otherwise there is a person only if some reading is
            known.
        lines: at most `MAX_LINES` lines of the text that gave its items, without mark-up, cut around them; for sealed
            evidence alone.
    """

    readings: list[Reading] = field(repr=False)
    certain: bool
    lines: list[str] = field(repr=False, default_factory=list)


@dataclass(slots=True)
class _PersonDraft:
    """The items of one person that were read so far."""

    names: list[TextItem] = field(default_factory=list)
    values: dict[str, list[TextItem]] = field(default_factory=dict)
    last: str = ""  # kind of the last item
    named: bool = False  # whether a name was read since the last value
    by_value: bool = False  # whether a value came before all names
    after: list[TextItem] = field(default_factory=list)  # names after the values, which may be of the next person
    prose: bool = False  # whether it was read from a sentence
    form: bool = False  # whether it was read from lines that begin with labels
    gap: int = 0  # lines since the last item
    returned: bool = False  # whether its readings were already returned
    lines: list[str] = field(default_factory=list)  # in which its items stand, each cut around the first of them

    def keep_line(self, line: str, item: TextItem) -> None:
        """Keep the line in which an item stands."""
        if len(self.lines) < MAX_LINES:
            if len(line) > _MAX_KEPT:
                begin = max(0, line.find(item.text) - _MAX_KEPT // 2)
                line = line[begin : begin + _MAX_KEPT]
            if line not in self.lines:
                self.lines.append(line)

    def has_name(self, name: TextItem) -> bool:
        """Whether the person already has this name, in any order of its words."""
        return bool(self.names) and _name_key(name.words) in [_name_key(known.words) for known in self.names]


@lru_cache(maxsize=65_536)
def _name_key(words: tuple[str, ...]) -> frozenset[str]:
    """The words of a name without regard to order and case."""
    return frozenset(map(_folded, words))


class RunningTextReader:
    """Reads one text piece by piece, and returns the people in it."""

    def __init__(self, name: str = "") -> None:
        """`name` is that of the file: if each person has a file, its name often contains that of the person."""
        self._held = b""
        self._title = _names_of_file(name)
        self._person = _PersonDraft()
        self._recent: dict[frozenset[str], _PersonDraft] = {}
        self._done: list[_PersonDraft] = []
        self._dates: list[str] = []  # of people, for the order of day and month

    def feed(self, text: bytes) -> list[FoundPerson]:
        """Read the next piece; returns the people who are complete."""
        text = self._held + text
        end = len(text) - HELD
        if end < HELD:
            # a small piece may end between a name and the value beside it
            self._held = text
            return self._complete_people(is_end=False)
        # cut preferably at an empty line, since a wrapped number may continue in the next line
        cut = (text.rfind(b"\n\n", end - HELD, end) + 1) or (text.rfind(b"\n", 0, end) + 1)
        if not cut and end > _MAX_LINE:
            # a text that is one line
            cut = max(text.rfind(mark, 0, end) for mark in (b"),", b"},", b";", b" ")) + 1
        if cut:
            self._read(text, cut)
        self._held = text[cut:]
        return self._complete_people(is_end=False)

    def finish(self) -> list[FoundPerson]:
        """End the text; returns the people in the bytes that were held back."""
        self._read(self._held, len(self._held))
        self._held = b""
        return self._complete_people(is_end=True)

    def _read(self, text: bytes, size: int) -> None:
        """Read the first `size` bytes of a text; what follows tells whether its last words stand before a value."""
        at = 0
        for start, end in anchor_regions(text):
            if start >= size:
                break
            end = min(end, size)
            if start > at:
                self._end_person()
            for line in read_lines(to_plain_text(text[start:end].decode("utf-8", "replace"))):
                self._read_line(line)
            at = end

    def _complete_people(self, *, is_end: bool) -> list[FoundPerson]:
        """The people who ended since the last call; at the end of the text also the current one."""
        if is_end:
            self._end_person()
        done, self._done = self._done, []
        for person in done:
            person.returned = True
        lists = _find_lists(done)
        self._dates.extend(item.text for person in done for item in person.values.get(DATE, ()))
        order = written_order(self._dates)
        # dates that can be read in two ways are written like those that decide
        self._dates = [date for date in self._dates if written_order([date])][-_REMEMBERED:]
        found = [_readings(person, self._title, order, listed=_shape(person) in lists) for person in done]
        return [each for each in found if each is not None]

    # --- which items belong together ---------------------------------------------------------------------------

    def _read_line(self, line: TextLine) -> None:
        person = self._person
        if not line.items:
            person.gap += 2 if line.blank else 1
            if person.gap > _MAX_GAP or (line.blank and person.names and person.values):
                self._end_person()
            return
        if person.names and person.values and self._does_line_begin_another(line):
            self._end_person()
        elif person.prose and not person.values and not line.prose and _is_whole_entry(line, person.gap):
            # the first entry of a list, after the sentence that introduces it
            person.names = [name for name in person.names if _is_of_person(name)]
            person.prose = bool(person.names)
        self._person.form = self._person.form or line.form
        self._person.prose = self._person.prose or line.prose
        is_first, staff = True, False
        # a date in a sentence without a name is a birth date only if a word says so
        needs_role = line.prose and not line.has_name
        for item in line.items:
            if item.kind == NAME:
                staff = item.staff
                self._add_name(item, line)
            elif staff or (item.kind == DATE and (item.role == "date" or (needs_role and not item.role))):
                self._person.gap = 0
            else:
                self._add_value(item, line, is_first=is_first)
            is_first = False
        self._person.gap = 0

    def _does_line_begin_another(self, line: TextLine) -> bool:
        """Whether a line is about another person than the lines before it, which gave a name and values."""
        person = self._person
        names = [item for item in line.items if item.kind == NAME and not item.staff]
        first = line.items[0]
        if line.form and first.role in _NAME_PARTS and any(name.role == first.role for name in person.names):
            # the same label again begins another person, who may be a relative with the same name
            return True
        if not names or all(person.has_name(name) for name in names):
            return False
        if not line.form:
            # the capitalised word that begins a sentence is not enough
            names = [name for name in names if _is_plausible_name(name)] or names
            return len(names) > 1 or _is_plausible_name(names[0])
        return first.kind == NAME and (not person.form or any(name.role == first.role for name in person.names))

    def _add_name(self, item: TextItem, line: TextLine) -> None:
        person = self._person
        if item.staff or person.has_name(item):
            return
        if person.names and person.values and person.last != NAME:
            # a second name after the values; two single words, however, may be two cells of a row
            is_complete = len(person.names) > 1 or len(person.names[0].words) > 1
            if is_complete and not _is_plausible_name(item):
                if not line.prose and len(person.after) < _MAX_NAMES:
                    person.after.append(item)
                return
            if is_complete and (not line.form or self._is_same_label(item)):
                after = person.after
                self._end_person()
                self._person.names += after[-1:]
        if len(self._person.names) >= _MAX_NAMES and not self._person.values:
            # a title and a greeting may have as many capitalised words: of names before a value, the last ones are nearest
            del self._person.names[0]
        if len(self._person.names) < _MAX_NAMES:
            self._person.names.append(item)
            self._person.keep_line(line.text, item)
        self._person.last, self._person.named = NAME, True

    def _is_same_label(self, item: TextItem) -> bool:
        """Whether a whole name has the label of the person's name: `Le patient A, né le …. Le patient B, né le …`."""
        return item.role == "fullname" and any(name.role == item.role for name in self._person.names)

    def _add_value(self, item: TextItem, line: TextLine, *, is_first: bool) -> None:
        have = self._person.values.get(item.kind)
        known = have is not None and any(value.text == item.text for value in have)
        if have and not known and self._does_value_begin_another(item, line, is_first):
            after = self._person.after
            self._end_person()
            self._person.names += after[-2:]
        person = self._person
        values = person.values.setdefault(item.kind, [])
        if len(values) < _MAX_VALUES and not known:
            values.append(item)
            person.keep_line(line.text, item)
        person.by_value = person.by_value or not person.names
        person.last, person.named = item.kind, False

    def _does_value_begin_another(self, item: TextItem, line: TextLine, is_first: bool) -> bool:
        """Whether a second value of a kind belongs to another person; `is_first`: it is the first item of its line."""
        person = self._person
        if item.kind == DATE and item.role != person.values[DATE][0].role:
            # only one of the two is marked as a birth date: the other is another date of the same person
            return False
        if not is_first:
            # a line with pairs of value and name, or with several people of whom each has a name and then values
            return (person.named and person.by_value) or (bool(person.after) and not line.form)
        if item.kind in (DATE, NIR):
            return True
        return line.has_name or not (line.form or person.last == item.kind)

    def _end_person(self) -> None:
        """End the current person: the items that follow belong to somebody else, or to nobody."""
        person, self._person = self._person, _PersonDraft()
        if not person.values:
            return
        names = [name for name in person.names if _is_plausible_name(name)] or self._title or person.names
        key = frozenset(_folded(word) for name in names for word in name.words)
        before = self._recent.get(key) if key else None
        if before is not None and _may_be_same_person(before, person):
            if before.returned:
                # the person is returned again with all values known so far, so that both results share some
                before = replace(
                    before, values={kind: list(items) for kind, items in before.values.items()}, returned=False
                )
                self._done.append(before)
                self._recent[key] = before
            for kind, items in person.values.items():
                have = before.values.setdefault(kind, [])
                texts = {item.text for item in have}
                have += [item for item in items if item.text not in texts][: _MAX_VALUES - len(have)]
            before.lines += [line for line in person.lines if line not in before.lines][: MAX_LINES - len(before.lines)]
            return
        self._done.append(person)
        if key:
            if len(self._recent) >= _REMEMBERED:
                self._recent.clear()
            self._recent[key] = person


def _is_plausible_name(item: TextItem) -> bool:
    """Whether a name is more than one capitalised word."""
    return len(item.words) > 1 or item.titled or bool(item.role) or is_first_name(item.words[0])


def _is_of_person(item: TextItem) -> bool:
    """Whether something besides capitals says that words are the name of a person."""
    return item.titled or bool(item.role) or any(map(is_first_name, item.words))


def _is_whole_entry(line: TextLine, gap: int) -> bool:
    """Whether a line gives a surname and a first name, and a value beside them; a gap before it makes rare names likely."""
    names = [item for item in line.items if item.kind == NAME and not item.staff]
    has_both = len(names) < len(line.items) and sum(len(name.words) for name in names) > 1
    return has_both and (gap > 1 or any(map(_is_of_person, names)))


def _may_be_same_person(a: _PersonDraft, b: _PersonDraft) -> bool:
    """Whether two mentions of one name may be of one person: neither birth date nor NIR contradicts it."""
    return all(
        not a.values.get(kind)
        or not b.values.get(kind)
        or bool({i.text for i in a.values[kind]} & {i.text for i in b.values[kind]})
        for kind in (DATE, NIR)
    )


# --- readings --------------------------------------------------------------------------------------------------------


def _shape(person: _PersonDraft) -> tuple[frozenset[str], int] | None:
    """The kinds of items of a person who is no sentence: what an entry of a list has; None for others."""
    words = sum(len(name.words) for name in person.names)
    if person.prose or not 2 <= words <= _MAX_WORDS or DATE not in person.values:
        return None
    return frozenset(person.values), min(len(person.names), 2)


def _find_lists(people: Sequence[_PersonDraft]) -> set[tuple[frozenset[str], int] | None]:
    """The shapes of people of whom so many have the same one that they are entries of a list.

    The place of a word then says that it is a name, though no table of first names has it.
    """
    counts = Counter(map(_shape, people))
    named = Counter(
        _shape(person) for person in people if any(is_first_name(word) for name in person.names for word in name.words)
    )
    return {
        shape
        for shape, count in counts.items()
        if shape is not None
        and (count >= _CERTAIN_LIST or (count >= _LIST and named[shape] >= _LEAST_FIRST_NAMES * count))
    }


def _readings(person: _PersonDraft, title: Sequence[TextItem], order: int, *, listed: bool) -> FoundPerson | None:
    """The readings of a person, the best first; None if the items give no person.

    Args:
        person: the items.
        title: the names in the name of the file.
        order: of day and month in the text, as `written_order` returns it: where no date decides, both are readings.
        listed: whether it is one of many entries of a list.
    """
    values = person.values
    dates = values.get(DATE, [])
    if len(dates) > 1:
        dates = sorted(dates, key=lambda item: item.role != "dob")
    dob = [swap_day_and_month(item.text) if order > 0 else item.text for item in dates]
    nirs, emails, phones = ([item.text for item in values.get(kind, ())] for kind in (NIR, EMAIL, PHONE))
    is_birth = bool(dates and dates[0].role == "dob")
    names = _name_readings(person.names, is_birth)
    if title and (not names or names[0][0] < _CERTAIN_SCORE):
        names = [*_name_readings(title, is_birth), *names]
    day, nir, email, phone = ("".join(texts[:1]) for texts in (dob, nirs, emails, phones))
    readings: dict[Reading, None] = {}
    best = names[0] if names else (0, "", "")
    for date in (day, day if order else swap_day_and_month(day)):
        if names:
            readings[best[1], best[2], date, nir, email, phone] = None
    for _, surname, first_name in names:
        readings[surname, first_name, day, nir, email, phone] = None
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
    has_certain_name = best[0] >= (_LISTED_SCORE if listed else _CERTAIN_SCORE) and bool(
        nir or email or phone or (dates and dates[0].role != "date")
    )
    has_certain_name = has_certain_name or _is_address_of(email, best[1], best[2])
    return FoundPerson(list(readings)[:MAX_READINGS], has_certain_name or bool(nir and dob), person.lines)


def _is_address_of(email: str, *names: str) -> bool:
    """Whether the local part of a mail address has the surname and the first name, which are names then, however rare."""
    local = _folded(email.partition("@")[0])
    words = [re.sub(r"[^a-z]", "", _folded(name)) for name in names]
    return all(len(word) > 1 and word in local for word in words)


def _name_readings(items: Sequence[TextItem], is_birth: bool) -> list[tuple[int, str, str]]:
    """Score, surname and first name of each reading of some names, the best first.

    `is_birth`: the person has a date that is marked as a birth date.
    """
    found: list[tuple[int, str, str]] = []
    for surname in (item for item in items if item.role == "surname"):
        found += [(10, surname.text, item.text) for item in items if item.role == "first"]
    for at, item in enumerate(items):
        found += _split_one_name(item, is_birth)
        if at + 1 < len(items) and not (item.role and item.role == items[at + 1].role):
            found += _join_two_names(item, items[at + 1], is_birth)
    if len(items) == 1 and len(items[0].words) == 1:
        # a first name alone gives keys together with an address or a number
        score = _CERTAIN_SCORE if items[0].role == "first" or is_first_name(items[0].words[0]) else 0
        found.append((score, "", items[0].text))
    best: dict[tuple[str, str], int] = {}
    for score, last, given in found:
        best[last, given] = max(score, best.get((last, given), -1))
    return sorted(((score, *pair) for pair, score in best.items()), key=itemgetter(0), reverse=True)


def _join_two_names(a: TextItem, b: TextItem, is_birth: bool) -> Iterator[tuple[int, str, str]]:
    """Score, surname and first name of two items with a mark or a label between them: `DUPONT, Jean`, or two cells."""
    near = 0 < b.near <= 1 or (a.bare and b.bare)
    swapped = b.role == "surname" or a.role == "first" or (is_first_name(a.words[0]) and not is_first_name(b.words[0]))
    score = (
        1
        + 2 * (is_first_name(a.words[0]) or is_first_name(b.words[0]))
        + near
        + is_birth
        + 3 * (not {a.role, b.role}.isdisjoint(_NAME_PARTS))
    )
    one, two = (b, a) if swapped else (a, b)
    yield score, one.text, two.text
    yield 0, two.text, one.text
    if a.lead or b.lead:
        # a cell "de la Fontaine" is a whole surname
        yield score + (one.led or two.led), one.whole, two.whole


def _split_one_name(item: TextItem, is_birth: bool) -> Iterator[tuple[int, str, str]]:
    """Score, surname and first name of one item, split at every place where it may be, in both orders."""
    if item.lead:
        # "de Guillaume": at the beginning of a line the particle is part of the name, elsewhere it may be
        yield from _split_words((*item.lead, *item.words), item, is_birth, 1 if item.led else -1, len(item.lead))
    yield from _split_words(item.words, item, is_birth, 0, 0)


def _split_words(
    words: tuple[str, ...], item: TextItem, is_birth: bool, more: int, lead: int
) -> Iterator[tuple[int, str, str]]:
    """`_split_one_name` for the given words.

    Args:
        words: of the name.
        item: that they are from.
        is_birth: the person has a date that is marked as a birth date.
        more: added to the score.
        lead: so many words at the beginning are particles, which belong to the word after them.
    """
    words = words[: _MAX_WORDS + 2]
    if len(words) < 2 + lead:
        return
    # a word for birth says that the words before it are a name, whether or not a list has them
    score = more + 2 * item.titled + 2 * bool(item.role) + 2 * is_birth + 1
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


def _names_of_file(name: str) -> list[TextItem]:
    """The name of a person in the name of a file: in its last part, else in the folder; [] if there is none."""
    for part in reversed(PurePosixPath(name.replace("\\", "/")).parts[-2:]):
        stem = re.sub(r"\.\w{1,5}$", "", part)
        words = [word for word in re.findall(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*", stem) if len(word) > 1]
        if 2 <= len(words) <= _MAX_WORDS and any(map(is_first_name, words)):
            return [TextItem(NAME, " ".join(words), tuple(words))]
    return []
