"""Reads the items of running text line by line: names, dates, numbers, addresses, and the labels before them. Pure.

`crawler.records.plain_text` takes out mark-up before, `crawler.records.word_classes` classifies the words, and
`crawler.records.running_text` decides which items belong to one person.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from crawler.records.word_classes import LABEL_LINKS, MONTH_PATTERN, is_first_name, word_class
from data.identifiers.month_words import FURTHER_PATTERN, with_month_number
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
        | \d{{1,2}}(?:er|st|nd|rd|th)?[ .\-]{{1,2}}(?i:{MONTH_PATTERN})\b\.?[,\-]?[ ]?(?:\d{{4}}|\d{{2}})(?!\d)
        | \d{{1,2}}[º°.]?[ \-]{{1,2}}(?:de[ ])?(?i:{MONTH_PATTERN}|{FURTHER_PATTERN})\b\.?[,\-]?[ ]?(?:del?[ ])?(?:18|19|20)\d\d(?!\d)
        | (?:19|20)\d\d(?:0[1-9]|1[0-2])[0-3]\d(?!\d)
        | [0-3]\d(?:0[1-9]|1[0-2])(?:19|20)\d\d(?!\d)
      ))
    | (?P<nir>(?<!\d)[1-478]{_SEP}?\d\d{_SEP}?\d\d{_SEP}?(?:\d\d|2[abAB]){_SEP}?\d{{3}}{_SEP}?\d{{3}}
        (?:[ ]?[ .\-_/(]?[ ]?(?:[cC]l[ée][ ]?:?[ ]?)?\d\d\)?)?(?!\d))
    | (?P<phone>(?<!\d)(?:
          (?:(?:\+|00)[ ]?(?:33|262|59[046])[ .\-]?(?:\(0\)|0)?|33|0)
          {_SEP}{{0,2}}[1-9](?:[ .\-/()_\u00a0\u202f]{{0,2}}\d){{8}}(?!\d)
        | (?:\+|00)[1-9](?:[ .\-/()]{{0,2}}\d){{7,14}}(?!\d)
      ))
    | (?P<spaced>(?<!\d)\d{{1,2}}[ ]\d{{1,2}}[ ](?:19|20)\d\d(?!\d))
    | (?P<digits>\d+) )
    | (?P<email>\ue000(?P<number>\d+)\ue000)
    """,
    re.VERBOSE,
)
# In a line of lower case that is shorter than this, every word may be a name; a longer line is prose.
_MAX_LOWER_CASE_LINE = 200
# A line with so many words besides names and labels is a sentence.
_SENTENCE_WORDS = 3
_MAX_LOWER_CASE_WORDS = 5
_MAX_NAME_WORDS = 7
_DOMAIN = re.compile(r"[\w-]+(?:\.[\w-]+)+")
_LOCAL_PART = re.compile(r"[\w.+%-]{1,64}\Z")


# words before a verb, such as "adresse", which is also a word of postal addresses
_OBJECTS = frozenset(("vous", "nous", "lui", "te", "t", "leur"))


@dataclass(slots=True)
class TextItem:
    """A name, date, number or address in a line.

    Attributes:
        kind: NAME, DATE, EMAIL, PHONE or NIR.
        text: as it is written.
        words: of a name.
        role: the role that a label gives it: surname, first, fullname, or `dob` and `date` for dates; '' without one.
        titled: whether a title is before the name.
        staff: whether it is the name of a health worker.
        lead: particles before a name, which may be part of it.
        led: whether the line, or the part of it after the last mark or label, begins with these particles.
        near: number of words and marks between it and the previous item of its line.
        bare: whether it is alone on its line.
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
        """The name with the particles before it."""
        return " ".join((*self.lead, self.text))


@dataclass(slots=True)
class TextLine:
    """The items of one line.

    Attributes:
        items: in order.
        blank: whether the line has no token at all.
        form: whether it begins with a label, like a line of a form.
        prose: whether it has enough words for a sentence.
        text: the line.
    """

    items: list[TextItem] = field(default_factory=list)
    blank: bool = True
    form: bool = False
    prose: bool = False
    text: str = field(default="", repr=False)

    @property
    def has_name(self) -> bool:
        """Whether any item is a name."""
        return any(item.kind == NAME for item in self.items)


def read_lines(text: str) -> Iterator[TextLine]:
    """The lines of a text without mark-up (`plain_text.to_plain_text`), with their items."""
    lines = text.split("\n")
    text, addresses = _without_addresses(text)
    reader = _LineReader()
    for number, part in enumerate(text.split("\n")):
        reader.is_lower_case = part == part.lower() and len(part) < _MAX_LOWER_CASE_LINE
        for found in _TOKEN.finditer(part):
            kind = found.lastgroup or ""
            reader.take(kind, addresses[int(found["number"])] if kind == "email" else found[0])
        line = reader.end()
        line.text = lines[number] if number < len(lines) else part
        yield line


def _without_addresses(text: str) -> tuple[str, list[str]]:
    """The text with a placeholder for each e-mail address, and the addresses.

    This is faster than trying to match an address at every word.
    """
    at = text.find("@")
    if at < 0:
        return text, []
    text = text.replace("\ue000", "")
    addresses: list[str] = []
    parts: list[str] = []
    done, at = 0, text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1)
        local = _LOCAL_PART.search(text[max(done, at - 64) : at])
        if domain and local:
            parts += [text[done : at - len(local[0])], f"\ue000{len(addresses)}\ue000"]
            addresses.append(f"{local[0].strip('.')}@{domain[0]}")
            done = domain.end()
        at = text.find("@", at + 1)
    return "".join([*parts, text[done:]]), addresses


class _LineReader:
    """Turns the tokens of one line after another into items.

    Attributes:
        is_lower_case: whether the line has no capitals and may hold names in lower case.
    """

    def __init__(self) -> None:
        self.is_lower_case = False
        self._begin()

    def _begin(self) -> None:
        self._line = TextLine()
        self._run: list[str] = []  # the words of a name so far
        self._lead: list[str] = []  # particles that may begin the next name
        self._led = True  # whether only marks are before these particles
        self._small: list[str] = []  # words in lower case in a row, which may be a name
        self._label = ""  # the role that a label gives to the next item
        self._birth = 0  # for so many words, a date is a birth date
        self._other = False  # whether the next date is another date
        self._title = self._staff = False  # whether a title of a patient, or of a health worker, was just read
        self._place = False  # whether the words are part of a postal address
        self._near = 0
        self._words = 0  # words that are neither names nor labels
        self._after_label = False
        self._english: list[str] = []  # month and day of a date in English
        self._before = ""  # the last word that is no name

    def end(self) -> TextLine:
        """End the line and return it."""
        self._flush()
        line = self._line
        line.prose = self._words >= _SENTENCE_WORDS
        if len(line.items) == 1 and not self._words:
            line.items[0].bare = True
        self._begin()
        return line

    def take(self, kind: str, text: str) -> None:
        """Add one token; `kind` is the name of its group in the token pattern."""
        self._line.blank = False
        if kind == "word":
            self._word(text, word_class(text))
        elif kind == "mark":
            self._mark(text)
        elif kind == "digits":
            self._number(text)
        elif kind != "spaced" or self._birth:
            self._flush()
            if kind in ("date", "spaced"):
                self._date(text)
            else:
                self._put(TextItem(kind, text))

    def _date(self, text: str) -> None:
        self._put(TextItem(DATE, with_month_number(text), role="dob" if self._birth else "date" if self._other else ""))
        self._birth, self._other = 0, False

    def _number(self, text: str) -> None:
        """Add digits that are no value by themselves: a postal code, or part of `March 12, 1975`."""
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

    def _put(self, item: TextItem) -> None:
        item.near = self._near
        self._line.items.append(item)
        self._label, self._near = "", 0
        self._title = self._staff = self._after_label = self._place = False

    def _mark(self, text: str) -> None:
        if text in ":=" and not self._run:
            # the label is for the text that follows; words before it belong to the label ("nom de jeune fille")
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
                if len(self._small) < _MAX_LOWER_CASE_WORDS:
                    self._small.append(word)
            elif self._run or word[0].isupper():
                self._run.append(word)
                return
            else:
                self._lead.append(word)
            if word.lower() in ("le", "du"):
                self._other = not self._birth
            return
        may_be_name = self.is_lower_case or word[0].isupper() or (not word.islower() and len(word) > 2)
        if not known and may_be_name and len(word) < 40:
            if self._small:
                self._flush()
            self._run.append(word)
            return
        if not known and not self._run and len(self._small) < _MAX_LOWER_CASE_WORDS and len(word) > 1:
            self._small.append(word)
            self._words += 1
            return
        self._flush()
        self._near += 1
        if known in ("", "stop", "other"):
            self._words += 1
            if not self._after_label and fold(word) not in LABEL_LINKS:
                # "Patient vu en consultation": the word before was part of the sentence and not a label
                self._label = ""
        self._led = known == "title"
        before, self._before = self._before, fold(word)
        if known == "title":
            # a street is seldom named after a Mme or M.
            self._place = False
        if known in ("title", "staff"):
            self._title, self._staff = known == "title", known == "staff"
        elif known == "place":
            # "je vous adresse Océane Roux": a verb
            self._place = before not in _OBJECTS
        elif known == "month":
            self._english = [word]
        elif known == "other":
            self._other = not self._birth
        elif known not in ("", "stop"):
            self._take_label(known)
        elif word in ("à", "a", "in", "at"):
            self._place = True

    def _take_label(self, role: str) -> None:
        """Add a label that names a role, or `birth`."""
        self._place = False
        if not self._line.items:
            self._line.form = True
        self._near += 1
        before = "" if self._after_label else self._label
        if role == "birth":
            # in "nom de naissance" the word is part of the label
            if before != "surname":
                self._birth, self._other, self._label = 7, False, ""
        elif before in ("surname", "first") and role in ("surname", "first", "fullname"):
            # two labels in a row: "first name", "nom et prénom"
            self._label = before if role == "fullname" else "fullname" if role != before else role
        else:
            self._label, self._after_label = role, False

    def _flush(self) -> None:
        """End the words that were read so far, and add them as a name if they may be one."""
        if not (self._run or self._small or self._lead):
            self._led = False
            return
        run, self._run = self._run, []
        lead, self._lead = self._lead, []
        small, self._small = self._small, []
        led, self._led = self._led, False
        if small and not run:
            # words in lower case are a name only if one is a first name, or a title or a label is before them
            labelled = self._after_label and self._label in ("surname", "first", "fullname")
            if not (self._title or labelled or any(map(is_first_name, small))):
                self._near += len(small)
                return
            run = small
        while run and word_class(run[-1]) == "particle":
            if fold(run.pop()) in ("le", "du"):
                self._other = not self._birth
        if self._place or not run or len(max(run, key=len)) < 2:
            return
        role = self._label if self._label in ("surname", "first", "fullname") else ""
        if lead and (role or self._after_label):
            # after a label the particle is part of the name
            run, lead = [*lead, *run], []
        # so many capitalised words in a row are not one name, but the last of them may be
        run = run[-_MAX_NAME_WORDS:]
        item = TextItem(NAME, " ".join(run), tuple(run), role, self._title, self._staff, tuple(lead), led)
        self._put(item)
        if lead:
            self._other = False  # "le" or "du" was part of the name and did not announce a date
