"""Archives embedded where a format has no place for them are read, or reported as not read, in every format."""

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
from tests.synth.every_format import NEVER_WHOLE, SOUND, TABLE, sample
from tests.synth.hostile import CANARY, make_zip
from tests.synth.pdf import document

SECRET = f"Dupont;{CANARY};1975-03-12\n".encode() * 30
RANDOM = random.Random(5).randbytes(700)
TWO_KINDS = {
    "zip": make_zip({"people.csv": SECRET}),
    "gzip": gzip.compress(SECRET, mtime=0),
}
ALL_KINDS = {
    **TWO_KINDS,
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


def is_read_or_reported(found: Member) -> bool:
    return found.shows(CANARY) or (not found.all_complete and bool(found.all_problems))


def test_every_format_has_a_sound_file():
    assert set(SOUND) == {reader.FORMAT for reader in readers()}


@pytest.mark.parametrize("kind", SOUND)
@pytest.mark.slow
def test_a_sound_file_is_complete_and_has_no_problem(kind: str) -> None:
    found = read(sample(kind, SOUND[kind]()))
    assert kind in {member.format for member in found.walk()}
    if kind in NEVER_WHOLE:
        assert not found.all_complete
        assert found.all_problems == {NEVER_WHOLE[kind]}
        return
    assert found.all_complete
    # that text was recognised in a picture, or that a table does not name its columns, is always said
    assert not found.all_problems - {"picture", "unnamed"}, [member.details for member in found.walk()]


@pytest.mark.parametrize("archive", TWO_KINDS)
@pytest.mark.parametrize("kind", SOUND)
@pytest.mark.slow
def test_an_archive_behind_a_file_of_any_format_is_read(kind: str, archive: str) -> None:
    data = SOUND[kind]() + TWO_KINDS[archive]
    found = read(sample(kind, data))
    assert is_read_or_reported(found)
    if (kind, archive) != ("gzip", "gzip"):
        assert found.all_problems, "the archive is reported as trailing or embedded"
    whole = [(member.name, member.format, member.raw) for member in found.walk()]
    assert whole == [(each.name, each.format, each.raw) for each in read(sample(kind, data), cut=997).walk()]
    assert found.shows(CANARY) or kind in _ONLY_REPORTED


# formats without an end mark, or with their index at the end
_ONLY_REPORTED = {"compress", "parquet", "arrow"}


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("around", ["random", "text", "json", "mail behind its end", "zip", "cpio"])
@pytest.mark.slow
def test_embedded_archives_of_all_kinds_are_read(around: str, kind: str) -> None:
    data = ALL_KINDS[kind]
    whole = {
        "random": RANDOM + data + RANDOM,
        "text": SOUND["text"]() + data + b"\n" + SOUND["text"](),
        "json": SOUND["json"]() + data,
        "mail behind its end": SOUND["eml"]() + data,
        "zip": SOUND["zip"]() + RANDOM + data,
        "cpio": SOUND["cpio"]() + RANDOM + data,
    }[around]
    found = read(whole)
    # a `compress` file has no end mark: if random bytes follow it, it can only be reported
    assert is_read_or_reported(found) if kind == "compress" else found.shows(CANARY)


AS_TEXT = {
    "base64 in one line": lambda data: b"voici: " + base64.b64encode(data) + b" fin",
    "base64 in lines": lambda data: base64.encodebytes(data),
    "URL-safe base64": lambda data: b"https://x.example/get?d=" + base64.urlsafe_b64encode(data).rstrip(b"="),
    "URL-safe base64 in lines": lambda data: (
        b"-----BEGIN-----\n" + _folded(base64.urlsafe_b64encode(data)) + b"\n-----END-----"
    ),
    "base64 behind a dash": lambda data: b"fichier-" + base64.b64encode(data),
    "base64 in JSON": lambda data: b'{"a": "' + base64.b64encode(data).replace(b"/", b"\\/") + b'"}',
    "base64 in a data URL": lambda data: b'<a href="data:application/zip;base64,' + base64.b64encode(data) + b'">x</a>',
    "hexadecimal as MySQL writes it": lambda data: b"INSERT INTO t VALUES (1,0x" + data.hex().upper().encode() + b");",
    "hexadecimal as PostgreSQL writes it": lambda data: (
        b"COPY t (a, b) FROM stdin;\n1\t\\\\x" + data.hex().encode() + b"\n\\.\n"
    ),
    "an object in Rich Text": lambda data: (
        b"{\\rtf1 Bonjour {\\object{\\*\\objdata 010500000200000007000000\n" + _lines(b"Package\0" * 9 + data) + b"}}"
    ),
    "an SQL string": lambda data: b"INSERT INTO t VALUES (1,_binary '" + _quoted(data) + b"');",
}


@pytest.mark.parametrize("cut", [2**20, 61, 7])
@pytest.mark.parametrize("way", ["URL-safe base64", "URL-safe base64 in lines"])
def test_archives_in_url_safe_base64_are_read(way: str, cut: int) -> None:
    # one digit in 16 is a dash or an underscore, so there is no run of 40 letters
    data = zstandard.compress(SECRET + bytes(random.Random(3).choices(b"\xfb\xef\xff\xbe", k=600)))
    written = AS_TEXT[way](data)
    assert {b"-", b"_"} <= {bytes([char]) for char in base64.urlsafe_b64encode(data)}
    text = b"Le patient est venu le 3 mai, il va mieux.\n" * 40
    assert read(text + written + b"\n" + text, cut=cut).shows(CANARY)
    two = AS_TEXT["base64 in lines"](TWO_KINDS["gzip"]) + b"-----\n" + AS_TEXT["base64 in lines"](TWO_KINDS["zip"])
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
@pytest.mark.parametrize("archive", TWO_KINDS)
@pytest.mark.parametrize("way", AS_TEXT)
def test_archives_written_as_text_are_read(way: str, archive: str, cut: int) -> None:
    text = b"Le patient est venu le 3 mai, il va mieux.\n" * 40
    written = AS_TEXT[way](TWO_KINDS[archive])
    found = read(written if written.startswith(b"{\\rtf") else text + written + b"\n" + text, cut=cut)
    assert found.shows(CANARY)
    assert "inside" in found.all_problems
    assert sum(member.format == archive for member in found.walk()) == 1


def test_an_archive_does_not_hide_another_one_that_is_embedded_differently():
    written = base64.encodebytes(TWO_KINDS["zip"])
    plain = gzip.compress(b"Martin;Paul\n" * 9, mtime=0)
    for data in (
        SOUND["text"]() + plain + SOUND["text"]() + written,
        RANDOM + written,
        RANDOM + plain + RANDOM + written,
    ):
        for cut in (2**20, 61):
            found = read(data, cut=cut)
            assert found.shows(CANARY)
            # only the random bytes are not read
            assert found.all_complete == (RANDOM not in data)


def test_the_search_ends_with_quotes_and_rare_bytes_at_any_place():
    """Found by fuzzing: a quote at the beginning of a piece was examined in an endless loop."""
    for text in (b"'%", b"%'", b"''%\x04", b"'PK\x03\x04'", b"'PK\x03\x04\\", b"\\'%\x1f"):
        for data in (text * 700, b"a;b\n" * 300 + text * 700):
            for cut in (1, 61, 997):
                assert read(data[:2000], cut=cut).bytes == len(data[:2000])


def test_archives_in_text_in_utf_16_and_utf_32_are_read():
    text = "Le patient est venu le 3 mai.\n" * 30 + base64.encodebytes(TWO_KINDS["zip"]).decode()
    for name in ("utf-16", "utf-16-be", "utf-32"):
        assert read(text.encode(name)).shows(CANARY), name


def test_archives_written_in_cells_of_tables_are_read():
    import sqlite3

    import pyarrow as pa
    from pyarrow import parquet

    words = base64.b64encode(TWO_KINDS["zip"]).decode()
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


def test_words_that_only_begin_like_archives_are_no_problem():
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


def test_archives_in_gaps_are_read():
    """Gaps are bytes that no table, member or page uses."""
    freed = bytearray(_sqlite_with_freed_pages())
    trunk = int.from_bytes(freed[32:36], "big")
    leaves = struct.unpack_from(">8I", freed, (trunk - 1) * 4096 + 8)
    for name, data in {
        "sqlite": _into(freed, (leaves[0] - 1) * 4096 + 64, TWO_KINDS["gzip"]),
        "a zip's comment": _comment(SOUND["zip"](), TWO_KINDS["gzip"]),
        "gzip's extra field": b"\x1f\x8b\x08\x04" + bytes(5) + b"\x03"
        + struct.pack("<H", len(TWO_KINDS["gzip"])) + TWO_KINDS["gzip"] + SOUND["gzip"]()[10:],
        "a skippable frame of zstd": SOUND["zstd"]() + b"\x50\x2a\x4d\x18"
        + struct.pack("<I", len(TWO_KINDS["zip"])) + TWO_KINDS["zip"],
        "a skippable frame of lz4, in front": b"\x5f\x2a\x4d\x18"
        + struct.pack("<I", len(TWO_KINDS["zip"])) + TWO_KINDS["zip"] + SOUND["lz4"](),
        "a skippable frame of lz4, behind": SOUND["lz4"]() + b"\x50\x2a\x4d\x18"
        + struct.pack("<I", len(TWO_KINDS["gzip"])) + TWO_KINDS["gzip"],
        "the twentieth skippable frame of zstd": SOUND["zstd"]()
        + b"".join(b"\x50\x2a\x4d\x18" + struct.pack("<I", len(each)) + each
                   for each in (*[gzip.compress(b"a;b", mtime=at) for at in range(19)], TWO_KINDS["zip"])),
        "a sector outside of all streams": SOUND["ole"]() + bytes(512) + TWO_KINDS["zip"].ljust(1024, b"\0"),
        "between objects of a PDF": SOUND["pdf"]().replace(b"1 0 obj", TWO_KINDS["gzip"] + b"\n1 0 obj", 1),
        "before a mail's first part": SOUND["eml"]().replace(b"--cut\r\n", TWO_KINDS["gzip"] + b"\r\n--cut\r\n", 1),
        "a cpio name": SOUND["cpio"]()[:-512] + TWO_KINDS["gzip"] + SOUND["cpio"]()[-512:],
    }.items():  # fmt: skip
        found = read(bytes(data))
        assert is_read_or_reported(found), name
        assert found.shows(CANARY), name


def test_skippable_frames_too_large_to_be_searched_are_reported():
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


def _comment(zipped: bytes, data: bytes) -> bytes:
    return zipped[:-2] + struct.pack("<H", len(data)) + data


@pytest.mark.slow
def test_many_archives_that_follow_each_other_are_all_read():
    data = b"".join(RANDOM + gzip.compress(f"Martin{number};Paul\n".encode() * 9, mtime=0) for number in range(60))
    found = read(data)
    assert [member.format for member in found.members].count("gzip") == 60
    assert all(found.shows(f"Martin{number};") for number in range(60))
    assert all(member.all_complete for member in found.members if member.format == "gzip")
    assert found.all_problems == {"inside", "trailing", "unread"}, "random bytes between them are not read"


def test_the_same_archive_is_not_read_twice():
    found = read(SOUND["eml"]() + b"\n" + SOUND["base64"]())
    assert [member.format for member in found.walk()].count("zip") == 1
    # an archive with the same first bytes is a different one
    other = make_zip({"people.csv": TABLE.encode() + CANARY.encode()})
    found = read(SOUND["eml"]() + b"\n" + base64.encodebytes(other))
    assert found.shows(CANARY)


FALSE_STARTS = {
    "ole": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + b"\x3e\0\x03\0\xfe\xff" + RANDOM,
    "sqlite": b"SQLite format 3\0\x10\0\1\1\0\x40\x20\x20" + RANDOM,
    "access": b"\0\1\0\0Standard Jet DB\0" + RANDOM,
    "parquet": b"PAR1\x15\x04\x15" + RANDOM,
    "arrow": b"ARROW1\0\0\xff\xff\xff\xff" + RANDOM,
    "7z": b"7z\xbc\xaf\x27\x1c\0\x04" + RANDOM,
    "zip": b"PK\x03\x04\x14\0\0\0\x08\0" + RANDOM,
    "tar": archives.tar([("a", b"b")])[:1024] + RANDOM,
    "rar": b"Rar!\x1a\x07\0" + RANDOM,
    "cab": SOUND["cab"]()[:60] + RANDOM,
    "gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + RANDOM,
    "zstd": b"\x28\xb5\x2f\xfd\x04\x40\0\0" + RANDOM,
}


@pytest.mark.parametrize("before", [b"", b"\xff\xd8" + RANDOM])
@pytest.mark.parametrize("fake", FALSE_STARTS)
def test_a_false_start_of_an_archive_does_not_hide_an_archive_behind_it(fake: str, before: bytes) -> None:
    for data_of_archive in TWO_KINDS.values():
        found = read(before + FALSE_STARTS[fake] + data_of_archive)
        assert found.shows(CANARY)
        assert found.all_problems


@pytest.mark.parametrize("lead", range(9))
@pytest.mark.parametrize("word", [b"A+/\\9z" * 7, b"0aF" * 14])
def test_the_quick_test_never_misses_a_long_word(lead, word):
    assert embedded_archives._may_have_run(b" ," * lead + b";" * (lead & 1) + word[:40] + b"\n")
    assert not embedded_archives._may_have_run(b" ," * lead + word[:30] + b";" + word[:30] + b"?")


@pytest.mark.parametrize("row", [b"Dupont;Jean;0612345678;a.b@c.fr\n", b"Dupont,Jean,3 rue X\n", b"Dupont|Jean|x\n"])
@pytest.mark.parametrize("way", ["base64 in one line", "an SQL string", "not encoded"])
def test_the_quick_test_misses_no_archive_at_any_place(row: bytes, way: str) -> None:
    data_of_archive = gzip.compress(b"Dupont;1975;x@y.fr", mtime=0)
    written = AS_TEXT.get(way, lambda data: data)(data_of_archive)
    test_size, size = embedded_archives._TEST_SIZE, 2 * embedded_archives._TEST_SIZE + 4096
    filler = row * (3 * size // len(row) + 1)
    for begin in [
        border + by for border in (size, size + test_size, 2 * size) for by in (-61, -41, -36, -33, -3, 0, 7)
    ]:
        data = filler[:begin] + b"\n" + written + b"\n" + filler[: 3 * size - begin]
        found_archives: list[bytes] = []
        search = embedded_archives.EmbeddedArchiveSearch(found_archives.append, Output(lambda *_: None, Limits()))
        for at in range(0, len(data), size):
            search.feed(data[at : at + size])
        search.finish()
        assert any(data_of_archive in found for found in found_archives)


def test_the_quick_test_excludes_archives_in_a_plain_table() -> None:
    search = embedded_archives.EmbeddedArchiveSearch(lambda _: None, Output(lambda *_: None, Limits()))
    table = b"Dupont;Jean;0612345678;jean.dupont@example.fr;275036912345678;20 % et 3 & 4\n" * 1000
    search.feed(table)
    assert search._holds_nothing(table)
    assert not search._holds_nothing(table + b"A" * 48 + table)
    assert not search._holds_nothing(table + b"PK\x03\x04" + table)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["7z", "docx", "rar"])
def test_different_files_that_follow_each_other_are_read_in_linear_time(kind: str) -> None:
    """Each reader reads at most one piece too far.

    If each read everything that follows it, the time would be quadratic.
    """
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
def test_very_many_false_signatures_end_the_search() -> None:
    false_start = b"Rar!\x1a\x07\0" + bytes.fromhex("cf907300000d00000000000000")
    found = read(b"\x01" + false_start * 40_000 + TWO_KINDS["zip"])
    assert "inside" in found.problems
    assert not found.complete
    assert sum(len(member.raw) for member in found.walk()) < REREAD_FLOOR * 1.2
    some = read(b"\x01" + false_start * 20 + TWO_KINDS["zip"])
    assert some.shows(CANARY)
