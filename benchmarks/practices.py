"""Verdicts on patients as practices have them: `benchmarks lineage --population=practices --seeds=1,2`.

Every seed draws a population of its own, of which no rate of the lineage was measured (`tests.synth.patient_files`). Told are,
by situation, whether the verdict is one that an analyst would give and whether the interval holds the truth; how often the
stated confidence is right; the events for another vendor's data and for new data with planted canaries; and the traditions
of names side by side.
"""

from __future__ import annotations

import datetime as dt
import tempfile
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from crawler.alerts.events import PostContext, events_of_post
from crawler.lineage.origin import OriginEvidence
from data.model import Finding, Hit, Lineage
from tests.synth.patient_files import COLUMNS, Registry, Row, plain
from tests.synth.practices import TRADITIONS, Case, Table, table

KNOWN = 1500
KNOWN_VERDICTS = frozenset({"re-post", "re-packaged", "subset"})
WITHOUT_NUMBER = tuple(name for name in COLUMNS if name != "nir")
NAMES, WITH_PHONE = ("nom", "prenom", "ddn"), ("nom", "prenom", "ddn", "tel")
# An interval that is wider than this share of the people is wide.
WIDE = 0.1
# of confidence: the bounds of the classes of the table
CLASSES = (0.0, 0.9, 0.96, 0.985, 1.0)


@dataclass(frozen=True)
class Situation:
    """What a sample is of: its tables, the people in it who are new, and the verdicts that an analyst would give."""

    name: str
    tables: list[Table]
    people: int
    new: int
    wanted: frozenset[str]


@dataclass(frozen=True)
class Judged:
    """A situation with its lineage."""

    situation: Situation
    found: Lineage

    @property
    def is_undecided(self) -> bool:
        return self.found.verdict == "undecided" and "undecided" not in self.situation.wanted

    @property
    def is_wrong(self) -> bool:
        return self.found.verdict not in self.situation.wanted and not self.is_undecided

    @property
    def is_inside(self) -> bool:
        return self.found.interval[0] <= self.situation.new <= self.found.interval[1]

    @property
    def width(self) -> float:
        return (self.found.interval[1] - self.found.interval[0]) / max(1, self.situation.people)

    @property
    def fields(self) -> set[str]:
        """The kinds of field by which people were compared: names with a birth date, number, telephone, mailbox."""
        parts = {part for column in self.found.columns for part in column.split("+")}
        return parts - {"first"} if "name" in parts else parts


class Town:
    """Patients of which the first are registered, and others of the same population."""

    def __init__(self, seed: int, folder: Path, columns: Sequence[str] = COLUMNS) -> None:
        self.registry, self.dice = Registry(seed), np.random.default_rng([seed, 7])
        self.known = self.registry.people(KNOWN).rows()
        self.others = self.registry.people(KNOWN).rows()
        self.case = Case(folder)
        self.case.register("known", table(self.known, columns))
        self._ids = {row["id"] for row in self.known}

    def situation(
        self, name: str, rows: Sequence[Row], wanted: str, columns: Sequence[Sequence[str]] | Sequence[str] = COLUMNS
    ) -> Situation:
        """Rows in one table, or in several with different columns."""
        each = [columns] if isinstance(columns[0], str) else columns
        tables = [table(rows, [*words]) for words in each if not isinstance(words, str)]
        ids = {row["id"] for row in rows}
        return Situation(name, tables, len(ids), len(ids - self._ids), frozenset(wanted.split()))

    def every(self, rows: Sequence[Row], step: int, **values: str) -> list[Row]:
        """The rows, every so many of them with other values."""
        return [{**row, **values} if at % step == 0 else row for at, row in enumerate(rows)]

    def moved(self, rows: Sequence[Row]) -> list[Row]:
        """Every fourth with another telephone, every fifth with another mailbox."""
        phones = self.registry.phones(len(rows)).tolist()
        return [
            {
                **row,
                "tel": phone if row["tel"] and at % 4 == 0 else row["tel"],
                "email": f"new.{row['id']}@proton.me" if row["email"] and at % 5 == 0 else row["email"],
            }
            for at, (row, phone) in enumerate(zip(rows, phones, strict=True))
        ]

    def mistyped(self, rows: Sequence[Row], rate: float) -> list[Row]:
        """One character wrong, or left out, in so many of the cells."""
        return [{name: self._mistype(cell) if name != "id" and self.dice.random() < rate else cell for name, cell in row.items()} for row in rows]  # fmt: skip

    def _mistype(self, cell: str) -> str:
        if not cell:
            return cell
        at = int(self.dice.integers(len(cell)))
        other = (
            str(self.dice.integers(10))
            if cell[at].isdigit()
            else "aeinrst"[self.dice.integers(7)]
            if cell[at].isalpha()
            else cell[at]
        )
        return cell[:at] + (other if cell[at].isdigit() or self.dice.random() < 0.5 else "") + cell[at + 1 :]

    def shuffled(self, rows: Sequence[Row]) -> list[Row]:
        """Each column in another order."""
        orders = {name: self.dice.permutation(len(rows)) for name in COLUMNS}
        return [
            {"id": row["id"]} | {name: rows[orders[name][at]][name] for name in COLUMNS} for at, row in enumerate(rows)
        ]


def later(row: Row, days: int = 0, years: int = 0) -> Row:
    """A birth date so many days and years later."""
    day, month, year = map(int, row["ddn"].split("/"))
    moved = dt.date(year + years, month, min(day, 28) if month == 2 else day) + dt.timedelta(days)
    return {**row, "ddn": f"{moved:%d/%m/%Y}"}


def situations(town: Town) -> Iterator[Situation]:
    """All of them, in the order of the issue: placeholders, relatives, edits, people moved, other victims, names, columns, tables."""
    known, others, make = town.known, town.others, town.situation
    half = known[:600] + others[:600]
    yield make("telephone 0600000000", town.every(half, 4, tel="0600000000"), "overlap")
    yield make("number of nines, mailbox of nobody", town.every(town.every(half, 3, nir="1999999999999"), 5, email="aucun@aucun.fr"), "overlap")  # fmt: skip
    yield make("birth date 01/01/1900", town.every(half, 6, ddn="01/01/1900"), "overlap")
    yield make(
        "birth date 01/01/1970, all known", town.every(known[:900], 4, ddn="01/01/1970"), "subset", WITHOUT_NUMBER
    )
    yield make("no key but one of a placeholder", town.every(town.every(half, 3, ddn="01/01/1970"), 5, tel=""), "overlap undecided", WITH_PHONE)  # fmt: skip
    parents = [row for row in known if row["nir"]]
    yield make("new-born children beside parents", known[:500] + town.registry.children_of(parents[:300]), "overlap")
    yield make("new-born children beside parents, no number", known[:500] + town.registry.children_of(parents[:300]), "overlap", WITHOUT_NUMBER)  # fmt: skip
    yield make("new-born twins beside parents", known[:500] + town.registry.children_of(parents[:150], twins=True), "overlap")  # fmt: skip
    twins = [{**row, "prenom": f"Quitterie-{row['prenom']}", "id": f"{row['id']}-twin"} for row in known if row["nir"] and _is_of_parent(row)]  # fmt: skip
    yield make("unknown twins of known children", known[:900] + twins[:10], "subset overlap undecided")
    yield make("children alone", town.registry.children_of(parents[:400]), "overlap undecided unrelated new")
    edited = [later(row, 1) | {"tel": row["tel"][:-2] + row["tel"][:-3:-1]} for row in known[:900]]
    yield make("edited: dates and telephones", edited, "subset", WITHOUT_NUMBER)
    yield make("every third row edited", [edited[at] if at % 3 == 0 else row for at, row in enumerate(known[:900])], "subset")  # fmt: skip
    yield make("edited: birth dates a year later", [later(row, years=1) for row in known[:800]], "subset", NAMES)
    yield make("edited: birth dates a day later, half new", [later(row, 1) for row in half], "overlap", NAMES)
    yield make("moved", town.moved(known[:900]), "subset")
    for columns in (("prenom", "tel"), ("tel",), ("prenom", "email")):
        people = [row for row in town.moved(known[:900]) if row[columns[-1]]]
        yield make("moved: " + " ".join(columns), people, "subset undecided", columns)
    contacts = ("nom", "prenom", "tel", "email")
    reachable = [row for row in known if row["tel"] or row["email"]]
    yield make("moved, contacts alone", [row for row in town.moved(known) if row["tel"] or row["email"]], "re-post re-packaged subset", contacts)  # fmt: skip
    yield make("moved, contacts alone, half new", [row for row in town.moved(reachable[:600]) + others[:600] if row["tel"] or row["email"]], "overlap", contacts)  # fmt: skip
    names = town.registry.surnames(len(known)).tolist()
    married = [{**row, "nom": names[at]} if at % 12 == 0 else row for at, row in enumerate(known[:900])]
    yield make("married", married, "subset", WITHOUT_NUMBER)
    yield make("5 % married, names alone", [row if at % 20 else {**row, "nom": names[at]} for at, row in enumerate(known[:900])], "subset overlap undecided", NAMES)  # fmt: skip
    yield make("3 % of cells mistyped", town.mistyped(known[:900], 0.03), "subset")
    yield make("3 % of cells mistyped, half new", town.mistyped(half, 0.03), "overlap")
    yield make("2 % mistyped, names alone, half new", town.mistyped(half, 0.02), "overlap", NAMES)
    yield make("another's patients", others[:1200], "unrelated")
    yield make("another's patients, 3 shared", others[:1197] + known[:3], "unrelated undecided")
    yield make("another's patients, a tenth shared", others[:1080] + known[:120], "overlap undecided")
    yield make("50 strangers", others[:50], "unrelated")
    yield make("40 of the known", known[100:140], "subset")
    yield make("20 known, 20 new", known[100:120] + others[100:120], "overlap undecided")
    yield make("shuffled columns", town.shuffled(known[:1000]), "recombined undecided padded")
    yield make("names without second first names", [{**row, "prenom": row["prenom"].split(" ")[0]} for row in half], "overlap", WITH_PHONE)  # fmt: skip
    yield make("first of the first names, names alone", [{**row, "prenom": row["prenom"].split(" ")[0]} for row in known[:900]], "subset", NAMES)  # fmt: skip
    yield make("capitals cut at 10", [{**row, "nom": plain(row["nom"]).upper()[:10], "prenom": plain(row["prenom"]).upper()[:10]} for row in half], "overlap", WITH_PHONE)  # fmt: skip
    yield make("names exchanged", [{**row, "nom": row["prenom"], "prenom": row["nom"]} for row in half], "overlap")
    yield make("one column of names", [{**row, "patient": f"{row['nom'].upper()} {row['prenom']}"} for row in half], "overlap", ("patient", "ddn", "tel"))  # fmt: skip
    for columns in (("tel", "ddn"), ("nir", "ddn"), ("email", "prenom"), ("nir",), ("email",), ("nom", "tel")):
        needed = set(columns) & {"nir", "tel", "email"}
        yield make("half new: " + " ".join(columns), [row for row in half if all(row[name] for name in needed)], "overlap", columns)  # fmt: skip
    visits = [row for row in half for _ in range(int(town.dice.integers(1, 4)))]
    yield make("visits, 1 % of cells mistyped", town.mistyped(visits, 0.01), "overlap")
    yield make("two tables with ids", half, "overlap", [("id", "nom", "prenom", "tel"), ("id", "nir", "ddn")])
    yield make("two tables without ids", half, "overlap", [("nom", "prenom", "tel"), ("nir", "ddn")])
    yield make("three tables without ids", half, "overlap", [("nom", "prenom", "ddn"), ("prenom", "tel"), ("nir", "ddn")])  # fmt: skip


def _is_of_parent(row: Row) -> bool:
    """Whether the number of a row is that of somebody born in another year or month."""
    return row["nir"][1:5] != row["ddn"][8:10] + row["ddn"][3:5]


def judge(seed: int) -> list[Judged]:
    """Every situation of one population."""
    with tempfile.TemporaryDirectory() as folder:
        town = Town(seed, Path(folder))
        return [Judged(each, town.case.judge(*each.tables)) for each in situations(town)]


def practices(seeds: Sequence[int], *, events: int = 50) -> None:
    """Print all tables."""
    cells = [each for seed in seeds for each in judge(seed)]
    by_name: dict[str, list[Judged]] = defaultdict(list)
    for each in cells:
        by_name[each.situation.name].append(each)
    print(f"{'situation':40} {'cells':>5} {'right':>5} {'open':>5} {'wrong':>5} {'inside':>7} {'width':>7}")
    for name, part in {**by_name, "all": cells}.items():
        wrong, open_ = sum(each.is_wrong for each in part), sum(each.is_undecided for each in part)
        inside, width = np.mean([each.is_inside for each in part]), np.median([each.width for each in part])
        print(
            f"{name:40} {len(part):>5} {len(part) - wrong - open_:>5} {open_:>5} {wrong:>5} {inside:>7.0%} {width:>7.1%}"
        )
    for each in cells:
        if each.is_wrong or not each.is_inside:
            found = each.found
            print(f"  {each.situation.name}: {found.verdict} {found.interval}, {each.situation.new} of {each.situation.people} are new")  # fmt: skip
    wide(cells)
    calibration(cells)
    further_releases(seeds[0], events)
    traditions(seeds[0])


def wide(cells: Sequence[Judged]) -> None:
    """The cells with three kinds of field or more whose interval is wider than a tenth of the people, by situation."""
    three = [each for each in cells if len(each.fields) >= 3]
    found: dict[str, list[Judged]] = defaultdict(list)
    for each in three:
        if each.width > WIDE:
            found[each.situation.name].append(each)
    print(f"\nwider than {WIDE:.0%} of the people: {sum(map(len, found.values()))} of {len(three)} cells with three kinds of field")  # fmt: skip
    for name, part in found.items():
        print(f"  {name}: {len(part)} cells, {min(each.width for each in part):.0%} to {max(each.width for each in part):.0%}")  # fmt: skip
        causes = [note for note in part[0].found.notes if note.startswith("interval: ")]
        print("".join(f"    {cause.removeprefix('interval: ')}\n" for cause in causes), end="")


def calibration(cells: Sequence[Judged]) -> None:
    """How often verdicts with a stated confidence are right; Brier's score of all that decide."""
    decided = [each for each in cells if each.found.verdict != "undecided"]
    print(f"\n{'confidence':>16} {'cells':>6} {'stated':>7} {'right':>7}")
    for low, high in pairwise(CLASSES):
        part = [each for each in decided if low < each.found.confidence <= high]
        if part:
            stated = np.mean([each.found.confidence for each in part])
            print(f"{low:>7.3f} - {high:.3f} {len(part):>7} {stated:>7.3f} {np.mean([not each.is_wrong for each in part]):>7.3f}")  # fmt: skip
    score = np.mean([(each.found.confidence - (not each.is_wrong)) ** 2 for each in decided])
    print(f"Brier's score {score:.4f} over {len(decided)} verdicts; of a constant 1: {np.mean([each.is_wrong for each in decided]):.4f}")  # fmt: skip


def further_releases(first_seed: int, count: int) -> None:
    """False `further_release` for another vendor's data, and missed ones for new data with planted canaries."""
    false, missed, answers = 0, 0, defaultdict(int)
    for seed in range(first_seed + 1000, first_seed + 1000 + count):
        with tempfile.TemporaryDirectory() as folder:
            town = Town(seed, Path(folder), ("id", *COLUMNS))
            shared = int(town.dice.integers(0, 61))
            rows = [{**row, "id": f"X{at}"} for at, row in enumerate(town.others[:600] + town.known[:shared])]
            header = ["id", "nom", "prenom", "ddn", "tel", "email", "secteur"]
            found = town.case.judge(table(rows, header))
            answers[found.origin.answer if found.origin else "none"] += 1
            false += "further_release" in _events(found, ())
            evidence = OriginEvidence(has_planted_hits=True, hit_people=2)
            new = town.case.read([table(town.others[:600], COLUMNS)]).lineage(has_hits=True, evidence=evidence)
            missed += new is None or "further_release" not in _events(new, (Hit("practice", 2, 2, ("name+dob",)),))
    told = ", ".join(f"{answer} {number}" for answer, number in sorted(answers.items()))
    print(f"\nfurther_release: false for another vendor's data {false} in {count} (origin: {told}); missed with planted canaries {missed} in {count}")  # fmt: skip


def _events(found: Lineage, hits: tuple[Hit, ...]) -> set[str]:
    context = PostContext("board", "post", "", "incident", dt.datetime(2026, 11, 1, tzinfo=dt.UTC))
    finding = Finding("", "0" * 64, 1, "delimited", rows=found.records, records=found.records, hits=hits, lineage=found)
    return {event.kind for event in events_of_post(context, [finding])}


WAYS: dict[str, Callable[[Row], Row]] = {
    "as they are": lambda row: row,
    "without accents": lambda row: {**row, "nom": _bare(row["nom"]), "prenom": _bare(row["prenom"])},
    "capitals, cut at 20": lambda row: {
        **row,
        "nom": _bare(row["nom"]).upper()[:20],
        "prenom": _bare(row["prenom"]).upper()[:20],
    },
    "exchanged": lambda row: {**row, "nom": row["prenom"], "prenom": row["nom"]},
    "one column, surname first": lambda row: {**row, "patient": f"{row['nom'].upper()} {row['prenom']}"},
    "one column, first name first": lambda row: {**row, "patient": f"{row['prenom']} {row['nom']}"},
}


def tradition_errors(tradition: str, seed: int, count: int = 400) -> dict[str, float]:
    """By the way in which names are written: the error of the number of new people, as a share of all people."""
    registry = Registry(seed, tradition)
    known, others = registry.people(count).rows(0, count), registry.people(count).rows(0, count)
    errors = {}
    with tempfile.TemporaryDirectory() as folder:
        case = Case(Path(folder))
        case.register("known", table(known, WITH_PHONE))
        for way, change in WAYS.items():
            columns = ("patient", "ddn", "tel") if "one column" in way else WITH_PHONE
            found = case.judge(table([change(row) for row in known + others], columns))
            errors[way] = abs(found.new - len(others)) / (2 * count)
    return errors


def traditions(seed: int) -> None:
    """Every tradition of names in every way of writing them."""
    rows = {tradition: tradition_errors(tradition, seed) for tradition in TRADITIONS}
    print(f"\n{'error of new people':20} " + " ".join(f"{way:>28}" for way in WAYS))
    for tradition, errors in rows.items():
        print(f"{tradition:20} " + " ".join(f"{errors[way]:>28.2%}" for way in WAYS))
    worst, best = ([edge(errors[way] for errors in rows.values()) for way in WAYS] for edge in (max, min))
    print(f"{'worst less best':20} " + " ".join(f"{high - low:>28.2%}" for high, low in zip(worst, best, strict=True)))


def _bare(text: str) -> str:
    """Letters as people write them who have no accents: other letters by the ones that stand for them."""
    letters = dict(zip("łŁđĐıİøØåÅðÐ", "lLdDiIoOaAdD", strict=True)) | {
        "þ": "th",
        "Þ": "Th",
        "ß": "ss",
        "æ": "ae",
        "Æ": "Ae",
    }
    text = text.translate(str.maketrans(letters))
    return "".join(char for char in unicodedata.normalize("NFKD", text) if char.isascii())
