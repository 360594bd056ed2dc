"""Patients by household for `benchmarks authentic`, and what is made of them: shuffled, invented, filled-up samples.

The names are those of Faker's French provider, more frequent and rarer by Zipf's law. Sizes of households are those of
INSEE's census of 2021 (37 % of one person, 33 % of two, 13 % of three, 17 % of four and more). What else is chosen, is
chosen by hand: 40 % of patients have a mailbox that does not resemble their name. No rate of the verdict comes from here.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

import numpy as np
from faker import Faker
from faker.providers.person.fr_FR import Provider

from data.identifiers.normalise import fold

COLUMNS = ("nom", "prenom", "ddn", "nir", "tel", "email")
Row = dict[str, str]
_HOSTS = ("orange.fr", "free.fr", "gmail.com", "laposte.net", "sfr.fr", "hotmail.fr", "wanadoo.fr", "yahoo.fr")
_WORDS = ("soleil", "chaton", "licorne", "bzh", "moto", "pêche", "rugby", "jardin", "lulu", "titou", "zaza", "doudou")


@dataclass
class People:
    """People by household, from a seed."""

    seed: int
    rows: list[Row] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    """The numbers of rows of adults with a social security number, who may have further children."""

    def __post_init__(self) -> None:
        self.dice = np.random.default_rng([self.seed, 4071])
        self._surnames = list(dict.fromkeys(Provider.last_names))
        self._firsts = [
            list(dict.fromkeys(Provider.first_names_male)),
            list(dict.fromkeys(Provider.first_names_female)),
        ]
        self._taken: set[str] = set()

    def fill(self, count: int) -> list[Row]:
        """`count` further people or a few more, whole households."""
        before = len(self.rows)
        while len(self.rows) < before + count:
            self._household()
        return self.rows[before:]

    def _pick(self, words: list[str]) -> str:
        return words[int(len(words) * self.dice.random() ** 2)]

    def surname(self) -> str:
        one = self._pick(self._surnames)
        # as many surnames as France has: half of them are rare, and none of Faker's few hundred
        end = ("", "", "", "eau", "ard", "in", "et", "ier", "otte", "ou")[int(self.dice.integers(10))]
        return (
            one
            if not end
            else f"{one.rstrip('aeiouy')}{end}"
            if self.dice.random() < 0.9
            else f"{one}-{self._pick(self._surnames)}"
        )

    def first(self, sex: int) -> str:
        return self._pick(self._firsts[sex - 1])

    def _once(self, made: str) -> bool:
        taken = made in self._taken
        self._taken.add(made)
        return not taken

    def phone(self) -> str:
        while not self._once(
            made
            := f"0{self.dice.choice([6, 6, 6, 7, 1, 2, 3, 4, 5, 9])}{self.dice.integers(30_000_000, 99_999_999):08d}"
        ):
            pass
        return made

    def nir(self, sex: int, born: dt.date) -> str:
        while not self._once(
            made
            := f"{sex}{born:%y%m}{self.dice.integers(1, 96):02d}{self.dice.integers(1, 500):03d}{self.dice.integers(1, 700):03d}"
        ):
            pass
        return with_key(made)

    def mail(self, first: str, surname: str, born: dt.date) -> str:
        def plain(text: str) -> str:
            return "".join(filter(str.isalnum, fold(text)))

        one, two, style = plain(first), plain(surname), self.dice.random()
        number = str(self.dice.integers(1, 99))
        stem = (
            f"{one}.{two}" if style < 0.35 else f"{one[0]}{two}" if style < 0.5 else f"{two}{born:%y}" if style < 0.6
            else f"{plain(_WORDS[int(self.dice.integers(len(_WORDS)))])}{number}{one[0]}"
        )  # fmt: skip
        while not self._once(made := f"{stem}@{_HOSTS[int(self.dice.integers(len(_HOSTS)))]}"):
            stem += number
        return made

    def _person(self, surname: str, sex: int, born: dt.date, **values: str) -> Row:
        first = values.pop("prenom", "") or self.first(sex)
        made = {
            "nom": surname, "prenom": first, "ddn": f"{born:%d/%m/%Y}",
            "nir": self.nir(sex, born) if self.dice.random() < 0.93 else "",
            "tel": self.phone() if self.dice.random() < 0.93 else "",
            "email": self.mail(first, surname, born) if self.dice.random() < 0.65 else "",
        } | values  # fmt: skip
        self.rows.append(made)
        return made

    def _born(self, first_year: int, last_year: int) -> dt.date:
        return dt.date(int(self.dice.integers(first_year, last_year + 1)), 1, 1) + dt.timedelta(
            int(self.dice.integers(365))
        )

    def _household(self) -> None:
        size = int(self.dice.choice([1, 2, 3, 4, 5], p=[0.37, 0.33, 0.13, 0.12, 0.05]))
        surname, sex, born = self.surname(), int(self.dice.integers(1, 3)), self._born(1932, 2003)
        adult = self._person(surname, sex, born)
        if adult["nir"]:
            self.parents.append(len(self.rows) - 1)
        if size > 1:
            other = surname if self.dice.random() < 0.6 else self.surname()
            shared = {"tel": adult["tel"]} if self.dice.random() < 0.15 else {}
            shared |= {"email": adult["email"]} if self.dice.random() < 0.1 else {}
            self._person(other, 3 - sex, self._born(max(1932, born.year - 5), min(2004, born.year + 6)), **shared)
        for _ in range(size - 2):
            self.child(adult, born.year)

    def child(self, parent: Row, born_parent: int) -> Row:
        """A child on the number, telephone and mailbox of a parent, in some files only on some of them."""
        first_year = min(2024, max(2006, born_parent + 18))
        shared = {"nir": parent["nir"]} | {key: parent[key] for key in ("tel", "email") if self.dice.random() < 0.85}
        return self._person(parent["nom"], int(self.dice.integers(1, 3)), self._born(first_year, 2025), **shared)

    def new_children(self, count: int) -> list[Row]:
        """Children of people who are there already."""
        chosen = self.dice.choice(len(self.parents), count, replace=False)
        parents = [self.rows[self.parents[at]] for at in chosen]
        return [self.child(parent, int(parent["ddn"][-4:])) for parent in parents]


def with_key(number: str) -> str:
    """A social security number of 13 digits with its control key."""
    return f"{number}{97 - int(number) % 97:02d}"


# --- what files hold -------------------------------------------------------------------------------------------------


def worn(rows: list[Row], people: People, *, typos: float = 0.015, moved: float = 0.15) -> list[Row]:
    """Rows as a later state of the file has them: mistyped fields, new telephones and mailboxes."""
    dice, made = people.dice, []
    for row in rows:
        found = dict(row)
        for name in COLUMNS:
            if found[name] and dice.random() < typos:
                at = int(dice.integers(len(found[name])))
                letter = str(dice.integers(10)) if found[name][at].isdigit() else "e"
                found[name] = found[name][:at] + letter + found[name][at + 1 :]
        if found["tel"] and dice.random() < moved:
            found["tel"] = people.phone()
        if found["email"] and dice.random() < moved:
            found["email"] = f"x{dice.integers(10**9)}@free.fr"
        made.append(found)
    return made


def shuffled(rows: list[Row], dice: np.random.Generator, columns: tuple[str, ...] = COLUMNS) -> list[Row]:
    """Some columns, each in another order."""
    orders = {name: dice.permutation(len(rows)) for name in columns}
    return [row | {name: rows[order[at]][name] for name, order in orders.items()} for at, row in enumerate(rows)]


def recombined(rows: list[Row], count: int, dice: np.random.Generator) -> list[Row]:
    """`count` rows whose every value is that of another person of a whole release: an excerpt of a shuffled file."""
    return [{name: rows[int(dice.integers(len(rows)))][name] for name in COLUMNS} for _ in range(count)]


def invented(count: int, seed: int) -> list[Row]:
    """People as Faker invents them: numbers with right keys, that have nothing to do with the rest."""
    fake = Faker("fr_FR")
    fake.seed_instance(seed)
    return [
        {"nom": fake.last_name(), "prenom": fake.first_name(), "ddn": f"{fake.date_of_birth(maximum_age=95):%d/%m/%Y}",
         "nir": fake.ssn(), "tel": fake.phone_number(), "email": fake.email()}
        for _ in range(count)
    ]  # fmt: skip


def half_columns(rows: list[Row], seed: int) -> list[Row]:
    """Real names and dates of birth beside invented numbers and mailboxes."""
    return [
        row | {name: fake[name] for name in ("nir", "tel", "email")}
        for row, fake in zip(rows, invented(len(rows), seed), strict=True)
    ]
