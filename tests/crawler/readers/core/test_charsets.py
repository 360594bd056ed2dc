from __future__ import annotations

import pytest

from crawler.readers.core.charsets import decoder
from tests.crawler.readers.frames import read

NAMES = {
    "shift_jis": "ヤマダ タロウ", "gb18030": "王小明", "big5": "王小明", "euc-jp": "ヤマダ", "iso-2022-jp": "ヤマダ",
    "euc-kr": "김철수", "hz-gb-2312": "王小明", "ks_c_5601-1987": "김철수", "windows-1250": "Dvořák",
    "iso-8859-15": "Œuvré", "koi8-u": "Їжак", "cp866": "Иванов", "utf-7": "Lefèvre Zoé",
}  # fmt: skip
_CODEC = {"ks_c_5601-1987": "cp949", "hz-gb-2312": "hz"}


def _encoded(text: str, name: str) -> bytes:
    return text.encode(_CODEC.get(name, name))


@pytest.mark.parametrize("name", NAMES)
def test_xml_pages_and_mail_are_read_in_the_encoding_that_they_declare(name: str) -> None:
    person = NAMES[name]
    xml = (
        f'<?xml version="1.0" encoding="{name}"?><list>'
        + f"<p><nom>{person}</nom><ville>Lyon</ville></p>" * 4
        + "</list>"
    )
    page = f'<!DOCTYPE html><html><head><meta charset="{name}"></head><body><p>{person}</p></body></html>'
    mail = f"From: a@b.example\nTo: c@d.example\nContent-Type: text/plain; charset={name}\n\n{person}\n"
    for text in (xml, page, mail):
        # in UTF-7 the markup of a page stays as it is
        data = (
            _encoded(text, name) if name != "utf-7" else text.replace(person, person.encode("utf-7").decode()).encode()
        )
        for cut in (2**20, 7):
            found = read(data, cut=cut)
            assert found.shows(person)
            assert found.all_complete
            assert not found.all_problems


def test_an_unknown_encoding_is_reported_if_the_bytes_are_not_utf_8():
    for name, text, reported in (
        ("klingon", b"\xe9\xff\xa0x", True),
        ("klingon", b"Lyon", False),
        ("klingon", "Zoé".encode(), False),
        ("utf8mb4", b"Zo\xe9", False),
    ):
        xml = b'<?xml version="1.0" encoding="%s"?><l><p><a>%s</a></p><p><a>b</a></p></l>' % (name.encode(), text)
        page = b'<html><head><meta charset="%s"></head><body>%s</body></html>' % (name.encode(), text)
        mail = b"From: a@b.example\nTo: c@d.example\nContent-Type: text/plain; charset=%s\n\n%s\n" % (
            name.encode(),
            text,
        )
        for data in (xml, page, mail):
            found = read(data)
            assert ("charset" in found.all_problems) is reported, (name, data)
            assert found.all_complete is not reported


def test_a_wrong_declaration_hides_nothing():
    page = "<html><head><meta charset=utf-7></head><body><p>+33612345678, Zoé +AOk-</p></body></html>"
    assert read(page.encode()).shows("Zoé")
    plain = page.replace("Zoé", "Zoe").encode()
    found = read(plain)
    assert found.shows("+33612345678")
    assert found.shows("é")
    japanese = "<html><head><meta charset=shift_jis></head><body><p>Lefèvre</p></body></html>"
    assert read(japanese.encode()).shows("Lefèvre")


def test_encodings_are_found_by_all_spellings_of_their_names():
    for name in (
        "Shift_JIS",
        "x-sjis",
        "ISO_8859-2",
        "iso8859_2",
        "windows-1250",
        "CP1250",
        "KOI8-R",
        "GB2312",
        "EUC-KR",
        "UTF-7",
        "latin2",
    ):
        assert decoder(name) is not None, name
    for name in ("utf-8", "UTF8", "iso-8859-1", "us-ascii", "", "nonsense", "../../etc", "é" * 9):
        assert decoder(name) is None
