"""Records in disguise: the same people in every spelling, layout and coding in which leaks come; always the same from one seed."""

from __future__ import annotations

import base64
import csv
import io
import json
import quopri
import random
import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from email.message import EmailMessage
from html import escape
from html.entities import codepoint2name
from itertools import pairwise

from data.identifiers.normalise import MONTHS
from tests.synth.archives import tar
from tests.synth.people import HEADERS, Person, people

Fields = dict[str, str]
ROLES = ("surname", "first", "dob", "nir", "email", "phone")
_MONTHS = ("janvier février mars avril mai juin juillet août septembre octobre novembre décembre").split()  # noqa: SIM905 - words
_ENGLISH = [word.capitalize() for word in MONTHS if word in
            {"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"}]  # fmt: skip
_PARTICLES = ("de", "de la", "du", "d'", "Le", "van", "von")


def crowd(seed: int, count: int) -> list[Person]:
    """People with households, particles, hyphens and Corsican numbers among them."""
    dice = random.Random(f"crowd {seed}")
    made: list[Person] = []
    for number, person in enumerate(people(seed, count)):
        if number % 9 == 4:
            # a household: the surname of the one before, and nothing else
            person = replace(person, surname=made[-1].surname)
        elif number % 11 == 5:
            particle = dice.choice(_PARTICLES)
            person = replace(person, surname=f"{particle}{'' if particle.endswith(chr(39)) else ' '}{person.surname}")
        elif number % 13 == 6:
            person = replace(person, first=f"{person.first.split('-')[0]}-{dice.choice(('Marie', 'Noël', 'Éric'))}")
        if number % 10 == 7:
            letter = dice.choice("AB")
            body = f"{person.nir[:5]}2{letter}{person.nir[7:13]}"
            digits = int(body.replace("2A", "19").replace("2B", "18"))
            person = replace(person, nir=f"{body}{97 - digits % 97:02}")
        made.append(person)
    return made


def bare(text: str) -> str:
    """Without accents."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _pairs(phone: str, mark: str) -> str:
    return mark.join(phone[at : at + 2] for at in range(0, 10, 2))


PHONES: dict[str, Callable[[str], str]] = {
    "together": lambda phone: phone,
    "spaces": lambda phone: _pairs(phone, " "),
    "dots": lambda phone: _pairs(phone, "."),
    "dashes": lambda phone: _pairs(phone, "-"),
    "hard spaces": lambda phone: _pairs(phone, "\u00a0"),
    "+33": lambda phone: f"+33{phone[1:]}",
    "+33 spaces": lambda phone: f"+33 {phone[1]} {_pairs('0' + phone[1:], ' ')[3:]}",
    "+33 (0)": lambda phone: f"+33 (0){phone[1]} {_pairs('0' + phone[1:], ' ')[3:]}",
    "0033": lambda phone: f"0033{phone[1:]}",
    "groups": lambda phone: f"{phone[:4]} {phone[4:7]} {phone[7:]}",
}
DATES: dict[str, Callable[[Person], str]] = {
    "slashes": lambda person: f"{person.dob:%d/%m/%Y}",
    "iso": lambda person: f"{person.dob:%Y-%m-%d}",
    "dots": lambda person: f"{person.dob:%d.%m.%Y}",
    "words": lambda person: (
        f"{person.dob.day}{'er' if person.dob.day == 1 else ''} {_MONTHS[person.dob.month - 1]} {person.dob.year}"
    ),
    "english": lambda person: f"{_ENGLISH[person.dob.month - 1]} {person.dob.day}, {person.dob.year}",
    "time": lambda person: f"{person.dob:%Y-%m-%d}T00:00:00",
    "compact": lambda person: f"{person.dob:%Y%m%d}",
}


def _nir_spaces(nir: str) -> str:
    cuts = (0, 1, 3, 5, 7, 10, 13, 15)
    return " ".join(nir[a:b] for a, b in pairwise(cuts) if a < len(nir))


NIRS: dict[str, Callable[[str], str]] = {
    "key": lambda nir: nir,
    "no key": lambda nir: nir[:13],
    "spaces": _nir_spaces,
    "spaces, no key": lambda nir: _nir_spaces(nir[:13]),
    "key apart": lambda nir: f"{nir[:13]} {nir[13:]}",
}
NAMES: dict[str, Callable[[str, str], tuple[str, str]]] = {
    "as written": lambda surname, first: (surname, first),
    "surname in capitals": lambda surname, first: (surname.upper(), first),
    "capitals": lambda surname, first: (surname.upper(), first.upper()),
    "small": lambda surname, first: (surname.lower(), first.lower()),
    "no accents": lambda surname, first: (bare(surname), bare(first)),
    "spaces for hyphens": lambda surname, first: (surname.replace("-", " "), first.replace("-", " ")),
    "decomposed": lambda surname, first: (unicodedata.normalize("NFD", surname), unicodedata.normalize("NFD", first)),
}


@dataclass(frozen=True)
class Spelling:
    """How values are written; keys of the tables above."""

    phone: str = "together"
    date: str = "slashes"
    nir: str = "key"
    name: str = "as written"
    upper_email: bool = False

    def fields(self, person: Person) -> Fields:
        """The values of a person."""
        surname, first = NAMES[self.name](person.surname, person.first)
        return {
            "surname": surname, "first": first, "dob": DATES[self.date](person), "nir": NIRS[self.nir](person.nir),
            "email": person.email.upper() if self.upper_email else person.email, "phone": PHONES[self.phone](person.phone),
        }  # fmt: skip


# --- layouts ---------------------------------------------------------------------------------------------------------

Layout = Callable[[Sequence[Fields], random.Random], str]
LAYOUTS: dict[str, Layout] = {}


def _layout(name: str) -> Callable[[Layout], Layout]:
    def put(function: Layout) -> Layout:
        LAYOUTS[name] = function
        return function

    return put


def _table(header: str | None, *, separator: str = ";", quoting: int = csv.QUOTE_MINIMAL, shuffled: bool = False,
           whole: str = "", wrong: bool = False) -> Layout:  # fmt: skip
    def made(rows: Sequence[Fields], dice: random.Random) -> str:
        order = list(ROLES)
        if whole:
            order = ["name", *order[2:]]
        if shuffled:
            dice.shuffle(order)
        words = {**HEADERS[header or "fr"], "name": "nom_prenom" if header != "en" else "full name"}
        top = [words[role] for role in order]
        if wrong:
            top = [*top[1:], top[0]]
        out = io.StringIO()
        writer = csv.writer(out, delimiter=separator, quoting=quoting)  # type: ignore[arg-type]  # one of csv's numbers
        if header is not None:
            writer.writerow(top)
        for row in rows:
            cells = {**row, "name": whole.format(**row)}
            writer.writerow([cells[role] for role in order])
        return out.getvalue()

    return made


LAYOUTS |= {
    "table": _table("fr"),
    "table, English header": _table("en"),
    "table, no header": _table(None),
    "table, wrong header": _table("fr", wrong=True),
    "table, other column order": _table("fr", shuffled=True),
    "table, other column order, no header": _table(None, shuffled=True),
    "table, commas": _table("fr", separator=","),
    "table, tabs": _table("fr", separator="\t"),
    "table, bars": _table("fr", separator="|"),
    "table, all quoted": _table("fr", quoting=csv.QUOTE_ALL),
    "table, surname first in one column": _table("fr", whole="{surname} {first}"),
    "table, first name first in one column": _table("en", whole="{first} {surname}"),
    "table, comma in one column": _table("fr", whole="{surname}, {first}"),
}


@_layout("prose")
def _prose(rows: Sequence[Fields], dice: random.Random) -> str:
    forms = (
        "{surname} {first}, né le {dob}, tél. {phone}, NIR {nir}, mail {email}.",
        "Patient : {first} {surname} (né(e) le {dob}). Joignable au {phone} ou {email}, n° de sécurité sociale {nir}.",
        "Mme {first} {surname}, née à Lyon le {dob}, NIR : {nir}, contact {email}, {phone}.",
        "{surname} {first} - {dob} - {phone} - {email} - {nir}",
    )
    return "Bonjour, voici une partie des fiches :\n\n" + "\n".join(dice.choice(forms).format(**row) for row in rows)


@_layout("prose, wrapped")
def _wrapped(rows: Sequence[Fields], dice: random.Random) -> str:
    return "\n\n".join(
        textwrap.fill(part, dice.choice((40, 60, 76)), break_long_words=False, break_on_hyphens=False)
        for part in _prose(rows, dice).split("\n")
    )


@_layout("form")
def _form(rows: Sequence[Fields], dice: random.Random) -> str:
    gap = dice.choice(("\n", ""))
    return gap.join(
        "Nom : {surname}\nPrénom : {first}\nSexe : F\nDate de naissance : {dob}\nN° sécu : {nir}\nTél : {phone}\nEmail : {email}\n".format(
            **row
        )
        for row in rows
    )


@_layout("list")
def _list(rows: Sequence[Fields], dice: random.Random) -> str:
    return "\n\n".join("{first} {surname}\n{dob}\n{phone}\n{email}\n{nir}".format(**row) for row in rows)


@_layout("BBCode")
def _bbcode(rows: Sequence[Fields], dice: random.Random) -> str:
    form = "[*][b]{surname}[/b] [i]{first}[/i], né le [u]{dob}[/u] [color=#ff0000]{phone}[/color] [email]{email}[/email] NIR [size=2]{nir}[/size]"
    return "[quote][list]\n" + "\n".join(form.format(**row) for row in rows) + "\n[/list][/quote]"


@_layout("BBCode table")
def _bbcode_table(rows: Sequence[Fields], dice: random.Random) -> str:
    lines = ["[tr]" + "".join(f"[td]{row[role]}[/td]" for role in ROLES) + "[/tr]" for row in rows]
    return "[table]\n" + "\n".join(lines) + "\n[/table]"


def _html(body: str) -> str:
    return f'<!DOCTYPE html>\n<html lang="fr"><head><meta charset="utf-8"><title>x</title></head><body>\n{body}\n</body></html>'


@_layout("HTML table")
def _html_table(rows: Sequence[Fields], dice: random.Random) -> str:
    head = "".join(f"<th>{HEADERS['fr'][role]}</th>" for role in ROLES)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(row[role])}</td>" for role in ROLES) + "</tr>" for row in rows)
    return _html(f"<table><thead><tr>{head}</tr></thead>{body}</table>")


@_layout("HTML words")
def _html_words(rows: Sequence[Fields], dice: random.Random) -> str:
    form = "<p><b>{surname}</b> {first}, né le <i>{dob}</i>,<br>tél. {phone}, <a href='mailto:{email}'>{email}</a>, NIR {nir}</p>"
    return _html("\n".join(form.format(**{role: escape(text) for role, text in row.items()}) for row in rows))


@_layout("HTML cards")
def _html_cards(rows: Sequence[Fields], dice: random.Random) -> str:
    cards = []
    for row in rows:
        lines = "".join(f"<dt>{HEADERS['fr'][role]}</dt><dd>{escape(row[role])}</dd>" for role in ROLES)
        cards.append(f"<div class='card'><dl>{lines}</dl></div>")
    return _html("\n".join(cards))


@_layout("JSON lines")
def _json_lines(rows: Sequence[Fields], dice: random.Random) -> str:
    return "\n".join(json.dumps({HEADERS["en"][role]: row[role] for role in ROLES}) for row in rows)


@_layout("JSON array")
def _json_array(rows: Sequence[Fields], dice: random.Random) -> str:
    return json.dumps([{"patient": {HEADERS["fr"][role]: row[role] for role in ROLES}} for row in rows], indent=1)


@_layout("XML")
def _xml(rows: Sequence[Fields], dice: random.Random) -> str:
    def text(value: str) -> str:
        return "".join(char if char.isascii() else f"&#{ord(char)};" for char in escape(value))

    parts = [
        "".join(f"<{HEADERS['fr'][role]}>{text(row[role])}</{HEADERS['fr'][role]}>" for role in ROLES) for row in rows
    ]
    return (
        '<?xml version="1.0"?>\n<patients>\n'
        + "\n".join(f"<patient>{part}</patient>" for part in parts)
        + "\n</patients>"
    )


def _sql_text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


@_layout("SQL")
def _sql(rows: Sequence[Fields], dice: random.Random) -> str:
    names = ", ".join(f"`{HEADERS['fr'][role]}`" for role in ROLES)
    values = ",\n".join("(" + ",".join(_sql_text(row[role]) for role in ROLES) + ")" for row in rows)
    return f"-- dump\nINSERT INTO `patients` ({names}) VALUES\n{values};\n"


@_layout("SQL, doubled quotes")
def _sql_doubled(rows: Sequence[Fields], dice: random.Random) -> str:
    return "".join(
        "INSERT INTO patients (nom, prenom, date_naissance, nir, email, telephone) VALUES ("
        + ", ".join("'" + row[role].replace("'", "''") + "'" for role in ROLES) + ");\n"
        for row in rows
    )  # fmt: skip


# --- codings ---------------------------------------------------------------------------------------------------------


def _entities(text: str) -> bytes:
    return "".join(
        char
        if char.isascii()
        else f"&{codepoint2name[ord(char)]};"
        if ord(char) in codepoint2name
        else f"&#x{ord(char):x};"
        for char in text
    ).encode()


def _mail(text: str) -> bytes:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "a@b.example", "c@d.example", "liste"
    made.set_content("Ci-joint.\n")
    made.add_attachment(text.encode(), "text", "plain", filename="liste.txt")
    return made.as_bytes()


CODINGS: dict[str, Callable[[str], bytes]] = {
    "UTF-8": lambda text: text.encode(),
    "UTF-8 with mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16 big": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "cp1252": lambda text: unicodedata.normalize("NFC", text).encode("cp1252", "replace"),
    "double UTF-8": lambda text: unicodedata.normalize("NFC", text).encode().decode("cp1252", "ignore").encode(),
    "base64": lambda text: base64.encodebytes(text.encode()),
    "base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16")),
    "quoted-printable": lambda text: quopri.encodestring(text.encode()),
    "JSON escapes": lambda text: json.dumps(text).encode(),
    "entities": _entities,
    "CRLF": lambda text: text.replace("\r\n", "\n").replace("\n", "\r\n").encode(),
    "mail": _mail,
    "one bad byte a line": lambda text: b"\n".join(b"\xff" + line for line in text.encode().split(b"\n")),
}


@dataclass(frozen=True)
class Disguise:
    """One way in which records are hidden."""

    layout: str = "table"
    spelling: Spelling = Spelling()
    coding: str = "UTF-8"
    one_file_each: bool = False

    @property
    def name(self) -> str:
        """What is unusual about it."""
        usual = Spelling()
        said = [self.layout, *(
            f"{what} {getattr(self.spelling, what)}"
            for what in ("phone", "date", "nir", "name")
            if getattr(self.spelling, what) != getattr(usual, what)
        )]  # fmt: skip
        said += ["E-MAIL"] * self.spelling.upper_email + [self.coding] * (self.coding != "UTF-8")
        return " / ".join(said + ["one file each"] * self.one_file_each)

    def of(self, who: Sequence[Person], seed: int = 0) -> bytes:
        """A sample that holds these people."""
        dice = random.Random(f"{self.name} {seed}")
        rows = [self.spelling.fields(person) for person in who]
        if self.one_file_each:
            return tar(
                [
                    (f"{at:05}.txt", CODINGS[self.coding](LAYOUTS[self.layout]([row], dice)))
                    for at, row in enumerate(rows)
                ]
            )
        return CODINGS[self.coding](LAYOUTS[self.layout](rows, dice))


def single() -> list[Disguise]:
    """Every disguise alone."""
    made = [Disguise(layout) for layout in LAYOUTS]
    for layout in ("table", "prose"):
        made += [Disguise(layout, Spelling(phone=form)) for form in PHONES]
        made += [Disguise(layout, Spelling(date=form)) for form in DATES]
        made += [Disguise(layout, Spelling(nir=form)) for form in NIRS]
        made += [Disguise(layout, Spelling(name=form)) for form in NAMES]
        made += [Disguise(layout, Spelling(upper_email=True))]
        made += [Disguise(layout, coding=coding) for coding in CODINGS]
    made += [Disguise(layout, coding="one bad byte a line") for layout in LAYOUTS]
    made += [Disguise(layout, one_file_each=True) for layout in ("prose", "form", "list")]
    return list({disguise.name: disguise for disguise in made}.values())


def combined(seed: int, count: int) -> list[Disguise]:
    """Random combinations; the same ones from one seed."""
    dice = random.Random(f"combined {seed}")
    made: dict[str, Disguise] = {}
    while len(made) < count:
        spelling = Spelling(
            dice.choice(list(PHONES)),
            dice.choice(list(DATES)),
            dice.choice(list(NIRS)),
            dice.choice(list(NAMES)),
            dice.random() < 0.2,
        )
        disguise = Disguise(dice.choice(list(LAYOUTS)), spelling, dice.choice(list(CODINGS)))
        made[disguise.name] = disguise
    return list(made.values())
