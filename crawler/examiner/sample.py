"""A sample or a member of one while it is open: what both passes have made of it so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from crawler.matching.byte_scanner import ByteScanner
from crawler.matching.watchlist_match import HitCollector
from crawler.records.column_roles import ColumnPlan
from crawler.records.running_text import RunningTextReader
from data.arrays.array_types import U64
from data.model import Finding

MAX_PROBLEMS_KEPT = 50


@dataclass(slots=True)
class Member:
    """A sample or member while it is open.

    Attributes:
        codes: of problems of it and of all members inside it. unlisted: members inside it that are not listed one by
            one, and the codes of their problems.
    """

    name: str
    format: str
    collector: HitCollector
    scanner: ByteScanner
    digest: Any
    size: int = 0
    crc: int = 0
    leaf: bool = True
    rows: int = 0
    records: int = 0
    complete: bool = True
    problems: list[str] = field(default_factory=list)
    members: list[Finding] = field(default_factory=list)
    codes: set[str] = field(default_factory=set)
    unlisted: int = 0
    unlisted_codes: set[str] = field(default_factory=set)
    header: list[str] | None = None
    plan: ColumnPlan | None = None
    prose: bool = False
    text: RunningTextReader | None = None
    people: list[U64] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)

    def problem(self, code: str, detail: str) -> None:
        """Note a problem once; more than a screenful is cut with a last line that says so."""
        self.codes.add(code)
        line = f"{code}: {detail}"
        if line in self.problems:
            return
        if len(self.problems) < MAX_PROBLEMS_KEPT:
            self.problems.append(line)
        elif len(self.problems) == MAX_PROBLEMS_KEPT:
            self.problems.append("more: further problems of this sample are not listed")
