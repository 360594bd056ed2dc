"""Collects the fields of one person from a health record, and turns them into a row.

All health formats use the same columns, whose names the record pass knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

PERSON_COLUMNS = (
    "segment", "surname", "first_name", "given_names", "birth_name", "full_name", "birth_date", "nir", "rpps", "phone",
    "phone_2", "phone_3", "email", "email_2", "identifiers", "address", "names",
)  # fmt: skip

_NIR = re.compile(r"[12]\d{4}(?:\d\d|2[ABab])\d{6}(?:\d\d)?")
# words in the type or the issuing authority of an identifier, which show that it is a social security number or the
# professional number of a physician; the dotted numbers are the OIDs of the French INS and RPPS
_NIR_TYPES = re.compile(
    r"(?:^|[^A-Za-z])(?:NIR|INS(?:-C|-NIR|-NIA)?|NH|SS|SSN|NNFRA)(?:$|[^A-Za-z])"
    r"|1\.2\.250\.1\.213\.1\.4\.(?:8|9|10)(?:$|\D)"
)
_RPPS_TYPES = re.compile(r"(?i:rpps)|IDNPS|1\.2\.250\.1\.71\.4\.2\.1(?:$|\D)")


@dataclass
class PersonFields:
    """The fields of one person in a segment (HL7) or resource (FHIR).

    Attributes:
        kind: the name of the segment or resource type.
        names: for each name: surname, first name, and all given names.
        identifiers: for each identifier: its value, and the text of its type and issuing authority.
    """

    kind: str
    names: list[tuple[str, str, str]] = field(default_factory=list)
    full_names: list[str] = field(default_factory=list)
    birth_dates: list[str] = field(default_factory=list)
    phones: list[str] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    identifiers: list[tuple[str, str]] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    rpps: str = ""

    def to_row(self) -> dict[str, str]:
        """One row with all columns; {} if no field of the person is known."""
        row = dict.fromkeys(PERSON_COLUMNS, "")
        names = [each for each in dict.fromkeys(self.names) if any(each)]
        if names:
            row["surname"], row["first_name"], row["given_names"] = names[0]
            others = [each for each in names[1:] if each[0] and each[0] != names[0][0]]
            row["birth_name"] = others[0][0] if others else ""
            row["names"] = " ~ ".join(" ".join(filter(None, each)) for each in names[1:])
        row["full_name"] = _joined(self.full_names)
        row["birth_date"] = _joined(self.birth_dates)
        row["address"] = _joined(self.addresses)
        row["rpps"] = self.rpps
        _spread(row, ("phone", "phone_2", "phone_3"), self.phones)
        _spread(row, ("email", "email_2"), self.mails)
        rest = []
        for value, about in self.identifiers:
            if not row["nir"] and (_NIR.fullmatch(value.replace(" ", "")) or _NIR_TYPES.search(about)):
                row["nir"], value = value, ""
            elif not row["rpps"] and _RPPS_TYPES.search(about):
                row["rpps"], value = value, ""
            rest.append(f"{value} {about}".strip())
        row["identifiers"] = _joined(rest)
        if not any(row.values()):
            return {}
        row["segment"] = self.kind
        return row


def _joined(values: Iterable[str]) -> str:
    return " ~ ".join(dict.fromkeys(filter(None, values)))


def _spread(row: dict[str, str], keys: Sequence[str], values: Iterable[str]) -> None:
    distinct = list(dict.fromkeys(filter(None, values)))
    row.update(zip(keys, distinct, strict=False))
    if len(distinct) > len(keys):
        row[keys[-1]] = " ".join(distinct[len(keys) - 1 :])
