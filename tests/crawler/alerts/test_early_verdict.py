"""Early verdicts from names, sizes and checksums, and what the full examination makes of them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from crawler.alerts.early_verdict import Look, event_of_look, judge, kept_prints, settled
from data.errors import WireError
from data.hashing.file_fingerprints import FileEntry, FileFingerprinter, decode_fingerprints, encode_fingerprints
from data.model import Finding, Hit, Lineage, Parent, Severity
from data.store.posts import PostRow
from data.store.store import Store
from tests.leased_crawl import LeasedCrawl

NOW = datetime(2026, 11, 25, tzinfo=UTC)
PRINTER = FileFingerprinter(b"k" * 32)
# what is known: an archive of three files
A, B, C = FileEntry("x/a.csv", 1000, 1), FileEntry("x/b.csv", 2000, 2), FileEntry("x/c.csv", 3000, 3)
WHOLE = FileEntry("part1.zip", 700, 9)
NEW = FileEntry("x/d.csv", 4000, 4)


def finding(files: Sequence[FileEntry], **fields) -> Finding:
    return Finding("n", "ab" * 32, 1, "zip", prints=encode_fingerprints(map(PRINTER.fingerprints, files)), **fields)


@pytest.fixture
def store(tmp_path):
    with contextlib.closing(Store.open(tmp_path / "t.db", seal_key=b"k" * 32)) as made:
        made.file_fingerprints.replace_release(
            "part-1", [decode_fingerprints(finding([WHOLE, A, B, C]).prints, 2)], NOW
        )
        yield made


def look(*files: FileEntry, complete: bool = True) -> Look:
    rows = decode_fingerprints(encode_fingerprints((*PRINTER.fingerprints(file), file.size) for file in files), 3)
    return Look("zip", complete, rows, 100, 10**6)


def judged(store: Store, seen: Look):
    return judge(seen, store.file_fingerprints.bodies_with(seen.files[:, :2]))


@pytest.mark.parametrize(
    ("files", "verdict", "known"),
    [
        ([A, B, C], "re-post", 3),
        ([A, FileEntry("other/name.txt", 2000, 2)], "re-post", 2),
        ([A, B, C, NEW], "superset", 3),
        ([WHOLE, NEW], "superset", 1),
        ([A, NEW], "overlap", 1),
        ([NEW], "new", 0),
        ([FileEntry("x/a.csv", 1000, 77)], "new", 0),
        ([FileEntry("X/A.CSV", 1000)], "re-post", 1),
        ([FileEntry("a.csv", 1001)], "new", 0),
        ([A, *[FileEntry(f"{n}", 10**6, n) for n in range(200)]], "undecided", 1),
        ([], "undecided", 0),
        ([FileEntry("empty", 0, 0)], "undecided", 0),
    ],
    ids=[
        "the same", "renamed", "with one more", "packed as it was", "some of it", "another", "other content of one name",
        "by name and size", "by name alone", "one readme", "nothing", "empty files",
    ],
)  # fmt: skip
def test_verdicts(store, files, verdict, known):
    early = judged(store, look(*files))
    assert (early.verdict, early.files_known) == (verdict, known)
    assert bool(early.parents) == bool(known)


def test_what_is_not_listed_to_its_end_is_undecided_with_its_counts(store):
    early = judged(store, look(A, B, NEW, complete=False))
    assert (early.verdict, early.files, early.files_known, early.bytes_known) == ("undecided", 3, 2, 3000)
    assert early.parents == (("release", "part-1", 2),)


def test_only_what_is_tied_to_clients_is_known_again():
    hit = finding([A], hits=(Hit("c", 1, 1, ("email",)),))
    tied = finding([B], lineage=Lineage("overlap", 2, 1, 1, (1, 1), (Parent("r", 0.5, 0.5),)))
    alone = finding([C], lineage=Lineage("new", 2, 0, 2, (2, 2)))
    assert list(kept_prints([alone, hit, tied, finding([])])) == [1, 2]


def test_prints_of_a_post_are_replaced_purged_and_those_of_a_release_retired(store):
    crawl = LeasedCrawl(store, now=NOW)
    for files in ([NEW], [NEW, A]):
        found = finding(files)
        crawl.commit(PostRow("p", "v", ""), [found], now=NOW, fingerprints={0: decode_fingerprints(found.prints, 2)})
    assert judged(store, look(NEW)).parents == (("post", "p", 1),)
    store.purge(NOW + timedelta(days=1), NOW)
    assert judged(store, look(NEW)).parents == ()
    store.file_fingerprints.replace_release("part-1", [], NOW)
    assert store.file_fingerprints.bodies_with(look(A, B).files[:, :2]) == []
    assert store.database.execute("select count(*) from print").fetchone() == (0,)


@pytest.mark.parametrize(
    ("early", "full", "outcome"),
    [
        ("re-post", "subset", "confirmed"),
        ("re-post", "overlap", "corrected"),
        ("superset", "overlap", "confirmed"),
        ("superset", "re-post", "corrected"),
        ("new", None, "confirmed"),
        ("new", "overlap", "corrected"),
        ("overlap", "undecided", "open"),
        ("undecided", "new", "open"),
    ],
)
def test_the_full_examination_confirms_or_corrects(early, full, outcome):
    lineage = None if full is None else Lineage(full, 1, 0, 1, (1, 1))
    assert settled({"verdict": early}, finding([A], lineage=lineage))["outcome"] == outcome
    assert settled({"verdict": early}, finding([A], lineage=lineage, complete=False))["outcome"] == "open"


def test_only_what_has_known_and_unknown_files_rings(store):
    rings = {}
    for name, files in (("re-post", [A]), ("new", [NEW]), ("overlap", [A, NEW]), ("superset", [A, B, C, NEW])):
        seen = look(*files)
        event = event_of_look("s", "p", "", seen, judged(store, seen), incident="", at=NOW)
        assert (event.facts["verdict"], event.facts["early"], event.facts["outcome"]) == (name, True, "open")
        rings[name] = event.severity
    assert {name for name, severity in rings.items() if severity is Severity.WARNING} == {"overlap", "superset"}
    assert max(severity.rank for severity in rings.values()) == Severity.WARNING.rank


def test_prints_depend_on_the_key_and_hold_no_name():
    assert FileFingerprinter(b"q" * 32).fingerprints(A) != PRINTER.fingerprints(A)
    assert b"a.csv" not in decode_fingerprints(finding([A]).prints, 2).tobytes()
    assert np.all(decode_fingerprints(finding([A]).prints, 2) != 0)


@pytest.mark.parametrize("text", ["?", "AAAA", 7])
def test_what_are_no_prints_is_refused(text):
    with pytest.raises(WireError):
        decode_fingerprints(text, 2)
