"""Bytes that stand as text are read, or reported as unread; digests, keys and tokens are neither."""

from __future__ import annotations

import base64
import binascii
import html
import json
import random
import shutil
import subprocess
import textwrap
import uuid
from pathlib import Path

import pytest

from tests.crawler.readers.frames import read
from tests.synth.every_format import TABLE, yenc
from tests.synth.hostile import make_zip

DICE = random.Random(11)
NOISE = DICE.randbytes(6000)
TEXT = (TABLE * 3).encode()
# the line lengths of dumps divide every value of the table sooner or later
LAST = "Martin59"


def by_program(*command: str):
    """What a program writes about bytes that it gets."""
    if shutil.which(command[0]) is None:
        return pytest.param(None, marks=pytest.mark.skip(f"{command[0]} is not installed"), id=" ".join(command))
    return pytest.param(
        lambda data: subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout,
        id=" ".join(command),
    )


def uuencoded(data: bytes) -> bytes:
    return b"".join(binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45))


WHOLE_FILES = [
    *(
        by_program(*command)
        for command in (
            ("xxd",), ("xxd", "-p"), ("xxd", "-p", "-c", "0"), ("xxd", "-i"), ("xxd", "-b"), ("xxd", "-e"), ("xxd", "-u"),
            ("xxd", "-c", "32", "-g", "1"), ("hexdump", "-C"), ("hexdump",), ("od",), ("od", "-c"), ("od", "-b"),
            ("od", "-x"), ("od", "-A", "x", "-t", "x1"), ("od", "-A", "x", "-t", "x1z", "-v"), ("od", "-An", "-v", "-t", "x1"),
            ("basenc", "--base16"), ("basenc", "--base32"), ("basenc", "--base32hex"), ("basenc", "--z85"),
        )
    ),
    pytest.param(base64.b85encode, id="b85encode"),
    pytest.param(lambda data: base64.a85encode(data, wrapcol=76), id="a85encode"),
    pytest.param(lambda data: base64.a85encode(data, wrapcol=76, adobe=True), id="a85encode of Adobe"),
    pytest.param(uuencoded, id="uuencode without begin"),
    pytest.param(yenc, id="yEnc"),
]  # fmt: skip


@pytest.mark.parametrize("encode", WHOLE_FILES)
@pytest.mark.slow
def test_a_file_that_shows_bytes_as_text_is_decoded(encode):
    whole = TEXT + b"  "[: -len(TEXT) % 4]
    assert read(encode(whole)).members[0].raw == whole
    archive = make_zip({"people.csv": TEXT})
    assert read(encode(archive + bytes(-len(archive) % 4))).shows(LAST)
    opaque = read(encode(NOISE))
    assert not opaque.all_complete
    assert "unread" in opaque.all_problems


PAGES = {
    "in a verbatim block": lambda text: f"<p>Voici la base :</p><pre><code>{text}</code></pre><p>Merci.</p>",
    "with a tag at each line end": lambda text: (
        "<div class=post>Voici la base :<br>\n<br>\n" + text.replace("\n", "<br />\n") + "</div><div>Merci.</div>"
    ),
    "one line an item": lambda text: (
        "<ol>" + "".join(f"<li><div>{line}</div></li>\n" for line in text.split("\n")) + "</ol><p>Merci.</p>"
    ),
}


@pytest.mark.parametrize(
    ("encode", "page"),
    # each program in one kind of page, and some in all of them
    [
        pytest.param(*each.values, page, marks=each.marks, id=f"{each.id} {page}")
        for number, each in enumerate(WHOLE_FILES[:-1])
        for place, page in enumerate(PAGES)
        if number % len(PAGES) == place or each.id in ("xxd", "a85encode", "uuencode without begin")
    ],
)
@pytest.mark.slow
def test_a_file_that_a_page_shows_as_text_is_decoded(encode, page):
    def shown(data: bytes) -> bytes:
        text = html.escape(encode(data + bytes(-len(data) % 4)).decode().strip("\n"))
        return f"<!doctype html><html><body><h1>Forum</h1>{PAGES[page](text)}</body></html>".encode()

    archive = make_zip({"people.csv": TEXT})
    found = read(shown(archive))
    assert found.format == "html"
    assert found.shows(LAST)
    opaque = read(shown(NOISE))
    assert not opaque.all_complete
    assert "unread" in opaque.all_problems


@pytest.mark.parametrize("command", [("xxd",), ("hexdump", "-C"), ("od", "-A", "x", "-t", "x1"), ("od",)])
def test_equal_lines_that_a_dump_leaves_out_are_repeated(command):
    if shutil.which(command[0]) is None:
        pytest.skip("not installed")
    whole = TEXT[:800] + b"0" * 512 + TEXT[:799] + b"\n"
    dump = subprocess.run(command, input=whole, stdout=subprocess.PIPE, check=True).stdout
    assert read(dump).members[0].raw == whole


def cells(encode, data: bytes, line: bytes) -> bytes:
    """A table with one piece of the data a row."""
    return b"".join(line % (at, encode(data[at * 500 : at * 500 + 500])) for at in range(-(-len(data) // 500)))


def hex_digits(data: bytes) -> bytes:
    return data.hex().upper().encode()


INSIDE = {
    "cells of a CSV after 0x": lambda data: b"id,d\n" + cells(hex_digits, data, b"%d,0x%s\n"),
    "cells of hexadecimal digits": lambda data: b"id,d\n" + cells(hex_digits, data, b"%d,%s\n"),
    "cells of base64": lambda data: b"id,d\n" + cells(base64.b64encode, data, b"%d,%s\n"),
    "one long cell": lambda data: b"id;d\n1;0x" + hex_digits(data) + b"\n2;\n",
    "mysqldump --hex-blob": lambda data: (
        b"CREATE TABLE `t` (`id` int, `d` longblob);\n"
        + cells(hex_digits, data, b"INSERT INTO `t` VALUES (%d,0x%s);\n")
    ),
    "the dump of SQLite": lambda data: (
        b"CREATE TABLE t(id int, d blob);\n" + cells(hex_digits, data, b"INSERT INTO t VALUES(%d,X'%s');\n")
    ),
    "bytea of PostgreSQL": lambda data: (
        b"COPY public.t (id, d) FROM stdin;\n" + cells(hex_digits, data, b"%d\t\\\\x%s\n") + b"\\.\n"
    ),
    "JSON with base64": lambda data: b'{"id":1,"data":"' + base64.b64encode(data).replace(b"/", b"\\/") + b'"}',
    "JSON with hexadecimal digits": lambda data: b'{"id":1,"data":"' + hex_digits(data) + b'"}',
    "a post with base64": lambda data: b"Voici la base :\n\n" + base64.encodebytes(data) + b"\nMerci.\n",
    "a post with base32": lambda data: b"Voici :\n\n" + base64.b32encode(data) + b"\nMerci.\n",
    "a page with base64": lambda data: b"<html><body><pre>" + base64.encodebytes(data) + b"</pre></body></html>",
}


@pytest.mark.parametrize("name", INSIDE)
def test_long_values_inside_other_formats_are_decoded(name):
    assert read(INSIDE[name](TEXT)).shows(LAST)
    assert read(INSIDE[name](TEXT), cut=997).shows(LAST)
    opaque = read(INSIDE[name](NOISE))
    assert not opaque.all_complete
    assert "unread" in opaque.all_problems
    assert "unread" in read(INSIDE[name](NOISE), cut=997).all_problems


@pytest.mark.parametrize("encoding", ["utf-32-le", "utf-32-be"])
def test_utf_32_without_a_mark_is_text(encoding):
    found = read((TABLE + "Élodie;Gérard;0612345678\n").encode(encoding))
    assert found.shows("Élodie")
    assert found.shows(LAST)
    assert found.all_complete


def test_a_table_of_numbered_rows_and_a_code_is_no_dump():
    table = "".join(f"{at:08} {at * 7 % 90 + 10}\n" for at in range(100)).encode()
    found = read(table)
    assert found.format != "hex_dump"
    assert found.shows("00000042")


def test_short_hexadecimal_cells_of_a_table_are_text_where_they_stand():
    found = read(b"id,name,flag,wallet\n7,0x4D617274696E,0x40,0x52908400098527886E0F7030069857D2E4169EE7\n" * 9)
    assert found.rows[1] == ["7", "Martin", "0x40", "0x52908400098527886E0F7030069857D2E4169EE7"]
    # written with a large X, and nowhere with a small one
    found = read(b"id,name\n7,0X4D617274696E\n" * 9)
    assert found.rows[1] == ["7", "Martin"]


def some(line, count: int = 300) -> bytes:
    return "".join(line(number) for number in range(count)).encode()


def hexed(size: int) -> str:
    return DICE.randbytes(size).hex()


def based(size: int) -> str:
    return base64.b64encode(DICE.randbytes(size)).decode()


def url_safe(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


ORDINARY = {
    "users with bcrypt, salts and tokens": b"id,email,password,salt,token,created\n"
    + some(lambda at: f"{at},u{at}@ex.org,$2y$10${based(40)[:53]},{hexed(8)},{hexed(32)},2023-01-02\n"),
    "users with SHA-512": b"id,login,hash\n" + some(lambda at: f"{at},u{at},{hexed(64)}\n"),
    "users with argon2": some(lambda at: f"u{at}:$argon2id$v=19$m=65536,t=4,p=1${based(15)}${based(33)}\n"),
    "addresses and SHA-256": some(lambda at: f"user{at}@ex.org:{hexed(32)}\n"),
    **{f"digests of {size} bytes": some(lambda _, size=size: hexed(size) + "\n") for size in (16, 20, 28, 32, 48, 64)},
    "sha256sum": some(lambda at: f"{hexed(32)}  fichier{at}.pdf\n"),
    "uuids": some(lambda _: f"{uuid.UUID(bytes=DICE.randbytes(16))}\n"),
    "secrets of one-time passwords": some(lambda _: base64.b32encode(DICE.randbytes(20)).decode() + "\n"),
    "signed tokens": b"id,jwt\n"
    + some(
        lambda at: (
            f"{at},{url_safe(b'{:alg:RS256,:typ:JWT}')}.{url_safe(b'{:sub:%d,:name:Jean}' % at)}."
            f"{url_safe(DICE.randbytes(256))}\n"
        )
    ),
    "signatures of RSA in hexadecimal": b"id,signature\n" + some(lambda at: f"{at},{hexed(256)}\n"),
    "an SQL dump with digests": some(
        lambda at: f"INSERT INTO `u` VALUES (0x{hexed(16)},'a{at}@b.fr','{hexed(32)}',0x{hexed(64)});\n"
    ),
    "points of a map": some(lambda at: f"INSERT INTO `geo` VALUES ({at},0x000000000101000000{hexed(16)});\n"),
    "ids of FHIR": some(
        lambda at: f'{{"resourceType":"Patient","id":"{hexed(32)}","name":[{{"family":"Martin{at}"}}]}}\n'
    ),
    "keys of SSH": some(
        lambda at: (
            "ssh-rsa "
            + base64.b64encode(b"\0\0\0\x07ssh-rsa\0\0\0\x03\1\0\1\0\0\1\x81\0" + DICE.randbytes(384)).decode()
            + f" user{at}@host\n"
        )
    ),
    "a private key": b"-----BEGIN PRIVATE KEY-----\n"
    + base64.encodebytes(b"\x30\x82\x04\xbd" + DICE.randbytes(1210))
    + b"-----END PRIVATE KEY-----\n",
    "a certificate in JSON": b'{"certificate":"-----BEGIN CERTIFICATE-----\\n'
    + base64.encodebytes(b"\x30\x82\x04\xbd" + DICE.randbytes(1210)).replace(b"\n", b"\\n")
    + b'-----END CERTIFICATE-----\\n"}',
    "a git log with signatures": some(
        lambda at: (
            f"commit {hexed(20)}\ntree {hexed(20)}\nauthor A <a@ex.org> 17000{at:05} +0100\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n"
            + "".join(f" {based(48)}\n" for _ in range(9))
            + " -----END PGP SIGNATURE-----\n\n    A message\n\n"
        ),
        40,
    ),
    "a page with inline pictures and the state of a form": b'<html><body><p>Bonjour, voici la suite.</p><img src="data:image/png;base64,'
    + base64.b64encode(NOISE)
    + b'"><input type="hidden" name="__VIEWSTATE" value="'
    + base64.b64encode(NOISE)
    + b'"></body></html>',
    "proteins": some(lambda _: "".join(DICE.choices("ACDEFGHIKLMNPQRSTVWY", k=60)) + "\n"),
    "a long number": b"n = " + str(2**3000).encode() + b"\n",
    "telephone numbers": some(lambda _: f"06{DICE.randrange(10**8):08}\n"),
    "card numbers": some(lambda _: f"{DICE.randrange(10**15, 10**16)}\n"),
    "addresses of networks": some(lambda _: DICE.randbytes(6).hex(":") + " 10.0.0.1\n"),
    "words in capitals": some(lambda _: "".join(DICE.choices("AEIOURSTLN", k=8)) + "\n"),
}


@pytest.mark.parametrize("name", ORDINARY)
@pytest.mark.slow
def test_digests_keys_and_tokens_are_complete(name):
    found = read(ORDINARY[name])
    assert found.all_complete, found.all_problems
    assert not found.members


PICTURE = (Path(__file__).parents[3] / "samples" / "pictures" / "form-16.png").read_bytes()
_BASE64 = base64.b64encode(PICTURE).decode()
_WORDS = "Bonjour, voici le compte rendu de la réunion du cabinet, à lire avant demain. " * 5
WITH_PICTURE = {
    "html": f'<html><body><p>{_WORDS}</p><img src="data:image/png;base64,{_BASE64}"></body></html>',
    "rtf": "{\\rtf1 " + _WORDS + "{\\pict\\pngblip\\picw9 " + "\n".join(textwrap.wrap(PICTURE.hex(), 128)) + "}}",
    "json": json.dumps({"texte": _WORDS, "scan": _BASE64}),
    "delimited": f"id;scan\n1;{_BASE64}\n2;{_BASE64}\n",
    "sql_dump": f"INSERT INTO a VALUES (1, 0x{PICTURE.hex()});\n",
    "text": f"a {{ background: url(data:image/png;base64,{_BASE64}) }}\nb {{ color: red }}\n",
}


@pytest.mark.parametrize("kind", WITH_PICTURE)
@pytest.mark.slow
def test_a_picture_written_as_text_is_a_member(kind: str) -> None:
    found = read(WITH_PICTURE[kind].encode())
    assert found.format == kind
    pictures = [member for member in found.members if member.format == "picture"]
    assert [member.bytes for member in pictures] == [len(PICTURE)] * (2 if kind == "delimited" else 1)
    # without its text, a picture is told
    assert all(member.text or not found.all_complete or kind in ("html", "rtf") for member in pictures)


@pytest.mark.parametrize("wrap", ["{}", "jeton: {} fin\nsuite\n", '{{"blob": "{}"}}'])
def test_base32_in_small_letters_is_decoded(wrap: str) -> None:
    found = read(wrap.format(base64.b32encode(TEXT).decode().lower().rstrip("=")).encode())
    assert any(member.shows(LAST) for member in found.members)


def test_a_text_that_a_page_offers_as_an_address_of_its_own_is_read():
    text = base64.b64encode(b"nom;prenom;tel\n" + b"Roux;Jean;0611223344\n" * 100).decode()
    found = read(f"<html><body><a href='data:text/csv;base64,{text}'>patients.csv</a></body></html>".encode())
    assert ["Roux", "Jean", "0611223344"] in [row for member in found.walk() for row in member.rows]
