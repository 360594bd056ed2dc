"""Dumps of all common tools give exactly their rows; only broken rows are lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.examiner.examination import Examiner
from crawler.examiner.sample_request import SampleRequest
from crawler.readers.core.limits import Limits
from crawler.readers.core.registry import choose
from crawler.sandbox.sandbox import Sandbox
from data.case.watchlist import Watchlist
from data.hashing.case_keys import MatchKey
from data.releases.known_releases import KnownReleases
from tests.crawler.readers.frames import Member, read
from tests.synth.dumps import WRITERS, dump
from tests.synth.people import COLUMNS, HEADERS, people, row


def tables(found: Member) -> list[tuple[list[str] | None, list[list[str]]]]:
    return [(table.columns, table.rows) for table in found.tables]


ROWS: list[tuple[str, bytes, list[tuple[list[str] | None, list[list[str]]]]]] = [
    (
        "escapes of MySQL",
        rb"INSERT INTO `t` VALUES (1,'l\'eau','a\\',''),(2,'O''Neill','x\ny\t\"z\"','\\\'');",
        [(None, [["1", "l'eau", "a\\", ""], ["2", "O'Neill", 'x\ny\t"z"', "\\'"]])],
    ),
    (
        "other statements of MySQL",
        (
            b"INSERT IGNORE INTO `db`.`t` (`a`, `b b`) VALUES (1,_binary 'x'),(-2.5e3,_utf8mb4'y');\n"
            b"REPLACE INTO t (a,`b b`) VALUE (3,\"z\");"
        ),
        [(["a", "b b"], [["1", "x"], ["-2.5e3", "y"], ["3", "z"]])],
    ),
    (
        "hexadecimal",
        (
            b"INSERT INTO `t` VALUES (0x4475706F6E74,X'4CC3A961'),(0xFF00FE,x'00');\n"
            b"INSERT INTO `t` VALUES (NULL,'\\\\x44');"
        ),
        [(None, [["Dupont", "L\u00e9a"], ["0xFF00FE", "x'00'"], ["", "D"]])],
    ),
    (
        "a statement inside a comment of MySQL",
        b"-- MySQL dump\n/*!40000 INSERT INTO `t` VALUES (1,'a') */;\n",
        [(None, [["1", "a"]])],
    ),
    (
        "column names from CREATE TABLE",
        (
            b"CREATE TABLE IF NOT EXISTS `s`.`t` (`id` int, -- the key, of course\n"
            b" `nom, long` enum('a)','b') DEFAULT 'x',"
            b"\n CONSTRAINT `c` CHECK ((1) > (0)), `Key` int, key `k` (`id`)) ENGINE=MyISAM;\n"
            b"insert into T values (1,'a',2);"
        ),
        [(["id", "nom, long", "Key"], [["1", "a", "2"]])],
    ),
    (
        "rows of another width than in CREATE TABLE",
        b"CREATE TABLE t (a int, b int);\nINSERT INTO t VALUES (1);",
        [(None, [["1"]])],
    ),
    (
        "PostgreSQL",
        (
            b"-- PostgreSQL database dump\n"
            b"INSERT INTO public.t VALUES "
            b"(1, 'C:\\', E'l\\'x\\u00e9', $$d'd$$, $a$b$$c$a$, 'x'::text, ARRAY['a','b']);"
        ),
        [(None, [["1", "C:\\", "l'x\u00e9", "d'd", "b$$c", "x", "a"]])],
    ),
    (
        "standard strings switched off",
        (
            b"SET standard_conforming_strings = off;\nINSERT INTO t VALUES (1, 'l\\'x');\n"
            b"SET standard_conforming_strings = on;\nINSERT INTO t VALUES (1, 'C:\\');"
        ),
        [(None, [["1", "l'x"], ["1", "C:\\"]])],
    ),
    (
        "COPY",
        (
            b"COPY p (a, b) FROM stdin;\n1\t\\N\n\\\\\ta\\tb\\x41\\102\\n\n\\\\x4475706f6e74\tx\n\\.\n\nSELECT 1;\n"
            b"COPY q (c) FROM stdin;\n\\.\n"
        ),
        [(["a", "b"], [["1", ""], ["\\", "a\tbAB\n"], ["Dupont", "x"]])],
    ),
    (
        "COPY of CSV",
        (
            b"COPY p (a, b) FROM stdin WITH (FORMAT csv, DELIMITER ';');\n1;\"x;y\"\n2;z\n\\.\n"
            b"COPY p FROM STDIN DELIMITER '|';\na|b\n\\.\n"
        ),
        [(["a", "b"], [["1", "x;y"], ["2", "z"]]), (None, [["a", "b"]])],
    ),
    (
        "COPY with more values than column names",
        b"COPY p (a, b) FROM stdin;\n1\t2\t3\n4\t5\t6\n\\.\n",
        [(None, [["1", "2", "3"], ["4", "5", "6"]])],
    ),
    (
        "SQL Server",
        (
            b"INSERT [dbo].[P] ([Id], [Nom], [D]) VALUES (1, N'L''\xc3\xa9a', "
            b"CAST(N'1975-03-12T00:00:00.000' AS DateTime))\r\n"
            b"INSERT [dbo].[P] ([Id], [Nom], [D]) VALUES (2, NULL, CAST(0x3B360B00 AS Date))\r\nGO\r\n"
            b"INSERT [dbo].[P] ([Id], [Nom], [D]) VALUES (3, N'y', CAST(0x00006B4700C5C100 AS DateTime))\r\n"
            b"INSERT INTO [dbo].[P] (Id, Nom, D) VALUES (4, 'z', CONVERT(datetime, '12/03/1975', 103))\r\n"
        ),
        [
            (
                ["Id", "Nom", "D"],
                [
                    ["1", "L'\u00e9a", "1975-03-12T00:00:00.000"],
                    ["2", "", "2012-10-04"],
                    ["3", "y", "1975-03-12 12:00:00"],
                    ["4", "z", "12/03/1975"],
                ],
            ),
        ],
    ),
    (
        "Oracle",
        (
            b"Insert into P (ID,D,T) values (1,to_date('12/03/75','DD/MM/RR'),'a'||chr(10)||'b');\n"
            b"INSERT ALL\n INTO P (ID) VALUES ('x')\n INTO P (ID) VALUES ('y')\nSELECT * FROM dual;\n"
        ),
        [(["ID", "D", "T"], [["1", "12/03/75", "ab"]]), (["ID"], [["x"], ["y"]])],
    ),
    (
        "SQLite",
        b"BEGIN TRANSACTION;\nINSERT INTO p VALUES(1,replace('a\\nb','\\n',char(10)),X'61');\nCOMMIT;",
        [(None, [["1", "a\nb", "a"]])],
    ),
    (
        "cells with text in other formats",
        (
            b"INSERT INTO `t` VALUES (1,'{\\\"a\\\":[1,\\\"),(\\\"]}'),(2,'a:1:{i:0;s:3:\\\"x;y\\\";}'),(3,"
            b"'INSERT INTO t VALUES (1)');"
        ),
        [(None, [["1", '{"a":[1,"),("]}'], ["2", 'a:1:{i:0;s:3:"x;y";}'], ["3", "INSERT INTO t VALUES (1)"]])],
    ),
    (
        "alternating tables",
        b"".join(b"INSERT INTO a (x) VALUES (%d);\nINSERT INTO b (y) VALUES (%d);\n" % (i, i) for i in range(3)),
        [(["x"], [["0"], ["1"], ["2"]]), (["y"], [["0"], ["1"], ["2"]])],
    ),
    (
        "a different encoding in each value",
        "INSERT INTO `t` VALUES ('Léa','".encode() + "Zoé".encode("cp1252") + "'),('NoÃ«l','x');".encode(),
        [(None, [["Léa", "Zoé"], ["Noël", "x"]])],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("data", "wanted"), [pytest.param(data, wanted, id=name) for name, data, wanted in ROWS])
def test_rows_of_a_dump(data: bytes, wanted: list[tuple[list[str] | None, list[list[str]]]]) -> None:
    found = read(data)
    assert found.format == "sql_dump"
    assert tables(found) == wanted
    assert found.all_complete
    assert not found.all_problems
    one = read(data, cut=1)
    assert tables(one) == tables(found)


def test_everything_outside_rows_is_sent_as_text():
    found = read(
        b"INSERT INTO t (a) VALUES (1);\nUPDATE t SET nom='Dupont', mail='a@b.example' WHERE a=1;\n"
        b"INSERT INTO t SELECT 'Durand';\nDELETE FROM t WHERE nom='Petit';\n/* by Martin */\n"
        b"INSERT INTO t (a) VALUES (2);\n"
    )
    assert found.rows == [["1"], ["2"]]
    for word in (b"Dupont", b"a@b.example", b"Durand", b"Petit", b"Martin"):
        assert word in found.text


DAMAGED = [
    ("a stray quote", b"INSERT INTO t (a,b) VALUES (1,'x'),(2,'O'Brien'),(3,'y');", 2, {"sql"}, b"O'Brien"),
    (
        "an unclosed string",
        b"INSERT INTO t (a,b) VALUES (1,'x'),(2,'lost);\nINSERT INTO t (a,b) VALUES (3,'y');\nSELECT 1;",
        2, {"sql"}, b"lost",
    ),
    ("a truncated dump", b"INSERT INTO t (a,b) VALUES (1,'x'),(2,'y'),(3,'los", 2, {"cut"}, b"los"),
    (
        "unclosed parentheses",
        b"INSERT INTO t (a,b) VALUES (1,'x'),((((2,'lost'),(3,'y');\nSELECT 2;",
        2, {"sql"}, b"lost",
    ),
    ("a COPY line with too few values", b"COPY t (a,b) FROM stdin;\n1\tx\nlost\n3\ty\n\\.\n", 2, {"sql"}, b"lost"),
    (
        "a COPY without an end mark",
        b"COPY t (a,b) FROM stdin;\n1\tx\n2\ty\nINSERT INTO t (a,b) VALUES (3,'z');\n",
        3, set(), b"",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "rows", "problems", "text"), [pytest.param(*case, id=name) for name, *case in DAMAGED]
)
def test_only_the_broken_row_is_lost(data: bytes, rows: int, problems: set[str], text: bytes) -> None:
    for cut in (2**20, 1):
        found = read(data, cut=cut)
        assert len(found.rows) == rows
        assert found.all_problems == problems
        assert text in found.text
        assert found.all_complete


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252", "utf-8-sig"])
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.slow
def test_dumps_of_every_tool_give_the_people_back(writer: str, encoding: str) -> None:
    patients = people(5, 300)
    found = read(dump(writer, patients).encode(encoding))
    assert found.format == "sql_dump"
    names = ["id", *(HEADERS["fr"][name] for name in COLUMNS)]
    [table] = found.tables
    assert [name.lower() for name in table.columns or []] == names
    assert table.rows == [[str(at), *row(person, COLUMNS, "%Y-%m-%d")] for at, person in enumerate(patients)]
    assert found.all_complete
    assert not found.all_problems


cells = st.text(
    st.one_of(st.characters(exclude_categories=("Cs", "Cc")), st.sampled_from("'\\\"(),;\n\t$")), max_size=12
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(sorted(WRITERS)), st.integers(1, 4))
def test_arbitrary_values_are_read_back_unchanged(data: st.DataObject, writer: str, width: int) -> None:
    rows = data.draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=8))
    # enough plain rows to make a pattern, before and after the arbitrary ones
    plain = [[f"a{at}"] * width for at in range(80)]
    written = [*plain, *rows, *plain[:10]]
    names = [f"c{at}" for at in range(width)]
    found = read(WRITERS[writer](names, written).encode(), cut=data.draw(st.sampled_from([7, 1000, 2**20])))
    wanted = [[str(at), *each] for at, each in enumerate(written)]
    got = found.rows
    # The reader decodes values that look like bytes of PostgreSQL or like UTF-8 read as Latin-1: these may differ.
    decoded = [
        at
        for at, each in enumerate(written)
        if any(cell.startswith("\\x") or "Ã" in cell or "Â" in cell or "â" in cell or "Å" in cell for cell in each)
    ]
    assert [each for at, each in enumerate(got) if at not in decoded] == [
        each for at, each in enumerate(wanted) if at not in decoded
    ]
    assert not found.all_problems


def test_a_long_value_is_shortened_in_its_row_and_sent_whole_as_text():
    big = b"x" * 3_000_000 + b"end"
    found = read(b"INSERT INTO t (a,b) VALUES (1,'" + big + b"'),(2,'y');")
    assert [len(each[1]) for each in found.rows] == [2**18, 1]
    assert big in found.text
    assert not found.all_problems


def test_a_value_beyond_the_limit_loses_only_its_row():
    limits = Limits(max_line=10_000)
    found = read(b"INSERT INTO t (a,b) VALUES (1,'" + b"x" * 3_000_000 + b"'),(2,'y');\n", limits)
    assert found.rows == [["2", "y"]]
    assert found.problems == ["sql"]


def test_a_very_wide_table_keeps_all_values():
    row_ = b"(" + b",".join(b"'v%d'" % at for at in range(3000)) + b")"
    found = read(b"INSERT INTO t VALUES " + b",".join([row_] * 3) + b";")
    assert [len(each) for each in found.rows] == [1024] * 3
    assert found.rows[0][-1].startswith("v1023,v1024,")
    assert found.rows[0][-1].endswith(",v2999")
    assert found.problems == ["columns"]


@pytest.mark.parametrize(
    "head",
    [
        b"nom;prenom;insert into t values (1)\na;b;c\nd;e;f\n",
        b"Bonjour,\nvoici comment INSERT INTO marche.\nMerci\n",
        b'{"sql": "INSERT INTO t VALUES (1)"}\n{"sql": "x"}\n',
        b"id,nom\n1,Create table\n2,x\n",
    ],
)
def test_text_that_mentions_sql_is_not_a_dump(head: bytes) -> None:
    reader = choose(head, "")
    assert reader is not None
    assert reader.FORMAT != "sql_dump"


@pytest.fixture(scope="module")
def examiner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    folder: Path = tmp_path_factory.mktemp("sets")
    keys = MatchKey(bytes(32)).derive()
    with Sandbox(Limits(wall=30)) as sandbox:
        yield Examiner(
            keys, Watchlist.open(folder / "watchlist", case=keys.case), KnownReleases.open(folder / "releases"), sandbox
        )


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.slow
def test_the_record_pass_finds_every_row_of_a_dump_read_in_the_sandbox(examiner: Examiner, writer: str) -> None:
    found = examiner.examine(SampleRequest("patients.sql"), [dump(writer, people(6, 200)).encode()], {"complete": True})
    assert (found.format, found.rows, found.records) == ("sql_dump", 200, 200)
    assert found.complete
    assert not found.problems
