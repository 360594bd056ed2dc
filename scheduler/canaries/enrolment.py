"""Making canaries: enrolling a client's table at the client, and inventing plausible people to plant."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import random
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from itertools import chain, islice
from math import comb, exp, lgamma
from operator import itemgetter
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from crawler.records.column_roles import KEY_ROLES, ROLES, VALUE_ROLES, Column, Plan, looks_like_header, sniff
from crawler.records.record_keys import Forms, readings, record_columns
from data.arrays.packed import Packed
from data.case.bundle import RECORD
from data.errors import InputError
from data.hashing.case_keys import EnrolKeys
from data.hashing.tags import Kind, confirm_digests, probe_tags, record_inputs
from data.identifiers import normalise

# Large enough that a column of birth dates repeats itself within a batch: each distinct date is parsed once.
BATCH = 100_000
SNIFF_ROWS = 500
MAX_CELL = 1 << 20
HEAD = 64 * 1024
SHOWN_REFUSALS = 20
SEPARATORS = ",;\t|"


# --- reading a client's table ----------------------------------------------------------------------------------------


def _encoding(head: bytes, path: Path) -> str:
    """The encoding of a table: by its byte order mark, else UTF-8, else Windows-1252.

    Raises:
        InputError: the file is empty or no text.
    """
    if not head.strip(b"\0 \t\r\n"):
        raise InputError(f"{path} holds nothing", hint="export the table again, with its rows, as CSV")
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return name
    if b"\0" in head or sum(byte < 32 and byte not in b"\t\r\n\f\x1b" for byte in head) > len(head) // 50:
        raise InputError(f"{path} is binary, not a table of text", hint="export the table as CSV (UTF-8)")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _separator(lines: Sequence[str]) -> str:
    """The separator that cuts the first lines into the most cells, equally many in each."""

    def score(separator: str) -> tuple[float, int]:
        counts = [line.count(separator) for line in lines if line.strip()]
        if not counts or not max(counts):
            return 0.0, 0
        usual, often = Counter(counts).most_common(1)[0]
        return (often / len(counts) if usual else 0.0), usual

    return max(SEPARATORS, key=score)


@dataclass
class Table:
    """A client's table while it is read; `text` is kept, as it would close the file when it goes."""

    path: Path
    encoding: str
    separator: str
    header: list[str] | None
    sample: list[list[str]]
    rows: Iterator[list[str]] = field(repr=False)
    text: io.TextIOWrapper = field(repr=False)


def open_table(path: Path, stream: IO[bytes]) -> Table:
    """Find out encoding, separator and header of a table.

    Raises:
        InputError: it is empty, binary, or no table.
    """
    head = stream.read(HEAD)
    encoding = _encoding(head, path)
    stream.seek(0)
    text = io.TextIOWrapper(stream, encoding, "replace", newline="")
    first = head.decode(encoding, "replace").splitlines()[:50]
    separator = _separator(first[:-1] or first)
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(_lines(text, path), delimiter=separator)
    rows = _guarded((row for row in reader if any(map(str.strip, row))), path)
    sample = list(islice(rows, SNIFF_ROWS))
    if not sample:
        raise InputError(f"{path} holds no rows", hint="export the table again, with its rows, as CSV")
    header = None
    if looks_like_header(sample[0], sample[1:]):
        header, sample = sample[0], sample[1:]
    return Table(path, encoding, separator, header, sample, chain(sample, rows), text)


def _lines(text: io.TextIOWrapper, path: Path) -> Iterator[str]:
    """Lines of bounded length: a gigabyte without an end of line is no table."""
    while line := text.readline(MAX_CELL):
        if len(line) >= MAX_CELL:
            raise InputError(
                f"{path} has a line of more than {MAX_CELL:,} characters", hint="export the table as CSV again"
            )
        yield line


def _guarded(rows: Iterator[list[str]], path: Path) -> Iterator[list[str]]:
    try:
        yield from rows
    except csv.Error as error:
        raise InputError(f"{path} is no readable table: a quote is not closed, or a cell is too long",
                         hint="export the table as CSV again") from error  # fmt: skip


def choose_columns(table: Table, given: str) -> Plan:
    """The plan of a table: sniffed, with what `--columns` says on top.

    Args:
        table: with header and sample.
        given: "nom=surname,3=dob"; columns by header word or 1-based number.

    Raises:
        InputError: a column or role does not exist (names the nearest), or no useful column was found.
    """
    plan = sniff(table.header, table.sample)
    columns = list(plan.columns)
    names = list(table.header or [])
    for pair in filter(None, (part.strip() for part in given.split(","))):
        name, equals, role = (part.strip() for part in pair.partition("="))
        if not equals:
            raise InputError(f"--columns: '{pair}' is not name=role", hint="write for example  nom=surname,ddn=dob")
        if role not in (*ROLES, "ignore"):
            near = difflib.get_close_matches(role, ROLES, 1, 0.4)
            raise InputError(
                f"--columns: no role is called '{role}'" + (f"; did you mean '{near[0]}'?" if near else ""),
                hint=f"roles are: {', '.join(ROLES)}, ignore",
            )
        if name in names:
            at = names.index(name)
        elif name.isdecimal() and 1 <= int(name) <= len(columns):
            at = int(name) - 1
        else:
            near = difflib.get_close_matches(name, names, 1, 0.3)
            raise InputError(
                f"--columns: {table.path.name} has no column '{name}'"
                + (f"; did you mean '{near[0]}'?" if near else ""),
                hint=f"its columns are: {', '.join(names) or f'1 to {len(columns)}'}",
            )
        columns[at] = Column(columns[at].name, "" if role == "ignore" else role, "--columns")
    plan = Plan(tuple(columns))
    if not plan.is_useful:
        raise InputError(
            f"{table.path.name} has no column that can be tagged",
            hint="say which they are, for example  --columns 'nom=surname,prenom=first,ddn=dob'",
        )
    return plan


# --- enrolling ---------------------------------------------------------------------------------------------------


@dataclass
class Enrolment:
    """What was made of a table."""

    records: NDArray[Any]
    canaries: int
    rows: int
    refused: int
    examples: list[tuple[int, str]]


def enrol_rows(rows: Iterator[list[str]], plan: Plan, keys: EnrolKeys) -> Enrolment:
    """Tag every row, in every surface form that a dump could show.

    Args:
        rows: cells; short rows are allowed.
        plan: which column holds what.
        keys: of the case.

    Returns:
        Records with canaries numbered from 0 in order; a row without any usable value is refused and counted.
    """
    parts: list[NDArray[Any]] = []
    accepted: list[NDArray[np.bool_]] = []
    examples: list[tuple[int, str]] = []
    total = 0
    while batch := list(islice(rows, BATCH)):
        made = _tag_batch(batch, plan, keys)
        good = np.zeros(len(batch), bool)
        good[made["canary"]] = True
        for row in np.flatnonzero(~good)[: SHOWN_REFUSALS - len(examples)].tolist():
            examples += [(total + row + 1, _why(batch[row], plan))]
        made["canary"] += np.uint32(total)
        parts.append(made)
        accepted.append(good)
        total += len(batch)
    mask = np.concatenate(accepted) if accepted else np.zeros(0, bool)
    records = np.concatenate(parts) if parts else np.zeros(0, RECORD)
    numbers = np.cumsum(mask) - 1
    records["canary"] = numbers[records["canary"]] if len(records) else records["canary"]
    return Enrolment(records, int(mask.sum()), total, total - int(mask.sum()), examples)


def _tag_batch(batch: list[list[str]], plan: Plan, keys: EnrolKeys) -> NDArray[Any]:
    width = len(plan.columns)
    if min(map(len, batch)) < width:
        batch = [row if len(row) >= width else [*row, *[""] * (width - len(row))] for row in batch]
    cells = [list(map(itemgetter(at), batch)) if plan.columns[at].role else [] for at in range(width)]
    columns = {at: Packed.of_texts(column) for at, column in enumerate(cells) if column}
    made: list[NDArray[Any]] = []

    def add(kind: Kind, packed: Packed, rows: NDArray[Any]) -> None:
        tags = probe_tags(keys.probe, kind, packed)
        there = tags != 0
        out = np.zeros(int(there.sum()), RECORD)
        out["tag"], out["digest"] = tags[there], confirm_digests(keys.confirm, kind, packed)[there]
        out["canary"], out["kind"] = rows[there], kind
        made.append(out)

    everyone = np.arange(len(batch), dtype=np.uint32)
    forms = Forms(lambda at: columns[at])
    for number, parts in enumerate(readings(plan, len(batch), forms)):
        for kind, packed in record_columns(parts):
            add(kind, packed, everyone)
        if number == 0:
            for kind, values, owners in _variants(plan, cells, parts):
                add(kind, Packed.of(values), np.array(owners, np.uint32))
    for role, kind in VALUE_ROLES.items():
        for at in plan.places.get(role, ()):
            add(kind, forms.of(role, at), everyone)
    return np.concatenate(made) if made else np.zeros(0, RECORD)


def _variants(
    plan: Plan, cells: Sequence[list[str]], parts: Mapping[str, Packed]
) -> Iterator[tuple[Kind, list[bytes], list[int]]]:
    """Record keys of rows whose names have further forms (double names, particles), by kind."""
    found: dict[Kind, tuple[list[bytes], list[int]]] = {}
    columns = {role: cells[plan.places[role][0]] for role in ("surname", "first") if role in plan.places}
    suspects: set[int] = set()
    for texts in columns.values():
        suspects.update(row for row, text in enumerate(texts) if not text.isalpha())
    for row in suspects:
        surnames = _forms(columns["surname"][row]) if "surname" in columns else [b""]
        firsts = _forms(columns["first"][row]) if "first" in columns else [b""]
        if len(surnames) < 2 and len(firsts) < 2:
            continue
        rest = {role: packed.item(row) for role, packed in parts.items() if role not in ("surname", "first")}
        whole = set(record_inputs(surname=(surnames or [b""])[0], first=(firsts or [b""])[0], **rest))
        for surname in surnames or [b""]:
            for first in firsts or [b""]:
                for kind, value in record_inputs(surname=surname, first=first, **rest):
                    if (kind, value) not in whole:
                        values, owners = found.setdefault(kind, ([], []))
                        values.append(value)
                        owners.append(row)
    for kind, (values, owners) in found.items():
        yield kind, values, owners


# names repeat: half of a country shares a few thousand
_forms = lru_cache(maxsize=1 << 16)(normalise.name_variants)


def _why(row: Sequence[str], plan: Plan) -> str:
    """Why a row gave no tag, in words without its values."""
    empty: list[str] = []
    wrong: list[str] = []
    for at, column in enumerate(plan.columns):
        if column.role in KEY_ROLES or column.role in VALUE_ROLES:
            filled = at < len(row) and row[at].strip()
            name = column.name or f"column {at + 1}"
            (wrong if filled else empty).append(name)
    if wrong:
        return f"no usable value: {', '.join(wrong)} cannot be understood together" + (
            f"; {', '.join(empty)} empty" if empty else ""
        )
    return "all identifying cells are empty"


# --- inventing -----------------------------------------------------------------------------------------------------

INVENTED_COLUMNS = (
    "nom",
    "prenom",
    "sexe",
    "date_naissance",
    "nir",
    "email",
    "telephone",
    "adresse",
    "code_postal",
    "ville",
)


# of the range for fiction
_NUMBERS = 10_000


def invent(count: int, *, seed: int | None = None, domain: str = "example.org") -> list[dict[str, str]]:
    """Plausible French people, consistent in themselves.

    Args:
        count: how many.
        seed: for the same people again; without it they come from the system's random source.
        domain: of their e-mail addresses; one that you own makes a mail to it a second alarm.

    Returns:
        One dict of `INVENTED_COLUMNS` each. NIR and e-mail address are distinct; telephone numbers are of the range
        that the French regulator keeps for fiction (ARCEP: 06 39 98 00 00 to 06 39 98 99 99): above 10,000 they repeat.
    """
    from faker import Faker

    dice: random.Random = random.Random(seed) if seed is not None else secrets.SystemRandom()  # noqa: S311 - seeded on purpose
    faker = Faker("fr_FR")
    faker.seed_instance(dice.getrandbits(64))
    people: list[dict[str, str]] = []
    seen: set[str] = set()
    # a number that two share makes one of whoever else has it: a stranger's row would hit both
    numbers = dice.sample(range(_NUMBERS), _NUMBERS)
    while len(people) < count:
        born = date(1935, 1, 1) + timedelta(days=dice.randrange(30_000))
        male = dice.random() < 0.5
        postcode = faker.postcode()
        place = f"{dice.randrange(1, 96):02}{dice.randrange(1, 900):03}"
        body = f"{1 if male else 2}{born:%y%m}{place}{dice.randrange(1, 1000):03}"
        nir = f"{body}{97 - int(body) % 97:02}"
        surname, first = faker.last_name(), faker.first_name_male() if male else faker.first_name_female()
        local = ".".join(normalise.name(part).decode() for part in (first, surname))
        email = f"{local}{born:%y}@{domain}"
        if nir in seen or email in seen:
            continue
        seen |= {nir, email}
        people.append(
            {
                "nom": surname,
                "prenom": first,
                "sexe": "M" if male else "F",
                "date_naissance": f"{born:%d/%m/%Y}",
                "nir": nir,
                "email": email,
                "telephone": f"063998{numbers[len(people) % _NUMBERS]:04}",
                "adresse": faker.street_address(),
                "code_postal": postcode,
                "ville": faker.city(),
            }
        )
    return people


# --- planning -------------------------------------------------------------------------------------------------------


def chance(total: int, release: int, tagged: int) -> float:
    """The probability that a random release of `release` among `total` records holds at least one of `tagged`.

    1 - C(total - tagged, release) / C(total, release), by logarithms; exact for small numbers.
    """
    if tagged <= 0 or release <= 0:
        return 0.0
    if tagged + release > total:
        return 1.0
    if total <= 1000:
        return 1 - comb(total - tagged, release) / comb(total, release)
    none = (
        lgamma(total - tagged + 1)
        - lgamma(total - tagged - release + 1)
        - lgamma(total + 1)
        + lgamma(total - release + 1)
    )
    return max(0.0, 1 - exp(min(0.0, none)))


def needed(total: int, release: int, confidence: float) -> int:
    """The smallest number of tagged records that gives the confidence; `total` where all are needed."""
    low, high = 0, total
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if chance(total, release, middle) >= confidence else (middle + 1, high)
    return low
