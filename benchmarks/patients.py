"""Invented French patients in bulk, the same for the same seed: 12 columns, about 130 bytes a row, a few seconds a million."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

HEADER = b"nom;prenom;date_naissance;nir;email;telephone;adresse;code_postal;ville;medecin;derniere_visite;sexe\n"
# Rows that are made at once: their bytes stay in a processor's larger caches.
STEP = 50_000

_FIRST = [
    "Jean",
    "Marie",
    "Amélie",
    "Noé",
    "Zoé",
    "Pierre",
    "François",
    "Léa",
    "Hélène",
    "Loïc",
    "Chloé",
    "Mathieu",
    "Sophie",
    "Thomas",
    "Camille",
    "Anaïs",
    "Éric",
    "Julie",
    "Jean-Pierre",
    "Marie-Claude",
    "Nicolas",
    "Céline",
    "Stéphane",
    "Nathalie",
    "Julien",
    "Émilie",
    "Romain",
    "Audrey",
    "Gaëlle",
    "Yannick",
    "Mireille",
    "Gérard",
    "Odette",
    "Raymond",
    "Simone",
    "Lucie",
    "Hugo",
    "Inès",
    "Jules",
    "Manon",
    "Arthur",
    "Louise",
    "Gabriel",
    "Alice",
    "Raphaël",
    "Rose",
    "Adam",
    "Lina",
]
_ONSETS = [
    "b",
    "c",
    "d",
    "f",
    "g",
    "h",
    "j",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "br",
    "ch",
    "cl",
    "cr",
    "dr",
    "fl",
    "gr",
    "pl",
    "pr",
    "tr",
]
_VOWELS = ["a", "e", "i", "o", "u", "é", "è", "ai", "au", "eau", "ou", "oi", "in", "an", "on", "eu"]
_ENDS = [
    "n",
    "r",
    "t",
    "l",
    "rd",
    "nt",
    "lin",
    "ron",
    "ton",
    "net",
    "rier",
    "mann",
    "ville",
    "ssier",
    "gnon",
    "llet",
    "veau",
    "",
]
_STREETS = (
    "rue de la République",
    "avenue Foch",
    "place de l'Église",
    "chemin des Acacias",
    "impasse Molière",
    "bd Victor Hugo",
    "rue Pasteur",
    "allée des Tilleuls",
)
_TOWNS = [
    "Paris",
    "Lyon",
    "Besançon",
    "Orléans",
    "Saint-Étienne",
    "Béziers",
    "Villeurbanne",
    "Montpellier",
    "Nîmes",
    "Clermont-Ferrand",
    "Brest",
    "Pau",
]
_HOSTS = ("gmail.com", "orange.fr", "free.fr", "hotmail.fr", "laposte.net", "wanadoo.fr")


@dataclass(frozen=True, slots=True)
class _Words:
    """Words of one table as bytes of one width, 0 behind the shorter ones."""

    table: U8

    @classmethod
    def of(cls, words: Sequence[str]) -> _Words:
        coded = [word.encode() for word in words]
        width = max(map(len, coded))
        return cls(np.frombuffer(b"".join(word.ljust(width, b"\0") for word in coded), np.uint8).reshape(-1, width))

    def __len__(self) -> int:
        return len(self.table)

    def take(self, numbers: I64) -> U8:
        return self.table[numbers]


def _surnames() -> list[str]:
    """A few tens of thousands, all different."""
    found = dict.fromkeys(
        (a + b + c + d + e).capitalize()
        for a in _ONSETS
        for b in _VOWELS
        for c in _ONSETS[:14]
        for d in _VOWELS[:6]
        for e in _ENDS[:6]
    )
    return list(found)


_SURNAMES = _Words.of(_surnames())
_SURNAMES_PLAIN = _Words.of([name.lower().translate(str.maketrans("éè", "ee")) for name in _surnames()])
_FIRSTS = _Words.of(_FIRST)
_FIRSTS_PLAIN = _Words.of([name.lower().translate(str.maketrans("éèêëïîçôâ", "eeeeiicoa")) for name in _FIRST])
_STREET_WORDS, _TOWN_WORDS, _HOST_WORDS = _Words.of(_STREETS), _Words.of(_TOWNS), _Words.of(_HOSTS)


def _digits(values: I64, width: int) -> U8:
    """Decimal digits with zeros before them, shape (n, width)."""
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return (values[:, None] // powers % 10 + 48).astype(np.uint8)


def _plain_number(values: I64, width: int) -> U8:
    """Decimal digits without zeros before them."""
    digits = _digits(values, width)
    leading = np.cumsum(digits != 48, axis=1) == 0
    digits[leading] = 0
    return digits


def _text(text: str, rows: int) -> U8:
    return np.broadcast_to(np.frombuffer(text.encode(), np.uint8), (rows, len(text.encode())))


def _rows(rows: int, seed: int, number: int) -> tuple[U8, list[list[U8]]]:
    """The rows of one step, and the pieces of each column."""
    draw = np.random.default_rng([seed, number])

    def below(high: int, low: int = 0) -> I64:
        return draw.integers(low, high, rows)

    last, first = below(len(_SURNAMES)), below(len(_FIRSTS))
    day, month, year = below(29, 1), below(13, 1), below(2010, 1930)
    sex, department, commune, order = below(3, 1), below(96, 1), below(1000), below(1000)
    nir = ((((sex * 100 + year % 100) * 100 + month) * 100 + department) * 1000 + commune) * 1000 + order
    slash, dot, dash = _text("/", rows), _text(".", rows), _text("-", rows)
    columns = [
        [_SURNAMES.take(last)],
        [_FIRSTS.take(first)],
        [_digits(day, 2), slash, _digits(month, 2), slash, _digits(year, 4)],
        [_digits(nir, 13), _digits(97 - nir % 97, 2)],
        [
            _FIRSTS_PLAIN.take(first),
            dot,
            _SURNAMES_PLAIN.take(last),
            _plain_number(below(10_000, 1), 4),
            _text("@", rows),
            _HOST_WORDS.take(below(len(_HOSTS))),
        ],
        [_text("0", rows), _digits(below(8, 1), 1), _digits(below(10**8), 8)],
        [_plain_number(below(200, 1), 3), _text(" ", rows), _STREET_WORDS.take(below(len(_STREETS)))],
        [_digits(department * 1000 + below(1000), 5)],
        [_TOWN_WORDS.take(below(len(_TOWNS)))],
        [_SURNAMES.take(below(1500))],
        [_text("20", rows), _digits(below(26, 10), 2), dash, _digits(below(13, 1), 2), dash, _digits(below(29, 1), 2)],
        [np.where(sex[:, None] == 1, ord("M"), ord("F")).astype(np.uint8)],
    ]
    semicolon, newline = _text(";", rows), _text("\n", rows)
    parts = [
        piece
        for at, column in enumerate(columns)
        for piece in (*column, newline if at == len(columns) - 1 else semicolon)
    ]
    matrix = np.concatenate(parts, axis=1)
    return matrix[matrix != 0], columns


def patients(rows: int, seed: int = 1) -> Iterator[bytes]:
    """A CSV file of so many rows in pieces, the header first."""
    yield HEADER
    for number, start in enumerate(range(0, rows, STEP)):
        yield _rows(min(STEP, rows - start), seed, number)[0].tobytes()


def emails(count: int, seed: int = 1) -> list[bytes]:
    """The e-mail addresses of the first rows of that file."""
    found: list[bytes] = []
    for number, start in enumerate(range(0, count, STEP)):
        # the rows of a step hang on their number: all of it is made, as `patients` makes it
        pieces = np.concatenate(_rows(STEP, seed, number)[1][4], axis=1)
        cells = [row.tobytes().replace(b"\0", b"") for row in pieces[: count - start]]
        found += cells
    return found
