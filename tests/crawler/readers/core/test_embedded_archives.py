"""Packed files that stand where a format has no place for them are opened, or said not to be, whatever the format."""

from __future__ import annotations

import base64
import bz2
import gzip
import lzma
import random
import struct
from contextlib import closing

import pytest
import zstandard

from crawler.readers.core import embedded_archives
from crawler.readers.core.limits import REREAD_FLOOR, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.registry import readers
from tests.crawler.readers.frames import Member, read
from tests.synth import archives, office
from tests.synth.compound import compound
from tests.synth.every_format import SOUND, TABLE, sample
from tests.synth.hostile import CANARY, make_zip
from tests.synth.pdf import document

SECRET = f"Dupont;{CANARY};1975-03-12\n".encode() * 30
NOISE = random.Random(5).randbytes(700)
PACKED = {
    "zip": make_zip({"people.csv": SECRET}),
    "gzip": gzip.compress(SECRET, mtime=0),
}
MORE = {
    **PACKED,
    "bzip2": bz2.compress(SECRET),
    "xz": lzma.compress(SECRET),
    "zstd": zstandard.compress(SECRET),
    "7z": archives.seven_zip2("people.csv", SECRET),
    "rar5": archives.rar5([("a.gz", gzip.compress(SECRET, mtime=0))]),
    "cab": archives.cab([("a.gz", gzip.compress(SECRET, mtime=0))]),
    "lz4": archives.written("gnutar", [("people.csv", SECRET)], "lz4"),
    "lzip": archives.written("gnutar", [("people.csv", SECRET)], "lzip"),
    "lzma": lzma.compress(SECRET, lzma.FORMAT_ALONE),
    "compress": archives.written("gnutar", [("people.csv", SECRET)], "compress"),
    "pdf": document([[CANARY]]),
    "ole": compound({"notes": gzip.compress(SECRET, mtime=0)}),
}


def honest(found: Member) -> bool:
    return found.shows(CANARY) or (not found.all_complete and bool(found.all_problems))


def test_every_format_is_here():
    assert set(SOUND) == {reader.FORMAT for reader in readers()}


@pytest.mark.parametrize("kind", SOUND)
def test_a_sound_file_is_complete_and_has_no_problem(kind: str) -> None:
    found = read(sample(kind, SOUND[kind]()))
    assert kind in {member.format for member in found.walk()}
    assert found.all_complete
    assert not found.all_problems, [member.details for member in found.walk()]


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("kind", SOUND)
def test_a_packed_file_behind_any_other_is_opened(kind: str, packed: str) -> None:
    data = SOUND[kind]() + PACKED[packed]
    found = read(sample(kind, data))
    assert honest(found)
    if (kind, packed) != ("gzip", "gzip"):
        assert found.all_problems, "it is told that something stands there"
    whole = [(member.name, member.format, member.raw) for member in found.walk()]
    assert whole == [(each.name, each.format, each.raw) for each in read(sample(kind, data), cut=997).walk()]
    assert found.shows(CANARY) or kind in _ONLY_TOLD


# what has no end of its own, or its index at the end
_ONLY_TOLD = {"compress", "parquet", "arrow"}


@pytest.mark.parametrize("packed", MORE)
@pytest.mark.parametrize("around", ["noise", "text", "json", "mail behind its end", "zip", "cpio"])
def test_packed_files_of_all_kinds_are_opened(around: str, packed: str) -> None:
    data = MORE[packed]
    whole = {
        "noise": NOISE + data + NOISE,
        "text": SOUND["text"]() + data + b"\n" + SOUND["text"](),
        "json": SOUND["json"]() + data,
        "mail behind its end": SOUND["eml"]() + data,
        "zip": SOUND["zip"]() + NOISE + data,
        "cpio": SOUND["cpio"]() + NOISE + data,
    }[around]
    found = read(whole)
    # a file of compress has no end: where what follows it is noise, it can only be told
    assert honest(found) if packed == "compress" else found.shows(CANARY)


WRITTEN = {
    "base64 in one line": lambda data: b"voici: " + base64.b64encode(data) + b" fin",
    "base64 in lines": lambda data: base64.encodebytes(data),
    "base64 of addresses": lambda data: b"https://x.example/get?d=" + base64.urlsafe_b64encode(data).rstrip(b"="),
    "base64 of addresses in lines": lambda data: (
        b"-----BEGIN-----\n" + _folded(base64.urlsafe_b64encode(data)) + b"\n-----END-----"
    ),
    "base64 behind a dash": lambda data: b"fichier-" + base64.b64encode(data),
    "base64 in JSON": lambda data: b'{"a": "' + base64.b64encode(data).replace(b"/", b"\\/") + b'"}',
    "base64 in an address": lambda data: b'<a href="data:application/zip;base64,' + base64.b64encode(data) + b'">x</a>',
    "hexadecimal of MySQL": lambda data: b"INSERT INTO t VALUES (1,0x" + data.hex().upper().encode() + b");",
    "hexadecimal of PostgreSQL": lambda data: b"COPY t (a, b) FROM stdin;\n1\t\\\\x" + data.hex().encode() + b"\n\\.\n",
    "an object of Rich Text": lambda data: (
        b"{\\rtf1 Bonjour {\\object{\\*\\objdata 010500000200000007000000\n" + _lines(b"Package\0" * 9 + data) + b"}}"
    ),
    "a string of SQL": lambda data: b"INSERT INTO t VALUES (1,_binary '" + _quoted(data) + b"');",
}


@pytest.mark.parametrize("cut", [2**20, 61, 7])
@pytest.mark.parametrize("way", ["base64 of addresses", "base64 of addresses in lines"])
def test_base64_with_dashes_for_its_last_two_digits_is_opened(way: str, cut: int) -> None:
    # one in 16 of its digits is a dash or an underscore: no run of 40 letters
    data = zstandard.compress(SECRET + bytes(random.Random(3).choices(b"\xfb\xef\xff\xbe", k=600)))
    written = WRITTEN[way](data)
    assert {b"-", b"_"} <= {bytes([char]) for char in base64.urlsafe_b64encode(data)}
    text = b"Le patient est venu le 3 mai, il va mieux.\n" * 40
    assert read(text + written + b"\n" + text, cut=cut).shows(CANARY)
    two = WRITTEN["base64 in lines"](PACKED["gzip"]) + b"-----\n" + WRITTEN["base64 in lines"](PACKED["zip"])
    assert {"gzip", "zip"} <= {member.format for member in read(text + two, cut=cut).walk()}


def _folded(digits: bytes) -> bytes:
    return b"\n".join(digits[at : at + 64] for at in range(0, len(digits), 64))


def _lines(data: bytes) -> bytes:
    digits = data.hex().encode()
    return b"\n".join(digits[at : at + 128] for at in range(0, len(digits), 128))


def _quoted(data: bytes) -> bytes:
    for plain, letter in ((b"\\", b"\\"), (b"\0", b"0"), (b"\n", b"n"), (b"\r", b"r"), (b"'", b"'"), (b"\x1a", b"Z")):
        data = data.replace(plain, b"\\" + letter)
    return data


@pytest.mark.parametrize("cut", [2**20, 61])
@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("way", WRITTEN)
def test_packed_files_that_are_written_as_text_are_opened(way: str, packed: str, cut: int) -> None:
    text = b"Le patient est venu le 3 mai, il va mieux.\n" * 40
    written = WRITTEN[way](PACKED[packed])
    found = read(written if written.startswith(b"{\\rtf") else text + written + b"\n" + text, cut=cut)
    assert found.shows(CANARY)
    assert "inside" in found.all_problems
    assert sum(member.format == packed for member in found.walk()) == 1


def test_one_packed_file_hides_no_other_of_another_kind():
    written = base64.encodebytes(PACKED["zip"])
    plain = gzip.compress(b"Martin;Paul\n" * 9, mtime=0)
    for data in (SOUND["text"]() + plain + SOUND["text"]() + written, NOISE + written, NOISE + plain + NOISE + written):
        for cut in (2**20, 61):
            found = read(data, cut=cut)
            assert found.shows(CANARY)
            assert found.all_complete


def test_quotes_and_rare_bytes_at_any_place_end():
    """Found by fuzzing: a quote where a piece began was looked at for ever."""
    for text in (b"'%", b"%'", b"''%\x04", b"'PK\x03\x04'", b"'PK\x03\x04\\", b"\\'%\x1f"):
        for data in (text * 700, b"a;b\n" * 300 + text * 700):
            for cut in (1, 61, 997):
                assert read(data[:2000], cut=cut).bytes == len(data[:2000])


def test_packed_files_in_text_of_two_bytes_a_letter_are_opened():
    text = "Le patient est venu le 3 mai.\n" * 30 + base64.encodebytes(PACKED["zip"]).decode()
    for name in ("utf-16", "utf-16-be", "utf-32"):
        assert read(text.encode(name)).shows(CANARY), name


def test_packed_files_that_are_written_in_cells_are_opened():
    import sqlite3

    import pyarrow as pa
    from pyarrow import parquet

    words = base64.b64encode(PACKED["zip"]).decode()
    with closing(sqlite3.connect(":memory:")) as base:
        base.execute("CREATE TABLE p (nom TEXT, fichier TEXT)")
        base.executemany("INSERT INTO p VALUES (?,?)", [("Martin", "x"), ("Petit", words), ("Durand", "y")])
        database = base.serialize()
    target = pa.BufferOutputStream()
    parquet.write_table(pa.table({"nom": ["Martin", "Petit"], "fichier": ["", words]}), target)
    for data in (
        database,
        target.getvalue().to_pybytes(),
        office.workbook([["nom", "fichier"], ["Martin", words]]),
        office.open_document(office.ods_table([["nom", "fichier"], ["Martin", words]])),
        make_zip(office.document_parts(office.paragraph("x") + f"<w:p><w:r><w:t>{words}</w:t></w:r></w:p>")),
    ):
        found = read(data)
        assert found.shows(CANARY), found.format
        assert found.all_complete
        assert [member.format for member in found.walk()].count("zip") == 1


def test_words_that_only_look_packed_are_no_problem():
    words = [b"UEsDB", b"H4sIAAAA", b"%PDF-1.4 est un format", b"0x504B0304", b"UEsDB" + b"A" * 60, b"H4sI" + b"z" * 90]
    found = read(b"\n".join(words * 20))
    assert found.all_complete
    assert not found.all_problems


def _sqlite_with_freed_pages() -> bytes:
    import sqlite3

    with closing(sqlite3.connect(":memory:")) as base:
        base.execute("CREATE TABLE p (nom TEXT, b BLOB)")
        base.execute("INSERT INTO p VALUES ('Martin', zeroblob(40000))")
        base.commit()
        base.execute("UPDATE p SET b = ''")
        base.commit()
        return base.serialize()


def test_packed_files_in_gaps_are_opened():
    """Where no table, member or page uses the bytes."""
    freed = bytearray(_sqlite_with_freed_pages())
    trunk = int.from_bytes(freed[32:36], "big")
    leaves = struct.unpack_from(">8I", freed, (trunk - 1) * 4096 + 8)
    for name, data in {
        "sqlite": _into(freed, (leaves[0] - 1) * 4096 + 64, PACKED["gzip"]),
        "a zip's comment": _comment(SOUND["zip"](), PACKED["gzip"]),
        "gzip's extra field": b"\x1f\x8b\x08\x04" + bytes(5) + b"\x03"
        + struct.pack("<H", len(PACKED["gzip"])) + PACKED["gzip"] + SOUND["gzip"]()[10:],
        "a frame of zstd that is skipped": SOUND["zstd"]() + b"\x50\x2a\x4d\x18"
        + struct.pack("<I", len(PACKED["zip"])) + PACKED["zip"],
        "a frame of lz4 that is skipped, in front": b"\x5f\x2a\x4d\x18"
        + struct.pack("<I", len(PACKED["zip"])) + PACKED["zip"] + SOUND["lz4"](),
        "a frame of lz4 that is skipped, behind": SOUND["lz4"]() + b"\x50\x2a\x4d\x18"
        + struct.pack("<I", len(PACKED["gzip"])) + PACKED["gzip"],
        "the twentieth frame of zstd that is skipped": SOUND["zstd"]()
        + b"".join(b"\x50\x2a\x4d\x18" + struct.pack("<I", len(each)) + each
                   for each in (*[gzip.compress(b"a;b", mtime=at) for at in range(19)], PACKED["zip"])),
        "a sector of no stream": SOUND["ole"]() + bytes(512) + PACKED["zip"].ljust(1024, b"\0"),
        "between objects of a PDF": SOUND["pdf"]().replace(b"1 0 obj", PACKED["gzip"] + b"\n1 0 obj", 1),
        "before a mail's first part": SOUND["eml"]().replace(b"--cut\r\n", PACKED["gzip"] + b"\r\n--cut\r\n", 1),
        "a cpio name": SOUND["cpio"]()[:-512] + PACKED["gzip"] + SOUND["cpio"]()[-512:],
    }.items():  # fmt: skip
        found = read(bytes(data))
        assert honest(found), name
        assert found.shows(CANARY), name


def test_frames_that_are_to_be_skipped_are_told_when_too_large_to_be_looked_into():
    frame = b"\x50\x2a\x4d\x18" + struct.pack("<I", 2**22 + 10) + bytes(2**22 + 10)
    for kind in ("lz4", "zstd"):
        found = read(SOUND[kind]() + frame + SOUND[kind]())
        assert found.format == kind
        assert not found.complete
        assert "size" in found.problems
        cut = read(SOUND[kind]() + frame[:900])
        assert not cut.all_complete
        assert "cut" in cut.all_problems


def _into(base: bytearray, at: int, data: bytes) -> bytes:
    base[at : at + len(data)] = data
    return bytes(base)


def _comment(archive: bytes, data: bytes) -> bytes:
    return archive[:-2] + struct.pack("<H", len(data)) + data


def test_many_packed_files_behind_each_other_are_all_opened():
    data = b"".join(NOISE + gzip.compress(f"Martin{number};Paul\n".encode() * 9, mtime=0) for number in range(60))
    found = read(data)
    assert [member.format for member in found.members].count("gzip") == 60
    assert all(found.shows(f"Martin{number};") for number in range(60))
    assert found.all_complete


def test_the_same_file_is_not_opened_twice():
    found = read(SOUND["eml"]() + b"\n" + SOUND["base64"]())
    assert [member.format for member in found.walk()].count("zip") == 1
    # one that begins alike is another
    other = make_zip({"people.csv": TABLE.encode() + CANARY.encode()})
    found = read(SOUND["eml"]() + b"\n" + base64.encodebytes(other))
    assert found.shows(CANARY)


FAKES = {
    "ole": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + b"\x3e\0\x03\0\xfe\xff" + NOISE,
    "sqlite": b"SQLite format 3\0\x10\0\1\1\0\x40\x20\x20" + NOISE,
    "access": b"\0\1\0\0Standard Jet DB\0" + NOISE,
    "parquet": b"PAR1\x15\x04\x15" + NOISE,
    "arrow": b"ARROW1\0\0\xff\xff\xff\xff" + NOISE,
    "7z": b"7z\xbc\xaf\x27\x1c\0\x04" + NOISE,
    "zip": b"PK\x03\x04\x14\0\0\0\x08\0" + NOISE,
    "tar": archives.tar([("a", b"b")])[:1024] + NOISE,
    "rar": b"Rar!\x1a\x07\0" + NOISE,
    "cab": SOUND["cab"]()[:60] + NOISE,
    "gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + NOISE,
    "zstd": b"\x28\xb5\x2f\xfd\x04\x40\0\0" + NOISE,
}


@pytest.mark.parametrize("before", [b"", b"\xff\xd8" + NOISE])
@pytest.mark.parametrize("fake", FAKES)
def test_a_beginning_without_an_end_hides_no_packed_file_behind_it(fake: str, before: bytes) -> None:
    for packed in PACKED.values():
        found = read(before + FAKES[fake] + packed)
        assert found.shows(CANARY)
        assert found.all_problems


@pytest.mark.parametrize("lead", range(9))
@pytest.mark.parametrize("word", [b"A+/\\9z" * 7, b"0aF" * 14])
def test_a_long_word_is_never_taken_for_short_ones(lead, word):
    assert embedded_archives._may_have_run(b" ," * lead + b";" * (lead & 1) + word[:40] + b"\n")
    assert not embedded_archives._may_have_run(b" ," * lead + word[:30] + b";" + word[:30] + b"?")


@pytest.mark.parametrize("row", [b"Dupont;Jean;0612345678;a.b@c.fr\n", b"Dupont,Jean,3 rue X\n", b"Dupont|Jean|x\n"])
@pytest.mark.parametrize("way", ["base64 in one line", "a string of SQL", "as it stands"])
def test_text_that_is_passed_over_quickly_hides_no_packed_file_at_any_place(row: bytes, way: str) -> None:
    packed = gzip.compress(b"Dupont;1975;x@y.fr", mtime=0)
    written = WRITTEN.get(way, lambda data: data)(packed)
    near, size = embedded_archives._TEST_SIZE, 2 * embedded_archives._TEST_SIZE + 4096
    filler = row * (3 * size // len(row) + 1)
    for begin in [border + by for border in (size, size + near, 2 * size) for by in (-61, -41, -36, -33, -3, 0, 7)]:
        data = filler[:begin] + b"\n" + written + b"\n" + filler[: 3 * size - begin]
        opened: list[bytes] = []
        watcher = embedded_archives.EmbeddedArchiveSearch(opened.append, Output(lambda *_: None, Limits()))
        for at in range(0, len(data), size):
            watcher.feed(data[at : at + size])
        watcher.finish()
        assert any(packed in found for found in opened)


def test_a_table_is_passed_over_quickly() -> None:
    watcher = embedded_archives.EmbeddedArchiveSearch(lambda _: None, Output(lambda *_: None, Limits()))
    table = b"Dupont;Jean;0612345678;jean.dupont@example.fr;275036912345678;20 % et 3 & 4\n" * 1000
    watcher.feed(table)
    assert watcher._holds_nothing(table)
    assert not watcher._holds_nothing(table + b"A" * 48 + table)
    assert not watcher._holds_nothing(table + b"PK\x03\x04" + table)


@pytest.mark.parametrize("kind", ["7z", "docx", "rar"])
def test_different_files_behind_each_other_are_all_read_and_hardly_ahead(kind: str) -> None:
    """Each is looked at a piece ahead at most: reading all that follows it, each time, is quadratic."""
    rows = [f"Martin{number};martin{number}@exemple.fr;1975-03-12\n".encode() for number in range(200)]
    make = {
        "7z": lambda row: archives.seven_zip2("people.csv", row),
        "docx": lambda row: make_zip(office.document_parts(f"<w:p><w:r><w:t>{row.decode()}</w:t></w:r></w:p>")),
        "rar": lambda row: archives.rar5([("people.csv", row)]),
    }[kind]
    found = read(b"".join(map(make, rows)) + random.Random(3).randbytes(2**20))
    assert all(found.shows(row.decode().strip()) for row in rows)
    assert sum(len(member.raw) for member in found.walk() if member.format == kind) < 200 * 2**17


@pytest.mark.slow
def test_what_only_begins_like_a_packed_file_ends_the_search_in_time() -> None:
    beginning = b"Rar!\x1a\x07\0" + bytes.fromhex("cf907300000d00000000000000")
    found = read(b"\x01" + beginning * 40_000 + PACKED["zip"])
    assert "inside" in found.problems
    assert not found.complete
    assert sum(len(member.raw) for member in found.walk()) < REREAD_FLOOR * 1.2
    some = read(b"\x01" + beginning * 20 + PACKED["zip"])
    assert some.shows(CANARY)
