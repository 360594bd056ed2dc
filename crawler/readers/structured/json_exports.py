"""Shapes of JSON that only one program writes: of Google's table answers, Telegram, phpMyAdmin, DICOM, jCard and HAR."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from typing import Any

from crawler.readers.core.encoding import repair, text_of

# types under which DynamoDB and Firestore write plain values, maps and lists
_TYPED_VALUES = frozenset((
    "S", "N", "B", "BOOL", "NULL", "stringValue", "integerValue", "doubleValue", "booleanValue", "timestampValue",
    "nullValue", "referenceValue",
))  # fmt: skip
_TYPED_MAPS, _TYPED_LISTS = frozenset(("M", "mapValue")), frozenset(("L", "SS", "NS", "arrayValue"))
# fewer fields may be an object of another kind
_MIN_TYPED, _MAX_TYPED_DEPTH = 2, 8


def gviz_cells(value: dict[str, Any]) -> list[Any] | None:
    """The cells of a row of a Google Sheets answer, `{"c": [{"v": …, "f": …}, …]}`; None for other objects.

    A date is shown as people see it (`f`), because its value is a call, `Date(2001,0,28)`.
    """
    cells = value.get("c")
    if type(cells) is not list or not cells or not value.keys() <= {"c", "p"}:
        return None
    if not all(each is None or (type(each) is dict and each.keys() <= {"v", "f", "p"}) for each in cells):
        return None
    return [_cell(each) for each in cells]


def _cell(cell: dict[str, Any] | None) -> Any:
    value = cell.get("v") if cell else None
    shown = cell.get("f") if cell else None
    if type(value) in (list, dict):
        return ""
    return shown if type(shown) is str and type(value) is str and value.startswith("Date(") else value


def message_text(value: dict[str, Any]) -> str | None:
    """The words of a message as Telegram exports them, in one piece; None for other objects.

    `text` is a list of strings and of entities such as `{"type": "phone", "text": "…"}`, which divides one line.
    """
    parts = value.get("text")
    if type(parts) is not list or "type" not in value or "date" not in value:
        return None
    if not all(type(part) is str or (type(part) is dict and type(part.get("text")) is str) for part in parts):
        return None
    words = "".join(part if type(part) is str else part["text"] for part in parts)
    names = (value.get(key) for key in ("from", "author", "file_name", "contact_vcard"))
    contact = value.get("contact_information")
    people = list(contact.values()) if type(contact) is dict else []
    return "\n".join([words, *(str(each) for each in (*names, *people) if type(each) is str and each)])


_PHPMYADMIN_KEYS = {"type", "version", "comment", "name", "database"}


def phpmyadmin_text(value: dict[str, Any]) -> str | None:
    """The words with which phpMyAdmin describes its export, a database or a table; None for other objects.

    Such an object stands before the rows, and is about no person, although it has a `name`.
    """
    if value.get("type") not in ("header", "database", "table") or not value.keys() <= _PHPMYADMIN_KEYS:
        return None
    words = list(value.values())
    return "\n".join(words) if all(type(each) is str for each in words) else None


_DICOM_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_DICOM_COLUMNS = {
    "00100030": "birth_date", "00100020": "identifiers", "00101000": "other_identifiers", "00101005": "birth_name",
    "00101040": "address", "00102154": "phone",
}  # fmt: skip
_DICOM_NAME = "00100010"


def dicom_row(record: dict[str, Any]) -> dict[str, Any] | None:
    """The row of a data set in the JSON of DICOM (PS3.18, annex F), with names for what describes the patient.

    None if the object is none.
    """
    for key in record:
        value = record[key]
        if not _DICOM_TAG.fullmatch(key) or type(value) is not dict or type(value.get("vr")) is not str:
            return None
    if not record:
        return None
    row: dict[str, Any] = {}
    for tag, element in record.items():
        values = element.get("Value")
        if type(values) is not list or not values:
            continue
        # a name is an object of its forms
        texts = [str(each["Alphabetic"]) if type(each) is dict and "Alphabetic" in each else each for each in values]
        if any(type(each) is dict for each in texts):
            # a sequence of data sets, of which the values are columns as they are
            row[tag] = values
        elif tag == _DICOM_NAME and type(texts[0]) is str:
            parts = [part.strip() for part in texts[0].split("=")[0].split("^")]
            row["surname"], row["first_name"] = parts[0], " ".join(parts[1:3]).strip()
        else:
            shown = " ".join(str(each).replace("^", " ") for each in texts)
            row[_DICOM_COLUMNS.get(tag, tag)] = shown.strip()
    return row


def typed_row(value: dict[str, Any]) -> dict[str, Any] | None:
    """The plain fields of a record each of whose values stands under its type; None for other objects.

    DynamoDB writes `{"nom": {"S": "Roux"}}`, mostly under `Item`; Firestore `{"fields": {"nom": {"stringValue": "Roux"}}}`.
    """
    for key in ("Item", "fields"):
        inner = value.get(key)
        if type(inner) is dict and (row := _plain_fields(inner, 0)) is not None:
            others = {name: each for name, each in value.items() if name != key and type(each) is str}
            return {**others, **row}
    return _plain_fields(value, 0)


def _plain_fields(value: dict[str, Any], depth: int) -> dict[str, Any] | None:
    if len(value) < _MIN_TYPED * (not depth) or depth > _MAX_TYPED_DEPTH:
        return None
    found: dict[str, Any] = {}
    for name, each in value.items():
        if type(each) is not dict or len(each) != 1:
            return None
        [(kind, inner)] = each.items()
        if kind in _TYPED_MAPS:
            inner = inner.get("fields", inner) if type(inner) is dict else inner
            inner = _plain_fields(inner, depth + 1) if type(inner) is dict else None
            if inner is None:
                return None
            found |= {f"{name}.{key}": part for key, part in inner.items()}
        elif kind in _TYPED_LISTS:
            found[name] = " ".join(_typed_texts(inner))
        elif kind in _TYPED_VALUES and type(inner) not in (dict, list):
            found[name] = inner
        else:
            return None
    return found


def _typed_texts(value: Any) -> list[str]:
    """The texts in a list, whether each stands under its type or not."""
    values = value.get("values", []) if type(value) is dict else value if type(value) is list else []
    parts = [next(iter(each.values()), "") if type(each) is dict and len(each) == 1 else each for each in values]
    return [str(part) for part in parts if type(part) in (str, int, float)]


def linked_row(value: dict[str, Any]) -> dict[str, Any] | None:
    """The row of a node of JSON-LD, `{"…/familyName": [{"@value": "Roux"}]}`; None for other objects.

    A column has the last part of the address that names a property.
    """
    row: dict[str, Any] = {}
    is_linked = False
    for key, each in value.items():
        values = each if type(each) is list else [each]
        texts: list[str] = []
        for one in values:
            if type(one) is not dict:
                if type(one) is list:
                    return None
                texts.append(_words(one))
                continue
            inner = one.get("@value", one.get("@id"))
            if inner is None or type(inner) in (dict, list) or len(one) > _MAX_LINKED:
                return None
            is_linked = is_linked or "@value" in one
            texts.append(_words(inner))
        row[_LINKED_NAME.split(key)[-1] or key] = " ".join(texts)
    return row if is_linked else None


# @value with its @type, @language and @direction
_MAX_LINKED = 4
_LINKED_NAME = re.compile(r"[/#]|(?<=\w):(?=\w)")

_CARD_COLUMNS = {
    "fn": "full_name",
    "bday": "birth_date",
    "tel": "phone",
    "email": "email",
    "adr": "address",
    "note": "note",
}
_CARD_NAME = ("surname", "first_name", "given_names")
_PROPERTY_PARTS = 4


def card_row(value: list[Any]) -> dict[str, Any] | None:
    """The row of a card in the JSON of vCard (RFC 7095), `["vcard", [["fn", {}, "text", "…"], …]]`; None for other lists."""
    if len(value) < 2 or value[0] != "vcard" or type(value[1]) is not list:
        return None
    row: dict[str, Any] = {}
    for each in value[1]:
        if type(each) is not list or len(each) < _PROPERTY_PARTS or type(each[0]) is not str:
            return None
        name, parts = each[0].lower(), each[3]
        if name == "n" and type(parts) is list:
            found = dict(zip(_CARD_NAME, (part if type(part) is str else _words(part) for part in parts), strict=False))
        else:
            text = " ".join(map(_words, each[3:])).strip()
            found = {_CARD_COLUMNS.get(name, name): text.removeprefix("tel:").removeprefix("mailto:")}
        for key, text in found.items():
            number, column = 1, key
            while column in row and number < _MAX_REPEATED:
                number += 1
                column = f"{key}_{number}"
            row[column] = text
    return row


_MAX_REPEATED = 20


def _words(value: Any) -> str:
    if type(value) is list:
        return " ".join(str(part) for part in value if type(part) in (str, int, float) and part != "")
    return "" if value is None or type(value) is dict else str(value)


def take_bodies(record: dict[str, Any], note_decoded: Callable[[bytes], None]) -> Iterator[bytes]:
    """Take the bodies out of a record of HTTP messages as browsers save them (HAR), decoded from base64.

    A body is `{"mimeType": …, "text": …, "encoding": "base64"}`, of a request or of an answer. `note_decoded` gets those
    that were base64.
    """
    open_ = [each for key in ("request", "response") if type(each := record.get(key)) is dict]
    for node in open_:
        for key in ("postData", "content"):
            body = node.get(key)
            if type(body) is not dict or type(body.get("text")) is not str or "mimeType" not in body:
                continue
            text = body.pop("text")
            if body.get("encoding") != "base64":
                yield text.encode("utf-8", "replace")
                continue
            try:
                data = text_of(binascii.a2b_base64(text.encode("ascii", "replace")))
            except binascii.Error:
                data = None
            if data is None:
                body["text"] = text
            else:
                note_decoded(data)
                yield repair(data)
