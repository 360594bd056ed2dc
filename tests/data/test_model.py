"""Findings as the store keeps them: plain JSON of every field, and back."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any

import pytest

from data.model import (
    Authenticity,
    ColumnAuthenticity,
    ColumnFacts,
    Extrapolation,
    Finding,
    Hit,
    Lineage,
    Origin,
    Parent,
    TableFacts,
)

LINEAGE = Lineage(
    "superset",
    records=139,
    known=100,
    new=39,
    interval=(38, 39),
    parents=(Parent("part-1", 1.0, 0.72),),
    new_values={"email": 39},
    notes=("a note",),
    confidence=0.9,
    columns=("nir", "name+dob"),
    mistyped=1,
    added={"note": 3},
    whole=Extrapolation("a condition", 0.95, (0.2, 0.4)),
    origin=Origin("ours", 0.9, ("a reason",)),
    authentic=Authenticity(
        "genuine",
        "very likely",
        9.7,
        100,
        90,
        3,
        2,
        (0.9, 1.0),
        (ColumnAuthenticity("names", "open", 8, 7, 0, 1),),
        ("why",),
    ),
)
FINDING = Finding(
    "dump.csv",
    "ab" * 32,
    8278,
    "delimited",
    members=(Finding("inner.csv", "cd" * 32, 12, "delimited", lineage=LINEAGE),),
    rows=139,
    records=139,
    complete=False,
    problems=("limit: a problem",),
    hits=(Hit("practice-1", 2, 2, ("email", "nir")),),
    lineage=LINEAGE,
    fingerprint="ef" * 16,
    sealed="c2VhbGVk",
    sighted={"bundle": "bits"},
    release="sighted-0011223344556677",
    prints="cHJpbnRz",
    seen="c2Vlbg==",
    tables=(TableFacts(139, 139, (ColumnFacts("surname", "header", 0.9, True),)),),
)


def _defaults(value: Any) -> list[str]:
    """The fields of a dataclass that have their default, so that they are not tried."""
    found = []
    for field in fields(value):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if getattr(value, field.name) == default:
            found.append(field.name)
    return found


@pytest.mark.parametrize("value", [FINDING, LINEAGE], ids=lambda value: type(value).__name__)
def test_every_field_goes_to_plain_json_and_back(value: Finding | Lineage) -> None:
    assert _defaults(value) == [], "give the sample another value than the default for each new field"
    assert type(value).from_json(json.loads(json.dumps(value.to_json()))) == value
