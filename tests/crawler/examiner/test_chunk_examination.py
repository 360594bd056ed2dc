"""A file that is examined in chunks gets the finding of a single examination, in every field."""

from __future__ import annotations

import base64
import dataclasses
import io
import random
import zipfile
from datetime import date

import orjson
import pyrage
import pytest

from crawler.examiner.chunk_examination import ChunkExamination, Fold
from crawler.examiner.chunk_results import Results, index_file
from crawler.examiner.sample_request import SampleRequest
from crawler.process.file_chunks import Chunk, cut
from crawler.process.finding_checks import checked_finding
from data.arrays import array_codec
from data.case.evidence import new_identity
from data.errors import ExamineError
from data.hashing.case_keys import MatchKey
from data.hashing.sealed_states import seal
from data.model import Finding
from tests.synth.case import KEYS, enrol, examining
from tests.synth.people import COLUMNS, HEADERS, people, row

pytestmark = pytest.mark.slow

REQUEST = SampleRequest("sample", exact=True, explain=True)
CROWD = people(19, 2400)
# makes rows long, so that few of them fill several blocks of lines
FILLER = "12 bis rue des Lilas et des Marronniers, batiment C, escalier 4, porte de gauche, 69003 Lyon; " * 12
WIDE = (*COLUMNS, "address")
PHONE, FIXED = "0142424242", "0600000000"
ZIP = io.BytesIO()
with zipfile.ZipFile(ZIP, "w", zipfile.ZIP_DEFLATED) as _archive:
    _archive.writestr("x.csv", "nom;prenom\n" + "Martin;Paul\n" * 900 + "".join(map(chr, range(200, 900))))


def table(
    crowd=CROWD, columns=WIDE, *, header="fr", separator=",", end="\n", quote="", dates="%d/%m/%Y", encoding="utf-8"
) -> bytes:
    filler = FILLER.replace(separator, " ").replace(";", " ")
    rows = [row(dataclasses.replace(each, address=filler), columns, dates) for each in crowd]
    if header:
        rows.insert(0, [HEADERS[header][name] for name in columns])
    return "".join(separator.join(f"{quote}{cell}{quote}" for cell in cells) + end for cells in rows).encode(
        encoding, "replace"
    )


def lines(data: bytes, change) -> bytes:
    """The lines, each changed by a function of its number and itself."""
    return b"".join(change(number, line) for number, line in enumerate(data.splitlines(keepends=True)))


def objects(change=lambda _number, each: each) -> bytes:
    """One JSON object a line, changed by a function of its number and itself."""
    filler = {"address": FILLER[:600]}
    found = (dict(zip(COLUMNS, row(each, COLUMNS), strict=True)) | filler for each in CROWD * 3)
    return b"".join(orjson.dumps(change(*each)) + b"\n" for each in enumerate(found))


def with_phone(number_from, until, phone=PHONE, more=()):
    return [
        dataclasses.replace(each, phone=phone) if number_from <= at < until or at in more else each
        for at, each in enumerate(CROWD)
    ]


def with_births(until):
    return [dataclasses.replace(each, dob=date(1900, 1, 1)) if at % 9 == 0 and at < until else each
            for at, each in enumerate(CROWD)]  # fmt: skip


def of_one_value(number: int, line: bytes) -> bytes:
    """A row of which every seventh has only its telephone, and every eleventh only its surname."""
    cells = line.split(b",")
    keep = {5} if number % 7 == 2 else {0} if number % 11 == 2 else set(range(6))
    return b",".join(cell if at in keep or at > 5 else b"" for at, cell in enumerate(cells))


def quoted_newlines() -> bytes:
    return "".join(
        f'"{each.surname}";"{each.first}";"{each.dob:%d/%m/%Y}";"{each.email}";"{FILLER[:1100].replace(";", " ")}\n{number}"\n'
        for number, each in enumerate(CROWD)
    ).encode()


DICE = random.Random(19)
# name: (what makes the file, whether it is examined in chunks); all files together are 90 MB, and no worker needs all
SHAPES = {
    "comma": (table, True),
    "semicolon": (lambda: table(separator=";"), True),
    "tab, English": (lambda: table(separator="\t", header="en"), True),
    "bar, no header": (lambda: table(CROWD * 6, COLUMNS, separator="|", header=None), True),
    "running text in a column": (lambda: table(CROWD[:400] * 3, separator="|", header=None), False),
    "two signs": (lambda: table(separator="@@"), True),
    "CR LF": (lambda: table(end="\r\n"), True),
    "no end": (lambda: table().rstrip(), True),
    "blank lines": (lambda: lines(table(), lambda at, line: line + b"\n" * (at % 50 == 0)), True),
    "byte order mark": (lambda: b"\xef\xbb\xbf" + table(), True),
    "latin": (lambda: table(separator=";", encoding="latin-1"), True),
    "old code page": (lambda: table(separator=";", encoding="cp850"), True),
    "mixed encodings": (lambda: lines(table(), lambda at, line: line.decode().encode("cp1252") if at % 3 else line), True),
    "twice encoded": (lambda: table().decode().encode().decode("cp1252", "replace").encode(), True),
    "quoted": (lambda: table(quote='"'), True),
    "apostrophes": (lambda: table(quote="'", separator=";"), True),
    "quoted line ends": (quoted_newlines, True),
    "American dates": (lambda: table(dates="%m/%d/%Y"), True),
    "names turned round": (lambda: table(columns=("first", "surname", "dob", "phone", "address")), True),
    "names and mail": (lambda: table(columns=("first", "email", "address")), True),
    "notes": (lambda: table(columns=(*WIDE, "note"), separator="|"), True),
    "ids": (lambda: lines(table(), lambda at, line: (b"%d," % at if at else b"patient_id,") + line), True),
    "lost letters": (lambda: table().replace("é".encode(), b"?"), True),
    "everybody twice": (lambda: table([*CROWD[:1200], *CROWD[:1200]]), True),
    "one telephone in the beginning": (lambda: table(with_phone(60, 200)), True),
    "one telephone, again at the end": (lambda: table(with_phone(60, 200, more=(1800, 2300))), True),
    "a filler": (lambda: table(with_phone(0, 2400, FIXED)), True),
    "first of January": (lambda: table(with_births(2400)), True),
    "first of January at first": (lambda: table(with_births(225)), True),
    "rows of one value": (lambda: lines(table(), of_one_value), True),
    "ragged": (lambda: lines(table(), lambda at, line: b"," + line if at % 90 == 1 else line), True),
    "another table behind": (lambda: table() + b"\nnom;prenom;naissance\n" + b"Durand;Anne;01/02/1980\n" * 9, False),
    "an open quote": (lambda: lines(table(quote='"'), lambda at, line: b'"' + line if at == 1800 else line), False),
    "an archive in a cell": (lambda: lines(table(), lambda at, line: line[:-1] + b"," + base64.b64encode(ZIP.getvalue()) + b"\n" if at == 1800 else line), False),
    "control characters": (lambda: lines(table(), lambda at, line: line[:-1] + b"\x05\n" if at % 100 == 0 else line), False),
    "UTF-16": (lambda: table(encoding="utf-16"), False),
    "JSON lines": (objects, True),
    "JSON lines, nested": (lambda: objects(lambda at, each: {"id": at, "person": each, "seen": [1, 2]}), True),
    "JSON lines, optional keys": (lambda: objects(lambda at, each: {k: v for k, v in each.items() if k != "phone" or at % 7}), True),
    "JSON lines, escapes": (lambda: objects().decode().encode("ascii", "backslashreplace").replace(b"\\x", b"\\u00"), True),
    "JSON lines, CR LF, blank lines": (lambda: lines(objects(), lambda at, line: line[:-1] + b"\r\n" + b"\r\n" * (at % 90 == 0)), True),
    "JSON lines in an array": (lambda: b"[\n" + objects().replace(b"}\n", b"},\n") + b"]\n", True),
    "JSON lines, a new key": (lambda: objects(lambda at, each: each | {"city": "Lyon"} if at == 5000 else each), False),
    "JSON lines, another table": (lambda: objects() + b'{"visit": 1, "ward": "B"}\n' * 900, False),
    "JSON lines, a list of people": (lambda: objects(lambda at, each: {"ward": "B", "patients": [each, each]} if at == 5000 else each), False),
    "JSON lines, one is damaged": (lambda: lines(objects(), lambda at, line: line[: len(line) // 2] + b"\n" if at == 5000 else line), False),
    "JSON lines, one is a text": (lambda: lines(objects(), lambda at, line: b"patient Durand seen today\n" if at == 5000 else line), False),
    "small": (lambda: table(CROWD[:50]), False),
    "noise": (lambda: DICE.randbytes(2**21), False),
}  # fmt: skip


@pytest.fixture(scope="module")
def key():
    """The secret and the public key of the evidence."""
    return new_identity()


@pytest.fixture(scope="module")
def examiner(tmp_path_factory, key):
    folder = tmp_path_factory.mktemp("chunks")
    enrol(folder, [*CROWD[100:140], *CROWD[2300:2330]])
    enrol(folder, CROWD[1200:1220], client="c2")
    with examining(folder, [*CROWD[:1800:10], *CROWD[2200:2300]]) as found:
        found.recipient = key[1]
        yield found


@pytest.fixture
def small_windows(monkeypatch):
    """Windows of few rows, so that small files have several."""
    monkeypatch.setattr("crawler.process.file_chunks.WINDOW_ROWS", 256)
    monkeypatch.setattr("crawler.examiner.record_pass.WINDOW_ROWS", 256)


def pieces(data: bytes):
    for at in range(0, len(data), 2**20):
        yield data[at : at + 2**20]


def examine_chunk(examiner, data: bytes, chunk: Chunk, placeholders=None) -> dict:
    """The state of a chunk, which went through the form in which it is stored."""

    def stream():
        yield from pieces(data[: chunk.head])
        yield from pieces(data[chunk.start : chunk.end])

    sent = Chunk.from_json(orjson.loads(orjson.dumps(chunk.to_json())))
    return array_codec.decode(
        array_codec.encode(ChunkExamination(examiner, REQUEST, sent, placeholders or {}).state(stream()))
    )


def examine_in_chunks(examiner, data: bytes, size: int) -> tuple[Finding | None, int, int]:
    """The finding of a file that is cut, or None; the number of chunks; and how many were examined a second time."""
    index = index_file(examiner, pieces(data), {"complete": True}, None)
    if not index.is_cuttable:
        return None, 1, 0
    chunks = cut(index, size)
    fold, again = Fold(examiner, REQUEST, index, chunks), 0
    for chunk in chunks:
        state = examine_chunk(examiner, data, chunk)
        if not fold.fits(state):
            again += 1
            state = examine_chunk(examiner, data, chunk, fold.placeholders())
            assert fold.fits(state)
        fold.add(state)
    return fold.finding(), len(chunks), again


def every_field(finding: Finding, key) -> dict:
    """All fields; of sealed evidence what it says but for the values, of which any fifty may be shown."""
    checked = checked_finding(finding).to_json()
    if sealed := checked.pop("sealed"):
        proof = orjson.loads(pyrage.decrypt(base64.b64decode(sealed), [pyrage.x25519.Identity.from_str(key[0])]))
        shown = proof.pop("excerpts")
        assert bool(proof.pop("lines")) == bool(shown)
        checked["evidence"] = proof, len(shown)
    return checked


@pytest.mark.parametrize("name", SHAPES)
def test_a_file_in_chunks_has_the_finding_of_the_whole_file(examiner, small_windows, key, name):
    make, is_cut = SHAPES[name]
    data = make()
    whole = examiner.examine(REQUEST, pieces(data), {"complete": True})
    found, chunks, _ = examine_in_chunks(examiner, data, 2**19)
    if is_cut:
        assert chunks >= 2
        assert found is not None
        assert every_field(found, key) == every_field(whole, key)
    else:
        assert found is None


def test_a_chunk_is_examined_again_if_the_chunks_before_it_taught_something_that_matters(examiner, small_windows):
    _, _, again = examine_in_chunks(examiner, SHAPES["one telephone, again at the end"][0](), 2**19)
    assert again
    _, _, again = examine_in_chunks(examiner, SHAPES["one telephone in the beginning"][0](), 2**19)
    assert not again


@pytest.mark.parametrize("size", [2**18, 3 * 2**19])
def test_the_size_of_the_chunks_changes_nothing(examiner, small_windows, key, size):
    data = SHAPES["everybody twice"][0]()
    whole = examiner.examine(REQUEST, pieces(data), {"complete": True})
    found, _, _ = examine_in_chunks(examiner, data, size)
    assert found is not None
    assert every_field(found, key) == every_field(whole, key)


def test_windows_of_the_usual_size(examiner, key):
    data = table(CROWD * 15, COLUMNS)
    whole = examiner.examine(REQUEST, pieces(data), {"complete": True})
    found, chunks, _ = examine_in_chunks(examiner, data, 2**19)
    assert chunks == 2
    assert found is not None
    assert every_field(found, key) == every_field(whole, key)


def test_all_rows_and_bytes_have_one_owner(examiner, small_windows):
    index = index_file(examiner, pieces(SHAPES["quoted"][0]()), {"complete": True}, None)
    chunks = cut(index, 2**18)
    assert [each.first_row for each in chunks[1:]] == [each.end_row for each in chunks[:-1]]
    assert [each.scan_start for each in chunks[1:]] == [each.scan_end for each in chunks[:-1]]
    assert (chunks[0].first_row, chunks[0].scan_start) == (0, 0)
    assert (chunks[-1].end_row, chunks[-1].scan_end) == (-1, index.bytes)


def test_chunks_that_are_missing_or_of_another_cut_are_refused(examiner, small_windows):
    data = SHAPES["comma"][0]()
    index = index_file(examiner, pieces(data), {"complete": True}, None)
    chunks = cut(index, 2**19)
    states = [examine_chunk(examiner, data, chunk) for chunk in chunks]
    fold = Fold(examiner, REQUEST, index, chunks)
    fold.add(states[0])
    with pytest.raises(ExamineError, match="not complete"):
        fold.finding()
    for wrong in (states[0], states[-1]):
        with pytest.raises(ExamineError, match="not in their order"):
            fold.add(wrong)


def test_a_file_that_changed_after_it_was_cut_is_noticed(examiner, small_windows):
    data = SHAPES["comma"][0]()
    chunks = cut(index_file(examiner, pieces(data), {"complete": True}, None), 2**19)
    changed = data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]
    assert examine_chunk(examiner, changed, chunks[-1])["fault"]


def test_results_are_sealed_and_a_lie_is_refused(examiner):
    results = Results(examiner)
    sealed = results.seal("a", {"finding": {"path": CROWD[0].email}})
    assert results.open("a", sealed) == {"finding": {"path": CROWD[0].email}}
    assert CROWD[0].email.encode() not in sealed
    body = {"control": "", "sets": results._sets, "result": {}}
    for name, data, said in (
        ("b", sealed, "damaged"),
        ("a", sealed[:-1], "damaged"),
        ("a", sealed[:40] + bytes([sealed[40] ^ 1]) + sealed[41:], "damaged"),
        ("a", seal(MatchKey(bytes(32)).derive().post, "a", array_codec.encode(body)), "damaged"),
        ("a", seal(KEYS.post, "a", array_codec.encode(body)), "planted person"),
        ("a", seal(KEYS.post, "a", array_codec.encode({**body, "control": results._control, "sets": ""})), "another watch-list"),
    ):  # fmt: skip
        with pytest.raises(ExamineError, match=said):
            results.open(name, data)
