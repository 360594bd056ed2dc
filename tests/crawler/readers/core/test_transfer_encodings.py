"""Files that consist of base64, quoted-printable, uuencode or one JSON string are decoded and read."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import quopri

import pytest

from crawler.readers.core.registry import choose
from crawler.readers.core.transfer_encodings import Base64Decoder
from tests.crawler.readers.frames import read

TABLE = ("nom;prenom;naissance\n" + "DUPONT;Jean;12/03/1975\nLEFÈVRE;Zoé;01/02/1980\n" * 3).encode()
ROWS = [line.split(";") for line in TABLE.decode().splitlines()]


@pytest.mark.parametrize(
    "data",
    [
        base64.encodebytes(TABLE),
        base64.b64encode(TABLE),
        base64.urlsafe_b64encode(TABLE).rstrip(b"="),
        base64.encodebytes(TABLE).replace(b"\n", b"\r\n"),
        base64.encodebytes(TABLE).decode().encode("utf-16"),
        base64.b64encode(TABLE.decode().encode("utf-16")),
        base64.encodebytes(gzip.compress(TABLE, mtime=0)),
        base64.encodebytes(base64.encodebytes(TABLE)),
    ],
    ids=range(8),
)
def test_a_file_in_base64_is_read(data: bytes) -> None:
    found = read(data)
    assert found.format == "base64"
    assert [row for member in found.walk() for row in member.rows] == ROWS
    assert found.all_complete
    assert not found.all_problems


def test_a_file_in_quoted_printable_is_read() -> None:
    found = read(quopri.encodestring(TABLE))
    assert found.format == "quoted_printable"
    assert found.members[0].rows == ROWS


def uuencoded(data: bytes, name: str, *, backtick: bool) -> bytes:
    lines = [binascii.b2a_uu(data[at : at + 45], backtick=backtick) for at in range(0, len(data), 45)]
    return b"begin 644 " + name.encode() + b"\n" + b"".join(lines) + (b"`" if backtick else b" ") + b"\nend\n"


@pytest.mark.parametrize("cut", [1, 61, 2**20])
@pytest.mark.parametrize("backtick", [True, False])
def test_files_in_uuencode_and_the_text_around_them_are_read(backtick: bool, cut: int) -> None:
    compressed = gzip.compress(TABLE, mtime=0)
    written = uuencoded(compressed, "a.csv.gz", backtick=backtick)
    posts = b"Voici un fichier :\n\n" + written + b"\nbegin a new line\n" + uuencoded(TABLE, "b.csv", backtick=backtick)
    for data in (posts, posts.replace(b"\n", b"\r\n"), b"From: a@b.fr\nTo: c@d.fr\nSubject: x\n\n" + posts):
        found = read(data, cut=cut)
        assert [member.rows for member in found.walk() if member.rows] == [ROWS, ROWS]
        assert {"a.csv.gz", "b.csv"} <= {member.name for member in found.walk()}
        assert found.shows("begin a new line")
        assert found.all_complete
        assert not found.all_problems


def test_a_cut_file_in_uuencode_is_reported() -> None:
    written = uuencoded(TABLE * 20, "b.csv", backtick=True)
    cut = read(written[:900] + b"\nne pas lire\n")
    assert "damaged" in cut.problems
    assert not cut.complete
    assert cut.shows("Jean")
    assert cut.shows("ne pas lire")


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 61, 2**20])
@pytest.mark.parametrize("escaped", [True, False])
def test_the_text_of_a_json_string_is_read(cut: int, escaped: bool) -> None:
    for text in (TABLE.decode(), "INSERT INTO t (nom, prenom) VALUES\n('L\\ é\"','Zoé \U0001f600');\n"):
        written = json.dumps(text, ensure_ascii=escaped).encode()
        for data in (written, b"\n " + written + b"\n"):
            found = read(data, cut=cut)
            assert found.format == "json_string"
            assert found.all_complete
            if "INSERT" in text:
                assert found.members[0].rows == [['L\\ é"', "Zoé \U0001f600"]]
            else:
                assert found.members[0].rows == ROWS


def test_a_long_json_string_is_read_to_its_end_and_invalid_escapes_stay() -> None:
    long = TABLE.decode() * 2000
    found = read(json.dumps(long).encode(), cut=997)
    assert found.format == "json_string"
    # the names of its columns, which stand in it 2,000 times, are one row
    assert len(found.members[0].rows) == long.count("\n") - 1999
    odd = read(b'"a;b\\nc;d\\nzwiebel \\ud83d \\uZZZZ \\q;x\\n"', cut=1)
    assert odd.format == "json_string"
    assert odd.shows("zwiebel")
    assert odd.shows("ZZZZ")


@pytest.mark.parametrize(
    "head",
    [
        b"d41d8cd98f00b204e9800998ecf8427e\n" * 20,
        b"correcthorsebatterystaple" * 10,
        b"x" * 5000,
        b"password\nletmein1\nsunshine\n" * 30,
        b"a=1&b=2&c=3",
        b'"nom";"prenom"\n"a\\nb";"c"\n',
        b"begin 644 est un droit\n la vie commence\n" * 3,
        b'"un mot" dit-il\\n',
        b"var x = 3;\nif (x == 4) { y = x }\n" * 3,
    ],
)
def test_other_text_is_not_taken_for_encoded_files(head: bytes) -> None:
    assert getattr(choose(head, ""), "FORMAT", "") not in ("base64", "quoted_printable", "json_string", "uuencoded")


def test_base64_is_decoded_in_pieces_of_any_size() -> None:
    data = base64.encodebytes(TABLE) + base64.encodebytes(TABLE)
    for size in (1, 3, 7, 1000):
        coder = Base64Decoder()
        parts = [coder.feed(data[at : at + size]) for at in range(0, len(data), size)]
        assert b"".join([*parts, coder.finish()]) == TABLE * 2
        assert coder.skipped == 0
