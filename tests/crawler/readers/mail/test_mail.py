"""Mail and mailboxes: headers are text, bodies and attachments are members, whatever their encoding and framing."""

from __future__ import annotations

import base64
import io
import quopri
import resource
import zipfile
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from crawler.readers.core.limits import Limits
from crawler.readers.core.members import read_sample
from crawler.readers.core.registry import choose
from tests.crawler.readers.frames import Consumer, Member, read

TABLE = "nom;prenom;naissance\nDUPONT;Jean;12/03/1975\nLEFÈVRE;Zoé;01/02/1980\n"
ROWS = [line.split(";") for line in TABLE.splitlines()]


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("people.csv", TABLE)
    return buffer.getvalue()


def message(body: str = "Voici la liste de Zoé.\n", *, html: str = "", attach: bool = False) -> EmailMessage:
    made = EmailMessage(policy=SMTP)
    made["From"] = "Zoé Lefèvre <zoe@free.example>"
    made["To"] = "jean@free.example"
    made["Subject"] = "Liste des patients sélectionnés de l'année"
    made["Date"] = "Wed, 12 Mar 1975 10:00:00 +0100"
    made.set_content(body)
    if html:
        made.add_alternative(html, subtype="html")
    if attach:
        made.add_attachment(zipped(), "application", "zip", filename="données.zip")
        made.add_attachment(TABLE.encode("utf-16"), "text", "csv", filename="people.csv")
    return made


def by_name(found: Member) -> dict[str, Member]:
    return {member.name: member for member in found.walk()}


def test_headers_are_output_as_text_and_every_part_is_a_member() -> None:
    found = read(message(html="<table><tr><td>DUPONT<td>Jean<tr><td>DURAND<td>Luc</table>", attach=True).as_bytes())
    assert found.format == "eml"
    assert "From: Zoé Lefèvre <zoe@free.example>" in found.text.decode()
    assert "Subject: Liste des patients sélectionnés de l'année" in found.text.decode()
    formats = [member.format for member in found.walk()]
    assert formats == ["eml", "text", "html", "zip", "delimited", "delimited"]
    members = by_name(found)
    assert members["données.zip"].members[0].rows == ROWS
    assert members["people.csv"].rows == ROWS
    assert [row for member in found.walk() if member.format == "html" for row in member.rows] == [
        ["DUPONT", "Jean"],
        ["DURAND", "Luc"],
    ]
    assert found.all_complete
    assert not found.all_problems


@pytest.mark.parametrize("encoding", ["7bit", "base64", "quoted-printable"])
@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "iso-8859-15", "mac-roman", "utf-16", "x-unheard-of"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_body_is_decoded_by_its_transfer_encoding_and_charset(encoding: str, charset: str, end: bytes) -> None:
    body = TABLE.encode(charset if charset != "x-unheard-of" else "utf-8")
    if charset == "utf-16" and encoding != "base64":
        return
    encoded = {"7bit": body, "base64": base64.encodebytes(body), "quoted-printable": quopri.encodestring(body)}
    head = (
        "From: a@b.example\nSubject: x\nMIME-Version: 1.0\n"
        f"Content-Type: text/csv;\n charset={charset}\nContent-Transfer-Encoding: {encoding}\n\n"
    )
    found = read((head.encode() + encoded[encoding]).replace(b"\n", end))
    [member] = found.members
    assert member.rows == ROWS
    assert not found.all_problems


def test_damage_affects_only_the_part_in_which_it_occurs() -> None:
    whole = message(attach=True).as_bytes()
    at = whole.index(b"application/zip")
    body = whole.index(b"\r\n\r\n", at) + 4
    broken = whole[: body + 30] + b"!!\xff!!" + whole[body + 37 :]
    found = read(broken)
    assert by_name(found)["people.csv"].rows == ROWS
    assert found.all_problems
    cut = read(whole[:-200])
    assert "cut" in cut.all_problems
    assert not cut.all_complete


def test_a_multipart_that_is_not_closed_ends_at_the_outer_boundary() -> None:
    text = (
        "From: a@b.example\nTo: c@d.example\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=out\n\n"
        "--out\nContent-Type: multipart/alternative; boundary=in\n\n--in\n\nfirst\n"
        "--out\nContent-Type: text/plain\n\nsecond\n--out--\nepilogue\n"
    )
    found = read(text.encode())
    assert [bytes(member.text).strip() for member in found.members] == [b"first", b"second"]
    assert not found.all_problems


def test_each_message_of_a_mailbox_is_a_member() -> None:
    box = b""
    for number in range(5):
        body = f"Bonjour {number}\nFrom here on it is text.\n\n>From a quoted line\n"
        box += b"From zoe@free.example Wed Mar 12 10:00:00 1975\n"
        box += message(body, attach=number == 3).as_bytes().replace(b"\r\n", b"\n") + b"\n\n"
    for cut in (2**20, 1000, 77):
        found = read(box, cut=cut)
        assert found.format == "mbox"
        assert [member.format for member in found.members] == ["eml"] * 5
        assert sum(len(member.rows) for member in found.walk()) == 2 * len(ROWS)
        assert found.shows("Bonjour 4")
        assert found.shows("\nFrom a quoted line")
        assert not found.all_problems


@pytest.mark.slow
def test_a_large_mailbox_with_a_large_attachment_needs_little_memory() -> None:
    line = base64.b64encode(b"x" * 57) + b"\n"

    def chunks() -> Iterator[bytes]:
        yield b"From a@b.example Wed Mar 12 10:00:00 1975\nFrom: a@b.example\nTo: c@d.example\nSubject: x\n"
        yield b"MIME-Version: 1.0\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n"
        for _ in range(60):
            yield line * 8000
        for number in range(3000):
            yield (
                b"\nFrom a@b.example Wed Mar 12 10:00:00 1975\nFrom: a@b.example\nTo: c@d.example\nSubject: %d\n\nok\n"
                % number
            )

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    members = 0

    def count(kind: bytes, payload: bytes) -> None:
        nonlocal members
        members += kind == b"M"

    read_sample(chunks(), count, Limits())
    assert members == 2 + 1 + 2 * 3000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kilobytes


@pytest.mark.parametrize(
    ("head", "name", "expected"),
    [
        (b"From: a@b.fr\nTo: c@d.fr\nSubject: x\n\nbody", "", "eml"),
        (b"Received: from x\n\tby y;\nReceived: from z\nMessage-ID: <1@x>\nFrom: a@b.fr\n\n", "", "eml"),
        (b"MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=x\r\n\r\n--x\r\n", "page.mht", "eml"),
        (b"From a@b.fr Wed Mar 12 10:00:00 1975\nFrom: a@b.fr\n\nx", "", "mbox"),
        (b"From here on, nothing: is as it was\n", "", "text"),
        (b"Nom: DUPONT\nPrenom: Jean\nEmail: a@b.fr\n", "", "text"),
        (b"from: paris\ntime: 10:00\n", "", "text"),
    ],
)
def test_mail_is_distinguished_from_other_text(head: bytes, name: str, expected: str) -> None:
    assert getattr(choose(head, name), "FORMAT", "") == expected


def test_every_part_begins_and_ends_once_in_the_frames() -> None:
    consumer = Consumer()
    read_sample(iter([message(attach=True).as_bytes()]), consumer.take, Limits())
    assert consumer.frames.count(b"M") == consumer.frames.count(b"E") == 5


def test_parameters_that_make_the_standard_library_fail_do_not_stop_the_reader():
    """Found by fuzzing: one of several pieces of a parameter has no number."""
    head = 'Content-Type: multipart/mixed; x*0="a"; x*="b"; boundary="cut"'
    mail = f"From: a@b.example\nTo: c@d.example\nMIME-Version: 1.0\n{head}\n\n--cut\n{head}\n\nDupont;Paul\n--cut--\n"
    found = read(mail.encode())
    assert "reader" not in found.all_problems
    assert found.shows("Dupont;Paul")


OUTER = "From: a@b.example\nTo: c@d.example\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=cut\n\n"
NEVER_BEGUN = "--cut\nContent-Type: multipart/mixed; boundary=inner\n\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (OUTER, "--cut\n\nx\n--cut--\n"),
        (f"{OUTER}--cut\n\nx\n--cut--\n", ""),
        (OUTER + NEVER_BEGUN, "--cut--\n"),
        (f"{OUTER}{NEVER_BEGUN}--inner\n\nx\n--inner--\n", "--cut--\n"),
        (OUTER, ""),
    ],
    ids=[
        "before the first part",
        "after the last part",
        "never begun",
        "after a multipart in another",
        "no part at all",
    ],
)
def test_what_stands_outside_of_all_parts_is_read_too(before: str, after: str) -> None:
    sentence = "This is a multi-part message in MIME format.\n"
    found = read(f"{before}{sentence}\n{after}".encode())
    assert found.shows(sentence.strip())
    table = "nom;prenom;naissance\n" + "".join(f"Dupont;Anna;{day:02}/03/1970\n" for day in range(1, 9))
    found = read(f"{before}{table}{after}".encode())
    rows = [row for member in found.walk() for row in member.rows]
    assert rows[-1] == ["Dupont", "Anna", "08/03/1970"]
