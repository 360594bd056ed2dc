from __future__ import annotations

import io
import zlib

import pypdf
import pytest

from crawler.readers.core.limits import Limits
from crawler.readers.documents.pdf_tables import table_rows
from tests.corpora.fetch import PYPDF, files
from tests.crawler.readers.frames import Member, read
from tests.synth import pdf as made
from tests.synth.pdf import document, pages, pdf, shown, stream

PEOPLE = [["nom", "prenom", "naissance"], ["Dupont", "Jean", "12/03/1975"], ["Léger", "Zoé", "01/02/1980"]]


def text(found: Member) -> str:
    return found.text.decode()


def test_the_text_of_every_page_is_sent_line_by_line() -> None:
    found = read(document([["Nom : Dupont"], ["Prénom : Jean"]], [["Nom : Léger (née Roux)"]]))
    assert found.format == "pdf"
    assert text(found).split("\n") == ["Nom : Dupont", "Prénom : Jean", "Nom : Léger (née Roux)", ""]
    assert found.all_complete
    assert not found.all_problems


def test_three_or_more_words_side_by_side_are_rows() -> None:
    found = read(
        document(PEOPLE, [["Martin", "", "03/04/1990"], ["Roux", "Léa", "05/06/1991"], ["Faure", "Luc", "07/08/1992"]])
    )
    [table] = found.tables
    assert table.columns is None
    assert text(found) == "Martin 03/04/1990\n"
    assert table.rows[:3] == PEOPLE
    # a line of only two words is no row of a table
    assert table.rows[3:] == [["Roux", "Léa", "05/06/1991"], ["Faure", "Luc", "07/08/1992"]]


def test_an_empty_cell_does_not_move_the_others() -> None:
    page = "a    b c   d   e\nf    g     h   i\n\nj          k   l\nrunning text\nm       n\n"
    rows = [["a", "b c", "d", "e"], ["f", "g", "h", "i"], ["j", "", "k", "l"]]
    assert table_rows(page) == (rows, ["running text", "m n"])
    assert table_rows("a    b c   d   e\n") == ([], [])


def test_a_form_becomes_a_row_under_its_field_names() -> None:
    fields = {
        50: b"<< /FT /Tx /T (nom) /V (Dupont) >>",
        51: b"<< /FT /Tx /T (naissance) /V <FEFF00310032002F00300033002F0031003900370035> >>",
        52: b"<< /FT /Tx /T (vide) >>",
    }
    catalogue = b"/AcroForm << /Fields [50 0 R 51 0 R 52 0 R] >>"
    found = read(pdf(pages([stream(shown([["x"]]))], fields, catalogue=catalogue)))
    assert [(table.columns, table.rows) for table in found.tables] == [
        (["nom", "naissance"], [["Dupont", "12/03/1975"]])
    ]
    assert "nom: Dupont\n" in text(found)


def test_annotations_links_and_properties_are_text() -> None:
    objects = pages([stream(shown([["x"]]))], {60: b"<< /Author (Jeanne) /Title (Liste) >>"})
    objects[100] = objects[100][:-2] + (
        b"/Annots [<< /Subtype /Text /Contents (remarque) >> "
        b"<< /Subtype /Link /A << /URI (mailto:a@b.example) >> >>] >>"
    )
    found = read(pdf(objects, b"/Root 1 0 R /Info 60 0 R"))
    assert text(found).split() == ["x", "remarque", "mailto:a@b.example", "Jeanne", "Liste"]


def test_attached_files_are_members() -> None:
    attached = {
        70: stream(b"a;b;c\n1;2;3\n4;5;6\n", b"/Type /EmbeddedFile "),
        71: b"<< /Type /Filespec /F (people.csv) /UF (people.csv) /EF << /F 70 0 R >> >>",
    }
    named = b"/Names << /EmbeddedFiles << /Names [(people.csv) 71 0 R] >> >>"
    objects = pages([stream(shown([["x"]]))], attached, catalogue=named)
    objects[100] = objects[100][:-2] + b"/Annots [<< /Subtype /FileAttachment /FS 71 0 R >>] >>"
    found = read(pdf(objects))
    members = [member for member in found.members if member.name == "people.csv"]
    assert [member.rows[0] for member in members] == [["a", "b", "c"]] * 2
    assert {member.format for member in members} == {"delimited"}


def test_pages_that_contain_only_images_are_reported() -> None:
    image = {
        80: stream(
            bytes(300),
            b"/Type /XObject /Subtype /Image /Width 10 /Height 10 /ColorSpace /DeviceRGB /BitsPerComponent 8 ",
        )
    }
    scanned = pages([stream(b"q 600 0 0 850 0 0 cm /I Do Q")], image, extra=b"/XObject << /I 80 0 R >>")
    found = read(pdf(scanned))
    assert found.problems == ["unread"]
    assert found.details == ["1 of 1 pages contain only images, whose text is not read"]
    assert not found.complete


@pytest.mark.parametrize("algorithm", ["RC4-40", "RC4-128", "AES-128", "AES-256"])
def test_only_documents_with_a_password_for_opening_are_locked(algorithm: str) -> None:
    for password in ("", "secret"):
        writer = pypdf.PdfWriter(clone_from=io.BytesIO(document(PEOPLE)))
        writer.encrypt(password, "owner", algorithm=algorithm)
        target = io.BytesIO()
        writer.write(target)
        found = read(target.getvalue())
        assert (found.rows == PEOPLE) is (not password)
        assert found.problems == (["locked"] if password else [])
        assert found.complete is (not password)


def test_streams_outside_the_document_structure_are_sent() -> None:
    objects = pages(
        [stream(shown([["x"]]))],
        {90: stream(b"BT [(Du)-20(po)3(nt)] TJ T* (a\\(b\\)\\351) Tj ET"), 91: stream(b"<x>dupont@b.example</x>")},
    )
    found = read(pdf(objects))
    [member] = found.members
    assert member.raw.split() == [b"x", b"Dupont", b"a(b)\xe9", b"<x>dupont@b.example</x>"]
    assert found.all_complete


def test_only_the_damaged_page_is_lost() -> None:
    objects = pages([stream(shown([["Dupont"]])), b"(no stream)", stream(shown([["Martin"]]))])
    objects[102] = objects[102].replace(b"/Font << /F1 3 0 R >>", b"/Font 7")
    body = zlib.compress(shown([["Léger"]]))[:20]
    objects[103] = b"<< /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (len(body), body)
    found = read(pdf(objects))
    assert "Dupont" in text(found)
    assert "Martin" in text(found)


@pytest.mark.parametrize("cut", [0.5, 0.9])
def test_the_complete_streams_of_a_truncated_document_are_sent(cut: float) -> None:
    whole = document(*[[[f"person{number}@b.example"]] for number in range(60)])
    found = read(whole[: int(len(whole) * cut)])
    assert found.shows("person20@b.example")
    assert not found.all_complete


def test_a_document_without_an_index_is_read_by_its_objects() -> None:
    found = read(made.pdf(pages([stream(shown([["Dupont"]]))]), index=False))
    assert found.shows("Dupont")


@pytest.mark.slow
def test_a_bomb_is_reported() -> None:
    bomb = zlib.compress(bytes(40_000_000), 9)
    objects = pages(
        [stream(shown([["Dupont"]]))], {90: b"<< /Filter /FlateDecode /Length 9 >>\nstream\n%s\nendstream" % bomb}
    )
    found = read(pdf(objects), Limits(max_ratio=50))
    assert "ratio" in found.all_problems
    assert not found.all_complete
    assert "Dupont" in text(found)


# --- documents by other programs -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_sample_documents_of_pypdf_are_read_or_reported() -> None:
    seen = locked = reported = 0
    for name, data in files(PYPDF).items():
        # The few large documents take as long as all others together.
        if not name.endswith(".pdf") or len(data) > 200_000:
            continue
        found = read(data)
        seen += 1
        locked += "locked" in found.problems
        reported += bool(found.problems)
        assert found.format == "pdf", name
        assert "reader" not in found.all_problems, name
        assert found.text or found.problems or found.members, name
    assert seen >= 50
    assert locked == 9
    assert reported <= 20
