"""Compressed, encrypted and picture data that nobody reads is reported as unread; text and binary tables are not."""

from __future__ import annotations

import base64
import gzip
import html
import json
import lzma
import random
import struct
import zlib
from pathlib import Path

import pytest

from crawler.readers.core.opacity import WINDOW, OpacityMeter, coincidence
from crawler.readers.unread.unsupported_formats import SIGNATURES, describe
from tests.crawler.readers.frames import Member, read
from tests.synth import archives, office
from tests.synth.every_format import TABLE
from tests.synth.hostile import make_zip

SAMPLES = Path(__file__).parents[3] / "samples"
NOISE = random.Random(7).randbytes(20_000)
PNG = b"\x89PNG\r\n\x1a\n" + NOISE[:8000]
LARGE_PNG = b"\x89PNG\r\n\x1a\n" + NOISE * 3
TEXT = TABLE.encode()


def is_unread(found: Member) -> bool:
    return not found.all_complete and "unread" in found.all_problems


_CIPHERTEXT = base64.b64encode(NOISE[:150]).decode()
_SJCL = json.dumps({
    "iv": "YWJj", "v": 1, "iter": 1000, "ks": 256, "ts": 128, "mode": "ccm", "adata": "", "cipher": "aes", "salt": "YWI=",
    "ct": _CIPHERTEXT,
})  # fmt: skip
OPAQUE = {
    "random bytes": NOISE,
    "a few random bytes": NOISE[:60],
    "raw deflate": zlib.compress(NOISE.hex().encode(), 9)[2:],
    "a text header before encrypted bytes": TEXT * 5 + NOISE[:3000],
    "much text before encrypted bytes": TEXT * 90 + NOISE,
    "zeros around encrypted bytes": bytes(9000) + NOISE + bytes(9000),
    "a picture": PNG,
    "a picture behind text in a zip": make_zip({"a.csv": TEXT, "b.png": PNG}),
    "base64 of encrypted bytes": base64.encodebytes(NOISE),
    "an encrypted message in a post": b"Voici le fichier :\n-----BEGIN PGP MESSAGE-----\n\nhQEMA\n-----END PGP MESSAGE-----\n",
    "a message encrypted by age": b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24\n-----END AGE ENCRYPTED FILE-----\n",
    "openssl enc -a": base64.encodebytes(b"Salted__" + NOISE[:300]),
    "what PrivateBin answers": json.dumps(
        {
            "v": 2,
            "ct": _CIPHERTEXT,
            "adata": [["QWJjZGVm", "YWJj+/8=", 100000, 256, 128, "aes", "gcm", "zlib"], "plaintext", 0, 0],
        }
    ).encode(),
    "a page of 0bin": f"<html><body><pre><code>{_SJCL}</code></pre></body></html>".encode(),
    "a page of 0bin, as it was saved": f"<html><body><code>{html.escape(_SJCL)}</code></body></html>".encode(),
    "a page of ZeroBin": f"<html><body><div>{json.dumps([{'data': _SJCL}])}</div></body></html>".encode(),
    "a picture inside gzip": gzip.compress(PNG, mtime=0),
    "raw LZMA": lzma.compress(NOISE.hex().encode(), lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}])[1:],
    "a member of a tar": archives.tar([("a.csv", TEXT), ("a.bin", NOISE)]),
}


@pytest.mark.parametrize("name", OPAQUE)
@pytest.mark.parametrize("cut", [2**20, 997])
def test_opaque_bytes_are_unread(name: str, cut: int) -> None:
    assert is_unread(read(OPAQUE[name], cut=cut))


_NUMBERS = random.Random(3)
READABLE = {
    "a table": TEXT * 50,
    "UTF-16": (TABLE * 9).encode("utf-16"),
    "an old code page": "Hélène;Frédéric;Zoë;çà\n".encode("cp850") * 900,
    "Cyrillic": ("Иванова;Мария;12/03/1975\n" * 900).encode("cp1251"),
    "EBCDIC": (TABLE * 9).encode("cp500"),
    "base64 of a text": base64.encodebytes(TEXT * 9),
    "a binary table with text columns": b"\xfa\xce\0\1"
    + b"".join(struct.pack("<I16sd", at, b"Martin%d" % at, _NUMBERS.random()) for at in range(900)),
    "a table of floating point numbers": b"\xfa\xce\0\1"
    + b"".join(struct.pack("<d", _NUMBERS.random()) for _ in range(4000)),
    "a program with a table of constants": b"\x7fELF" + b"\0\1\2\3\x48\x89\xe5\xc3" * 4000 + NOISE[:4096],
    "settings of a server": b'{"adata": "", "mode": "gcm", "cipher": "aes-256-gcm", "adata_of": [["a", "b", 1]]}',
    "zeros": b"\xfa\xce" + bytes(9000),
    "a font": b"\0\1\0\0\0" + NOISE,
    "a few bytes": b"\x00\x9f\x01\x02\xe7",
}


@pytest.mark.parametrize("name", READABLE)
def test_text_and_binary_tables_are_not_unread(name: str) -> None:
    assert "unread" not in read(READABLE[name]).all_problems


_TEXT_SAMPLES = [
    path
    for path in sorted(SAMPLES.rglob("*"))
    if path.suffix in (".csv", ".txt", ".sql", ".json", ".jsonl", ".xml", ".html", ".eml", ".yaml", ".hl7", ".tsv")
    and path.stat().st_size < 200_000
]


@pytest.mark.slow
def test_no_sample_of_text_is_unread():
    assert len(_TEXT_SAMPLES) > 50
    unread = [path for path in _TEXT_SAMPLES if "unread" in read(path.read_bytes()).all_problems]
    # what PrivateBin answers is encrypted, and nobody can read it without the key
    assert unread == [SAMPLES / "platforms" / "privatebin" / "paste.json"]


def test_every_signature_is_reported():
    for at, magic, words in SIGNATURES:
        data = bytes(at) + magic + bytes(60)
        assert describe(data)
        assert is_unread(read(data)), words


def _document(text: str, picture: bytes) -> bytes:
    return make_zip({**office.document_parts(office.paragraph(text)), "word/media/image1.png": picture})


@pytest.mark.slow
def test_a_document_with_nothing_but_a_picture_is_unread():
    assert is_unread(read(_document("", PNG)))
    assert is_unread(read(_document("Copie d'écran", PNG)))
    # the text of this picture is recognised where tesseract is installed
    found = read((SAMPLES / "shapes" / "T10d-docx.docx").read_bytes())
    assert is_unread(found) or found.shows("201015917668470")


def test_a_logo_in_a_letter_does_not_make_it_unread_and_a_large_picture_does():
    letter = "Le patient est venu le 3 mai, il va mieux. " * 20
    assert read(_document(letter, PNG)).all_complete
    assert is_unread(read(_document(letter, LARGE_PNG)))


def test_the_headers_of_a_mail_are_not_its_content():
    def mail(text: str) -> bytes:
        head = "From: a@b.example\r\nTo: c@d.example\r\nSubject: essai\r\n" + "X-Mark: abcdefghijkl\r\n" * 30
        parts = 'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="cut"\r\n\r\n--cut\r\n'
        image = f"--cut\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n{base64.encodebytes(PNG).decode()}"
        return f"{head}{parts}Content-Type: text/plain\r\n\r\n{text}\r\n{image}\r\n--cut--\r\n".encode()

    assert is_unread(read(mail("Voir image")))
    assert read(mail("Le patient est venu le 3 mai, il va mieux.\r\n" * 20)).all_complete


def test_an_embedded_archive_in_text_is_read_and_not_unread():
    inner = make_zip({f"{at}.csv": f"{NOISE[at:].hex(' ', 8)[:9000]}\n{TABLE}".encode() for at in range(4)})
    found = read(TEXT * 4 + inner)
    assert found.all_complete
    assert found.shows("Martin59")


def test_the_measure_is_the_same_however_the_bytes_arrive():
    whole, cut = OpacityMeter(), OpacityMeter()
    data = TEXT + NOISE
    whole.feed(data)
    for at in range(0, len(data), 61):
        cut.feed(data[at : at + 61])
    assert 0.9 < coincidence(NOISE) < 1.1
    assert whole.is_opaque()
    assert cut.is_opaque()
    assert abs(whole.opaque_bytes - cut.opaque_bytes) <= WINDOW
