"""Shapes of JSON that only one program writes: rows of Google's table answers, and messages of Telegram."""

from __future__ import annotations

from typing import Any


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
