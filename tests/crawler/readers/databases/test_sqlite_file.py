"""SQLite files give the rows of their tables, and nothing that their schema computes."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.examiner.examination import Examiner
from crawler.examiner.sample_request import SampleRequest
from crawler.sandbox.sandbox import Limits, Sandbox
from data.case.watchlist import Watchlist
from data.hashing.case_keys import MatchKey
from data.releases.known_releases import KnownReleases
from tests.crawler.readers.frames import Member, read
from tests.synth.hostile import CANARY
from tests.synth.people import COLUMNS, HEADERS, people, row


def made(*statements: str, rows: Sequence[tuple[str, Sequence[Sequence[object]]]] = ()) -> bytes:
    base = sqlite3.connect(":memory:", isolation_level=None)
    for statement in statements:
        base.execute(statement)
    base.execute("BEGIN")
    for insert, values in rows:
        base.executemany(insert, values)
    base.execute("COMMIT")
    data: bytes = base.serialize()
    base.close()
    return data


def patients_database(count: int) -> bytes:
    names = [HEADERS["fr"][name] for name in COLUMNS]
    insert = f"INSERT INTO patients VALUES ({','.join('?' * len(names))})"
    rows = [row(person, COLUMNS, "%Y-%m-%d") for person in people(7, count)]
    return made(f"CREATE TABLE patients ({','.join(f'{name} TEXT' for name in names)})", rows=[(insert, rows)])


def test_all_kinds_of_tables_give_their_rows():
    data = made(
        'CREATE TABLE "a ""b" (nom TEXT, n INTEGER, x REAL, z)',
        "CREATE TABLE w (key TEXT PRIMARY KEY, v) WITHOUT ROWID",
        "CREATE TABLE g (a TEXT, b TEXT GENERATED ALWAYS AS (upper(a)) STORED, c AS (a || 'x'))",
        "CREATE TABLE r (rowid TEXT, _rowid_ TEXT, oid TEXT)",
        "CREATE VIRTUAL TABLE f USING fts5(body)",
        "CREATE VIEW v AS SELECT 'from a view' AS x",
        "INSERT INTO w VALUES ('k', 1)",
        "INSERT INTO g VALUES ('a')",
        "INSERT INTO r VALUES ('x', 'y', 'z')",
        "INSERT INTO f VALUES ('Dupont Jeanne')",
        rows=[
            (
                'INSERT INTO "a ""b" VALUES (?,?,?,?)',
                [("Léa", 7, 1.5, None), ("Zoé", -1, 2.0, b"text in a blob \xc3\xa9")],
            )
        ],
    )  # fmt: skip
    found = read(data)
    assert found.format == "sqlite"
    assert found.all_complete
    assert not found.all_problems
    tables = {tuple(table.columns or ()): table.rows for table in found.tables}
    assert tables["nom", "n", "x", "z"] == [["Léa", "7", "1.5", ""], ["Zoé", "-1", "2.0", "text in a blob é"]]
    assert tables["key", "v"] == [["k", "1"]]
    assert tables["a",] == [["a"]]
    assert tables["rowid", "_rowid_", "oid"] == [["x", "y", "z"]]
    assert found.shows("Dupont Jeanne")
    assert not any("from a view" in cell for each in found.rows for cell in each)


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_every_text_encoding_of_a_database_is_read(encoding: str) -> None:
    found = read(made(f"PRAGMA encoding='{encoding}'", "CREATE TABLE t (a)", "INSERT INTO t VALUES ('Noël')"))
    assert found.rows == [["Noël"]]
    assert not found.all_problems


def test_a_file_in_a_blob_is_a_member():
    table = "nom;mail;ville\n" + f"Dupont;{CANARY};Lyon\n" * 3
    data = made(
        "CREATE TABLE t (a, b)",
        rows=[("INSERT INTO t VALUES (?,?)", [(1, gzip.compress(table.encode(), mtime=0)), (2, bytes(99))])],
    )
    found = read(data)
    assert [each.format for each in found.walk()] == ["sqlite", "gzip", "delimited"]
    assert found.shows(CANARY)
    assert found.rows == [["1", ""], ["2", ""]]


@pytest.mark.slow
def test_a_compressed_file_in_a_blob_is_a_member_with_any_time_stamp():
    # A gzip file of a few rows has so few control characters that it could look like text with most time stamps.
    table = f"nom;mail;ville\n{'Dupont;' + CANARY + ';Lyon'}\n".encode()
    blobs = [(byte, gzip.compress(table, mtime=byte)) for byte in range(256)]
    found = read(made("CREATE TABLE t (a, b)", rows=[("INSERT INTO t VALUES (?,?)", blobs)]))
    assert [each.format for each in found.walk()] == ["sqlite", *["gzip", "delimited"] * 256]


def test_a_database_without_its_write_ahead_log_is_read():
    data = bytearray(patients_database(10))
    data[18:20] = b"\2\2"
    assert len(read(bytes(data)).rows) == 10


def _torn(data: bytes) -> bytes:
    half = len(data) // 2 // 4096 * 4096
    return data[:half] + bytes(4096) + data[half + 4096 :]


DAMAGED: list[tuple[str, Callable[[bytes], bytes], set[str], int]] = [
    ("a page of zeros", _torn, {"damaged"}, 900),
    ("cut in the middle", lambda data: data[: len(data) // 2], {"cut", "damaged"}, 100),
    ("a size of 16 TB", lambda data: data[:28] + b"\xff\xff\xff\xfe" + data[32:], {"cut"}, 1000),
    ("a size of one page", lambda data: data[:28] + b"\0\0\0\1" + data[32:], {"suspicious"}, 1000),
    ("an invalid page size", lambda data: data[:16] + b"\0\3" + data[18:], {"suspicious"}, 1000),
    ("only the signature", lambda data: data[:16], {"cut"}, 0),
    ("only the header", lambda data: data[:100], {"cut"}, 0),
    ("a schema page of zeros", lambda data: data[:100] + bytes(3996) + data[4096:], {"damaged"}, 0),
]


@pytest.mark.parametrize(
    ("change", "codes", "least", "whole"),
    [pytest.param(*case, name.startswith("a size of one"), id=name) for name, *case in DAMAGED],
)
def test_damage_and_false_headers_lose_only_the_damaged_parts(
    change: Callable[[bytes], bytes], codes: set[str], least: int, whole: bool
) -> None:
    data = change(patients_database(1000))
    found = read(data)
    assert codes & found.all_problems
    assert "reader" not in found.all_problems
    assert found.bytes == len(data)
    # pages beyond the number in the header are read, too
    assert found.complete == whole
    assert len(found.rows) >= least


def _schema(sql: str, kind: str = "table") -> bytes:
    """A database to whose schema an entry was added by hand."""
    base = sqlite3.connect(":memory:", isolation_level=None)
    base.execute("CREATE TABLE p (mail)")
    base.execute("INSERT INTO p VALUES (?)", (CANARY,))
    base.execute("PRAGMA writable_schema=ON")
    base.execute("INSERT INTO sqlite_schema VALUES (?, 't', 't', 2, ?)", (kind, sql))
    data: bytes = base.serialize()
    base.close()
    return data


@pytest.mark.parametrize(
    "data",
    [
        _schema("CREATE VIEW t AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c"),
        _schema((
            "CREATE VIEW t AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c"
        ), "view"),
        _schema("CREATE TABLE t (a, b AS (hex(zeroblob(100000000))))"),
        _schema("CREATE TABLE t (a, b DEFAULT (randomblob(100000000)))"),
        _schema("CREATE TABLE t (" + ",".join(f"c{at}" for at in range(1999)) + ")"),
        _schema("CREATE TABLE t (a CHECK (" + "(" * 5000 + "1" + ")" * 5000 + "))"),
        _schema("CREATE TABLE nonsense nonsense"),
        _schema("CREATE VIRTUAL TABLE t USING dbstat"),
        _schema("CREATE TRIGGER t AFTER INSERT ON p BEGIN SELECT 1; END", "trigger"),
        made(
            "CREATE TABLE p (mail)", f"INSERT INTO p VALUES ('{CANARY}')",
            "CREATE VIEW v AS SELECT load_extension('x') FROM p", (
                "CREATE TRIGGER r INSTEAD OF INSERT ON v BEGIN DELETE FROM p; END"
            ),
        ),
    ],
    ids=range(10),
)  # fmt: skip
def test_a_hostile_schema_is_never_executed_and_hides_no_table(data: bytes) -> None:
    found = read(data)
    assert [CANARY] in [each[:1] for each in found.rows]
    assert len(found.rows) <= 3
    assert "reader" not in found.all_problems


def test_names_that_are_not_utf8_hide_no_row():
    """Such names were written in another encoding or damaged; SQL, which is UTF-8, cannot express them."""
    data = made(
        'CREATE TABLE "t\u00e9" (mail, "pr\u00e9nom")', f"INSERT INTO \"t\u00e9\" VALUES ('{CANARY}', 'x')",
        'CREATE INDEX "i\u00e9" ON "t\u00e9" ("pr\u00e9nom")',
        "CREATE TABLE other (a)", "INSERT INTO other VALUES ('y')",
    )  # fmt: skip
    found = read(data.replace("\u00e9".encode(), b"\xe9\xe8"))
    assert found.rows == [[CANARY, "x"], ["y"]]
    assert found.tables[0].columns == ["mail", "preenom"]
    assert not found.problems


@pytest.mark.slow
def test_tables_that_share_their_pages_are_reported_as_a_bomb():
    base = sqlite3.connect(":memory:", isolation_level=None)
    base.execute("CREATE TABLE p (mail)")
    base.executemany("INSERT INTO p VALUES (?)", [(f"{CANARY} {'x' * 100}",) for _ in range(1000)])
    base.execute("PRAGMA writable_schema=ON")
    base.executemany(
        "INSERT INTO sqlite_schema VALUES ('table', ?, ?, 2, ?)",
        [(f"t{at}", f"t{at}", f"CREATE TABLE t{at} (mail)") for at in range(2000)],
    )
    found = read(base.serialize())
    base.close()
    assert found.problems == ["ratio"]
    assert not found.complete
    assert len(found.rows) < 100_000
    assert found.shows(CANARY)


@settings(max_examples=150, deadline=None)
@given(st.data())
@pytest.mark.slow
def test_changed_bytes_never_crash_the_reader(data: st.DataObject) -> None:
    changed = bytearray(SOUND)
    for at in data.draw(st.lists(st.integers(0, len(SOUND) - 1), min_size=1, max_size=6)):
        changed[at] = data.draw(st.integers(0, 255))
    changed = changed[: data.draw(st.integers(1, len(SOUND)))]
    found: Member = read(bytes(changed))
    assert "reader" not in found.all_problems
    assert found.bytes == len(changed)


SOUND = made(
    "PRAGMA page_size=512",
    "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)",
    "CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID",
    rows=[
        ("INSERT INTO t VALUES (?,?)", [(at, f"Martin{at}" * 5) for at in range(60)]),
        ("INSERT INTO w VALUES (?,?)", [(f"k{at}", "v" * 700) for at in range(5)]),
    ],
)


@pytest.fixture(scope="module")
def examiner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    folder: Path = tmp_path_factory.mktemp("sets")
    keys = MatchKey(bytes(32)).derive()
    with Sandbox(Limits(wall=30)) as sandbox:
        yield Examiner(
            keys, Watchlist.open(folder / "watchlist", case=keys.case), KnownReleases.open(folder / "releases"), sandbox
        )


@pytest.mark.slow
def test_the_record_pass_finds_every_row_of_a_database_read_in_the_sandbox(examiner: Examiner) -> None:
    found = examiner.examine(SampleRequest("patients.db"), [patients_database(500)], {"complete": True})
    assert (found.format, found.rows, found.records) == ("sqlite", 500, 500)
    assert found.complete
    assert not found.problems
