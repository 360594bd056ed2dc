"""What stands in a piece of running text: names, dates, numbers, addresses and the labels before them, line by line. Pure.

Which of them speak of one person is `running_text`; what words are is `text_words`, and mark-up is taken off by `text_plain`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from crawler.records.word_classes import LINKING, MONTH, class_of, is_first_name
from data.identifiers.normalise import fold

NAME, DATE, EMAIL, PHONE, NIR = "name", "dob", "email", "phone", "nir"

_CLOCK = r"(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
_SEP = r"[ .\-_/\u00a0\u202f]"
_TOKEN = re.compile(
    rf"""
      (?P<word>[^\W\d_]+(?:['’\-‐‑][^\W\d_]+)*)
    | (?P<mark>[.;,|\t:=()!?])
    | (?=[\d+]) (?:
      (?P<date>(?<!\d)(?:
          \d{{1,2}}[ ]?(?P<s1>[/.\-])[ ]?\d{{1,2}}[ ]?(?P=s1)[ ]?(?:\d{{4}}|\d{{2}}){_CLOCK}(?!\d)(?![/.\-]\d)
        | \d{{4}}(?P<s2>[/.\-])\d{{1,2}}(?P=s2)\d{{1,2}}{_CLOCK}(?!\d)
        | \d{{1,2}}(?:er|st|nd|rd|th)?[ .\-]{{1,2}}(?i:{MONTH})\b\.?[,\-]?[ ]?(?:\d{{4}}|\d{{2}})(?!\d)
        | (?:19|20)\d\d(?:0[1-9]|1[0-2])[0-3]\d(?!\d)
        | [0-3]\d(?:0[1-9]|1[0-2])(?:19|20)\d\d(?!\d)
      ))
    | (?P<nir>(?<!\d)[1-478]{_SEP}?\d\d{_SEP}?\d\d{_SEP}?(?:\d\d|2[abAB]){_SEP}?\d{{3}}{_SEP}?\d{{3}}
        (?:[ ]?[ .\-_/(]?[ ]?(?:[cC]l[ée][ ]?:?[ ]?)?\d\d\)?)?(?!\d))
    | (?P<phone>(?<!\d)(?:
          (?:(?:\+|00)[ ]?(?:33|262|59[046])[ .\-]?(?:\(0\)|0)?|33|0){_SEP}{{0,2}}[1-9](?:[ .\-/()_\u00a0\u202f]{{0,2}}\d){{8}}(?!\d)
        | (?:\+|00)[1-9](?:[ .\-/()]{{0,2}}\d){{7,14}}(?!\d)
      ))
    | (?P<spaced>(?<!\d)\d{{1,2}}[ ]\d{{1,2}}[ ](?:19|20)\d\d(?!\d))
    | (?P<digits>\d+) )
    | (?P<email>\ue000(?P<number>\d+)\ue000)
    """,
    re.VERBOSE,
)
# In a line without capitals every word may be a name; longer ones are prose.
_SMALL_LINE = 200
# Words of a sentence, beside names and labels.
_SENTENCE = 3
_MAX_SMALL = 5
_MAX_RUN = 7
_ADDRESS = re.compile(r"[\w-]+(?:\.[\w-]+)+")
_LOCAL = re.compile(r"[\w.+%-]{1,64}\Z")


@dataclass(slots=True)
class Item:
    """One thing that a line says.

    Attributes:
        kind: NAME, DATE, EMAIL, PHONE or NIR. text: as it stands there; words: of a name.
        role: what a label says of it: surname, first, fullname, or `dob` and `date` for dates; '' without.
        titled: a title stands before the name. staff: of somebody who works there.
        lead: particles before a name, which may be part of it; led: nothing else stands before them.
        near: words and marks between it and the item before it on its line. bare: nothing else stands on the line.
    """

    kind: str
    text: str
    words: tuple[str, ...] = ()
    role: str = ""
    titled: bool = False
    staff: bool = False
    lead: tuple[str, ...] = ()
    led: bool = False
    near: int = 0
    bare: bool = False

    @property
    def whole(self) -> str:
        """A name with the particles before it."""
        return " ".join((*self.lead, self.text))


@dataclass(slots=True)
class Line:
    """The items of one line.

    Attributes:
        blank: nothing at all stands there. form: it begins with a label. prose: it has words enough for a sentence.
    """

    items: list[Item] = field(default_factory=list)
    blank: bool = True
    form: bool = False
    prose: bool = False

    @property
    def names(self) -> bool:
        """Whether any of them is a name."""
        return any(item.kind == NAME for item in self.items)


def lines(text: str) -> Iterator[Line]:
    """The lines of a text (as `text_plain.plain` gives it) with what they say."""
    text, addresses = _without_addresses(text)
    reader = _LineReader()
    for part in text.split("\n"):
        reader.small = part == part.lower() and len(part) < _SMALL_LINE
        for found in _TOKEN.finditer(part):
            kind = found.lastgroup or ""
            reader.take(kind, addresses[int(found["number"])] if kind == "email" else found[0])
        yield reader.end()


def _without_addresses(text: str) -> tuple[str, list[str]]:
    """The text with a mark in the place of each e-mail address, and these: looking for them at every word costs more."""
    at = text.find("@")
    if at < 0:
        return text, []
    text = text.replace("\ue000", "")
    addresses: list[str] = []
    parts: list[str] = []
    done, at = 0, text.find("@")
    while at >= 0:
        domain = _ADDRESS.match(text, at + 1)
        local = _LOCAL.search(text[max(done, at - 64) : at])
        if domain and local:
            parts += [text[done : at - len(local[0])], f"\ue000{len(addresses)}\ue000"]
            addresses.append(f"{local[0].strip('.')}@{domain[0]}")
            done = domain.end()
        at = text.find("@", at + 1)
    return "".join([*parts, text[done:]]), addresses


class _LineReader:
    """Tokens of one line on their way to items."""

    def __init__(self) -> None:
        self.small = False
        self._begin()

    def _begin(self) -> None:
        self._line = Line()
        self._run: list[str] = []
        self._lead: list[str] = []  # particles that a name may begin with
        self._led = True  # nothing but marks stands before them
        self._small: list[str] = []  # words in a row that are no names by their letters
        self._label = ""  # what the next item is said to be
        self._birth = 0  # for how many words the next date is said to be one of birth
        self._other = False  # the next date is said to be another one
        self._title = self._staff = False
        self._place = False  # what stands here is an address
        self._near = 0
        self._words = 0  # that are no names and no labels
        self._after_label = False
        self._english: list[str] = []  # month and day, of an English date

    def end(self) -> Line:
        """The line is over."""
        self._flush()
        line = self._line
        line.prose = self._words >= _SENTENCE
        if len(line.items) == 1 and not self._words:
            line.items[0].bare = True
        self._begin()
        return line

    def take(self, kind: str, text: str) -> None:
        """One token."""
        self._line.blank = False
        if kind == "word":
            self._word(text, class_of(text))
        elif kind == "mark":
            self._mark(text)
        elif kind == "digits":
            self._number(text)
        elif kind != "spaced" or self._birth:
            self._flush()
            if kind in ("date", "spaced"):
                self._date(text)
            else:
                self._put(Item(kind, text))

    def _date(self, text: str) -> None:
        self._put(Item(DATE, text, role="dob" if self._birth else "date" if self._other else ""))
        self._birth, self._other = 0, False

    def _number(self, text: str) -> None:
        """Digits that are no value by themselves: a postal code, parts of `March 12, 1975`."""
        self._flush()
        self._near += 1
        self._place = self._place or len(text) == 5
        if self._english and len(text) == (4 if len(self._english) > 1 else min(len(text), 2)):
            self._english.append(text)
            if len(self._english) == 3:
                self._date(" ".join(self._english))
                self._english = []
        else:
            self._english = []

    def _put(self, item: Item) -> None:
        item.near = self._near
        self._line.items.append(item)
        self._label, self._near = "", 0
        self._title = self._staff = self._after_label = self._place = False

    def _mark(self, text: str) -> None:
        if text in ":=" and not self._run:
            # the label goes on to what follows; words before it were of the label ("nom de jeune fille")
            self._after_label = True
            self._small, self._lead, self._led = [], [], True
            return
        if text == "." and (self._title or self._staff) and not self._run:
            return
        self._flush()
        self._led = True
        self._near += 1
        self._other = False
        if text not in "().":
            self._place = False
        if text in ";|\t":
            self._label = ""

    def _word(self, word: str, known: str) -> None:
        if self._birth:
            self._birth -= 1
        if known == "particle":
            if self._small:
                if len(self._small) < _MAX_SMALL:
                    self._small.append(word)
            elif self._run or word[0].isupper():
                self._run.append(word)
                return
            else:
                self._lead.append(word)
            if word.lower() in ("le", "du"):
                self._other = not self._birth
            return
        if not known and (self.small or word[0].isupper() or (not word.islower() and len(word) > 2)) and len(word) < 40:
            if self._small:
                self._flush()
            self._run.append(word)
            return
        if not known and not self._run and len(self._small) < _MAX_SMALL and len(word) > 1:
            self._small.append(word)
            self._words += 1
            return
        self._flush()
        self._near += 1
        if known in ("", "stop", "other"):
            self._words += 1
            if not self._after_label and fold(word) not in LINKING:
                # "Patient vu en consultation": a word of the sentence, no label
                self._label = ""
        self._led = known == "title"
        if known in ("title", "staff"):
            self._title, self._staff = known == "title", known == "staff"
        elif known == "place":
            self._place = True
        elif known == "month":
            self._english = [word]
        elif known == "other":
            self._other = not self._birth
        elif known not in ("", "stop"):
            self._labelled(known)
        elif word in ("à", "a", "in", "at"):
            self._place = True

    def _labelled(self, role: str) -> None:
        self._place = False
        if not self._line.items:
            self._line.form = True
        self._near += 1
        before = "" if self._after_label else self._label
        if role == "birth":
            # not where the label is "nom de naissance"
            if before != "surname":
                self._birth, self._other, self._label = 7, False, ""
        elif before in ("surname", "first") and role in ("surname", "first", "fullname"):
            # "first name"; "nom et prénom"
            self._label = before if role == "fullname" else "fullname" if role != before else role
        else:
            self._label, self._after_label = role, False

    def _flush(self) -> None:
        if not (self._run or self._small or self._lead):
            self._led = False
            return
        run, self._run = self._run, []
        lead, self._lead = self._lead, []
        small, self._small = self._small, []
        led, self._led = self._led, False
        if small and not run:
            # without capitals a name shows by a first name or by what stands before it
            labelled = self._after_label and self._label in ("surname", "first", "fullname")
            if not (self._title or labelled or any(map(is_first_name, small))):
                self._near += len(small)
                return
            run = small
        while run and class_of(run[-1]) == "particle":
            if fold(run.pop()) in ("le", "du"):
                self._other = not self._birth
        if self._place or not run or len(max(run, key=len)) < 2:
            return
        role = self._label if self._label in ("surname", "first", "fullname") else ""
        if lead and (role or self._after_label):
            # behind a label the particle is part of the name
            run, lead = [*lead, *run], []
        # so many capitals in a row are no name, but its end may be one
        run = run[-_MAX_RUN:]
        item = Item(NAME, " ".join(run), tuple(run), role, self._title, self._staff, tuple(lead), led)
        self._put(item)
        if lead:
            self._other = False  # "le", "du" were of the name
