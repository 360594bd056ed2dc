from __future__ import annotations

import time
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.readers.core.limits import Limits
from crawler.readers.core.registry import choose
from crawler.readers.structured.xml_tokens import parse_attributes
from tests.crawler.readers.frames import read
from tests.synth.people import people

Tables = list[tuple[list[str] | None, list[list[str]]]]
PAIR = (["nom", "prenom"], [["A", "B"], ["C", "D"]])
PROLOG = '<?xml version="1.0"?>'

CASES: dict[str, tuple[str, Tables, list[str]]] = {
    "elements": (
        (
        f"{PROLOG}<x:patients xmlns:x='u'><x:patient><nom>A</nom><prenom>B</prenom></x:patient><x:patient><nom>C</nom>"
        "<prenom><![CDATA[D]]></prenom></x:patient></x:patients>"
        ),
        [PAIR, (["x"], [["u"]])],
        [],
    ),
    "nested": (
        (
        "<r><patient id='1'><nom>A</nom><adr><ville>Lyon &amp; co</ville></adr></patient>"
        "<patient id='2'><nom>C</nom></patient></r>"
        ),
        [(["id", "nom", "adr.ville"], [["1", "A", "Lyon & co"], ["2", "C", ""]])],
        [],
    ),
    "one record": (
        "<r><patient><nom>A</nom><prenom>B</prenom></patient></r>",
        [(["patient.nom", "patient.prenom"], [["A", "B"]])],
        [],
    ),
    "attributes": ('<root><row nom="A" prenom="B"/><row nom="C" prenom="D"/></root>', [PAIR], []),
    "mysqldump": (
        (
        f'{PROLOG}<resultset statement="x"><row><field name="nom">A</field><field name="prenom">B</field></row>'
        '<row><field name="nom">C</field><field name="prenom">D</field></row></resultset>'
        ),
        [PAIR, (["statement"], [["x"]])],
        [],
    ),
    "phpMyAdmin": (
        (
        '<pma><database name="x"><table name="p"><column name="nom">A</column></table>'
        '<table name="p"><column name="nom">C</column></table></database></pma>'
        ),
        [(["table", "nom"], [["p", "A"], ["p", "C"]]), (["database.name"], [["x"]])],
        [],
    ),
    "a workbook of 2003": (
        (
        f"{PROLOG}<Workbook><Worksheet><Table>"
        '<Row><Cell><Data s:Type="String">nom</Data></Cell><Cell><Data s:Type="String">prenom</Data></Cell></Row>'
        '<Row><Cell><Data s:Type="String">A</Data></Cell><Cell><Data s:Type="String">B</Data></Cell></Row>'
        "</Table></Worksheet></Workbook>"
        ),
        [(None, [["nom", "prenom"], ["A", "B"]])],
        [],
    ),
    "values in attributes": (
        '<r><name><given value="Jean"/><family value="A"/></name><birthTime value="19750312"/></r>',
        [(["name.given", "name.family", "birthTime"], [["Jean", "A", "19750312"]])],
        [],
    ),
    "running text": (
        f"{PROLOG}<doc><note>Vu <b>M. Dupont</b> ce jour</note></doc>",
        [(["note"], [["Vu M. Dupont ce jour"]])],
        [],
    ),
    "entities": (
        '<!DOCTYPE w [<!ENTITY x "y"><!ENTITY z SYSTEM "file:///etc/passwd">]><w><nom>&x;&x;</nom><v>&z;</v></w>',
        [(["nom", "v"], [["&x;&x;", "&z;"]])],
        ["entities"],
    ),
    "cut": ("<r><patient><nom>A</nom><prenom>B</prenom></patient><patient><nom>C</nom><prenom>D", [PAIR], ["cut"]),
    "mismatched tags": (
        "<r><patient><nom>A</nom></b><prenom>B</prenom></patient><patient><nom>C<prenom>D</prenom></patient></r>",
        [(["nom", "prenom", "nom.prenom", "nom.#text"], [["A", "B", "", ""], ["", "", "D", "C"]])],
        ["xml"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_document_gives_its_tables(case: str) -> None:
    text, tables, problems = CASES[case]
    for data in (text.encode(), text.encode("utf-16")):
        found = read(data)
        assert found.format == "xml"
        if case != "mismatched tags":
            assert [(table.columns, table.rows) for table in found.tables] == tables
        assert found.problems == problems
        assert found.complete


@pytest.mark.parametrize(
    ("declared", "actual"),
    [
        ("iso-8859-15", "iso-8859-15"),
        ("utf-8", "cp1252"),
        ("iso-8859-15", "utf-8"),
        ("x-nobody", "utf-8"),
        ("cp850", "cp850"),
    ],
)
def test_a_declared_encoding_is_used_only_if_the_bytes_show_no_other(declared: str, actual: str) -> None:
    data = f'<?xml version="1.0" encoding="{declared}"?><w><nom>Léa</nom><nom>Zoé</nom></w>'.encode(actual)
    assert read(data).rows == [["Léa", "Zoé"]]


@pytest.mark.parametrize(
    "text",
    [
        "<html><body><p>x</p></body></html>",
        f"{PROLOG}<!DOCTYPE html><html xmlns='x'><p>y</p></html>",
        "<p>x</p><p>y</p>",
        "<3 you",
    ],
)
def test_html_is_not_recognised_as_xml(text: str) -> None:
    reader = choose(text.encode(), "")
    assert reader is None or reader.FORMAT != "xml"


@pytest.mark.slow
@pytest.mark.parametrize("limits", [Limits(), Limits(max_line=3000)])
def test_every_record_is_a_row_even_if_the_document_exceeds_the_memory_limit(limits: Limits) -> None:
    persons = people(6, 1200)
    rows_of_xml = "".join(
        f"<p><nom>{each.surname}</nom><prenom>{each.first}</prenom><c><mel>{escape(each.email)}</mel></c></p>\n"
        for each in persons
    )
    data = f"{PROLOG}<export><meta><n>1</n></meta><list>{rows_of_xml}</list></export>"
    for cut in (2**20, 997):
        found = read(data.encode(), limits, cut=cut)
        assert not found.all_problems
        rows = [row for table in found.tables if table.columns == ["nom", "prenom", "c.mel"] for row in table.rows]
        assert rows == [[each.surname, each.first, each.email] for each in persons]


def test_a_text_that_exceeds_the_memory_limit_is_output_as_text() -> None:
    found = read(
        f"<r><doc>{'word ' * 300_000}canary@b.example</doc><p><nom>A</nom></p></r>".encode(), Limits(max_line=5000)
    )
    assert found.shows("canary@b.example")
    assert found.shows("A")


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_changed_bytes_do_not_stop_the_reader(data: st.DataObject) -> None:
    whole = bytearray("".join(CASES[name][0] for name in ("nested", "mysqldump", "entities")).encode() * 3)
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=5)):
        whole[at] = data.draw(st.sampled_from(list(b"<>/&;'\" ![]-\xff\x00")))
    found = read(bytes(whole), Limits(max_line=200))
    assert "reader" not in found.all_problems
    assert found.bytes == len(whole)


@pytest.mark.slow
def test_a_tag_with_very_long_names_is_read_in_linear_time():
    """Found by fuzzing: each letter of a name without "=" was tried as the beginning of an attribute."""
    rows = "<p><nom>Dupont</nom></p>" * 3
    for inner in (
        "a" * 200_000,
        "a " * 100_000,
        "a:" * 100_000,
        "a=" * 100_000,
        "a='" * 60_000 + '"',
        "a" + " " * 200_000,
    ):
        started = time.process_time()
        found = read(f"<?xml version='1.0'?><list>{rows}<q {inner}>x</q>{rows}</list>".encode())
        assert found.shows("Dupont")
        assert time.process_time() - started < 5
    assert parse_attributes(b' a:b="1"c=\'2\' d:e:f = "3"/') == {b"b": b"1", b"c": b"2", b"f": b"3"}


@pytest.mark.slow
def test_a_cdata_section_at_the_end_of_a_block_or_without_its_own_end_is_read():
    rows = [f"<p><nom>N{at:06}</nom><note><![CDATA[vu > revu <b>T{at:06}</b>]]></note></p>" for at in range(30_000)]
    found = read(f"{PROLOG}<r>{''.join(rows)}</r>".encode())
    assert found.problems == []
    assert [row[1] for row in found.rows] == [f"vu > revu <b>T{at:06}</b>" for at in range(30_000)]
    assert read(f"{PROLOG}<r><nom>A</nom><note><![CDATA[Dupont > 0611223344".encode()).shows("Dupont")
