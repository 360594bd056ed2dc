"""Contents of findings: file fingerprints, problems, and evidence that only the holder of the private key can open."""

from __future__ import annotations

import base64
import hashlib
import threading

import numpy as np
import orjson
import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.examiner.findings import FindingBuilder
from crawler.examiner.hits import MAX_EXCERPTS, MAX_LINES, MAX_WAITING, HitConfirmer
from crawler.examiner.sample import MAX_PROBLEMS_KEPT, SampleMember
from crawler.examiner.sample_request import SampleRequest
from crawler.matching.byte_scanner import ByteScanner
from crawler.matching.canary_numbers import CanaryNumbers
from crawler.matching.candidates import Candidates
from crawler.matching.matched_lines import MAX_BESIDE, MAX_LINE, NOTHING, Piece
from crawler.matching.watchlist_match import HitCollector
from crawler.records.row_batch import RowBatch
from data.arrays.packed import Packed
from data.case.watchlist import ENTRY_DTYPE, Watchlist
from data.errors import StoreError, WireError
from data.hashing.file_fingerprints import decode_fingerprints
from data.hashing.tags import Kind, confirm_digests, probe_tags
from tests.synth.case import KEYS, enrol
from tests.synth.people import people

PEOPLE = people(21, MAX_EXCERPTS + 10)


@pytest.fixture(scope="module")
def watchlist(tmp_path_factory) -> Watchlist:
    folder = tmp_path_factory.mktemp("case")
    enrol(folder, PEOPLE)
    return Watchlist.open(folder / "watchlist", case=KEYS.case)


def opened(watchlist: Watchlist, name: str = "a.csv", size: int = 9) -> SampleMember:
    scanner = ByteScanner(KEYS.probe, watchlist.probe_values)
    collector = HitCollector(CanaryNumbers(watchlist), KEYS.post)
    return SampleMember(name, "delimited", collector, scanner, hashlib.sha256(), size=size, crc=7)


def confirmer(watchlist: Watchlist) -> HitConfirmer:
    return HitConfirmer(CanaryNumbers(watchlist), KEYS.confirm)


def emails(*values: bytes) -> Candidates:
    kinds, packed = np.full(len(values), Kind.EMAIL, np.uint8), Packed.of(values)
    return Candidates(kinds, probe_tags(KEYS.probe, Kind.EMAIL, packed), packed, np.arange(len(values)))


def candidates(count: int = len(PEOPLE)) -> Candidates:
    return emails(*[person.email.lower().encode() for person in PEOPLE[:count]])


def test_a_hit_counts_for_all_members_that_contain_it_and_only_the_first_hits_are_kept_as_evidence(watchlist):
    hits, inner, outer = confirmer(watchlist), opened(watchlist), opened(watchlist)
    hits.add_candidates(candidates(), [outer, inner])
    hits.confirm_waiting(inner)
    assert [member.collector.hits()[0].canaries for member in (inner, outer)] == [len(PEOPLE)] * 2
    assert len(hits.excerpts) == MAX_EXCERPTS
    assert {each["kind"] for each in hits.excerpts} == {"email"}
    hits.add_candidates(emails(b"nobody@nowhere.example"), [inner])
    hits.confirm_waiting(inner)
    assert inner.collector.hits()[0].canaries == len(PEOPLE)


def test_hits_that_wait_count_for_the_member_that_they_are_in(watchlist):
    hits, outer, one, two = confirmer(watchlist), *(opened(watchlist) for _ in range(3))
    # two values of the first member, one of which is in a row and in the other member as well
    hits.add_rows(candidates(1), np.ones(1, np.uint8), [outer, one])
    hits.add_candidates(candidates(2), [outer, one])
    hits.add_candidates(candidates(1), [outer, two])
    assert not one.collector.has_hits
    for member in (one, two, outer):
        hits.confirm_waiting(member)
    found = [member.collector.hits()[0] for member in (outer, one, two)]
    assert [(hit.canaries, hit.records) for hit in found] == [(2, 2), (2, 2), (1, 1)]


def test_hits_are_the_same_whether_few_or_many_wait(watchlist, monkeypatch):
    for most in (1, 7, MAX_WAITING):
        monkeypatch.setattr("crawler.examiner.hits.MAX_WAITING", most)
        hits, member = confirmer(watchlist), opened(watchlist)
        for count in range(1, len(PEOPLE), 9):
            hits.add_rows(candidates(count), np.ones(count, np.uint8), [member])
            hits.add_candidates(candidates(count + 1), [member])
        hits.confirm_waiting(member)
        (hit,) = member.collector.hits()
        assert (hit.canaries, hit.records) == (56, 56)
        assert len(hits.excerpts) == MAX_EXCERPTS


def test_many_hits_are_looked_up_beside_the_passes(watchlist, monkeypatch):
    monkeypatch.setattr("crawler.examiner.hits.MAX_WAITING", 5)
    hits, member, inside = confirmer(watchlist), opened(watchlist), threading.Event()
    looked_up_in: list[threading.Thread] = []
    resolve = watchlist.resolve

    def slow(*given, **named):
        looked_up_in.append(threading.current_thread())
        # a look-up of so many goes on only once this thread has more
        assert threading.current_thread() is threading.main_thread() or inside.wait(300)
        return resolve(*given, **named)

    monkeypatch.setattr(watchlist, "resolve", slow)
    hits.add_candidates(candidates(), [member])
    hits.add_candidates(candidates(3), [member])
    assert not member.collector.has_hits
    inside.set()
    hits.confirm_waiting(member)
    assert member.collector.hits()[0].canaries == len(PEOPLE)
    [beside] = {*looked_up_in} - {threading.main_thread()}
    hits.close()
    assert not beside.is_alive()


def test_a_damaged_list_that_the_thread_finds_is_told_to_whoever_asks_for_the_hits(monkeypatch):
    monkeypatch.setattr("crawler.examiner.hits.MAX_WAITING", 5)
    every, entries = candidates(), np.zeros(len(PEOPLE), ENTRY_DTYPE)
    entries["tags"], entries["kinds"], entries["canaries"] = every.tags, every.kinds, np.arange(len(PEOPLE))
    entries["digests"] = confirm_digests(KEYS.confirm, every.kinds, every.values)
    # the last people are canaries that their bundle does not have
    entries["canaries"][MAX_EXCERPTS:] += 1000
    damaged = Watchlist.in_memory(entries, "c1")
    hits, member = confirmer(damaged), opened(damaged)
    # of the first values excerpts are taken at once
    hits.add_candidates(candidates(MAX_EXCERPTS), [member])
    hits.add_candidates(every, [member])
    with pytest.raises(StoreError, match="damaged"):
        hits.confirm_waiting(member)
    hits.close()


def test_evidence_is_sealed_for_the_recipient_and_a_bad_key_loses_nothing_but_the_evidence(watchlist):
    identity = pyrage.x25519.Identity.generate()
    hits, sample = confirmer(watchlist), opened(watchlist)
    hits.add_candidates(candidates(2), [sample])
    hits.confirm_waiting(sample)
    request = SampleRequest("a.csv", source="s", url="https://x.example/1", title="t", receipt='{"status": 200}')
    made = FindingBuilder(request, KEYS.post, str(identity.to_public()))
    finding = made.sample_finding(sample, None, "", hits)
    proof = orjson.loads(pyrage.decrypt(base64.b64decode(finding.sealed), [identity]))
    assert (proof["url"], proof["title"], len(proof["excerpts"])) == ("https://x.example/1", "t", 2)
    assert proof["received"] == {"status": 200}
    assert proof["lines"] == []
    assert all((finding.fingerprint, finding.sighted, finding.complete))
    assert FindingBuilder(request, KEYS.post, "").sample_finding(sample, None, "", hits).sealed == ""
    broken = FindingBuilder(request, KEYS.post, "age1nobody").sample_finding(sample, None, "", hits)
    assert (broken.sealed, broken.hits) == ("", finding.hits)
    assert [problem.partition(":")[0] for problem in sample.problems] == ["evidence"]


def email_at(value: str, place: int) -> Candidates:
    made = emails(value.lower().encode())
    return Candidates(made.kinds, made.tags, made.values, np.array([place]))


def test_the_line_of_a_hit_is_kept_with_a_bounded_context_and_each_line_once(watchlist):
    hits, sample = confirmer(watchlist), opened(watchlist, "a.txt")
    text = f"{'x' * 900}\nbefore it\nMme {PEOPLE[0].email}, 12 rue\nafter it\n{'y' * 900}".encode()
    for _ in range(2):
        hits.add_candidates(email_at(PEOPLE[0].email, text.index(b"Mme") + 4), [sample], Piece(text))
    [line] = hits.lines
    assert line["line"] == f"Mme {PEOPLE[0].email}, 12 rue"
    assert (line["member"], len(line["before"]), len(line["after"])) == ("a.txt", MAX_BESIDE, MAX_BESIDE)
    assert line["before"].endswith("before it\n")
    assert line["after"].startswith("\nafter it")
    # in one line as long as a file, what stands around the value
    long = b"z" * 5000 + PEOPLE[1].email.lower().encode() + b"z" * 5000
    hits.add_candidates(email_at(PEOPLE[1].email, 5000), [sample], Piece(long))
    assert PEOPLE[1].email.lower() in hits.lines[1]["line"]
    assert len(hits.lines[1]["line"]) == MAX_LINE
    # of very many hits a few lines
    many = "\n".join(person.email for person in PEOPLE).encode()
    for person in PEOPLE:
        hits.add_candidates(email_at(person.email, many.index(person.email.encode())), [sample], Piece(many))
    assert len(hits.lines) == MAX_LINES


def test_a_value_that_begins_in_the_piece_before_has_its_line_too(watchlist):
    hits, sample = confirmer(watchlist), opened(watchlist, "a.txt")
    text = b"first line\nsecond " + PEOPLE[0].email.encode() + b" end\nthird"
    cut = text.index(PEOPLE[0].email.encode()) + 4
    piece = NOTHING.next(text[:cut]).next(text[cut:])
    hits.add_candidates(email_at(PEOPLE[0].email, cut - 4), [sample], piece)
    assert [each["line"] for each in hits.lines] == [f"second {PEOPLE[0].email} end"]


def test_a_row_is_told_with_its_neighbours(watchlist):
    hits, sample = confirmer(watchlist), opened(watchlist)
    batch = RowBatch.of([["nobody", "n@x.example"], ["Dupont", PEOPLE[0].email], ["other", "o@x.example"]])
    hits.add_rows(email_at(PEOPLE[0].email, 1), np.ones(3, np.uint8), [sample], batch.line_of)
    [line] = hits.lines
    assert line == {
        "member": "a.csv", "before": "nobody ; n@x.example", "line": f"Dupont ; {PEOPLE[0].email}", "after": "other ; o@x.example",
    }  # fmt: skip


def test_only_files_that_were_read_completely_get_fingerprints(watchlist):
    made, sample = FindingBuilder(SampleRequest("x"), KEYS.post, ""), opened(watchlist, "x.zip")
    for name, size, complete, leaf in [
        ("a", 3, True, True),
        ("b", 0, True, True),
        ("c", 3, False, True),
        ("d", 3, True, False),
    ]:
        member = opened(watchlist, name, size)
        member.complete, member.leaf = complete, leaf
        made.add_fingerprint(member)
    assert len(decode_fingerprints(made.sample_finding(sample, None, "", []).prints, 2)) == 2
    assert made.member_finding(opened(watchlist)).prints == ""


@given(st.lists(st.integers(0, 80), max_size=200))
@pytest.mark.slow
def test_problems_are_reported_once_and_in_bounded_number(numbers):
    member = SampleMember("x", "text", None, None, None)
    for number in numbers:
        member.problem("code", str(number))
    distinct = list(dict.fromkeys(f"code: {number}" for number in numbers))
    assert member.problems[:MAX_PROBLEMS_KEPT] == distinct[:MAX_PROBLEMS_KEPT]
    assert len(member.problems) == min(len(distinct), MAX_PROBLEMS_KEPT + 1)


def test_a_request_with_unknown_or_missing_keys_is_refused():
    assert SampleRequest.from_json({"name": "x", "exact": True}).exact
    for value in ({"name": "x", "colour": 1}, {}):
        with pytest.raises(WireError):
            SampleRequest.from_json(value)
