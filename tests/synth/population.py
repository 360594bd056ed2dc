"""Large synthetic populations as arrays, always the same from one seed: patients of practices, and dumps of them.

People live in households: they share surnames, telephones and mailboxes, some are twins, some bear the name of their
father. Names follow a long-tailed law, so that namesakes of one day of birth occur as in real registers. Fields are
missing as in practice software. A dump is a set of columns of text, which disguises change.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.arrays.packed import Packed
from tests.synth.people import FIRSTS, SURNAMES

ROLES = ("surname", "first", "dob", "nir", "email", "phone")
_PARTS = [
    "bar",
    "ber",
    "bou",
    "cha",
    "che",
    "cor",
    "dan",
    "del",
    "dou",
    "fer",
    "fla",
    "gar",
    "gou",
    "jac",
    "lam",
    "lan",
    "mar",
    "mon",
    "per",
    "pic",
    "ran",
    "rou",
    "sal",
    "tas",
    "ver",
    "vil",
]
_ENDS = ["ac", "aud", "ard", "é", "er", "et", "eau", "ier", "in", "ière", "on", "ot", "oux", "y", "ès"]
_FIRST_ENDS = ["a", "an", "elle", "en", "ette", "ia", "iane", "ie", "in", "ine", "ion", "is", "o", "ys"]
_DOMAINS = ("orange.example", "free.example", "wanadoo.example", "laposte.example", "mail.example")
DAYS = 34_000  # from 1930-01-01
_NONE = 0


@lru_cache(maxsize=1)
def _surnames() -> pa.Array:
    made = [first + middle + end for first in _PARTS for middle in _PARTS for end in _ENDS]
    order = np.random.default_rng(1).permutation(len(made))
    return pa.array([*SURNAMES, *(made[at].title() for at in order)])


@lru_cache(maxsize=1)
def _firsts() -> pa.Array:
    made = [first + end for first in _PARTS for end in _FIRST_ENDS]
    order = np.random.default_rng(2).permutation(len(made))
    return pa.array([*FIRSTS, *(made[at].title() for at in order)])


def plain(text: str) -> str:
    """Without accents."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


@lru_cache(maxsize=1)
def _plain_lower() -> tuple[pa.Array, pa.Array]:
    fold = lambda names: pa.array([plain(name).lower().replace("-", "") for name in names.to_pylist()])  # noqa: E731
    return fold(_surnames()), fold(_firsts())


@lru_cache(maxsize=8)
def _dates(form: str) -> pa.Array:
    """Every day of the calendar in one form."""
    if form == "serial":  # as a spreadsheet counts days: 1930-01-01 is 10959
        return pa.array([str(10959 + day) for day in range(DAYS)])
    start = np.datetime64("1930-01-01")
    return pa.array([f"{day.item():{form}}" for day in start + np.arange(DAYS)])


@dataclass(frozen=True, eq=False)
class Crowd:
    """People as arrays of one length; 0 stands for a missing number, -1 for a missing mailbox.

    surname, first: places in the tables of names. dob: days from 1930. sex: 1 or 2. nir: 13 digits.
    phone: nine digits. box, box_owner_surname, box_owner_first, domain: of the mailbox. practice, household.
    """

    surname: np.ndarray
    first: np.ndarray
    dob: np.ndarray
    sex: np.ndarray
    nir: np.ndarray
    phone: np.ndarray
    box: np.ndarray
    box_surname: np.ndarray
    box_first: np.ndarray
    domain: np.ndarray
    practice: np.ndarray
    household: np.ndarray

    def __len__(self) -> int:
        return len(self.surname)

    def take(self, rows: np.ndarray | slice) -> Crowd:
        """Some of them, in the order given."""
        return Crowd(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __add__(self, other: Crowd) -> Crowd:
        return Crowd(
            *(np.concatenate([getattr(self, field.name), getattr(other, field.name)]) for field in fields(self))
        )


def _zipf(dice: np.random.Generator, size: int, count: int, power: float) -> np.ndarray:
    weights = 1 / np.arange(3, size + 3) ** power
    return dice.choice(size, count, p=weights / weights.sum())


def crowd(seed: int, count: int) -> Crowd:
    """`count` people, by households."""
    dice = np.random.default_rng([seed, 77])
    sizes = dice.choice([1, 2, 3, 4, 5], count, p=[0.35, 0.3, 0.14, 0.15, 0.06])
    sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), count)) + 1]
    household = np.repeat(np.arange(len(sizes)), sizes)[:count]
    first_row = np.concatenate([[True], household[1:] != household[:-1]])
    place = np.arange(count) - np.maximum.accumulate(np.where(first_row, np.arange(count), 0))
    head = np.arange(count) - place
    child = place >= 2
    surname = _zipf(dice, len(_surnames()), count, 0.5)
    own_name = np.where(child, dice.random(count) < 0.04, dice.random(count) < 0.25)
    surname = np.where((place > 0) & ~own_name, surname[head], surname)
    first = _zipf(dice, len(_firsts()), count, 0.8)
    # named after the father
    first = np.where(child & (dice.random(count) < 0.01), first[head], first)
    adult = dice.integers(0, 26_000, count)
    dob = np.where(place == 1, adult[head] + dice.integers(-2500, 2500, count), adult)
    dob = np.where(child, adult[head] + dice.integers(8000, 14000, count), dob)
    # what lies outside the calendar is mirrored into it: cut off, thousands would be born on its last day
    dob = np.abs(dob)
    dob = np.where(dob >= DAYS, 2 * (DAYS - 1) - dob, dob)
    twin = child & (place >= 3) & (dice.random(count) < 0.03)
    dob = np.where(twin, np.roll(dob, 1), dob)
    sex = dice.integers(1, 3, count)
    calendar = np.datetime64("1930-01-01") + dob
    months = calendar.astype("datetime64[M]").astype(int) + 12 * 1970
    yymm = months // 12 % 100 * 100 + months % 12 + 1
    # the serial within a month and department is distinct by construction
    serial = dice.permutation(count) if count < 10**8 else np.arange(count)
    nir = (sex * 10**4 + yymm) * 10**8 + (1 + serial % 95) * 10**6 + (serial // 95 * 7 + seed % 7) % 10**6
    nir = np.where(dice.random(count) < 0.14, _NONE, nir)
    phone = 600_000_000 + dice.integers(0, 150_000_000, count)
    landline = dice.random(len(sizes))[household] < 0.35
    phone = np.where(landline, phone[head] - 400_000_000, phone)
    phone = np.where(dice.random(count) < 0.2, _NONE, phone)
    owner = np.where(child & (dice.random(count) < 0.6), head, np.arange(count))
    owner = np.where((place == 1) & (dice.random(count) < 0.1), head, owner)
    box = dice.integers(0, 10**6, count)[owner]
    box = np.where(dice.random(count) < 0.45, -1, box)
    practice = dice.integers(0, max(1, count // 8000), len(sizes))[household]
    practice = np.where(dice.random(count) < 0.1, dice.integers(0, max(1, count // 8000), count), practice)
    domain = dice.integers(0, len(_DOMAINS), count)[owner]
    return Crowd(
        surname, first, dob, sex, nir, phone, box, surname[owner], first[owner], domain, practice, household
    )  # fmt: skip


def married(people: Crowd, seed: int, share: float) -> Crowd:
    """The same people, a share of the women under another surname."""
    dice = np.random.default_rng([seed, 78])
    change = (people.sex == 2) & (dice.random(len(people)) < share)
    return replace(people, surname=np.where(change, _zipf(dice, len(_surnames()), len(people), 0.5), people.surname))


def recombined(people: Crowd, count: int) -> Crowd:
    """`count` invented people, put together from the values of real ones: no two fields of one come from one person."""
    groups = (("surname",), ("first",), ("dob",), ("nir",), ("phone",), ("box", "box_surname", "box_first", "domain"))
    mixed = {name: getattr(people, name) for name in ("sex", "practice", "household")}
    for number, group in enumerate(groups):
        mixed |= {name: np.roll(getattr(people, name), 7 * number * number + 11 * number) for name in group}
    return Crowd(**mixed).take(slice(0, count))


# --- dumps -----------------------------------------------------------------------------------------------------------

Dump = dict[str, pa.Array]
"""Columns of text by role; an empty cell is one that is not there."""


def dump(people: Crowd, *, dates: str = "%d/%m/%Y", columns: Sequence[str] = ROLES) -> Dump:
    """The table that an export of these people gives."""
    made: Dump = {}
    for role in columns:
        if role == "surname":
            made[role] = _surnames().take(pa.array(people.surname))
        elif role == "first":
            made[role] = _firsts().take(pa.array(people.first))
        elif role == "dob":
            made[role] = _dates(dates).take(pa.array(people.dob))
        elif role == "nir":
            key = pc.utf8_lpad(pc.cast(pa.array(97 - people.nir % 97), pa.string()), 2, "0")
            made[role] = _unless(people.nir == _NONE, pc.binary_join_element_wise(_digits(people.nir), key, ""))
        elif role == "phone":
            made[role] = _unless(people.phone == _NONE, pc.binary_join_element_wise("0", _digits(people.phone), ""))
        else:
            surnames, firsts = _plain_lower()
            parts = [
                firsts.take(pa.array(people.box_first)), ".", surnames.take(pa.array(people.box_surname)),
                _digits(people.box), "@", pa.array(_DOMAINS).take(pa.array(people.domain)), "",
            ]  # fmt: skip
            made[role] = _unless(people.box < 0, pc.binary_join_element_wise(*parts))
    return made


def _digits(numbers: np.ndarray) -> pa.Array:
    return pc.cast(pa.array(numbers), pa.string())


def _unless(missing: np.ndarray, column: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(missing), "", column)


def packed(column: pa.Array) -> Packed:
    """A column as the readers hand it over."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    column = pc.cast(column, pa.large_string())
    _, offsets, blob = column.buffers()
    cuts = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    data = np.frombuffer(blob, np.uint8) if blob is not None else np.zeros(0, np.uint8)
    return Packed(data[cuts[0] : cuts[-1]], cuts - cuts[0])


def rows_of(table: Dump) -> list[list[str]]:
    """A dump as rows of cells."""
    return [list(row) for row in zip(*(column.to_pylist() for column in table.values()), strict=True)]


# --- disguises -------------------------------------------------------------------------------------------------------


def typos(table: Dump, rate: float, seed: int) -> Dump:
    """One letter or digit wrong in a share of the filled cells of every column: swapped, left out, doubled, another."""
    dice = np.random.default_rng([seed, 80])
    made = {}
    for role, column in table.items():
        hit = np.flatnonzero(dice.random(len(column)) < rate)
        cells = column.take(pa.array(hit)).to_pylist()
        wrong = [_mistyped(cell, dice) if cell else cell for cell in cells]
        mask = np.zeros(len(column), bool)
        mask[hit] = True
        made[role] = pc.replace_with_mask(column, pa.array(mask), pa.array(wrong, column.type)) if len(hit) else column
    return made


def _mistyped(cell: str, dice: np.random.Generator) -> str:
    at = int(dice.integers(len(cell)))
    # a separator that is mistyped changes nothing
    while not cell[at].isalnum():
        at = (at + 1) % len(cell)
    if cell[at].isdigit():
        return cell[:at] + str((int(cell[at]) + int(dice.integers(1, 10))) % 10) + cell[at + 1 :]
    other = "abcdefghijklmnopqrstuvwxyz"[int(dice.integers(26))]
    match int(dice.integers(4)):
        case 0:
            return cell[:at] + other + cell[at + 1 :]
        case 1:
            return cell[:at] + cell[at + 1 :]
        case 2:
            return cell[:at] + other + cell[at:]
        case _:
            return cell[:at] + cell[at + 1 : at + 2] + cell[at] + cell[at + 2 :]


def shouted(table: Dump) -> Dump:
    """Names in capitals without accents."""
    capitals = {}
    for role, column in table.items():
        if role in {"surname", "first"}:
            coded = column.dictionary_encode()
            words = pa.array([plain(word).upper() for word in coded.dictionary.to_pylist()])
            capitals[role] = words.take(coded.indices)
        else:
            capitals[role] = column
    return capitals


def question_marks(table: Dump) -> Dump:
    """Every letter with an accent lost, as a wrong character set leaves it."""
    return {role: pc.replace_substring_regex(column, r"[^\x00-\x7f]", "?") for role, column in table.items()}


def other_phones(table: Dump, seed: int) -> Dump:
    """Telephone numbers in five ways of writing them."""
    if "phone" not in table:
        return table
    digits = pc.utf8_slice_codeunits(table["phone"], 1, 10)
    pairs = [pc.utf8_slice_codeunits(digits, at, at + 2) for at in (1, 3, 5, 7)]
    one = pc.utf8_slice_codeunits(digits, 0, 1)
    joined = lambda lead, sign: pc.binary_join_element_wise(  # noqa: E731
        pc.binary_join_element_wise(lead, one, ""), *pairs, sign
    )
    ways = [
        pc.binary_join_element_wise("+33", digits, ""), pc.binary_join_element_wise("0033", digits, ""),
        joined("0", "."), joined("+33 ", " "), joined("0", "-"),
    ]  # fmt: skip
    choice = np.random.default_rng([seed, 81]).integers(0, len(ways), len(digits))
    mixed = pc.choose(pa.array(choice), *ways)
    return table | {"phone": pc.if_else(pc.equal(table["phone"], ""), "", mixed)}


def shuffled(table: Dump, seed: int) -> Dump:
    """The rows in another order."""
    some = next(iter(table.values()))
    order = pa.array(np.random.default_rng([seed, 82]).permutation(len(some)))
    return {role: column.take(order) for role, column in table.items()}


def repeated(table: Dump, times: int) -> Dump:
    """Every row several times."""
    some = next(iter(table.values()))
    order = pa.array(np.tile(np.arange(len(some)), times))
    return {role: column.take(order) for role, column in table.items()}


# --- notes -----------------------------------------------------------------------------------------------------------

_OPENINGS = (
    "Patient vu ce jour en consultation pour {}.", "Motif de consultation : {}.", "Adressé par son médecin traitant pour {}.",
    "Suivi régulier, dernière visite il y a {} mois.", "Téléconsultation, le patient se plaint de {}.",
)  # fmt: skip
_BODIES = (
    "Examen clinique sans particularité, auscultation cardio-pulmonaire normale, abdomen souple.",
    "Tension artérielle {} sur {}, pouls régulier à {} battements par minute.",
    "Poids {} kilos, taille {} centimètres, pas d'allergie connue à ce jour.",
    "Antécédents familiaux de {} du côté maternel, tabagisme sevré depuis {} ans.",
    "Traitement en cours bien toléré, pas d'effet indésirable signalé depuis la dernière visite.",
    "Bilan biologique demandé à jeun : numération, glycémie, fonction rénale, cholestérol.",
)
_CLOSINGS = (
    "Ordonnance renouvelée pour {} mois, prochain rendez-vous à prévoir au secrétariat.",
    "Arrêt de travail de {} jours, à revoir en l'absence d'amélioration.",
    "Orientation vers un spécialiste, courrier remis en main propre au patient.",
)
_ILLS = (
    "douleurs lombaires", "toux persistante", "insomnie", "anxiété", "diabète", "hypertension", "migraine", "asthme",
    "eczéma", "vertiges", "reflux", "dépression", "fatigue", "sciatique", "otite", "angine",
)  # fmt: skip
_WORDS = [
    "depuis",
    "avec",
    "sans",
    "sur",
    "le",
    "la",
    "les",
    "un",
    "une",
    "des",
    "et",
    "ou",
    "mais",
    "donc",
    "après",
    "avant",
    "pendant",
    "son",
    "sa",
    "travail",
    "mari",
    "femme",
    "fils",
    "fille",
    "nuit",
    "matin",
    "soir",
    "repas",
    "effort",
    "marche",
    "escalier",
    "voiture",
    "jardin",
    "maison",
    "ancien",
    "nouveau",
    "fort",
    "léger",
    "brutal",
    "progressif",
    "gauche",
    "droite",
    "bras",
    "jambe",
    "genou",
    "épaule",
    "dos",
    "cou",
    "tête",
    "ventre",
    "poitrine",
    "main",
    "pied",
    "peau",
    "gorge",
    "oreille",
    "il",
    "elle",
    "dit",
    "pense",
    "craint",
    "espère",
    "refuse",
    "accepte",
    "demande",
    "souhaite",
    "raconte",
    "évoque",
    "signale",
    "ne",
    "pas",
    "plus",
    "jamais",
    "souvent",
    "parfois",
]


def notes(seed: int, count: int) -> list[str]:
    """Medical notes: sentences of templates that many share, around what each patient said."""
    dice = np.random.default_rng([seed, 83])
    pick = lambda options: options[int(dice.integers(len(options)))]  # noqa: E731
    made = []
    for _ in range(count):
        filled = [
            sentence.format(*(pick(_ILLS) if dice.random() < 0.4 else int(dice.integers(2, 190)) for _ in range(3)))
            for sentence in (pick(_OPENINGS), pick(_BODIES), pick(_BODIES), pick(_CLOSINGS))
        ]
        said = [" ".join(pick(_WORDS) for _ in range(int(dice.integers(8, 15)))).capitalize() + "." for _ in range(3)]
        made.append(" ".join([filled[0], said[0], filled[1], said[1], filled[2], said[2], filled[3]]))
    return made
