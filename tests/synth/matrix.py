"""The verdict matrix: kinds of release x disguises x sizes, from a seed, with what is true of each cell."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from crawler.lineage.compared_sample import ComparedSample
from crawler.lineage.field_errors import names_swapped
from crawler.lineage.lineage import compare_sample
from crawler.lineage.people_counts import FULL_COVERAGE
from crawler.lineage.typo_search import TypoSearch
from crawler.lineage.uncertain_rows import UncertainRows
from data.arrays.packed import Packed
from data.hashing.tags import Kind, probe_tags, record_keys
from data.identifiers.normalise_columns import normalise_column
from data.model import Lineage
from data.releases.builder import ReleaseBuilder
from data.releases.known_releases import KnownReleases
from data.tagsets.tagset import distinct
from tests.synth import population as synth
from tests.synth.population import ROLES, Crowd, Dump

KEY = bytes(range(16))
VALUE_ROLES = {"nir": Kind.NIR, "email": Kind.EMAIL, "phone": Kind.PHONE}
KNOWN = ("re-post", "re-packaged", "subset")


@dataclass(frozen=True)
class Disguise:
    """What was done to a dump: `change` the text; `columns` are left; `noisy`: known people may be lost in it."""

    name: str
    change: Callable[[Dump, int], Dump] = lambda table, seed: table
    columns: tuple[str, ...] = ROLES
    dates: str = "%d/%m/%Y"
    noisy: bool = False
    married: float = 0.0
    typos: float = 0.0

    @property
    def full(self) -> bool:
        return self.columns == ROLES


def _swapped(table: Dump, seed: int) -> Dump:
    return {{"surname": "first", "first": "surname"}.get(role, role): column for role, column in table.items()}


def _noisy_typos(rate: float) -> Callable[[Dump, int], Dump]:
    return lambda table, seed: synth.typos(table, rate, seed)


def _worst(table: Dump, seed: int) -> Dump:
    return synth.other_phones(synth.shouted(synth.typos(table, 0.01, seed)), seed)


def _day_after(table: Dump, seed: int) -> Dump:
    return table


DISGUISES = (
    Disguise("identical"),
    Disguise("shuffled", synth.shuffled),
    Disguise("columns reversed", lambda table, seed: dict(reversed(table.items()))),
    Disguise("names swapped", _swapped),
    Disguise("capitals, no accents", lambda table, seed: synth.shouted(table)),
    Disguise("dates as ddmmyyyy", dates="%d%m%Y"),
    Disguise("dates as yyyy-mm-dd", dates="%Y-%m-%d"),
    Disguise("dates as dd-mm-yy", dates="%d-%m-%y"),
    Disguise("dates as a spreadsheet's numbers", dates="serial"),
    Disguise("five forms of telephone", synth.other_phones),
    Disguise("every row 3 times", lambda table, seed: synth.repeated(table, 3)),
    Disguise("no number", columns=("surname", "first", "dob", "email", "phone")),
    Disguise("name and birth only", columns=("surname", "first", "dob")),
    Disguise("number and birth only", columns=("nir", "dob")),
    Disguise("mail and first name only", columns=("email", "first")),
    Disguise("telephone and names only", columns=("surname", "first", "phone")),
    Disguise("accents lost to ?", lambda table, seed: synth.question_marks(table), noisy=True),
    Disguise("women renamed", married=0.1, noisy=True),
    Disguise("birth dates a day later", noisy=True),
    Disguise("1 % typing errors", _noisy_typos(0.01), noisy=True, typos=0.01),
    Disguise("5 % typing errors", _noisy_typos(0.05), noisy=True, typos=0.05),
    Disguise("1 % typing errors, name and birth", _noisy_typos(0.01), ("surname", "first", "dob"), noisy=True),
    Disguise(
        "capitals, telephones, no number, 1 %", _worst, ("surname", "first", "dob", "email", "phone"), "%d/%m/%y", True
    ),
)
FORMAT_ONLY = tuple(each.name for each in DISGUISES[:11])


@dataclass(frozen=True)
class Truth:
    """A dump before its disguise: its people, which of them are new, and the verdicts that are right."""

    people: Crowd
    is_new: np.ndarray
    verdicts: tuple[str, ...]
    hits: bool = False
    origin: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    """Of pieces put together: which release each person is from; `whole`: it is all of them."""
    whole: bool = False


class World:
    """One population, its releases, and what may be cut from it."""

    def __init__(self, seed: int, size: int, folder: Path, base: int = 60_000) -> None:
        self.seed, self.size = seed, size
        self.dice = np.random.default_rng([seed, size, 84])
        base = max(base, 3 * size)
        everybody = synth.crowd(seed, base + 6 * size)
        # by practices: a release is what some practices held, and families mostly go to one
        everybody = everybody.take(np.argsort(everybody.practice, kind="stable"))
        cuts = np.cumsum([base, size, size])
        self.base, self.whole, self.other, self.unseen = (
            everybody.take(slice(a, b)) for a, b in zip([0, *cuts], [*cuts, len(everybody)], strict=True)
        )
        self.strangers = synth.crowd(seed + 50_000, size)
        for name, people in (("base", self.base), ("whole", self.whole), ("other", self.other)):
            register(folder, name, synth.dump(people))
        self.bare = self.base.take(slice(0, size))
        self.releases = KnownReleases.open(folder)

    def pick(self, people: Crowd, count: int) -> Crowd:
        return people.take(self.dice.permutation(len(people))[:count])

    def truths(self) -> dict[str, Truth]:
        """The kinds of release."""
        n, half = self.size, max(1, self.size // 2)
        few = max(1, n // 20)
        mixed = lambda known, new, *verdicts, **more: Truth(  # noqa: E731
            known + new, np.repeat([False, True], [len(known), len(new)]), verdicts, **more
        )
        old = lambda people, *verdicts: Truth(people, np.zeros(len(people), bool), verdicts)  # noqa: E731
        new = lambda count: self.pick(self.unseen, count)  # noqa: E731
        return {
            "the same again": old(self.whole, "re-post"),
            "a part of it": old(self.pick(self.base, n), "subset"),
            "pieces of two": replace(
                old(self.whole.take(slice(0, half)) + self.other.take(slice(0, half)), "re-packaged"),
                origin=np.repeat([0, 1], half),
            ),
            "two in one": replace(
                old(self.whole + self.other, "re-packaged"), origin=np.repeat([0, 1], n), whole=True
            ),
            "all and a quarter more": mixed(self.whole, new(max(1, n // 4)), "superset"),
            "all and one more": mixed(self.whole, new(1), "superset"),
            "half of it new": mixed(self.pick(self.base, half), new(half), "overlap"),
            "mostly new": mixed(self.pick(self.base, few), new(n - few), "overlap"),
            "all new, with canaries": mixed(self.base.take(slice(0, 0)), new(n), "new", hits=True),
            "other people": mixed(self.base.take(slice(0, 0)), self.strangers, "unrelated"),
            "filled up with invented people": mixed(
                self.pick(self.base, half), synth.recombined(self.pick(self.base, half + 1000), half), "padded"
            ),
        }  # fmt: skip


def forms_of(table: Dump) -> dict[str, Packed]:
    """Normal forms by role."""
    return {role: normalise_column(role, synth.packed(column)) for role, column in table.items()}


def tags_of(forms: dict[str, Packed]) -> tuple[np.ndarray, dict[Kind, np.ndarray]]:
    """Record keys and distinct values, as the examiner collects them."""
    values = {}
    for role, kind in VALUE_ROLES.items():
        if role in forms:
            tags = probe_tags(KEY, kind, forms[role])
            values[kind] = distinct(tags[tags != 0])
    return record_keys(KEY, **forms), values


def register(folder: Path, name: str, table: Dump) -> None:
    builder = ReleaseBuilder(name)
    builder.add(*tags_of(forms_of(table)))
    builder.write(folder, {"name": name})


def judge(releases: KnownReleases, table: Dump, *, hits: bool, excel: bool = False) -> tuple[Lineage, float]:
    """The lineage of a dump as the examiner makes it, and the seconds that it took."""
    begin = time.perf_counter()
    read = read_tables(releases, [table], excel=excel)
    typo_search = TypoSearch(KEY, read.uncertain, releases.contains)
    sample = ComparedSample(read.keys, read.values, has_hits=hits, held=read.seen, typo_search=typo_search)
    return compare_sample(sample, releases), time.perf_counter() - begin


@dataclass(frozen=True)
class Read:
    """What the examiner has of a sample once it is read."""

    keys: np.ndarray
    values: dict[Kind, np.ndarray]
    seen: np.ndarray
    uncertain: UncertainRows


def read_tables(releases: KnownReleases, tables: Iterable[Dump], *, excel: bool = False) -> Read:
    """The tags and the uncertain rows of a dump that comes in parts."""
    uncertain = UncertainRows()
    parts = []
    for table in tables:
        forms = {
            role: normalise_column(role, synth.packed(column), excel=excel and role == "dob")
            for role, column in table.items()
        }
        keys, values = tags_of(forms)
        seen = releases.find_known_keys(keys)
        if names_swapped(keys, seen):
            forms |= {"first": forms["surname"], "surname": forms["first"]}
            keys, values = tags_of(forms)
            seen = releases.find_known_keys(keys)
        kept = uncertain.select(keys, seen)
        uncertain.add(keys[kept], seen[kept], {role: column.take(kept) for role, column in forms.items()})
        parts.append((keys, values, seen))
    if len(parts) == 1:
        return Read(*parts[0], uncertain)
    kinds = {kind for _, values, _ in parts for kind in values}
    whole = {
        kind: distinct(np.concatenate([values[kind] for _, values, _ in parts if kind in values])) for kind in kinds
    }
    return Read(
        np.concatenate([keys for keys, *_ in parts]), whole, np.concatenate([part[2] for part in parts]), uncertain
    )


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix, judged."""

    kind: str
    disguise: Disguise
    size: int
    seed: int
    found: Lineage
    verdicts: tuple[str, ...]
    people: int
    new: int
    seconds: float

    @property
    def undecided(self) -> bool:
        return self.found.verdict == "undecided"

    @property
    def wrong(self) -> bool:
        return not self.undecided and self.found.verdict not in self.verdicts

    @property
    def inside(self) -> bool:
        return self.found.interval[0] <= self.new <= self.found.interval[1]

    @property
    def error(self) -> int:
        """Of the count of people whom no release knows."""
        return self.found.new - self.new

    @property
    def miscounted(self) -> int:
        """Of the count of new people, those taken off who are told to be known and mistyped."""
        return self.found.new - self.found.mistyped - self.new

    def __str__(self) -> str:
        return (
            f"{self.size:>7,} {self.kind:32} {self.disguise.name:36} {self.found.verdict:11} "
            f"new {self.found.new:,} of {self.new:,} in {self.found.interval} of {self.found.records:,} "
            f"mistyped {self.found.mistyped} {self.found.notes[-1] if self.found.notes else ''}"
        )


def cell(world: World, kind: str, truth: Truth, disguise: Disguise) -> Cell:
    people = truth.people
    if disguise.married:
        people = synth.married(people, world.seed, disguise.married)
    if disguise.name == "birth dates a day later":
        people = Crowd(
            **{**{name: getattr(people, name) for name in people.__dataclass_fields__}, "dob": people.dob + 1}
        )
        people.dob[people.dob >= synth.DAYS] = 0
    clean = synth.dump(people, dates=disguise.dates, columns=disguise.columns)
    # what is torn so that no key is left is nobody's record: the finding tells how many rows those are
    worn = disguise.change(clean, world.seed) if disguise.noisy else synth.dump(people, columns=disguise.columns)
    keyed = tags_of(forms_of(worn))[0].any(axis=1)
    found, seconds = judge(
        world.releases, disguise.change(clean, world.seed), hits=truth.hits, excel=disguise.dates == "serial"
    )
    verdicts = right_verdicts(truth, disguise, keyed)
    rows = tags_of(forms_of(synth.dump(people, columns=disguise.columns)))[0].any(axis=1).sum() if disguise.noisy else 0
    if keyed.sum() < FULL_COVERAGE * rows and "re-packaged" in verdicts:
        verdicts = (*verdicts, "subset")  # so much of it cannot be read any more
    return Cell(
        kind, disguise, world.size, world.seed, found, verdicts, int(keyed.sum()), int((truth.is_new & keyed).sum()), seconds
    )  # fmt: skip


def right_verdicts(truth: Truth, disguise: Disguise, keyed: np.ndarray) -> tuple[str, ...]:
    """Which verdicts are right once the columns are gone and the text is worn."""
    verdicts = set(truth.verdicts)
    if "re-post" in verdicts and not disguise.full:
        verdicts = {"re-packaged"}
    if "padded" in verdicts and "nir" not in disguise.columns and not {"email", "phone"} <= set(disguise.columns):
        verdicts = {"overlap"}  # nothing tells invented people from real ones
    new = int((truth.is_new & keyed).sum())
    if not new and truth.is_new.any():
        # the new ones have none of the columns that are left
        verdicts = {"re-packaged"} if "superset" in verdicts else {"subset"}
    if len(truth.origin) and len(set(truth.origin[keyed].tolist())) == 1:
        verdicts = {"re-packaged" if truth.whole else "subset"}  # all that are left come from one release
    if not (~truth.is_new & keyed).any() and not truth.hits:
        verdicts = {"unrelated"}  # the known ones have none of the columns that are left
    if disguise.noisy and new == 1 and "superset" in verdicts:
        # one new person among known ones who look new: said within the interval, in either verdict
        verdicts |= {"re-post", "re-packaged", "overlap"}
    return tuple(sorted(verdicts))


def matrix(seeds: Sequence[int], sizes: Sequence[int], disguises: Sequence[Disguise] = DISGUISES) -> Iterator[Cell]:
    """All cells, one after another."""
    for seed in seeds:
        for size in sizes:
            with tempfile.TemporaryDirectory() as folder:
                world = World(seed, size, Path(folder))
                for kind, truth in world.truths().items():
                    for disguise in disguises:
                        yield cell(world, kind, truth, disguise)
