"""A frozen dataclass with other fields, copied only if a field differs: most checks of a finding change nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

V = TypeVar("V", bound="DataclassInstance")


def replaced(value: V, **fields: Any) -> V:
    """As `dataclasses.replace`; the value itself if it has these fields already."""
    for name, wanted in fields.items():
        held = getattr(value, name)
        if held is not wanted and held != wanted:
            return replace(value, **fields)
    return value
