"""Text in pictures: people in rendered tables and forms are recognised, and what cannot be read is unread."""

from __future__ import annotations

import ctypes
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from crawler.readers.core.limits import Limits
from crawler.readers.pictures import tesseract
from crawler.readers.pictures.picture import RECOGNISED, UNREAD, repaired
from crawler.sandbox.sandbox import Sandbox
from tests.crawler.readers.frames import Member, read, read_in_sandbox
from tests.synth.hostile import make_zip
from tests.synth.office import document_parts, paragraph
from tests.synth.people import people

pytestmark = pytest.mark.slow
PICTURES = Path(__file__).parents[3] / "samples" / "pictures"
PEOPLE = people(77, 60)
SHOWN = {
    "table-12.png": range(12),
    "table-14-grid.png": range(12, 22),
    "table-13-dark.png": range(22, 30),
    "table-16-mono.jpg": range(30, 40),
    "form-16.png": [40],
    "form-13.webp": [41],
    "form-15.gif": [42],
    "form-14.bmp": [43],
    "form-24.tiff": [44],
}


def picture(name: str) -> bytes:
    return (PICTURES / name).read_bytes()


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    assert tesseract.available(), "install tesseract-ocr and tesseract-ocr-fra: scripts/system-packages.sh test"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as opened:
        yield opened


def seen(text: str) -> set[int]:
    """The numbers of the people whose telephone number, or name and date of birth in one line, stand in a text."""
    digits = re.sub(r"\D", "", text)
    return {
        number
        for number, each in enumerate(PEOPLE)
        if each.phone in digits
        or any(each.surname in line and f"{each.dob:%d/%m/%Y}" in line for line in text.splitlines())
    }


def test_nine_of_ten_people_in_rendered_tables_and_forms_are_seen_and_nobody_else() -> None:
    found, shown, addresses = 0, 0, set()
    for name, numbers in SHOWN.items():
        text = read(picture(name)).text.decode()
        assert seen(text) <= set(numbers), name
        found += len(seen(text))
        shown += len(numbers)
        addresses |= set(re.findall(r"[\w.+-]+@[\w-]+\.example", text))
    assert found >= 0.9 * shown, (found, shown)
    # an address with a mistake is nobody's: tags are compared exactly
    right = {each.email for each in PEOPLE}
    assert len(addresses & right) > 15


@pytest.mark.parametrize("name", ["form-16.png", "form-13.webp", "form-15.gif", "form-24.tiff", "table-16-mono.jpg"])
def test_pictures_are_read_inside_the_walls(name: str, sandbox: Sandbox) -> None:
    found = read_in_sandbox(sandbox, picture(name))
    assert (found.format, found.complete, found.details) == ("picture", True, [RECOGNISED])
    assert seen(found.text.decode()) == set(SHOWN[name])


def docx(name: str) -> bytes:
    return make_zip({**document_parts(paragraph("Voir la fiche")), "word/media/image1.png": picture(name)})


def pdf(stream: bytes, keys: str) -> bytes:
    """A document of one page that shows one picture."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 400] /Resources << /XObject << /I 4 0 R >> >> /Contents 5 0 R >>",
        b"<< /Type /XObject /Subtype /Image %s /Length %d >>\nstream\n%s\nendstream"
        % (keys.encode(), len(stream), stream),
        b"<< /Length 29 >>\nstream\nq 600 0 0 400 0 0 cm /I Do Q \nendstream",
    ]
    made = io.BytesIO(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    made.seek(0, io.SEEK_END)
    places = []
    for number, body in enumerate(objects, 1):
        places.append(made.tell())
        made.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = made.tell()
    made.write(b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places))
    made.write(b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start)
    return made.getvalue()


@cache
def grey_pixels(name: str) -> tuple[int, int, bytes]:
    """Width, height and pixels of a PNG of 8 bits of grey that has no interlacing."""
    data, at, packed = picture(name), 8, b""
    width, height = struct.unpack_from(">II", data, 16)
    assert data[24:26] == b"\x08\0"
    while at < len(data):
        size = struct.unpack_from(">I", data, at)[0]
        if data[at + 4 : at + 8] == b"IDAT":
            packed += data[at + 8 : at + 8 + size]
        at += 12 + size
    raw, rows, above = zlib.decompress(packed), [], bytearray(width)
    for y in range(height):
        kind, row = raw[y * (width + 1)], bytearray(raw[y * (width + 1) + 1 : (y + 1) * (width + 1)])
        for x in range(width):
            left, up, corner = (row[x - 1] if x else 0), above[x], (above[x - 1] if x else 0)
            guess = left + up - corner
            paeth = min((left, up, corner), key=lambda each: (abs(guess - each), (left, up, corner).index(each)))
            row[x] = (row[x] + (0, left, up, (left + up) // 2, paeth)[kind]) & 255
        rows.append(bytes(row))
        above = row
    return width, height, b"".join(rows)


def pdf_of_pixels() -> bytes:
    width, height, data = grey_pixels("form-16.png")
    keys = f"/Width {width} /Height {height} /ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /FlateDecode"
    return pdf(zlib.compress(data), keys)


def pdf_of_jpeg() -> bytes:
    keys = "/Width 954 /Height 362 /ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /DCTDecode"
    return pdf(picture("table-16-mono.jpg"), keys)


def pdf_of_palette(bits: int) -> bytes:
    width, height, data = grey_pixels("form-16.png")
    levels = 1 << bits
    per_byte = 8 // bits
    rows = []
    for y in range(height):
        numbers = [levels - 1 - (pixel * levels >> 8) for pixel in data[y * width : (y + 1) * width]]
        numbers += [0] * (-width % per_byte)
        rows.append(bytes(
            sum(number << 8 - bits * (place + 1) for place, number in enumerate(numbers[at : at + per_byte]))
            for at in range(0, len(numbers), per_byte)
        ))  # fmt: skip
    palette = b"".join(bytes([255 - 255 * each // (levels - 1)]) * 3 for each in range(levels)).hex()
    space = f"[/Indexed /DeviceRGB {levels - 1} <{palette}>]"
    keys = f"/Width {width} /Height {height} /ColorSpace {space} /BitsPerComponent {bits} /Filter /FlateDecode"
    return pdf(zlib.compress(b"".join(rows)), keys)


def written_by_leptonica(kind: int, *, depth: int) -> tuple[int, int, bytes]:
    """Width, height and the file of a picture in another format."""
    assert tesseract._engine is not None
    library = tesseract._engine.leptonica
    for name in ("pixConvertTo1", "pixConvertTo8"):
        getattr(library, name).restype = ctypes.c_void_p
        getattr(library, name).argtypes = [ctypes.c_void_p, ctypes.c_int]
    source = picture("form-16.png")
    whole = ctypes.c_void_p(library.pixReadMem(source, len(source)))
    pix = ctypes.c_void_p(library.pixConvertTo1(whole, 160) if depth == 1 else library.pixConvertTo8(whole, 0))
    made, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert library.pixWriteMem(ctypes.byref(made), ctypes.byref(size), pix, kind) == 0
    return (*tesseract.picture_size(source), ctypes.string_at(made, size.value))


def pdf_of_jpeg_2000() -> bytes:
    width, height, data = written_by_leptonica(14, depth=8)
    return pdf(data, f"/Width {width} /Height {height} /Filter /JPXDecode")


def pdf_of_fax(kind: int, k: int) -> bytes:
    """The strip of a fax in a TIFF, as a document holds it."""
    width, height, data = written_by_leptonica(kind, depth=1)
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    tags = {}
    for number in range(struct.unpack_from(order + "H", data, start)[0]):
        tag, size, count = struct.unpack_from(order + "HHI", data, start + 2 + 12 * number)
        assert count == 1 or tag not in (273, 279)
        tags[tag] = struct.unpack_from(order + ("H" if size == 3 else "I"), data, start + 10 + 12 * number)[0]
    strip = data[tags[273] : tags[273] + tags[279]]
    options = f"<< /K {k} /Columns {width} /Rows {height} >>"
    keys = f"/Width {width} /Height {height} /ColorSpace /DeviceGray /BitsPerComponent 1 /Filter /CCITTFaxDecode /DecodeParms {options}"
    return pdf(strip, keys)


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (lambda: pdf_of_palette(4), "form-16.png"),
        (lambda: pdf_of_palette(8), "form-16.png"),
        (pdf_of_jpeg_2000, "form-16.png"),
        (lambda: pdf_of_fax(8, -1), "form-16.png"),
        (lambda: pdf_of_fax(7, 0), "form-16.png"),
        (lambda: docx("form-16.png"), "form-16.png"),
        (pdf_of_pixels, "form-16.png"),
        (pdf_of_jpeg, "table-16-mono.jpg"),
        (lambda: make_zip({"a/capture.png": picture("form-16.png")}), "form-16.png"),
    ],
    ids=[
        "palette of 16",
        "palette of 256",
        "jpeg 2000",
        "fax, group 4",
        "fax, group 3",
        "docx",
        "pdf with pixels",
        "pdf with jpeg",
        "zip",
    ],
)
def test_pictures_in_documents_and_archives_are_read(make: Callable[[], bytes], shown: str) -> None:
    found = read(make())
    assert seen(b"\n".join(bytes(each.text) for each in found.walk()).decode()) == set(SHOWN[shown])
    assert found.all_complete, [each.details for each in found.walk()]


def png(width: int, height: int, rows: bytes, *, claimed: tuple[int, int] | None = None) -> bytes:
    """A PNG of 8 bits of grey."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", *(claimed or (width, height)), 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_a_picture_without_text_is_unread() -> None:
    found = read(png(300, 300, (b"\0" + bytes(range(256)) + bytes(44)) * 300))
    assert (found.complete, found.details) == (False, [UNREAD])


@pytest.mark.parametrize("claimed", [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (7000, 7000)])
def test_a_picture_that_claims_too_many_pixels_is_not_decoded(claimed: tuple[int, int]) -> None:
    found = read(png(300, 300, bytes(301 * 300), claimed=claimed))
    assert not found.complete
    assert found.problems[-1] == "unread"


def test_time_for_all_pictures_of_a_sample_is_limited() -> None:
    whole = make_zip({f"{number}.png": picture("form-16.png") for number in range(3)})
    found = read(whole, Limits(recognition=0.01))
    assert [each.problems for each in found.members][-1] == ["limit", "unread"]
    assert not found.all_complete


def test_damaged_pictures_never_end_the_reader(sandbox: Sandbox) -> None:
    """What is cut or changed leaves a report, and the members beside the picture are read."""
    for name in ("form-16.png", "form-13.webp", "form-15.gif", "form-14.bmp", "form-24.tiff", "table-16-mono.jpg"):
        data = bytearray(picture(name))
        for at in (40, 60, len(data) // 3):
            data[at] ^= 0x5A
        archive = make_zip(
            {"a.png": bytes(data[: len(data) * 2 // 3]), "b.csv": b"nom;ville\nDurand;Lyon\nPetit;Nice\n"}
        )
        found: Member = read_in_sandbox(sandbox, archive)
        assert found.shows("Durand"), name
        assert found.members[0].details, name


def test_an_archive_behind_a_picture_is_still_found() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("people.csv", "nom;ville\nDurand;Lyon\nPetit;Nice\n")
    assert read(picture("form-16.png") + packed.getvalue()).shows("Durand")


def test_blanks_in_addresses_are_repaired() -> None:
    assert repaired("emma.dumas @orange .example  0674") == "emma.dumas@orange.example  0674"
    assert repaired("Dr. Martin. Voir") == "Dr. Martin. Voir"
