from __future__ import annotations

import csv
import gzip
import io
import json
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crawler.readers.core.limits import Limits
from crawler.readers.core.registry import readers
from tests.crawler.readers.frames import Member, read
from tests.synth.hostile import make_zip, streamed_zip

LIMITS = Limits(max_output=2**22, max_entries=50, max_depth=4, max_line=4096, max_columns=64)

# bytes that mean something to some reader, so that random samples get past its `sniff`
pieces_ = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            b"PK\x03\x04",
            b"PK\x01\x02",
            b"PK\x05\x06" + bytes(18),
            b"PK\x07\x08",
            b"PK\x06\x06",
            b"\x1f\x8b\x08\x00" + bytes(6),
            b'{"a": 1}\n',
            b'{"a": {"b": [1, {"c": "\\ud800"}]}}\n',
            b"a;b;c\n",
            b'"a";"b\n',
            b"INSERT INTO `t` (a, b) VALUES (1,'x\\'y'),",
            b"(2,N'z',CAST('1975-03-12' AS Date)),",
            b"COPY t (a, b) FROM stdin;\n1\t\\N\n\\.\n",
            b"CREATE TABLE t (a int, `b` text);\n",
            b"\xff\xfea\0;\0b\0\n\0",
            b"\xef\xbb\xbf",
            "Ã©Ã¨;LÃ©a\n".encode(),
            b"+---+---+\n| nom | b |\n+---+---+\n| x | y |\n+---+---+\n",
            b"nom | prenom\n----+-------\n",
            b"nom  prenom\n---- ------\nx    y\n",
            b"-[ RECORD 1 ]---\nnom | x\n",
            b"*************************** 1. row ***************************\n  nom: x\n",
            "┌───┬───┐\n│ a │ b │\n├───┼───┤\n".encode(),
            b"nom=a&prenom=b%C3%A9&ddn=12%2F03%2F1975\n",
            b"nom;prenom;ddn\nA;B;12/03/1975\nC;D;1/2/1980\nE;F;3/4/1990\n",
            b"Dupont    Jean 19750312201015917668470\n" * 5,
            "Nom Prénom".encode("cp037") * 9,
            b"H\x82l\x8ane;\x90lodie\n",
            b"(0010,0010) PN [A^B]  # 1, 1 PatientName\n",
            b"12/03/2024, 14:05 - Paul: bonjour\n",
            b"('1','a','b'),\n",
            b"eyJub20iOiAiYSJ9\neyJub20iOiAiYiJ9\n",
            b"\r\n",
            b"\0",
            gzip.compress(b"a,b,c\n1,2,3\n", mtime=0),
            make_zip({"a.csv": b"a,b\n1,2\n", "b.gz": gzip.compress(b"x", mtime=0)}),
            streamed_zip({"a.csv": b"a,b\n1,2\n"}),
        ]
    ),
)
samples = st.lists(pieces_, max_size=12).map(b"".join)


def check(found: Member, size: int) -> None:
    assert found.bytes <= size
    assert found.bytes == size or "limit" in found.all_problems
    assert found.format in {reader.FORMAT for reader in readers()} | {"unknown", "empty"}


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(samples, st.integers(1, 200))
@example(b"", 1)
def test_no_bytes_make_a_reader_fail_and_every_byte_is_read(data: bytes, cut: int) -> None:
    found = read(data, LIMITS, cut=cut)
    check(found, len(data))
    # the problem "reader" means that a reader raised an unexpected error, which no bytes may cause
    assert "reader" not in found.all_problems


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_an_archive_with_changed_bytes_never_loses_rows_without_a_problem(data: st.DataObject) -> None:
    table = "nom;prenom;ville\n" + "Martin;Paul;Lyon\n" * 20
    whole = data.draw(
        st.sampled_from(
            [
                make_zip({"a.csv": table.encode(), "b.txt": b"text", "c.gz": gzip.compress(table.encode(), mtime=0)}),
                streamed_zip({"a.csv": table.encode(), "b.txt": b"text"}),
                gzip.compress(table.encode(), mtime=0),
            ]
        )
    )
    changed = bytearray(whole)
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        changed[at] = data.draw(st.integers(0, 255))
    changed = changed[: data.draw(st.integers(1, len(whole)))]
    found = read(bytes(changed), LIMITS)
    check(found, len(changed))
    assert "reader" not in found.all_problems
    rows = sum(len(member.rows) for member in found.walk())
    if found.format in ("zip", "gzip") and rows < sum(len(member.rows) for member in read(whole, LIMITS).walk()):
        assert found.all_problems or any(member.format != "delimited" for member in found.walk())


words = st.text(string.ascii_letters + "éèüß' -.", min_size=1, max_size=12).map(str.strip).filter(bool)
cells = st.one_of(words, st.text(string.ascii_letters + ' ",;\n', max_size=12).map(str.strip))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(words, cells, words, cells, words), min_size=3, max_size=30), st.sampled_from(";,\t|"))
def test_what_csv_writes_is_read_back(rows: list[tuple[str, ...]], separator: str) -> None:
    target = io.StringIO()
    writer = csv.writer(target, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    # plain rows in front, as in real exports, show the separator and the number of columns
    plain = [["a", "b", "c", "d", "e"]] * 40
    writer.writerows(plain)
    writer.writerows(rows)
    found = read(target.getvalue().encode())
    assert found.format == "delimited"
    assert found.rows == plain + [[value.replace("\n", " ") for value in row] for row in rows]


values = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=20))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(st.dictionaries(st.text(string.ascii_lowercase, min_size=1), values, min_size=1), min_size=2))
def test_every_value_of_json_lines_is_in_a_row(records: list[dict[str, object]]) -> None:
    data = "\n".join(json.dumps(record) for record in records).encode()
    found = read(data)
    assert found.format == "json_lines"
    assert len(found.rows) == len(records)
    got: list[dict[str, str]] = [
        {name: value for name, value in zip(table.columns or [], row, strict=True) if value}
        for table in found.tables
        for row in table.rows
    ]
    for record in records:
        shown = {
            key: str(value).lower() if isinstance(value, bool) else str(value).encode("utf-8", "replace").decode()
            for key, value in record.items()
            if value is not None and value != ""
        }
        assert shown in got


def test_a_blank_line_within_a_quoted_value_is_part_of_it():
    plain = "a;b;c;d;e\n" * 40
    found = read((plain + '"x";"first\n\nlast";"y";"z";"w"\n\n"1";"2";"3";"4";"5"\n').encode())
    assert found.rows[40:] == [["x", "first  last", "y", "z", "w"], ["1", "2", "3", "4", "5"]]
