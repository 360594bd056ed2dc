"""Shapes of JSON that only one program writes: of Google's table answers, Telegram, phpMyAdmin and DICOM."""

from __future__ import annotations

import re
from typing import Any

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
