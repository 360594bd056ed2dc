"""Patients of practices as files have them: households, namesakes, children on a parent's number, placeholders.

This population is not the one from which rates of the lineage were measured (`tests.synth.population`). Its own rates
(households, names kept, twins, children on a parent's number) were chosen by hand and are from no source.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from crawler.examiner.hits import HitConfirmer
from crawler.examiner.record_pass import RecordPass
from crawler.examiner.sample import SampleMember
from crawler.matching.byte_scanner import ByteScanner
from crawler.matching.canary_numbers import CanaryNumbers
from crawler.matching.watchlist_match import HitCollector
from crawler.records.row_batch import RowBatch
from data.case.watchlist import Watchlist
from data.model import Lineage
from data.releases.builder import ReleaseBuilder
from data.releases.known_releases import KnownReleases

KEY = bytes(range(16))
COLUMNS = ("nom", "prenom", "ddn", "nir", "tel", "email", "adresse")
SYLLABLES = [
    "ba",
    "ber",
    "bou",
    "cha",
    "cor",
    "da",
    "de",
    "dri",
    "fa",
    "fon",
    "ga",
    "gre",
    "la",
    "le",
    "lo",
    "ma",
    "mar",
    "mi",
    "mo",
    "na",
    "ni",
    "pa",
    "per",
    "ra",
    "ri",
    "ro",
    "sa",
    "so",
    "ta",
    "ti",
    "va",
    "vi",
]
ENDS = [
    "card",
    "dier",
    "eau",
    "et",
    "field",
    "gnon",
    "ier",
    "in",
    "lat",
    "let",
    "lin",
    "nec",
    "ot",
    "rand",
    "roux",
    "son",
    "ter",
    "ton",
    "vin",
]
TRADITIONS = {
    "fr": ("", ["Louis", "Jules", "Adèle", "Hélène", "Margaux", "Étienne", "Noé", "Lucie", "Côme", "Inès", "Zélie", "Anaïs", "Gaëlle", "Loïc", "Yvon", "Odile", "Maud", "Régis", "Solène", "Thaïs"]),
    "vn": (["Nguyễn", "Trần", "Lê", "Phạm", "Đặng", "Đỗ", "Bùi", "Vũ"], ["Đức", "Hùng", "Lan", "Hương", "Minh", "Thảo", "Quỳnh", "Đạt", "Ngọc", "Tuấn"]),
    "tr": (["Yılmaz", "Çelik", "Şahin", "Öztürk", "Kılıç", "Doğan", "Işık", "Güneş"], ["Ayşe", "İbrahim", "Ömer", "Elif", "Büşra", "Cem", "Hüseyin", "Gül", "Kaan", "Işıl"]),
    "pl": (["Wałęsa", "Żak", "Łukasik", "Nowak", "Wójcik", "Kowal", "Źródło"], ["Łucja", "Michał", "Zofia", "Paweł", "Jerzy", "Żaneta", "Agnieszka", "Stanisław"]),
    "ma": ("El Amrani Ben Salah Aït Hamou Bouzidi Cherkaoui".replace("El ", "El_").replace("Ben ", "Ben_").replace("Aït ", "Aït_").split(), ["Yasmine", "Hamza", "Khadija", "Omar", "Salma", "Ilyes", "Rim", "Anas", "Zineb"]),
    "ar": (["al-Haddad", "O'Brien", "d'Arras", "de_La_Tour", "Saint-Just"], ["Jean-Loup", "Marie-Ange", "Anne-Lise", "Paul-Émile", "Marc-Antoine"]),
    "zh": (["Li", "Wu", "Xu", "Ng", "Ma", "He", "Lin", "Zhao"], ["Wei", "Na", "Bo", "An", "Jun", "Mei", "Xin", "Yu"]),
    "se": (["Åkesson", "Nyström", "Sjöberg", "Ødegård", "Þorsson", "Bjørn"], ["Åsa", "Jörgen", "Sölvi", "Øyvind", "Þóra", "Linnéa"]),
}  # fmt: skip
HOSTS = ("orange.fr", "free.fr", "gmail.com", "laposte.net", "sfr.fr", "proton.me")


@dataclass(frozen=True)
class Patient:
    """One person; `holder` is the person whose number and mailbox stand in the file (a parent's, for a child)."""

    number: int
    surname: str
    first: str
    born: dt.date
    sex: int
    nir: str
    phone: str
    mail: str
    address: str
    household: int
    is_child: bool = False

    def row(self, **other: str) -> dict[str, str]:
        return {
            "nom": self.surname, "prenom": self.first, "ddn": f"{self.born:%d/%m/%Y}", "nir": self.nir, "tel": self.phone,
            "email": self.mail, "adresse": self.address, **other,
        }  # fmt: skip


@dataclass
class Practices:
    """Patients by household, from a seed."""

    seed: int
    tradition: str = "fr"
    patients: list[Patient] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = np.random.default_rng([self.seed, 1975])
        self._taken: set[str] = set()
        self._households = 0
        self._surnames, self._firsts = TRADITIONS[self.tradition]

    def fill(self, count: int) -> list[Patient]:
        """`count` further patients, whole households."""
        before = len(self.patients)
        while len(self.patients) < before + count:
            self._household()
        return self.patients[before:]

    def _pick(self, words: Sequence[str]) -> str:
        # a few names are borne by many people (Zipf)
        at = min(len(words) - 1, int(len(words) * self.dice.random() ** 1.7))
        return words[at].replace("_", " ")

    def _surname(self) -> str:
        if self._surnames:
            return self._pick(self._surnames)
        parts = [SYLLABLES[int(len(SYLLABLES) * self.dice.random() ** 1.3)] for _ in range(self.dice.integers(1, 3))]
        return ("".join(parts) + ENDS[self.dice.integers(len(ENDS))]).capitalize()

    def _once(self, made: str) -> bool:
        if made in self._taken:
            return False
        self._taken.add(made)
        return True

    def _first(self) -> str:
        name = self._pick(self._firsts)
        # every third has a second first name that is written as well, so that there are more names than in the table
        return name if self.dice.random() < 0.67 else f"{name} {self._pick(self._firsts)}"

    def phone(self) -> str:
        while True:
            made = f"0{self.dice.choice([6, 7, 1, 4])}{self.dice.integers(10**7, 10**8 - 1):08d}"
            if self._once(made):
                return made

    def nir(self, sex: int, born: dt.date) -> str:
        while True:
            made = f"{sex}{born:%y%m}{self.dice.integers(21, 95):02d}{self.dice.integers(1, 400):03d}{self.dice.integers(1, 400):03d}"
            if self._once(made):
                return made + f"{97 - int(made) % 97:02d}"

    def mail(self, surname: str, first: str) -> str:
        plain = lambda text: "".join(char for char in text.lower() if char.isascii() and char.isalpha()) or "x"  # noqa: E731
        while True:
            tail = "" if self.dice.random() < 0.4 else str(self.dice.integers(1, 999))
            made = f"{plain(first)}.{plain(surname)}{tail}@{HOSTS[self.dice.integers(len(HOSTS))]}"
            if self._once(made):
                return made

    def born(self, first_year: int, last_year: int) -> dt.date:
        return dt.date(int(self.dice.integers(first_year, last_year + 1)), 1, 1) + dt.timedelta(
            int(self.dice.integers(365))
        )

    def _add(self, **fields: object) -> Patient:
        made = Patient(number=len(self.patients) + self.seed * 10**6, **fields)  # type: ignore[arg-type]
        self.patients.append(made)
        return made

    def _household(self) -> None:
        self._households += 1
        dice = self.dice
        address = f"{dice.integers(1, 200)} rue {self._pick(SYLLABLES).capitalize()}, {dice.integers(10000, 95999)}"
        common = {"address": address, "household": self._households}
        surname, sex, born = self._surname(), int(dice.integers(1, 3)), self.born(1935, 1998)
        first = self._first()
        head = self._add(
            surname=surname, first=first, born=born, sex=sex, nir=self.nir(sex, born) if dice.random() < 0.94 else "",
            phone=self.phone() if dice.random() < 0.95 else "",
            mail=self.mail(surname, first) if dice.random() < 0.6 else "", **common,
        )  # fmt: skip
        parents = [head]
        if dice.random() < 0.55:
            own, first, born = (
                self._surname(),
                self._first(),
                self.born(born.year - 4, min(1999, born.year + 5)),
            )
            name = surname if dice.random() < 0.65 else own
            parents.append(self._add(
                surname=name, first=first, born=born, sex=3 - sex, nir=self.nir(3 - sex, born) if dice.random() < 0.94 else "",
                phone=head.phone if dice.random() < 0.12 else self.phone(),
                mail=head.mail if dice.random() < 0.1 else self.mail(name, first) if dice.random() < 0.6 else "", **common,
            ))  # fmt: skip
        if len(parents) == 2 and born.year > 1965:
            for _ in range(int(dice.choice([0, 1, 2, 3], p=[0.33, 0.25, 0.3, 0.12]))):
                self.child(parents, twins=bool(dice.random() < 0.016))

    def child(self, parents: Sequence[Patient], *, twins: bool = False) -> list[Patient]:
        """A child, or twins, on the numbers of one of the parents."""
        made: list[Patient] = []
        born, holder = self.born(2008, 2024), parents[int(self.dice.integers(len(parents)))]
        for _ in range(2 if twins else 1):
            home = parents[0].household
            taken = {each.first for each in self.patients[-40:] if each.household == home}
            taken |= {each.first for each in (*parents, *made)}
            first = next(name for name in (self._first() for _ in range(1000)) if name not in taken)
            made.append(self._add(
                surname=parents[0].surname, first=first, born=born, sex=int(self.dice.integers(1, 3)), nir=holder.nir,
                phone=holder.phone, mail=holder.mail, address=parents[0].address, household=parents[0].household,
                is_child=True,
            ))  # fmt: skip
        return made

    def married(self, patient: Patient) -> Patient:
        return replace(patient, surname=self._surname())

    def moved(self, patient: Patient) -> Patient:
        return replace(patient, phone=self.phone(), mail=self.mail(patient.surname, patient.first))


# --- judged without reader and sandbox ---------------------------------------------------------------------------------

Table = tuple[list[str], list[list[str]]]


def table(rows: Sequence[dict[str, str]], columns: Sequence[str] = COLUMNS) -> Table:
    return list(columns), [[row.get(name, "") for name in columns] for row in rows]


class Case:
    """Releases in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.watchlist = Watchlist.open(self.folder / "watchlist", case="")
        self.numbers = CanaryNumbers(self.watchlist)

    def read(self, tables: Sequence[Table], *, collects: bool = False) -> RecordPass:
        """What the examiner has of tables once they are read."""
        releases = KnownReleases.open(self.folder / "releases")
        found = RecordPass(
            KEY, self.watchlist, releases, None, HitConfirmer(self.numbers, bytes(32)), collects=collects
        )
        for at, (header, rows) in enumerate(tables):
            member = SampleMember(
                f"table {at}", "delimited", HitCollector(self.numbers, bytes(32)),
                ByteScanner(KEY, self.watchlist.probe_values, tokens=False), hashlib.sha256(),
            )  # fmt: skip
            member.begin_table(header)
            found.add_rows(member, RowBatch.of(rows), (member,))
            found.end_text(member, (member,))
        return found

    def register(self, name: str, *tables: Table) -> None:
        builder = ReleaseBuilder(name)
        self.read(tables, collects=True).add_to_release(builder)
        builder.write(self.folder / "releases", {"name": name})

    def judge(self, *tables: Table, has_hits: bool = False) -> Lineage:
        found = self.read(tables).lineage(has_hits=has_hits)
        assert found is not None
        return found
