"""How much of people in disguise the examiner finds: per kind of value, and by any record key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crawler.examiner.examination import Examiner
from crawler.records.column_roles import plan_columns_of_rows
from data.case.bundle import read_bundle, write_bundle
from data.case.watchlist_import import import_bundle
from data.hashing.tags import Kind
from scheduler.canaries.enrolment import enrol_rows
from tests.synth.case import KEYS, examine, examining
from tests.synth.disguise import Disguise
from tests.synth.people import COLUMNS, HEADERS, Person, row

VALUES = ("email", "phone", "nir")
# clients of the watch-list: each holds the tags of one kind alone, so that its canaries tell who was found by it
_KINDS = {"email": {Kind.EMAIL}, "phone": {Kind.PHONE}, "nir": {Kind.NIR}, "keys": {kind for kind in Kind if kind >= Kind.NAME_DOB},
          "name+dob": {Kind.NAME_DOB}}  # fmt: skip


@dataclass(frozen=True)
class Recall:
    """Shares of people found: by their values (mean of the three kinds), by any record key, by name and birth date."""

    values: float
    keys: float
    name_dob: float
    records: int


@contextmanager
def watching(folder: Path, who: Sequence[Person]) -> Iterator[Examiner]:
    """An examiner with these people on its watch-list."""
    rows = [row(person) for person in who]
    plan = plan_columns_of_rows([HEADERS["fr"][name] for name in COLUMNS], rows[:200])
    made = enrol_rows(iter(rows), plan, KEYS.enrol)
    for client, kinds in _KINDS.items():
        records = made.records[np.isin(made.records["kind"], list(kinds))]
        bundle = folder / f"{client.replace('+', '-')}.bundle"
        write_bundle(bundle, KEYS.enrol, records, client=client, name=client, canaries=made.canaries)
        import_bundle(folder / "watchlist", KEYS.case, *read_bundle(bundle, KEYS.case, KEYS.bundle))
    with examining(folder) as examiner:
        yield examiner


def recall(examiner: Examiner, disguise: Disguise, who: Sequence[Person], seed: int = 0) -> Recall:
    """What is found of these people in this disguise."""
    finding = examine(examiner, disguise.of(who, seed))
    found = {hit.client: hit.canaries / len(who) for hit in finding.hits}
    return Recall(
        sum(found.get(kind, 0.0) for kind in VALUES) / len(VALUES),
        found.get("keys", 0.0),
        found.get("name+dob", 0.0),
        finding.records,
    )
