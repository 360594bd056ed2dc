"""Every archive and compressed file yields exactly the rows of the table inside it, also two inside each other."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.readers.archives import libarchive_decoder
from crawler.readers.archives.rar_listing import RarListing
from crawler.readers.core.limits import Limits
from crawler.sandbox.sandbox import Sandbox
from tests.corpora.fetch import RARFILE, files
from tests.crawler.readers.frames import Member, read, read_in_sandbox
from tests.synth import archives
from tests.synth.hostile import make_zip

ROWS = [["nom", "prenom", "naissance", "ville"], *([f"Martin{i}", "Paul", "1970-01-01", "Lyon"] for i in range(300))]
TABLE = "".join(";".join(row) + "\n" for row in ROWS).encode()

Archiver = Callable[[str, bytes], bytes]


def _zip(method: int) -> Archiver:
    return lambda name, data: make_zip({name: data}, method)


def _tar(form: int) -> Archiver:
    return lambda name, data: archives.tar([("x" * 90 + f"/{'y' * 60}/é", b"other"), (name, data)], form)


def _lib(kind: str, filter_: str | None = None) -> Archiver:
    return lambda name, data: archives.written(kind, [(name, data)], filter_)


ARCHIVES: dict[str, Archiver] = {
    "zip": _zip(zipfile.ZIP_DEFLATED),
    "zip stored": _zip(zipfile.ZIP_STORED),
    "zip bzip2": _zip(zipfile.ZIP_BZIP2),
    "zip lzma": _zip(zipfile.ZIP_LZMA),
    "tar pax": _tar(tarfile.PAX_FORMAT),
    "tar gnu": _tar(tarfile.GNU_FORMAT),
    "tar v7": _lib("v7tar"),
    "7z lzma": _lib("7zip"),
    "7z lzma2": archives.seven_zip2,
    "rar4": lambda name, data: archives.rar4([("a.bin", b"\0\1"), (name, data)]),
    "rar5": lambda name, data: archives.rar5([("a.bin", b"\0\1"), (name, data)]),
    "cab": lambda name, data: archives.cab([("a.bin", b"\0\1"), (name, data)]),
    "lha": lambda name, data: archives.lha([("a.bin", b"\0\1"), (name, data)]),
    "iso9660": _lib("iso9660"),
    "cpio": _lib("cpio"),
    "cpio_newc": _lib("cpio_newc"),
    "ar": _lib("ar_svr4"),
    "xar": _lib("xar"),
    "tar.lz4": _lib("gnutar", "lz4"),
    "tar.Z": _lib("gnutar", "compress"),
    "tar.lz": _lib("gnutar", "lzip"),
    "tar.zst": _lib("gnutar", "zstd"),
}
STREAMS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=1),
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE, preset=1),
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "zstd without sizes": zstandard.ZstdCompressor(write_content_size=False).compress,
}
ARCHIVERS: dict[str, Archiver] = {
    **ARCHIVES,
    **{key: (lambda name, data, compress=compress: compress(data)) for key, compress in STREAMS.items()},
    "brotli": lambda name, data: make_zip({f"{name}.br": brotli.compress(data)}),
}


def tables(found: Member) -> list[Member]:
    return [member for member in found.walk() if member.rows]


@pytest.mark.parametrize("archiver", ARCHIVERS)
def test_an_archived_table_yields_its_rows(archiver: str) -> None:
    found = read(ARCHIVERS[archiver]("people.csv", TABLE))
    [table] = tables(found)
    assert table.rows == ROWS
    assert bytes(table.raw) == TABLE
    assert found.all_complete
    assert not found.all_problems
    assert found.format not in ("unknown", "text", "delimited")
    if archiver in ARCHIVES:
        # ISO 9660 level 1 and ar change the names of files
        assert table.name.lower().rstrip("/").endswith("people.csv")


@pytest.mark.parametrize("outer", ARCHIVERS)
@pytest.mark.slow
def test_an_archive_in_an_archive_yields_its_rows(outer: str) -> None:
    for inner in ("zip", "tar gnu", "7z lzma2", "rar5", "bzip2", "zstd", "cab"):
        found = read(ARCHIVERS[outer]("inner.bin", ARCHIVERS[inner]("people.csv", TABLE)))
        [table] = tables(found)
        assert table.rows == ROWS
        assert found.all_complete


@pytest.mark.parametrize("archiver", STREAMS)
def test_streams_that_follow_each_other_are_one_file(archiver: str) -> None:
    compress = STREAMS[archiver]
    if archiver == "lzma":
        return
    half = TABLE.index(b"\n", len(TABLE) // 2) + 1
    found = read(compress(TABLE[:half]) + compress(TABLE[half:]))
    assert found.members[0].rows == ROWS
    assert not found.all_problems


@pytest.mark.slow
@pytest.mark.parametrize("archiver", STREAMS)
def test_data_before_a_cut_is_read(archiver: str) -> None:
    data = STREAMS[archiver](
        b"".join(hashlib.sha256(str(i).encode()).hexdigest().encode() + b"\n" for i in range(60_000))
    )
    found = read(data[: len(data) * 3 // 4])
    assert found.all_problems == {"cut"}
    assert not found.all_complete
    assert found.members[0].bytes > 400_000


# formats that our own code reads and that have checksums; libarchive has tests of its own for changed bytes
OURS = ["zip", "zip stored", "tar pax", "tar gnu", "gzip", "bzip2", "xz", "zstd", "brotli"]
LIMITS = Limits(max_output=2**22, max_entries=50, max_depth=4)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_archive_never_loses_rows_without_a_problem(data: st.DataObject) -> None:
    archiver = data.draw(st.sampled_from(OURS))
    whole = ARCHIVERS[archiver]("people.csv", TABLE)
    changed = bytearray(whole)
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        changed[at] = data.draw(st.integers(0, 255))
    changed = changed[: data.draw(st.integers(1, len(whole)))]
    found = read(bytes(changed), LIMITS)
    assert found.bytes == len(changed)
    assert "reader" not in found.all_problems
    if found.format == read(whole).format and found.format != "tar" and not tables(found):
        assert found.all_problems


@settings(max_examples=200, deadline=None)
@given(st.data())
@pytest.mark.slow
def test_the_listing_of_a_changed_rar_archive_never_fails(data: st.DataObject) -> None:
    make = data.draw(st.sampled_from([archives.rar4, archives.rar5]))
    changed = bytearray(make([("a.csv", TABLE[:100]), ("b.csv", b"x")]))
    for at in data.draw(st.lists(st.integers(0, len(changed) - 1), max_size=4)):
        changed[at] = data.draw(st.integers(0, 255))
    whole, cut = RarListing(100), RarListing(100)
    whole.feed(bytes(changed))
    for start in range(0, len(changed), 7):
        cut.feed(bytes(changed[start : start + 7]))
    assert whole.members == cut.members
    assert whole.locked == cut.locked


def test_names_of_compressed_files_lose_their_ending() -> None:
    inner = archives.tar([("people.csv", TABLE)])
    found = read(make_zip({"a.tbr": brotli.compress(inner), "b.CSV.Br": brotli.compress(TABLE)}))
    assert [member.name for member in found.walk()] == ["", "a.tbr", "a.tar", "people.csv", "b.CSV.Br", "b.CSV"]


def test_without_libarchive_archives_are_reported_as_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libarchive_decoder, "_ffi", None)
    for archiver in ("7z lzma2", "rar4", "rar5", "cab", "lha", "iso9660", "cpio", "ar", "xar", "tar.lz4"):
        found = read(ARCHIVERS[archiver]("people.csv", TABLE))
        assert found.problems == ["unread"]
        assert "tocsin doctor" in found.details[0]
        assert not found.complete


def test_a_7z_archive_too_large_for_memory_is_decompressed_without_its_list_of_members() -> None:
    found = read(archives.seven_zip2("people.csv", TABLE * 50), Limits(hold=100))
    assert found.problems == ["size"]
    # the names of the columns stand in it fifty times
    assert found.members[0].rows == [ROWS[0], *ROWS[1:] * 50]


def test_the_beginning_of_a_cut_7z_archive_is_decompressed() -> None:
    data = archives.written("7zip", [("people.csv", TABLE * 50)])
    found = read(data[: len(data) // 2])
    assert "cut" in found.problems
    assert found.members[0].rows[:50] == ROWS[:50]


@pytest.fixture(scope="module", params=[False, None], ids=["system call filter", "strongest sandbox"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(Limits(wall=30), bwrap=request.param) as sandbox:
        yield sandbox


@pytest.mark.slow
def test_a_confined_reader_reads_every_format(sandbox: Sandbox) -> None:
    for archiver, archive in ARCHIVERS.items():
        found = read_in_sandbox(sandbox, archive("people.csv", TABLE))
        [table] = tables(found)
        assert table.rows == ROWS, archiver
        assert found.all_complete, archiver


# --- archives of the test suite of rarfile --------------------------------------------------------------------------

# archives that libarchive cannot fully decompress, which is reported
_NOT_OPENED = ("rar15", "rar2", "vols", "psw", "old", "solid", "owner", "comment", "unicode.rar")


@pytest.fixture(scope="module")
def rar_samples() -> dict[str, bytes]:
    archived = files(RARFILE)
    return {name.rpartition("/")[2]: data for name, data in archived.items() if name.startswith("test/files/")}


@pytest.mark.slow
def test_every_member_of_the_sample_archives_of_rarfile_is_reported(rar_samples: dict[str, bytes]) -> None:
    seen = 0
    for name, data in rar_samples.items():
        if not name.endswith((".rar", ".r00", ".r01", ".sfx")):
            continue
        found = read(data)
        assert "reader" not in found.all_problems, name
        assert found.all_complete or found.all_problems, name
        wanted = _listed(rar_samples.get(f"{name}.exp", b"").decode())
        if found.format == "rar" and "hpsw" not in name and "vols" not in name and "old" not in name:
            # RAR 4 writes the version of a file into its name
            names = [member.name.replace("\\", "/").partition(";")[0] for member in found.members if member.name]
            assert list(dict.fromkeys(names)) == wanted, name
            seen += 1
        if not any(part in name for part in _NOT_OPENED):
            assert not found.all_problems - {"suspicious", "inside"}, name
    assert seen > 30


def _listed(text: str) -> list[str]:
    """Names of the files in a listing by rarfile, without folders."""
    names, member, folder = [], False, False
    for line in text.splitlines():
        if not line.startswith(" "):
            member, folder = line.startswith(("FILE", "R5_FILE")), "is=-D" in line or "is=D" in line
        elif member and not folder and line.strip().startswith("name="):
            names.append(line.strip().removeprefix("name=").rstrip("/"))
        elif "redir: type=WINDOWS_JUNCTION" in line:
            # libarchive reports it as the folder that it points to
            names.pop()
    return names
