"""People in documents of every format, read through the sandbox and the examiner: each is found, and nobody else."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pyarrow as pa
import pytest
from pyarrow import parquet

from crawler.examiner.examination import Examiner
from tests.synth import binary_workbook as xlsb
from tests.synth import office
from tests.synth.case import enrol, examine, examining
from tests.synth.compound import compound, narrow, record, sheets, wide
from tests.synth.hostile import make_zip
from tests.synth.pdf import document
from tests.synth.people import COLUMNS, HEADERS, Person, people, row

PEOPLE = people(31, 400)
CANARIES = PEOPLE[100:140]
HEADER = [HEADERS["fr"][name] for name in COLUMNS]
TEXTS = [HEADER, *(row(person) for person in PEOPLE)]


@pytest.fixture(scope="module", params=[False, None], ids=["seccomp alone", "best confinement"])
def examiner(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    folder = tmp_path_factory.mktemp("case")
    enrol(folder, CANARIES)
    with examining(folder, bwrap=request.param) as examiner:
        yield examiner


def typed_values(person: Person) -> list[str | int | tuple[int, int]]:
    """The values that a workbook holds after a person typed them: dates and numbers, without leading zeros."""
    return [
        person.surname,
        person.first,
        (office.serial(person.dob), office.DATE),
        int(person.nir),
        person.email,
        int(person.phone),
    ]


def old_workbook() -> bytes:
    def cell(line: int, column: int, text: str) -> bytes:
        latin = all(ord(letter) < 256 for letter in text)
        return record(
            0x204, line.to_bytes(2, "little") + bytes([column, 0, 0, 0]) + (narrow(text) if latin else wide(text))
        )

    cells = (cell(line, column, text) for line, texts in enumerate(TEXTS) for column, text in enumerate(texts))
    return compound({"Workbook": sheets(b"".join(cells))})


def columns() -> bytes:
    target = io.BytesIO()
    table = {
        "patient": [{"nom": person.surname, "prenom": person.first, "naissance": person.dob} for person in PEOPLE],
        "nir": [int(person.nir) for person in PEOPLE],
        "contact": [{"email": person.email, "tel": [person.phone]} for person in PEOPLE],
    }
    parquet.write_table(pa.table(table), target, row_group_size=150, compression="zstd")
    return target.getvalue()


def arrow() -> bytes:
    target = io.BytesIO()
    table = pa.table({name: [row(person)[at] for person in PEOPLE] for at, name in enumerate(HEADER)})
    with pa.ipc.new_file(target, table.schema) as writer:
        writer.write_table(table, max_chunksize=150)
    return target.getvalue()


def binary() -> bytes:
    rows = (
        xlsb.row(line, *(xlsb.cell(6, at, xlsb.text(text)) for at, text in enumerate(texts)))
        for line, texts in enumerate(TEXTS)
    )
    return make_zip(xlsb.parts(xlsb.sheet(*rows), []))


DOCUMENTS = {
    "xlsx": lambda: office.workbook([[*HEADER], *map(typed_values, PEOPLE)]),
    "xlsx of texts": lambda: office.workbook([[*texts] for texts in TEXTS]),
    "ods": lambda: office.open_document(office.ods_table(TEXTS)),
    "odt": lambda: office.open_document(office.ods_table(TEXTS), "text"),
    "docx": lambda: make_zip(office.document_parts(office.word_table(TEXTS))),
    "pdf": lambda: document(*(TEXTS[start : start + 50] for start in range(0, len(TEXTS), 50))),
    "xls": old_workbook,
    "xlsb": binary,
    "parquet": columns,
    "arrow": arrow,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_every_person_in_a_document_is_a_record_and_every_canary_hits(examiner: Examiner, kind: str) -> None:
    finding = examine(examiner, DOCUMENTS[kind]())
    assert finding.complete
    assert not finding.problems
    assert [(hit.canaries, hit.records) for hit in finding.hits] == [(len(CANARIES), len(CANARIES))]
    assert finding.records == len(PEOPLE)
