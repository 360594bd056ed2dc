"""Synthetic people in formats with nested values: JSON of many forms, XML, FHIR, HL7 v2 and vCards."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from tests.synth.people import COLUMNS, HEADERS, Person, row

People = Sequence[Person]


def records(people: People, language: str = "fr") -> list[dict[str, str]]:
    """A list of flat records."""
    return [dict(zip((HEADERS[language][name] for name in COLUMNS), row(each), strict=True)) for each in people]


def nested(people: People) -> list[dict[str, Any]]:
    """A list of nested records, as a document database exports them."""
    return [
        {
            "_id": {"$oid": f"{number:024x}"},
            "identity": {"lastName": each.surname, "firstName": each.first, "birthDate": f"{each.dob:%Y-%m-%d}"},
            "nir": each.nir,
            "contacts": [{"type": "email", "email": each.email}, {"type": "phone", "phone": each.phone}],
            "visits": [{"date": "2020-01-02", "note": each.note}],
        }
        for number, each in enumerate(people)
    ]


def patient(person: Person) -> dict[str, Any]:
    """A FHIR resource of the type Patient."""
    return {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:oid:1.2.250.1.213.1.4.8", "value": person.nir}],
        "name": [{"family": person.surname, "given": [person.first]}],
        "telecom": [{"system": "phone", "value": person.phone}, {"system": "email", "value": person.email}],
        "birthDate": f"{person.dob:%Y-%m-%d}",
    }


def bundle(people: People) -> dict[str, Any]:
    """A FHIR bundle of patients."""
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": patient(each)} for each in people]}


def fhir_xml(people: People) -> str:
    """A FHIR bundle of patients in XML."""
    entries = "".join(
        f"<entry><resource><Patient><identifier><system value='urn:oid:1.2.250.1.213.1.4.8'/>"
        f"<value value='{each.nir}'/></identifier>"
        f"<name><family value={quoteattr(each.surname)}/><given value={quoteattr(each.first)}/></name>"
        f"<telecom><system value='phone'/><value value='{each.phone}'/></telecom>"
        f"<telecom><system value='email'/><value value='{each.email}'/></telecom>"
        f"<birthDate value='{each.dob:%Y-%m-%d}'/></Patient></resource></entry>"
        for each in people
    )
    return f'<?xml version="1.0"?><Bundle xmlns="http://hl7.org/fhir">{entries}</Bundle>'


def xml(people: People) -> str:
    """XML with one element per value."""
    return "<export>" + "".join(
        "<patient>" + "".join(f"<{key}>{escape(value)}</{key}>" for key, value in each.items()) + "</patient>\n"
        for each in records(people)
    ) + "</export>"  # fmt: skip


def mysqldump_xml(people: People) -> str:
    """XML as `mysqldump --xml` writes it."""
    rows = "".join(
        "<row>" + "".join(f'<field name="{key}">{escape(value)}</field>' for key, value in each.items()) + "</row>\n"
        for each in records(people)
    )
    table = f'<table_data name="p">{rows}</table_data>'
    return f'<?xml version="1.0"?><mysqldump><database name="x">{table}</database></mysqldump>'


def sql_server_xml(people: People) -> str:
    """XML with one attribute per value, as SQL Server writes it."""
    rows = (" ".join(f"{key}={quoteattr(value)}" for key, value in each.items()) for each in records(people))
    return f"<r>{''.join(f'<row {row}/>' for row in rows)}</r>"


def hl7(people: People) -> str:
    """HL7 messages about admissions."""
    return "".join(
        f"MSH|^~\\&|A|B|C|D|20200101||ADT^A01|{number}|P|2.5\r"
        f"PID|1||{each.nir}^^^INS-NIR||{each.surname}^{each.first}||"
        f"{each.dob:%Y%m%d}|{each.sex}|||1 rue X^^Lyon||{each.phone}^PRN^PH~^NET^Internet^{each.email}\r"
        for number, each in enumerate(people)
    )


def vcards(people: People) -> str:
    """An address book of vCards."""
    return "".join(
        f"BEGIN:VCARD\r\nVERSION:3.0\r\nN:{each.surname};{each.first}\r\nBDAY:{each.dob:%Y-%m-%d}\r\n"
        f"TEL:{each.phone}\r\nEMAIL:{each.email}\r\nX-NIR:{each.nir}\r\nEND:VCARD\r\n"
        for each in people
    )


def elasticsearch(people: People) -> dict[str, Any]:
    """The answer of Elasticsearch to a search."""
    return {"hits": {"hits": [{"_id": "1", "_source": each} for each in records(people)]}}


def phpmyadmin(people: People) -> list[dict[str, Any]]:
    """A table as phpMyAdmin exports it."""
    return [{"type": "header"}, {"type": "table", "name": "p", "data": records(people)}]


def _json(make: Callable[[People], Any], indent: int | None = None) -> Callable[[People], str]:
    return lambda people: json.dumps(make(people), indent=indent, ensure_ascii=indent is None)


FORMS: dict[str, Callable[[People], str]] = {
    "json array": _json(records),
    "json over many lines": _json(records, 2),
    "json in english": _json(lambda people: records(people, "en")),
    "json inside objects": _json(lambda people: {"meta": {"n": 1}, "data": {"patients": records(people)}}),
    "json under ids": _json(lambda people: {str(number): each for number, each in enumerate(records(people))}),
    "json arrays": _json(lambda people: [[HEADERS["fr"][name] for name in COLUMNS], *map(row, people)]),
    "json columns": _json(lambda people: {key: [each[key] for each in records(people)] for key in records(people)[0]}),
    "elasticsearch": _json(elasticsearch),
    "phpmyadmin json": _json(phpmyadmin),
    "nested json": _json(nested),
    "nested json lines": lambda people: "\n".join(map(json.dumps, nested(people))),
    "python": lambda people: str(records(people)),
    "xml": xml,
    "mysqldump xml": mysqldump_xml,
    "sql server xml": sql_server_xml,
    "fhir": _json(bundle),
    "fhir lines": lambda people: "\n".join(json.dumps(patient(each)) for each in people),
    "fhir xml": fhir_xml,
    "hl7": hl7,
    "vcard": vcards,
}  # fmt: skip
