"""Patients of practices as columns, made many at a time: households, children on a parent's number, twins, people moved.

It is not the population that the lineage's rates were measured on (`tests.synth.population`), nor the one that its tests use
(`tests.synth.practices`). Rates are of French sources where one is named, and chosen where none is:

- Households of 1, 2, 3, 4 and 5 people: 38, 33, 13, 11 and 5 % (INSEE, census of 2021, rounded).
- Twins: 1.6 % of deliveries (INSEE, births of 2021).
- Who is younger than 16 has no card and no number of his own (social security code: the card comes at 16).
- A mobile telephone: 95 % of people from 12 years (CRÉDOC and ARCEP, barometer of 2022).
- One name for a couple 65 %, a common mailbox 12 %, a common telephone 8 %, a number for 94 % and a mailbox for 62 % of adults,
  a birth date of 1 January for 1 %: chosen.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.synth.practices import ENDS, HOSTS, SYLLABLES, TRADITIONS

SIZES = (0.38, 0.33, 0.13, 0.11, 0.05)
TWINS, MOBILE, ONE_NAME, ONE_MAILBOX, ONE_PHONE = 0.016, 0.95, 0.65, 0.12, 0.08
HAS_NUMBER, HAS_MAIL, FIRST_OF_JANUARY = 0.94, 0.62, 0.01
COLUMNS = ("nom", "prenom", "ddn", "nir", "tel", "email", "adresse")
Texts = NDArray[np.object_]
Row = dict[str, str]


@dataclass(frozen=True)
class PatientFile:
    """Patients, n of them: one array for each column, shape (n,); `number` and `household` are ids of this population."""

    number: NDArray[np.int64]
    household: NDArray[np.int64]
    is_child: NDArray[np.bool_]
    columns: dict[str, Texts]

    def rows(self, start: int = 0, stop: int | None = None) -> list[Row]:
        """Some of them as rows with the column `id`."""
        names = [*self.columns]
        parts = [self.columns[name][start:stop].tolist() for name in names]
        ids = self.number[start:stop].tolist()
        return [
            dict(zip(names, cells, strict=True), id=str(number)) for number, *cells in zip(ids, *parts, strict=True)
        ]


class Registry:
    """Makes people of one population; no two have a number, a telephone or a mailbox in common but relatives."""

    def __init__(self, seed: int, tradition: str = "fr") -> None:
        self.dice = np.random.default_rng([seed, 2021])
        self.seed, self._made, self._phones = seed, 0, int(self.dice.integers(10**6))
        surnames, firsts = TRADITIONS[tradition]
        words = list(surnames) or _made_names(self.dice)
        self._surnames = np.array([word.replace("_", " ") for word in words], object)
        self._firsts = np.array(firsts, object)

    def people(self, count: int) -> PatientFile:
        """About `count` people of whole households."""
        dice = self.dice
        sizes = dice.choice(len(SIZES), count, p=SIZES) + 1
        sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), count)) + 1]
        n = int(sizes.sum())
        household = np.repeat(np.arange(len(sizes)), sizes)
        place = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        head = np.flatnonzero(place == 0)[household]
        is_child = place >= 2
        surname, first = self._pick(self._surnames, n), self.first_names(n)
        partner = place == 1
        surname = np.where(is_child | (partner & (dice.random(n) < ONE_NAME)), surname[head], surname)
        year = dice.integers(1935, 1998, n)
        year[partner] = np.clip(year[head] + dice.integers(-5, 6, n), 1930, 2000)[partner]
        year[is_child] = dice.integers(2009, 2025, n)[is_child]
        born = (year - 1970).astype("datetime64[Y]").astype("datetime64[D]") + dice.integers(0, 365, n)
        born = np.where(dice.random(n) < FIRST_OF_JANUARY, born.astype("datetime64[Y]").astype("datetime64[D]"), born)
        twin = np.flatnonzero((place >= 3) & (dice.random(n) < 2 * TWINS))
        born[twin] = born[twin - 1]
        sex = dice.integers(1, 3, n)
        nir = np.where(dice.random(n) < HAS_NUMBER, self.numbers(sex, born), "")
        phone = np.where(dice.random(n) < MOBILE, self.phones(n), "")
        mail = np.where(dice.random(n) < HAS_MAIL, self.mailboxes(first, surname), "")
        # a child stands on the number, telephone and mailbox of one of the parents
        holder = np.where(is_child, head + (dice.random(n) < 0.5), np.arange(n))
        phone = np.where(partner & (dice.random(n) < ONE_PHONE), phone[head], phone)[holder]
        mail = np.where(partner & (dice.random(n) < ONE_MAILBOX), mail[head], mail)[holder]
        # relatives do not have one first name: the next one of the list
        same = is_child & (first == first[holder])
        first = np.where(same, first + " Zoé", first)
        address = np.array(
            [f"{at % 180 + 1} rue {SYLLABLES[at % len(SYLLABLES)].capitalize()}" for at in household], object
        )
        number = np.arange(n) + self._made + self.seed * 10**7
        self._made += n
        columns = {"nom": surname, "prenom": first, "ddn": dates(born), "nir": nir[holder], "tel": phone, "email": mail}
        return PatientFile(number, household + self._made, is_child, {**columns, "adresse": address})

    def children_of(self, parents: Sequence[Row], *, twins: bool = False) -> list[Row]:
        """A new-born child of each, or twins, with the parent's surname, number, telephone and mailbox."""
        n = len(parents)
        born = dates(np.datetime64("2025-01-01") + self.dice.integers(0, 365, n)).tolist()
        made = []
        for name in ("Aurélien", "Bérénice")[: 2 if twins else 1]:
            further = self.first_names(n).tolist()
            made += [
                {**parent, "prenom": f"{first}-{name}", "ddn": day, "id": f"{parent['id']}-{name}"}
                for parent, first, day in zip(parents, further, born, strict=True)
            ]
        return made

    def first_names(self, count: int) -> Texts:
        """First names; every third person has two."""
        one, other = self._pick(self._firsts, count), self._pick(self._firsts, count)
        return np.where(self.dice.random(count) < 1 / 3, one + " " + other, one)

    def surnames(self, count: int) -> Texts:
        return self._pick(self._surnames, count)

    def phones(self, count: int) -> Texts:
        """Mobile numbers, each once: a walk through all of them."""
        steps = self._phones + np.arange(count)
        self._phones += count
        return _texts("06%08d", (steps * 7_654_321) % 10**8)

    def numbers(self, sex: NDArray[np.int64], born: NDArray[np.datetime64]) -> Texts:
        """NIR with their keys."""
        year = born.astype("datetime64[Y]").astype(int) % 100 + 70
        month = born.astype("datetime64[M]").astype(int) % 12 + 1
        place = self.dice.integers(21 * 10**6, 95 * 10**6, len(sex)) // 1000 * 1000 + self.dice.integers(
            1, 999, len(sex)
        )
        whole = ((sex * 100 + year % 100) * 100 + month) * 10**8 + place
        return _texts("%015d", whole * 100 + 97 - whole % 97)

    def mailboxes(self, first: Texts, surname: Texts) -> Texts:
        """Mailboxes, each once."""
        n = len(first)
        hosts = np.array(HOSTS, object)[self.dice.integers(0, len(HOSTS), n)]
        numbers = np.arange(n) + self._made
        return np.array([f"{plain(a)[:1]}.{plain(b)}{number}x{self.seed}@{host}" for a, b, number, host in zip(first, surname, numbers, hosts, strict=True)], object)  # fmt: skip

    def _pick(self, words: Texts, count: int) -> Texts:
        # few names are borne by many people
        return words[(len(words) * self.dice.random(count) ** 1.8).astype(int)]


def dates(days: NDArray[np.datetime64]) -> Texts:
    """Days as dd/mm/yyyy."""
    texts = np.datetime_as_string(days, unit="D")
    return np.array([f"{text[8:]}/{text[5:7]}/{text[:4]}" for text in texts.tolist()], object)


def plain(text: str) -> str:
    """Letters of ASCII alone, small."""
    return re.sub(r"[^a-z]", "", unicodedata.normalize("NFKD", text.lower())) or "x"


def _texts(form: str, numbers: NDArray[np.int64]) -> Texts:
    return np.array([form % number for number in numbers.tolist()], object)


def _made_names(dice: np.random.Generator) -> list[str]:
    made: dict[str, Any] = {}
    while len(made) < 4000:
        one, two = dice.integers(0, len(SYLLABLES), 2)
        made[
            (SYLLABLES[one] + SYLLABLES[two] * int(dice.integers(0, 2)) + ENDS[dice.integers(len(ENDS))]).capitalize()
        ] = None
        if len(made) > 3 * len(SYLLABLES) * len(ENDS):
            break
    return list(made)
