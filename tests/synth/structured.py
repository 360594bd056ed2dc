"""Synthetic people in the formats that nest: JSON of many shapes, XML, FHIR, HL7 v2 and vCards."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from tests.synth.people import COLUMNS, HEADERS, Person, row

Crowd = Sequence[Person]


def records(crowd: Crowd, language: str = "fr") -> list[dict[str, str]]:
    """Flat records."""
    return [dict(zip((HEADERS[language][name] for name in COLUMNS), row(each), strict=True)) for each in crowd]


def nested(crowd: Crowd) -> list[dict[str, Any]]:
    """As a document database keeps them."""
    return [
        {
            "_id": {"$oid": f"{number:024x}"},
            "identity": {"lastName": each.surname, "firstName": each.first, "birthDate": f"{each.dob:%Y-%m-%d}"},
            "nir": each.nir,
            "contacts": [{"type": "email", "email": each.email}, {"type": "phone", "phone": each.phone}],
            "visits": [{"date": "2020-01-02", "note": each.note}],
        }
        for number, each in enumerate(crowd)
    ]


def patient(person: Person) -> dict[str, Any]:
    """A FHIR resource."""
    return {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:oid:1.2.250.1.213.1.4.8", "value": person.nir}],
        "name": [{"family": person.surname, "given": [person.first]}],
        "telecom": [{"system": "phone", "value": person.phone}, {"system": "email", "value": person.email}],
        "birthDate": f"{person.dob:%Y-%m-%d}",
    }


def bundle(crowd: Crowd) -> dict[str, Any]:
    """A FHIR bundle."""
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": patient(each)} for each in crowd]}


def fhir_xml(crowd: Crowd) -> str:
    """The same in XML."""
    entries = "".join(
        f"<entry><resource><Patient><identifier><system value='urn:oid:1.2.250.1.213.1.4.8'/><value value='{each.nir}'/>"
        f"</identifier><name><family value={quoteattr(each.surname)}/><given value={quoteattr(each.first)}/></name>"
        f"<telecom><system value='phone'/><value value='{each.phone}'/></telecom>"
        f"<telecom><system value='email'/><value value='{each.email}'/></telecom>"
        f"<birthDate value='{each.dob:%Y-%m-%d}'/></Patient></resource></entry>"
        for each in crowd
    )
    return f'<?xml version="1.0"?><Bundle xmlns="http://hl7.org/fhir">{entries}</Bundle>'


def xml(crowd: Crowd) -> str:
    """Elements for values."""
    return "<export>" + "".join(
        "<patient>" + "".join(f"<{key}>{escape(value)}</{key}>" for key, value in each.items()) + "</patient>\n"
        for each in records(crowd)
    ) + "</export>"  # fmt: skip


def mysqldump_xml(crowd: Crowd) -> str:
    """As mysqldump --xml writes."""
    rows = "".join(
        "<row>" + "".join(f'<field name="{key}">{escape(value)}</field>' for key, value in each.items()) + "</row>\n"
        for each in records(crowd)
    )
    return f'<?xml version="1.0"?><mysqldump><database name="x"><table_data name="p">{rows}</table_data></database></mysqldump>'


def sql_server_xml(crowd: Crowd) -> str:
    """Attributes for values."""
    return "<r>" + "".join(
        "<row " + " ".join(f"{key}={quoteattr(value)}" for key, value in each.items()) + "/>" for each in records(crowd)
    ) + "</r>"  # fmt: skip


def hl7(crowd: Crowd) -> str:
    """Admissions."""
    return "".join(
        f"MSH|^~\\&|A|B|C|D|20200101||ADT^A01|{number}|P|2.5\rPID|1||{each.nir}^^^INS-NIR||{each.surname}^{each.first}||"
        f"{each.dob:%Y%m%d}|{each.sex}|||1 rue X^^Lyon||{each.phone}^PRN^PH~^NET^Internet^{each.email}\r"
        for number, each in enumerate(crowd)
    )


def vcards(crowd: Crowd) -> str:
    """An address book."""
    return "".join(
        f"BEGIN:VCARD\r\nVERSION:3.0\r\nN:{each.surname};{each.first}\r\nBDAY:{each.dob:%Y-%m-%d}\r\nTEL:{each.phone}\r\n"
        f"EMAIL:{each.email}\r\nX-NIR:{each.nir}\r\nEND:VCARD\r\n"
        for each in crowd
    )


def _json(make: Callable[[Crowd], Any], indent: int | None = None) -> Callable[[Crowd], str]:
    return lambda crowd: json.dumps(make(crowd), indent=indent, ensure_ascii=indent is None)


FORMS: dict[str, Callable[[Crowd], str]] = {
    "json array": _json(records),
    "json over many lines": _json(records, 2),
    "json in english": _json(lambda crowd: records(crowd, "en")),
    "json inside objects": _json(lambda crowd: {"meta": {"n": 1}, "data": {"patients": records(crowd)}}),
    "json under ids": _json(lambda crowd: {str(number): each for number, each in enumerate(records(crowd))}),
    "json arrays": _json(lambda crowd: [[HEADERS["fr"][name] for name in COLUMNS], *map(row, crowd)]),
    "json columns": _json(lambda crowd: {key: [each[key] for each in records(crowd)] for key in records(crowd)[0]}),
    "elasticsearch": _json(lambda crowd: {"hits": {"hits": [{"_id": "1", "_source": each} for each in records(crowd)]}}),
    "phpmyadmin json": _json(lambda crowd: [{"type": "header"}, {"type": "table", "name": "p", "data": records(crowd)}]),
    "nested json": _json(nested),
    "nested json lines": lambda crowd: "\n".join(map(json.dumps, nested(crowd))),
    "python": lambda crowd: str(records(crowd)),
    "xml": xml,
    "mysqldump xml": mysqldump_xml,
    "sql server xml": sql_server_xml,
    "fhir": _json(bundle),
    "fhir lines": lambda crowd: "\n".join(json.dumps(patient(each)) for each in crowd),
    "fhir xml": fhir_xml,
    "hl7": hl7,
    "vcard": vcards,
}  # fmt: skip
