"""Every container gives exactly the rows of the table that was packed into it, also two of them inside each other."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.process.frames import receive, send
from crawler.readers.archives import libarchive_decoder
from crawler.readers.archives.rar_listing import RarListing
from crawler.readers.core.limits import ENTRY_FLOORS, TREE_FLOORS, Limits
from crawler.sandbox.bubblewrap import bubblewrap_arguments
from crawler.sandbox.sandbox import Sandbox
from tests.corpora.fetch import RARFILE, files
from tests.crawler.readers.frames import Consumer, Member, read
from tests.synth import archives
from tests.synth.hostile import make_zip

ROWS = [["nom", "prenom", "naissance", "ville"], *([f"Martin{i}", "Paul", "1970-01-01", "Lyon"] for i in range(300))]
TABLE = "".join(";".join(row) + "\n" for row in ROWS).encode()

Packer = Callable[[str, bytes], bytes]


def _zip(method: int) -> Packer:
    return lambda name, data: make_zip({name: data}, method)


def _tar(form: int) -> Packer:
    return lambda name, data: archives.tar([("x" * 90 + f"/{'y' * 60}/é", b"other"), (name, data)], form)


def _lib(kind: str, filter_: str | None = None) -> Packer:
    return lambda name, data: archives.written(kind, [(name, data)], filter_)


ARCHIVES: dict[str, Packer] = {
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
PACKERS: dict[str, Packer] = {
    **ARCHIVES,
    **{key: (lambda name, data, pack=pack: pack(data)) for key, pack in STREAMS.items()},
    "brotli": lambda name, data: make_zip({f"{name}.br": brotli.compress(data)}),
}


def tables(found: Member) -> list[Member]:
    return [member for member in found.walk() if member.rows]


@pytest.mark.parametrize("packer", PACKERS)
def test_a_packed_table_gives_its_rows(packer: str) -> None:
    found = read(PACKERS[packer]("people.csv", TABLE))
    [table] = tables(found)
    assert table.rows == ROWS
    assert bytes(table.raw) == TABLE
    assert found.all_complete
    assert not found.all_problems
    assert found.format not in ("unknown", "text", "delimited")
    if packer in ARCHIVES:
        # an ISO image of level 1 and ar keep names in forms of their own
        assert table.name.lower().rstrip("/").endswith("people.csv")


@pytest.mark.parametrize("outer", PACKERS)
def test_a_container_within_a_container_gives_its_rows(outer: str) -> None:
    for inner in ("zip", "tar gnu", "7z lzma2", "rar5", "bzip2", "zstd", "cab"):
        found = read(PACKERS[outer]("inner.bin", PACKERS[inner]("people.csv", TABLE)))
        [table] = tables(found)
        assert table.rows == ROWS
        assert found.all_complete


@pytest.mark.parametrize("packer", STREAMS)
def test_streams_one_behind_the_other_are_one_file(packer: str) -> None:
    pack = STREAMS[packer]
    if packer == "lzma":
        return
    half = TABLE.index(b"\n", len(TABLE) // 2) + 1
    found = read(pack(TABLE[:half]) + pack(TABLE[half:]))
    assert found.members[0].rows == ROWS
    assert not found.all_problems


@pytest.mark.slow
@pytest.mark.parametrize("packer", STREAMS)
def test_what_stands_before_a_cut_is_read(packer: str) -> None:
    data = STREAMS[packer](
        b"".join(hashlib.sha256(str(i).encode()).hexdigest().encode() + b"\n" for i in range(60_000))
    )
    found = read(data[: len(data) * 3 // 4])
    assert found.all_problems == {"cut"}
    assert not found.all_complete
    assert found.members[0].bytes > 400_000


# those that are taken apart here, and have checksums; what libarchive makes of changed bytes is for its own tests
OURS = ["zip", "zip stored", "tar pax", "tar gnu", "gzip", "bzip2", "xz", "zstd", "brotli"]
LIMITS = Limits(max_output=2**22, max_entries=50, max_depth=4)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_container_with_changed_bytes_never_goes_quiet(data: st.DataObject) -> None:
    packer = data.draw(st.sampled_from(OURS))
    whole = PACKERS[packer]("people.csv", TABLE)
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
def test_no_listing_of_a_rar_archive_fails(data: st.DataObject) -> None:
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


def test_names_lead_through_compression() -> None:
    inner = archives.tar([("people.csv", TABLE)])
    found = read(make_zip({"a.tbr": brotli.compress(inner), "b.CSV.Br": brotli.compress(TABLE)}))
    assert [member.name for member in found.walk()] == ["", "a.tbr", "a.tar", "people.csv", "b.CSV.Br", "b.CSV"]


def test_no_archive_is_silent_without_libarchive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libarchive_decoder, "_ffi", None)
    for packer in ("7z lzma2", "rar4", "rar5", "cab", "lha", "iso9660", "cpio", "ar", "xar", "tar.lz4"):
        found = read(PACKERS[packer]("people.csv", TABLE))
        assert found.problems == ["unread"]
        assert "tocsin doctor" in found.details[0]
        assert not found.complete


def test_an_archive_too_large_for_memory_is_unpacked_without_its_list() -> None:
    found = read(archives.seven_zip2("people.csv", TABLE * 50), Limits(hold=100))
    assert found.problems == ["size"]
    assert found.members[0].rows == ROWS * 50


def test_what_came_of_a_cut_7z_is_unpacked() -> None:
    data = archives.written("7zip", [("people.csv", TABLE * 50)])
    found = read(data[: len(data) // 2])
    assert "cut" in found.problems
    assert found.members[0].rows[:50] == ROWS[:50]


def _through(sandbox: Sandbox, data: bytes) -> Member:
    consumer = Consumer()
    with sandbox.open() as reader:
        send(reader.socket, b"D", data)
        send(reader.socket, b"E")
        while not consumer.ended:
            kind, payload = receive(reader.socket)
            consumer.take(kind, bytes(payload))
    assert consumer.sample is not None
    return consumer.sample


@pytest.fixture(scope="module", params=[False, None], ids=["filter alone", "best walls"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(Limits(wall=30), bwrap=request.param) as sandbox:
        yield sandbox


def test_walls_show_code_and_nothing_else() -> None:
    shown = [Path(path) for option, path in pairwise(bubblewrap_arguments()) if option == "--ro-bind"]
    checkout = Path(__file__).parents[4]
    assert not any(path in (*checkout.parents, checkout, Path.home(), *Path.home().parents) for path in shown)
    assert {path.name for path in shown} >= {"crawler", "data", "site-packages"}


@pytest.mark.slow
def test_a_confined_reader_reads_every_format(sandbox: Sandbox) -> None:
    for packer, pack in PACKERS.items():
        found = _through(sandbox, pack("people.csv", TABLE))
        [table] = tables(found)
        assert table.rows == ROWS, packer
        assert found.all_complete, packer


# --- archives that others made -------------------------------------------------------------------------------------

# members that are links, folders or copies are told by name alone; what libarchive does not unpack says so
_NOT_OPENED = ("rar15", "rar2", "vols", "psw", "old", "solid", "owner", "comment", "unicode.rar")


@pytest.fixture(scope="module")
def rar_samples() -> dict[str, bytes]:
    packed = files(RARFILE)
    return {name.rpartition("/")[2]: data for name, data in packed.items() if name.startswith("test/files/")}


@pytest.mark.slow
def test_every_member_of_the_sample_archives_of_rarfile_is_told(rar_samples: dict[str, bytes]) -> None:
    seen = 0
    for name, data in rar_samples.items():
        if not name.endswith((".rar", ".r00", ".r01", ".sfx")):
            continue
        found = read(data)
        assert "reader" not in found.all_problems, name
        assert found.all_complete or found.all_problems, name
        wanted = _listed(rar_samples.get(f"{name}.exp", b"").decode())
        if found.format == "rar" and "hpsw" not in name and "vols" not in name and "old" not in name:
            # RAR 4 keeps the versions of a file apart by its name
            names = [member.name.replace("\\", "/").partition(";")[0] for member in found.members if member.name]
            assert list(dict.fromkeys(names)) == wanted, name
            seen += 1
        if not any(part in name for part in _NOT_OPENED):
            assert not found.all_problems - {"suspicious", "inside"}, name
    assert seen > 30


def _listed(text: str) -> list[str]:
    """Names in a listing of rarfile, without folders and without what is no member."""
    names, member, folder = [], False, False
    for line in text.splitlines():
        if not line.startswith(" "):
            member, folder = line.startswith(("FILE", "R5_FILE")), "is=-D" in line or "is=D" in line
        elif member and not folder and line.strip().startswith("name="):
            names.append(line.strip().removeprefix("name=").rstrip("/"))
        elif "redir: type=WINDOWS_JUNCTION" in line:
            # libarchive takes it for the folder that it stands for
            names.pop()
    return names


# --- trees ---------------------------------------------------------------------------------------------------------


def _tree(levels: int) -> bytes:
    """A zip of 16 zips of 16 zips …, each leaf of which is no bomb by itself."""
    inner = make_zip({"zeros.bin": bytes(3_000_000)})
    for _ in range(levels):
        inner = make_zip([(f"{number}.zip", inner) for number in range(16)])
    return inner


def _given(found: Member) -> int:
    return sum(len(member.raw) for member in found.walk())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zip", "tar pax", "zip in a zip", "rar5"])
def test_a_tree_of_bombs_ends_by_itself_and_what_follows_it_is_read(name: str) -> None:
    tree = _tree(3)
    packed = {
        "zip": lambda: make_zip([("tree.zip", tree), ("table.csv", TABLE)]),
        "tar pax": lambda: archives.tar([("tree.zip", tree), ("table.csv", TABLE)]),
        "zip in a zip": lambda: make_zip([("a.zip", make_zip([("tree.zip", tree), ("table.csv", TABLE)]))]),
        "rar5": lambda: archives.rar5([("tree.zip", tree), ("table.csv", TABLE)]),
    }[name]()
    found = read(packed)
    [table] = [member for member in found.walk() if member.name == "table.csv"]
    assert table.rows == ROWS
    assert table.all_complete
    # most of the 4,096 leaves of the tree, each of 3 MB, were left out
    assert _given(found) < 2 * TREE_FLOORS[1]
    [whole] = [member for member in found.walk() if member.name == "tree.zip"]
    assert "ratio" in whole.problems
    assert len(whole.raw) == whole.bytes == len(tree), "its own bytes are examined"
    for member in found.walk():
        assert member.complete or {"ratio", "limit"} & set(member.problems)
    assert "limit" not in found.problems


@pytest.mark.slow
def test_a_tree_of_members_ends_by_itself_and_what_follows_it_is_read() -> None:
    """One of 16 million files in 2 kB."""
    inner = make_zip({"a.txt": b"x"})
    for _ in range(6):
        inner = make_zip([(f"{number}.zip", inner) for number in range(16)])
    found = read(make_zip([("tree.zip", inner), ("table.csv", TABLE)]))
    assert sum(1 for _ in found.walk()) < 100_000
    assert "ratio" in found.members[0].problems
    assert found.members[1].rows == ROWS
    assert "limit" not in found.problems


@pytest.mark.slow
def test_as_many_members_as_an_archive_has_place_for_are_read() -> None:
    names = [f"{number:05}" for number in range(2 * ENTRY_FLOORS[1])]
    found = read(gzip.compress(archives.tar([(name, b"") for name in names]), mtime=0))
    assert [member.name for member in found.members[0].members] == names
    assert found.all_complete


@pytest.mark.slow
def test_many_trees_end_the_sample_and_say_so() -> None:
    tree = _tree(2)
    found = read(make_zip([(f"{number}.zip", tree) for number in range(40)]))
    assert "limit" in found.problems
    assert not found.complete
    assert _given(found) < 1.1 * TREE_FLOORS[0]


def test_what_is_honestly_packed_well_is_read_whole() -> None:
    """A log of 40 MB in some 200 kB, in three layers: large beside what it came from, and no tree."""
    dice = random.Random(1)
    log = b"".join(b"2024-05-02 %08x INFO nothing happened\n" % dice.getrandbits(32) * 100 for _ in range(10_000))
    found = read(make_zip({"all.tar.gz": gzip.compress(archives.tar([("a.log", log), ("table.csv", TABLE)]), mtime=0)}))
    assert found.all_complete
    assert not found.all_problems
    assert [member.rows for member in found.walk() if member.name == "table.csv"] == [ROWS]
