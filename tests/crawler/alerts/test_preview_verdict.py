"""Verdicts of previews from names, sizes and checksums, and how the full examination confirms or corrects them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from crawler.alerts.events import PostContext
from crawler.alerts.preview_verdict import (
    Preview,
    PreviewVerdict,
    assess_preview,
    event_of_correction,
    event_of_preview,
    facts_after_examination,
    fingerprints_to_keep,
)
from crawler.alerts.wording import message_of
from data.errors import WireError
from data.hashing.file_fingerprints import FileEntry, FileFingerprinter, decode_fingerprints, encode_fingerprints
from data.model import Finding, Hit, Lineage, Parent, Severity
from data.store.posts import PostRow
from data.store.store import Store
from tests.leased_crawl import LeasedCrawl

NOW = datetime(2026, 11, 25, tzinfo=UTC)
PRINTER = FileFingerprinter(b"k" * 32)
# the known body: an archive of three files
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


def preview(*files: FileEntry, complete: bool = True) -> Preview:
    rows = decode_fingerprints(encode_fingerprints((*PRINTER.fingerprints(file), file.size) for file in files), 3)
    return Preview("zip", complete, rows, 100, 10**6)


def assessed(store: Store, seen: Preview) -> PreviewVerdict:
    return assess_preview(seen, store.file_fingerprints.bodies_with(seen.files[:, :2]))


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
        "the same files", "a renamed file", "one more file", "the whole archive and one more file", "some of the files",
        "another file", "same name, other content", "same name and size", "same name, other size",
        "one known file of many", "no files", "empty files",
    ],
)  # fmt: skip
def test_a_preview_gives_the_verdict_that_its_known_files_support(store, files, verdict, known):
    found = assessed(store, preview(*files))
    assert (found.verdict, found.files_known) == (verdict, known)
    assert bool(found.parents) == bool(known)


def test_an_incomplete_file_list_is_undecided_but_counted(store):
    found = assessed(store, preview(A, B, NEW, complete=False))
    assert (found.verdict, found.files, found.files_known, found.bytes_known) == ("undecided", 3, 2, 3000)
    assert found.parents == (("release", "part-1", 2),)


def test_fingerprints_are_kept_only_of_files_that_have_to_do_with_clients():
    hit = finding([A], hits=(Hit("c", 1, 1, ("email",)),))
    tied = finding([B], lineage=Lineage("overlap", 2, 1, 1, (1, 1), (Parent("r", 0.5, 0.5),)))
    alone = finding([C], lineage=Lineage("new", 2, 0, 2, (2, 2)))
    assert list(fingerprints_to_keep([alone, hit, tied, finding([])])) == [1, 2]


def test_fingerprints_of_a_post_are_replaced_and_purged_and_those_of_a_release_retired(store):
    crawl = LeasedCrawl(store, now=NOW)
    for files in ([NEW], [NEW, A]):
        found = finding(files)
        crawl.commit(PostRow("p", "v", ""), [found], now=NOW, fingerprints={0: decode_fingerprints(found.prints, 2)})
    assert assessed(store, preview(NEW)).parents == (("post", "p", 1),)
    store.purge(NOW + timedelta(days=1), NOW)
    assert assessed(store, preview(NEW)).parents == ()
    store.file_fingerprints.replace_release("part-1", [], NOW)
    assert store.file_fingerprints.bodies_with(preview(A, B).files[:, :2]) == []
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
    assert facts_after_examination({"verdict": early}, finding([A], lineage=lineage))["outcome"] == outcome
    assert (
        facts_after_examination({"verdict": early}, finding([A], lineage=lineage, complete=False))["outcome"] == "open"
    )


def test_only_known_together_with_unknown_files_are_a_warning(store):
    severities = {}
    for name, files in (("re-post", [A]), ("new", [NEW]), ("overlap", [A, NEW]), ("superset", [A, B, C, NEW])):
        seen = preview(*files)
        event = event_of_preview(PostContext("s", "p", "", "", NOW), seen, assessed(store, seen))
        assert (event.facts["verdict"], event.facts["early"], event.facts["outcome"]) == (name, True, "open")
        severities[name] = event.severity
    warnings = {name for name, severity in severities.items() if severity is Severity.WARNING}
    assert warnings == {"overlap", "superset"}
    assert max(severity.rank for severity in severities.values()) == Severity.WARNING.rank


def test_a_correction_names_the_event_that_it_corrects_and_says_so_in_words(store):
    seen = preview(A, NEW)
    event = event_of_preview(PostContext("s", "p", "", "", NOW), seen, assessed(store, seen))
    facts = facts_after_examination(event.facts, finding([A], lineage=Lineage("new", 1, 0, 1, (1, 1))))
    correction = event_of_correction(event, facts, NOW)
    assert correction.id != event.id
    assert (correction.facts["of_event"], correction.severity) == (event.id, event.severity)
    text = message_of(correction, clients={}).text
    assert "Correction" in text
    assert "Outcome: corrected by the full examination: not in any known release" in text


def test_fingerprints_depend_on_the_key_and_hold_no_name():
    assert FileFingerprinter(b"q" * 32).fingerprints(A) != PRINTER.fingerprints(A)
    assert b"a.csv" not in decode_fingerprints(finding([A]).prints, 2).tobytes()
    assert np.all(decode_fingerprints(finding([A]).prints, 2) != 0)


@pytest.mark.parametrize("text", ["?", "AAAA", 7])
def test_malformed_fingerprints_are_refused(text):
    with pytest.raises(WireError):
        decode_fingerprints(text, 2)
