"""HTML pages: tables become rows, forms and words become text, and hidden parts are sent, too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crawler.readers.core.limits import Limits
from crawler.readers.core.members import read_sample
from crawler.readers.core.registry import choose
from tests.crawler.readers.frames import Consumer, pieces, read

PAGE = "<!DOCTYPE html><html><body>{}</body></html>"


@pytest.mark.parametrize(
    ("markup", "columns", "rows"),
    [
        (
            "<table><thead><tr><th>Nom<th>Prénom</thead><tr><td>DUPONT<td>Jean<tr><td>LEFÈVRE<td>Zoé</table>",
            ["Nom", "Prénom"],
            [["DUPONT", "Jean"], ["LEFÈVRE", "Zoé"]],
        ),
        (
            (
                "<table><tr><td>DUPONT</td><td>Jean</td></tr>"
                "<tr><td>LEF&Egrave;VRE</td><td><b>Zo</b>&eacute;</td></tr></table>"
            ),
            None,
            [["DUPONT", "Jean"], ["LEFÈVRE", "Zoé"]],
        ),
        # a row wider than its header, a cell that spans two columns, an empty cell
        (
            "<table><tr><th>a<th>b</tr><tr><td>1<td>2<td>3</tr><tr><td colspan=2>x<td>y</tr><tr><td><td>z</table>",
            ["a", "b", ""],
            [["1", "2", "3"], ["", "x", "y"], ["", "z", ""]],
        ),
        ("<tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr>", None, [["a", "b"], ["c", "d"]]),
        (
            "<table><tr><td><table><tr><td>a<td>b<tr><td>c<td>d</table></table>",
            None,
            [["a", "b"], ["c", "d"]],
        ),
        # a commented-out table is read, too
        ("<!-- <table><tr><td>a<td>b</tr></table> -->", None, [["a", "b"]]),
    ],
)
def test_a_data_table_becomes_rows(markup: str, columns: list[str] | None, rows: list[list[str]]) -> None:
    found = read(PAGE.format(markup).encode())
    assert found.format == "html"
    assert found.rows == rows
    assert found.tables[-1].columns == columns
    assert found.complete
    assert not found.problems


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>DUPONT <b>Je</b>an</p><p>né le<br>12/03/1975</p>", "DUPONT Jean\nné le\n12/03/1975"),
        ("<div><p>a</p></div><div><p>b</p></div>", "a\n\nb"),
        ("<ul><li>a<li>b</ul>", "a\nb"),
        ("<dl><dt>Nom<dd>DUPONT<dt>Pr&#233;nom</dt><dd>Jean</dd></dl>", "Nom : DUPONT\nPrénom : Jean"),
        ("<pre>a  b\nc</pre>", "a b\nc"),
        # forms: a table of labels and values, and input fields with their names
        (
            "<table><tr><th>Nom</th><td>DUPONT</td></tr><tr><th>Prénom</th><td>Jean</td></tr></table>",
            "Nom : DUPONT\nPrénom : Jean",
        ),
        ("<label>Nom</label><input value='DUPONT'>", "Nom : DUPONT"),
        ("<input name=nom value=DUPONT><input name='prenom' value=\"Jean\" disabled>", "nom : DUPONT\nprenom : Jean"),
        # the layout of a page
        ("<table><tr><td>a<br>b<br>c<br>d<br>e</td><td>f<p>g<p>h<p>i</td></tr></table>", "a\nb\nc\nd\ne\n\nf\ng\nh\ni"),
        ("<table><tr><td>one cell alone</td></tr></table>", "one cell alone"),
        # parts that a browser hides
        ("<span hidden>DUPONT</span><i style='display:none'>Jean</i>", "DUPONTJean"),
        ("a<!-- DUPONT -->b", "a DUPONT b"),
        ("<script>var x = [{a: 'DUPONT'},{a: 'b<c'}]</script>", "var x = [{a: 'DUPONT'}\n\n{a: 'bc'}]"),
        ("<style>td { color: red }</style>x", "x"),
        ("<p title='DUPONT Jean'>x</p>", "x\nDUPONT Jean"),
        ("<p data-nom='DUPONT' data-ddn='12/03/1975' class='big'>x</p>", "x\nnom : DUPONT\nddn : 12/03/1975"),
        ("<a href='mailto:jean@free.fr?subject=x'>Jean</a>", "<jean@free.fr> Jean"),
    ],
)  # fmt: skip
def test_everything_else_becomes_text_in_blocks(markup: str, text: str) -> None:
    found = read(PAGE.format(markup).encode())
    assert found.text.decode().strip().replace("b<c", "bc") == text
    assert found.rows == []
    assert not found.problems


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        ("<table><tr><td>", "Dupont Jean 12/03/1975<br>\n"),
        ("<table><tr><td>a<table><tr><td>", "Dupont Jean 12/03/1975<br>\n"),
        ("", "<img alt='Dupont Jean'>"),
    ],
)
def test_a_cell_or_list_of_titles_without_an_end_is_sent_while_it_is_read(begin: str, more: str) -> None:
    """Else memory grows with the file."""
    data = PAGE.format(begin + more * (1_800_000 // len(more)) + "<p>LAST").encode()
    consumer, seen = Consumer(), []

    def feed() -> Iterator[bytes]:
        yield from pieces(data)
        seen.append(b"T" in consumer.frames)

    read_sample(feed(), consumer.take, Limits())
    assert seen == [True]
    found = consumer.sample
    assert found is not None
    assert found.text.count(b"Dupont") == data.count(b"Dupont")
    assert b"LAST" in found.text


def test_a_row_without_an_end_is_sent_as_rows_of_a_megabyte() -> None:
    """Else its last cell would be copied for each of a million cells."""
    data = PAGE.format("<table><tr>" + "<td>Dupont Jean 12/03/1975</td>" * 60_000).encode()
    rows = read(data).rows
    assert sum(cell.count("Dupont") for row in rows for cell in row) == 60_000
    assert len(rows) == 2
    assert sum(map(len, rows[0])) < 1_100_000


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "iso-8859-1"])
def test_a_page_is_read_in_its_encoding(encoding: str) -> None:
    found = read(PAGE.format("<p>Lefèvre Zoé</p>").encode(encoding))
    assert (found.format, found.text.decode().strip()) == ("html", "Lefèvre Zoé")


@pytest.mark.slow
def test_a_page_gives_the_same_in_pieces_of_any_size() -> None:
    rows = "".join(f"<tr><td>Nom{number}</td><td title='t{number}'>Prénom</td></tr>" for number in range(5000))
    data = PAGE.format(f"<table>{rows}</table><p>{'mot ' * 200_000}</p>").encode()
    whole, cut = read(data), read(data, cut=777)
    assert len(whole.rows) == 5000
    assert (whole.rows, whole.text) == (cut.rows, cut.text)


@pytest.mark.parametrize(
    ("head", "name", "expected"),
    [
        (b"<!doctype html><p>a</p>", "", "html"),
        (b"\n<!-- saved --> <HTML lang=fr><body>", "", "html"),
        (b'<?xml version="1.0"?>\n<html xmlns="http://www.w3.org/1999/xhtml"><body><p>a</p>', "", "html"),
        (b"<table><tr><td>a, b</td></tr></table>\n<table><tr><td>a, b</td></tr></table>", "", "html"),
        (b"text <b>a</b>, text\n", "page.html", "html"),
        (b"Jean <jean@free.fr>, Marie <marie@free.fr>\n", "", "text"),
        (b"a;b;c\n1;2;<b>3</b>\n" * 5, "", "delimited"),
        (b'{"a": "<html>"}\n' * 3, "", "json_lines"),
    ],
)
def test_pages_are_distinguished_from_other_text(head: bytes, name: str, expected: str) -> None:
    reader = choose(head, name)
    assert getattr(reader, "FORMAT", "") == expected
