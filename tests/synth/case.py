"""A case in a folder: people who are enrolled as canaries, people whose records were released, and an examiner for both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from crawler.examiner.examination import Examiner
from crawler.examiner.sample_request import SampleRequest
from crawler.process.finding_checks import SENT_INVALID, checked_finding
from crawler.readers.core.limits import Limits
from crawler.records.column_roles import plan_columns_of_rows
from crawler.sandbox.sandbox import Sandbox
from data.case.bundle import read_bundle, write_bundle
from data.case.watchlist import Watchlist
from data.case.watchlist_import import import_bundle
from data.hashing.case_keys import MatchKey
from data.model import Finding
from data.releases.known_releases import KnownReleases
from scheduler.canaries.enrolment import enrol_rows
from tests.synth.people import COLUMNS, HEADERS, Person, row, to_csv

KEYS = MatchKey(bytes(range(32))).derive()


def enrol(folder: Path, crowd: Sequence[Person], client: str = "c1") -> None:
    """Put people on the watch-list, every tag that a canary gets; canary number n is the nth of them."""
    enrol_table(folder, [HEADERS["fr"][name] for name in COLUMNS], [row(person) for person in crowd], client)


def enrol_table(folder: Path, header: Sequence[str], rows: Sequence[list[str]], client: str = "c1") -> None:
    """Put the people of a table on the watch-list; canary number n is its nth row."""
    plan = plan_columns_of_rows(list(header), list(rows[:200]))
    made = enrol_rows(iter(rows), plan, KEYS.enrol)
    assert made.canaries == len(rows)
    bundle = folder / f"{client}.bundle"
    write_bundle(bundle, KEYS.enrol, made.records, client=client, name=client, canaries=made.canaries)
    assert import_bundle(folder / "watchlist", KEYS.case, *read_bundle(bundle, KEYS.case, KEYS.bundle))


@contextmanager
def examining(
    folder: Path, released: Sequence[Person] | bytes = (), *, bwrap: bool | None = None
) -> Iterator[Examiner]:
    """An examiner over the case in a folder, in which these people were released before as a table, or these bytes."""
    with Sandbox(Limits(wall=60), bwrap=bwrap) as sandbox:
        examiner = Examiner(
            KEYS, Watchlist.open(folder / "watchlist", case=KEYS.case), KnownReleases.open(folder / "releases"), sandbox
        )
        if released:
            data = released if isinstance(released, bytes) else to_csv(released)
            examine(examiner, data, release="part-1")
            examiner.builders["part-1"].write(folder / "releases", {"case": KEYS.case})
            examiner.releases = KnownReleases.open(folder / "releases")
        yield examiner


def examine(
    examiner: Examiner, data: bytes | Iterable[bytes], name: str = "sample", release: str = "", *, explain: bool = False
) -> Finding:
    """What the examiner reports of a sample; the runner must accept each sentence of it."""
    chunks = [data] if isinstance(data, bytes) else data
    found = examiner.examine(SampleRequest(name, release=release, explain=explain), chunks, {"complete": True})
    assert SENT_INVALID not in checked_finding(found).problems, (found.problems, found.lineage)
    return found
