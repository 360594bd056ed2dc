from __future__ import annotations

import pytest

from tests.crawler.readers.frames import Member, read
from tests.synth import office
from tests.synth.hostile import make_zip
from tests.synth.office import document_parts, open_document, paragraph, word_table


def text(found: Member) -> str:
    return b"".join(bytes(member.text) for member in found.walk()).decode()


def tables(found: Member) -> list[list[list[str]]]:
    return [table.rows for member in found.walk() for table in member.tables]


WORD = [
    (paragraph("Dupont Jean") + paragraph("né le 12/03/1975"), "Dupont Jean\nné le 12/03/1975\n"),
    ("<w:p><w:r><w:t>Nom :</w:t><w:tab/><w:t>Dupont</w:t><w:br/><w:t>Jean</w:t></w:r></w:p>", "Nom :\tDupont\nJean\n"),
    ("<w:p><w:del><w:r><w:delText>Martin</w:delText></w:r></w:del></w:p>", "Martin\n"),
    ("<w:p><w:r><w:instrText>HYPERLINK mailto:a@b.example</w:instrText></w:r></w:p>", "HYPERLINK mailto:a@b.example\n"),
    ("<w:p><w:r><wp:posOffset>612345678</wp:posOffset><w:t>A &amp; B</w:t></w:r></w:p>", "A & B\n"),
    (
        "<w:p><w:r><w:t>out</w:t></w:r><w:txbxContent><w:p><w:r><w:t>in</w:t></w:r></w:p></w:txbxContent></w:p>",
        "out\nin\n",
    ),
    ("<w:p>\n  <w:r>\n  </w:r>\n</w:p>", ""),
]  # fmt: skip


@pytest.mark.parametrize(("body", "shows"), WORD)
def test_paragraphs_are_lines(body: str, shows: str) -> None:
    found = read(make_zip(document_parts(body)))
    assert found.format == "docx"
    assert text(found) == shows
    assert found.all_complete
    assert not found.all_problems


def test_a_table_is_output_as_rows() -> None:
    found = read(make_zip(document_parts(paragraph("Liste") + word_table([["nom", "prenom"], ["Dupont", "Jean"]]))))
    assert tables(found) == [[["nom", "prenom"], ["Dupont", "Jean"]]]
    assert text(found) == "Liste\n"


def test_a_nested_table_is_a_table_and_a_table_of_one_row_is_text() -> None:
    inner = word_table([["a", "b"], ["c", "d"]])
    outer = (
        f"<w:tbl><w:tr><w:tc>{paragraph('x')}{inner}{paragraph('z')}</w:tc><w:tc>{paragraph('y')}</w:tc></w:tr></w:tbl>"
    )
    found = read(make_zip(document_parts(outer)))
    assert tables(found) == [[["a", "b"], ["c", "d"]]]
    assert text(found) == "x\nz\ny\n"


def test_a_long_table_is_output_as_one_table() -> None:
    rows = [[f"Dupont{number}", "Jean"] for number in range(5000)]
    found = read(make_zip(document_parts(word_table(rows))))
    assert tables(found) == [rows]


def test_headers_notes_comments_and_properties_are_read_and_settings_are_not() -> None:
    parts = document_parts(paragraph("body"))
    for number, name in enumerate(("header1", "footer1", "comments", "footnotes", "endnotes")):
        parts[f"word/{name}.xml"] = f"<w:hdr>{paragraph(f'part {number}')}</w:hdr>".encode()
    parts["word/styles.xml"] = b"<w:styles><w:name>nothing</w:name></w:styles>"
    parts["docProps/core.xml"] = b"<cp:coreProperties><dc:creator>Jeanne</dc:creator></cp:coreProperties>"
    parts["word/media/image1.csv"] = b"a;b;c\n1;2;3\n4;5;6\n"
    found = read(make_zip(parts))
    assert text(found) == "body\npart 0\npart 1\npart 2\npart 3\npart 4\nJeanne\n"
    assert tables(found) == [[["a", "b", "c"], ["1", "2", "3"], ["4", "5", "6"]]]


def test_slides_are_read_like_word_documents() -> None:
    parts = document_parts("", "presentation")
    del parts["word/document.xml"]
    parts["ppt/slides/slide1.xml"] = (
        b"<p:sld><a:p><a:r><a:t>Du</a:t></a:r><a:r><a:t>pont</a:t></a:r></a:p>"
        b"<a:tbl><a:tr><a:tc><a:p><a:t>a</a:t></a:p></a:tc><a:tc><a:p><a:t>b</a:t></a:p></a:tc></a:tr>"
        b"<a:tr><a:tc><a:p><a:t>c</a:t></a:p></a:tc><a:tc><a:p><a:t>d</a:t></a:p></a:tc></a:tr></a:tbl></p:sld>"
    )
    found = read(make_zip(parts))
    assert found.format == "pptx"
    assert text(found) == "Dupont\n"
    assert tables(found) == [[["a", "b"], ["c", "d"]]]


def test_an_open_document_text_is_read() -> None:
    body = '<text:h>Titre</text:h><text:p>Dupont<text:s text:c="2"/>Jean<text:line-break/>né<text:tab/>1975</text:p>'
    found = read(open_document(body + office.ods_table([["a", "b"], ["c", "d"]]), "text"))
    assert found.format == "odt"
    assert text(found) == "Titre\nDupont  Jean\nné\t1975\n"
    assert tables(found) == [[["a", "b"], ["c", "d"]]]
    assert found.all_complete


def test_a_truncated_document_gives_the_text_before_its_end() -> None:
    body = "".join(paragraph(f"Dupont{i}") for i in range(3000))
    whole = make_zip(document_parts(body))
    found = read(whole[: len(whole) // 2])
    assert "Dupont100\n" in text(found)
    assert not found.all_complete


@pytest.mark.parametrize(
    "body", ["<w:tbl><w:tr><w:tc>" * 5000 + paragraph("x"), "<w:p>" * 50_000 + "x", "</w:tc></w:tr></w:tbl></w:p>x"]
)
def test_deep_nesting_and_stray_closing_tags_do_no_harm(body: str) -> None:
    found = read(make_zip(document_parts(body)))
    assert "x\n" in text(found)
    assert not found.all_problems
