"""Every filled cell of a row speaks: which columns are whose, and what a row gives in each of its readings."""

from __future__ import annotations

import pytest

from crawler.records.column_roles import plan_columns_of_rows
from crawler.records.record_keys import tag_rows
from crawler.records.row_batch import RowBatch
from crawler.records.row_readings import split_name
from data.hashing.tags import Kind, record_inputs
from data.hashing.tags import probe_tag as tag
from data.identifiers import normalise
from data.identifiers.header_words import is_of_others, role_of
from tests.synth.people import people

KEY = bytes(range(16))
PEOPLE = people(41, 30)


def keys_of_rows(header: list[str] | None, rows: list[list[str]]) -> list[set[int]]:
    """All record keys of each row, in all of its readings."""
    tags = tag_rows(plan_columns_of_rows(header, rows), RowBatch.of(rows), KEY)
    found = [set(keys) - {0} for keys in tags.keys.tolist()]
    for other in tags.inputs.others:
        for row, keys in zip(other.reading.rows.tolist(), other.keys.tolist(), strict=True):
            found[row] |= set(keys) - {0}
    return found


def keys_of(**values: str) -> set[int]:
    forms = {role: normalise.normalise(role, text) for role, text in values.items()}
    return {tag(KEY, kind, value) for kind, value in record_inputs(**forms)}


def test_each_filled_column_of_a_kind_gives_keys_row_by_row() -> None:
    header = ["nom_usage", "nom_naissance", "prenom", "date_naissance", "tel_fixe", "portable"]
    rows = [
        [
            "" if at % 3 == 0 else "Martin",
            "" if at % 3 == 1 else each.surname,
            each.first,
            f"{each.dob:%d/%m/%Y}",
            "" if at % 2 else f"01449900{at:02}",
            each.phone,
        ]
        for at, each in enumerate(PEOPLE)
    ]
    for cells, found in zip(rows, keys_of_rows(header, rows), strict=True):
        for surname in filter(None, cells[:2]):
            assert keys_of(surname=surname, first=cells[2], dob=cells[3]) <= found
        for phone in filter(None, cells[4:]):
            assert keys_of(phone=phone, first=cells[2], dob=cells[3]) <= found


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("patient", [f"{4711 + at}" for at in range(30)]),
        ("full_name", [""] * 30),
        ("name", ["patients"] * 30),
        ("fullName", ["" if at % 2 else f"{each.first} {each.surname}" for at, each in enumerate(PEOPLE)]),
    ],
)
def test_a_column_that_seems_to_hold_whole_names_does_not_displace_the_names(column: str, values: list[str]) -> None:
    rows = [
        [value, each.surname, each.first, f"{each.dob:%d/%m/%Y}"] for value, each in zip(values, PEOPLE, strict=True)
    ]
    found = keys_of_rows([column, "nom", "prenom", "ddn"], rows)
    for (_, surname, first, dob), keys in zip(rows, found, strict=True):
        assert keys_of(surname=surname, first=first, dob=dob) <= keys


def test_each_row_of_whole_names_takes_its_own_reading() -> None:
    # one cell in capitals has two readings; all others have one
    rows = [[f"{each.surname.upper()} {each.first}", f"{each.dob:%d/%m/%Y}"] for each in PEOPLE]
    rows[7][0] = rows[7][0].upper()
    found = keys_of_rows(["patient", "ddn"], rows)
    for each, keys in zip(PEOPLE, found, strict=True):
        assert keys_of(surname=each.surname, first=each.first, dob=f"{each.dob:%d/%m/%Y}") <= keys


@pytest.mark.parametrize(
    ("text", "surname_first", "best"),
    [
        ("DUPONT^Jean^^^", True, ("DUPONT", "Jean")),
        ("Mme DUPONT Jeanne", True, ("DUPONT", "Jeanne")),
        ("DUPONT née MARTIN Jeanne", True, ("DUPONT", "Jeanne")),
        ("Jean Pierre Dupont", False, ("Dupont", "Jean Pierre")),
        ("Dupont Jean", False, ("Jean", "Dupont")),
    ],
)
def test_whole_names_are_split_as_they_are_written(text: str, surname_first: bool, best: tuple[str, str]) -> None:
    assert best in split_name(text, surname_first=surname_first)[: 3 if len(text.split()) > 2 else 1]


def test_the_order_of_whole_names_is_that_of_the_column() -> None:
    plan = plan_columns_of_rows(["patient", "ddn"], [[f"{p.first} {p.surname}", "12/03/1975"] for p in PEOPLE])
    assert not plan.columns[0].surname_first
    plan = plan_columns_of_rows(["patient", "ddn"], [[f"{p.surname} {p.first}", "12/03/1975"] for p in PEOPLE])
    assert plan.columns[0].surname_first


@pytest.mark.parametrize(
    ("header", "role"),
    [
        ("DATENAIS", "dob"), ("NUMSECU", "nir"), ("NOMNAIS", "surname"), ("DT_NAISS", "dob"), ("Né(e) le", "dob"),
        ("dateNaissance", "dob"), ("patientBirthDate", "dob"), ("N° Sécu", "nir"), ("ins_nir", "nir"),
        ("nom_jf", "surname"), ("TELFIXE", "phone"), ("code_insee", ""), ("ville", ""), ("lieu_naissance", ""),
    ],
)  # fmt: skip
def test_short_header_words_of_old_programs_are_known(header: str, role: str) -> None:
    assert role_of(header) == role


def test_the_telephone_of_the_practice_identifies_nobody() -> None:
    assert is_of_others("tel_cabinet")
    assert not is_of_others("tel_portable")
    header = ["nom", "prenom", "ddn", "tel_cabinet"]
    rows = [[each.surname, each.first, f"{each.dob:%d/%m/%Y}", f"014455667{at % 2}"] for at, each in enumerate(PEOPLE)]
    plan = plan_columns_of_rows(header, rows)
    tags = tag_rows(plan, RowBatch.of(rows), KEY)
    assert (tags.keys != 0).sum(axis=0).tolist() == [30, 0, 0, 0, 0, 0]
    # its value is looked up all the same
    assert len(tags.values[Kind.PHONE][1]) == 30


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("201015917668470", True), ("2010159176684", True), ("2.01.01.59.176.684.70", True), ("107082A11048747", True),
        ("201015917668471", False), ("2.16.840.1.113883.1.3", False), ("2168401113883", True), ("2010100176684", False),
    ],
)  # fmt: skip
def test_a_number_is_a_nir_by_its_department_and_its_key(text: str, sound: bool) -> None:
    if text.startswith("107082A"):
        text = text[:13] + f"{97 - int(text[:13].replace('2A', '19')) % 97:02}"
    assert normalise.is_sound_nir(text) is sound


def test_an_object_identifier_in_every_row_is_no_social_security_number() -> None:
    rows = [["2.16.840.1.113883.1.3", each.surname, each.first, each.nir] for each in PEOPLE]
    plan = plan_columns_of_rows(["typeId.root", "family", "given", "id.extension"], rows)
    assert [column.role for column in plan.columns] == ["", "surname", "first", "nir"]


@pytest.mark.parametrize("swapped", [False, True])
def test_rare_names_are_found_by_their_place_beside_a_birth_date(swapped: bool) -> None:
    rare = [["Diarrassouba", "Thiên-Kim"], ["Ouedraogo", "Wendkuni"], ["Kurosawa", "Ayumi"], ["Bjørnsen", "Sølvi"]]
    rows = [[*names[:: -1 if swapped else 1], f"{at + 10}/03/1975"] for at, names in enumerate(rare)]
    for header in (None, ["a", "b", "c"]):
        for cells, found in zip(rows, keys_of_rows(header, rows), strict=True):
            assert keys_of(surname=cells[0], first=cells[1], dob=cells[2]) <= found
    whole = [[f"{one} {two}", day] for one, two, day in rows]
    for cells, found in zip(rows, keys_of_rows(None, whole), strict=True):
        assert keys_of(surname=cells[0], first=cells[1], dob=cells[2]) <= found


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Yılmaz", b"yilmaz"), ("Đặng", b"dang"), ("Þór", b"thor"), ("Ħaż", b"haz"), ("de La Fontaine", b"fontaine"),
        ("D'Hérouville", b"herouville"), ("Le Goff", b"goff"),
    ],
)  # fmt: skip
def test_other_forms_of_a_surname(text: str, form: bytes) -> None:
    variants = normalise.name_variants(text)
    assert variants[0] == normalise.name(text)
    assert form in variants


def test_other_forms_of_a_first_name_are_of_the_same_person() -> None:
    assert b"jean" in normalise.given_variants("Jean Pierre Marie")
    assert b"catherine" in normalise.given_variants("Cathy")
    # beside a surname and a birth date: twins alone could be called Marie and Marie-Claire
    assert normalise.given_variants("Marie-Claire") == [b"marieclaire", b"marie"]
    assert normalise.given_variants("Jo-Ann") == [b"joann"]
