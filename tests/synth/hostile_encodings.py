"""Samples whose first bytes or encodings lie, and the largest of plain ones; each with a canary, made as in `hostile`."""

from __future__ import annotations

import bz2
import codecs
import gzip
import json
import lzma
import random
from collections.abc import Callable

from tests.synth import archives
from tests.synth.hostile import CANARY, Hostile, local, make_zip
from tests.synth.hostile_containers import NARROW, TABLE, ZEROS

MAKERS: dict[str, Callable[[random.Random], Hostile]] = {}

_TEXT = TABLE.decode()
_ACCENTS = "nom;prenom;ville;mail\n" + "Lefèvre;Zoé;Besançon;z@b.example\n" * 20
_LINES = "".join(json.dumps({"nom": f"Martin{i}", "mail": f"m{i}@b.example"}) + "\n" for i in range(30))
_JSON = _LINES + json.dumps({"nom": "Dupont", "mail": CANARY}) + "\n"
_XML = f"<w>{'<p><nom>Martin</nom><ville>Lyon</ville></p>' * 9}<p><nom>Dupont</nom><mail>{CANARY}</mail></p></w>"


def hostile_encoding(name: str, seed: int = 0) -> Hostile:
    """The sample of this name; the seed moves the noise inside."""
    return MAKERS[name](random.Random(f"{seed}-{name}"))


def _simple(name: str, data: bytes, *problems: str, alone: bool = False) -> None:
    """Make one that can be read whole; `alone`: what holds the canary is seen by the byte pass alone."""

    def maker(random_: random.Random) -> Hostile:
        return Hostile(
            name.replace("_", " "),
            data,
            frozenset(problems),
            complete="unread" not in problems,
            visible=not alone,
            bytes=alone,
        )

    MAKERS[name] = maker


# --- byte order marks ------------------------------------------------------------------------------------------------

_ALONE = ("utf16_from_the_middle",)
for _name, _data in {
    "two_marks": codecs.BOM_UTF8 * 2 + TABLE,
    "marks_in_the_middle": TABLE.replace(b"\n", b"\n" + codecs.BOM_UTF8),
    "a_mark_of_utf16_before_utf8": codecs.BOM_UTF16_LE + TABLE,
    "a_mark_of_utf16_turned_before_utf8": codecs.BOM_UTF16_BE + TABLE,
    "a_mark_of_utf8_before_utf16": codecs.BOM_UTF8 + _TEXT.encode("utf-16-le"),
    "the_mark_of_the_other_order": codecs.BOM_UTF16_BE + _TEXT.encode("utf-16-le"),
    "utf16_without_a_mark": _TEXT.encode("utf-16-le"),
    "utf16_turned_without_a_mark": _TEXT.encode("utf-16-be"),
    "utf16_from_the_middle": _ACCENTS.encode() * 5 + _TEXT.encode("utf-16"),
    "utf32": _TEXT.encode("utf-32"),
    "a_mark_alone_before_json": codecs.BOM_UTF8 + _JSON.encode(),
    "json_in_utf16": _JSON.encode("utf-16"),
    "a_mark_before_xml": codecs.BOM_UTF8 + f'<?xml version="1.0"?>{_XML}'.encode(),
    "xml_in_utf16_that_says_utf8": f'<?xml version="1.0" encoding="utf-8"?>{_XML}'.encode("utf-16"),
    "a_mark_before_a_dump": codecs.BOM_UTF8
    + f"-- MySQL dump\nINSERT INTO `p` (`nom`,`mail`) VALUES ('Dupont','{CANARY}');\n".encode(),
    "a_dump_in_utf16": f"-- MySQL dump\nINSERT INTO [p] ([nom],[mail]) VALUES (N'Dupont',N'{CANARY}');\n".encode("utf-16"),
    "a_mark_for_each_cell": _TEXT.replace(";", ";\ufeff").encode(),
}.items():  # fmt: skip
    _simple(_name, _data, alone=_name in _ALONE)

# --- archives behind other bytes -------------------------------------------------------------------------------------

_PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2000
for _name, _data in {
    "a_mark_before_a_zip": codecs.BOM_UTF8 + make_zip({"people.csv": TABLE}),
    "a_zip_behind_a_picture": _PICTURE + make_zip({"people.csv": TABLE}),
    "a_program_that_unpacks_itself": b"MZ" + bytes(300_000) + archives.seven_zip2("people.csv", TABLE),
    "a_rar_behind_a_picture": _PICTURE[:700] + archives.rar5([("people.csv", TABLE)]),
    "a_gzip_behind_a_picture": _PICTURE[: 2**18 - 5] + gzip.compress(TABLE, mtime=0),
    "a_bzip2_behind_a_picture": _PICTURE[: 2**18 - 9] + bz2.compress(TABLE),
    "an_xz_behind_a_picture": _PICTURE[: 2**18 + 1] + lzma.compress(TABLE),
}.items():
    # the archive is read, and the picture is not
    _simple(_name, _data, "inside", *(["unread"] if _data.startswith(_PICTURE[:8]) else []))
_simple("signatures_of_archives_alone", b"\0" + b"\0".join((b"PK\3\4", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a", b"\x1f\x8b\x08", b"BZh9")) * 20_000
        + TABLE)  # fmt: skip

# --- encodings that lie ----------------------------------------------------------------------------------------------

for _name, _data in {
    "utf7": _ACCENTS.encode("utf-7") + TABLE,
    "utf7_in_a_page": b"<html><head><meta charset=utf-7></head><body>+ADw-script+AD4-x+ADw-/script+AD4- <p>"
    + f"Dupont {CANARY}</p></body></html>".encode(),
    "utf7_in_mail": b"From: a@b.example\nTo: c@d.example\nContent-Type: text/plain; charset=utf-7\n\nZo+AOk- "
    + f"Dupont {CANARY}\n".encode(),
    "escapes_of_iso_2022": b"\x1b$B" * 500 + b"\x1b(B\n" + TABLE,
    "overlong_utf8": b"nom;\xc0\xaf\xe0\x80\xaf\xf0\x80\x80\xaf;b;c\n" * 9 + TABLE,
    "surrogates_in_utf8": b"nom;\xed\xa0\x80\xed\xb0\x80;b;c\n" * 9 + TABLE,
    "surrogates_alone_in_utf16": ("nom;\ud800;b;c\n" * 9 + _TEXT).encode("utf-16", "surrogatepass"),
    "characters_that_turn_the_line": ("nom;\u202e\u2066;b;c\n" * 9 + _TEXT).encode(),
    "line_ends_of_every_kind": _TEXT.replace("\n", "\u2028").encode() + b"a;b;c;d\x85e;f;g;h\x0b\x0c" + TABLE,
    "nothing_but_nul_before": bytes(100_000) + TABLE,
    "nul_between_all_lines": TABLE.replace(b"\n", b"\0\n\0"),
    "control_characters": bytes(range(32)) * 300 + b"\n" + TABLE,
}.items():
    _simple(_name, _data, alone=_name in _ALONE)

# --- as large as it gets ---------------------------------------------------------------------------------------------

_simple("two_million_columns", TABLE + b"1;" * 2_000_000 + b"\n" + TABLE, "columns")
_simple("two_million_names_of_columns", b"a," * 2_000_000 + f"b\n1,2,3\n{CANARY},2\n".encode(), "columns")
_simple("eight_million_spaces", TABLE + b" " * 8_000_000 + b"\n" + TABLE, "line")
_simple("a_million_empty_lines", TABLE + b"\n" * 1_000_000 + TABLE)
_simple("a_million_quotes", TABLE + b'";"' * 350_000 + b"\n" + TABLE, "quotes", "columns")


def _many(random_: random.Random) -> Hostile:
    entry = local(b"000000", b"x", method=0)
    data = local(b"people.csv", TABLE) + b"".join(entry.replace(b"000000", b"%06d" % i) for i in range(10_000))
    return Hostile("10,000 members without an index, all of them read", data, frozenset({"cut"}))


MAKERS["ten_thousand_read"] = _many


def _bomb_of(name: str) -> None:
    def maker(random_: random.Random) -> Hostile:
        data = archives.written("gnutar", [("people.csv", TABLE), ("zeros.bin", ZEROS)], name)
        return Hostile(f"{name} bomb", data, frozenset({"ratio"}), limits=NARROW)

    MAKERS[f"{name}_bomb"] = maker


for _name in ("lzip", "compress"):
    _bomb_of(_name)
