from __future__ import annotations

import base64
import json
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest

from crawler.readers.core.limits import Limits
from tests.crawler.readers.frames import Member, read

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p1",
    "text": {"status": "generated", "div": "<div xmlns='x'>suivi <b>régulier</b></div>"},
    "identifier": [
        {"system": "urn:oid:1.2.250.1.213.1.4.8", "value": "175031234567890"},
        {"type": {"coding": [{"code": "PI"}]}, "value": "123"},
    ],
    "name": [
        {"use": "usual", "text": "Jean Dupont", "family": "Dupont", "given": ["Jean", "Paul"]},
        {"use": "maiden", "family": "Durand", "given": ["Jean"]},
    ],
    "telecom": [{"system": "phone", "value": "0612345678"}, {"system": "email", "value": "mailto:jean@x.example"}],
    "birthDate": "1975-03-12",
    "address": [{"line": ["1 rue X"], "city": "Lyon"}],
    "contact": [
        {"name": {"family": "Martin", "given": ["Léa"]}, "telecom": [{"system": "phone", "value": "0611223344"}]}
    ],
    "maritalStatus": {"text": "marié"},
}
NOTE = {
    "resourceType": "Observation",
    "valueString": "fume peu",
    "note": [{"text": "à revoir"}],
    "subject": {"display": "x"},
}
DOCTOR = {
    "resourceType": "Practitioner",
    "identifier": [{"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "10001234567"}],
    "name": [{"family": "Blanc", "given": ["Anne"]}],
}


def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    return {
        "resourceType": "Bundle",
        "entry": [{"fullUrl": f"urn:{number}", "resource": each} for number, each in enumerate(resources)],
    }


def to_xml(name: str, value: Any) -> str:
    """As the XML form of FHIR writes it."""
    if isinstance(value, list):
        return "".join(to_xml(name, each) for each in value)
    if name == "div":
        return str(value)
    if not isinstance(value, dict):
        return f"<{name} value={quoteattr(str(value))}/>"
    kind = value.get("resourceType")
    inner = "".join(to_xml(key, each) for key, each in value.items() if key != "resourceType")
    inner = f"<{kind} xmlns='http://hl7.org/fhir'>{inner}</{kind}>" if kind else inner
    return inner if kind and not name else f"<{name}>{inner}</{name}>"


FORMS = {
    "a bundle": json.dumps(bundle(PATIENT, NOTE, DOCTOR)),
    "a bundle over many lines": json.dumps(bundle(PATIENT, NOTE, DOCTOR), indent=2),
    "a bulk export": "\n".join(json.dumps(each, ensure_ascii=False) for each in (PATIENT, NOTE, DOCTOR)),
    "an array": json.dumps([PATIENT, NOTE, DOCTOR]),
    "contained": json.dumps({**NOTE, "contained": [PATIENT, DOCTOR]}),
    "XML": to_xml("", bundle(PATIENT, NOTE, DOCTOR)),
    "XML with a prolog": '<?xml version="1.0"?>' + to_xml("", bundle(PATIENT, NOTE, DOCTOR)),
}


def person_rows(found: Member) -> list[dict[str, str]]:
    return [
        {key: value for key, value in zip(table.columns or [], row, strict=True) if value}
        for table in found.tables
        for row in table.rows
    ]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("limits", [Limits(), Limits(max_line=2500)])
def test_people_are_rows_and_everything_else_is_text(form: str, limits: Limits) -> None:
    found = read(FORMS[form].encode(), limits)
    assert found.format == "fhir"
    assert not found.problems
    people = {row["segment"]: row for row in person_rows(found) if "segment" in row}
    patient = people["Patient"]
    assert patient.pop("identifiers").startswith("urn:oid:1.2.250.1.213.1.4.8 ~ 123")
    assert patient.pop("address") == "1 rue X Lyon"
    assert patient == {
        "segment": "Patient",
        "surname": "Dupont",
        "first_name": "Jean",
        "given_names": "Jean Paul",
        "birth_name": "Durand",
        "birth_date": "1975-03-12",
        "nir": "175031234567890",
        "phone": "0612345678",
        "email": "jean@x.example",
        "names": "Durand Jean Jean",
    }
    assert people["Patient.contact"] == {
        "segment": "Patient.contact",
        "surname": "Martin",
        "first_name": "Léa",
        "given_names": "Léa",
        "phone": "0611223344",
    }
    assert people["Practitioner"]["rpps"] == "10001234567"
    text = found.text.decode()
    for words in ("fume peu", "à revoir", "marié", "régulier"):
        assert words in text


def test_every_patient_of_a_bundle_larger_than_the_memory_limit_is_a_row() -> None:
    patients = [
        {**PATIENT, "id": str(number), "birthDate": f"19{number % 90 + 10}-01-01", "contact": []}
        for number in range(300)
    ]
    found = read(json.dumps(bundle(*patients)).encode(), Limits(max_line=5000))
    assert len([row for row in person_rows(found) if row.get("segment") == "Patient"]) == 300
    assert not found.problems


def test_a_file_inside_a_resource_is_a_member() -> None:
    data = base64.b64encode(b"nom;prenom;ville\n" + b"Martin;Paul;Lyon\n" * 4).decode()
    found = read(json.dumps({"resourceType": "Binary", "contentType": "text/csv", "data": data}).encode())
    assert [member.format for member in found.members] == ["delimited"]


@pytest.mark.parametrize(
    "text",
    [
        '{"resourceType":"Bundle","entry":{"resource":[1,{"resourceType":5}]}}',
        '{"resourceType":"Patient","name":"x","telecom":[1,null,["y"]],"contact":[2],"address":"z"}',
        '{"resourceType":"Patient","identifier":{"value":{"a":1}}}',
        '{"resourceType":"Patient","name":[{"family":{"a":1},"given":"x"}],"birthDate":5}',
        '{"resourceType":"Patient","contained":{"resourceType":"Patient"},"entry":5',
    ],
)
def test_malformed_resources_do_not_stop_the_reader(text: str) -> None:
    found = read(text.encode())
    assert found.format == "fhir"
    assert "reader" not in found.problems
