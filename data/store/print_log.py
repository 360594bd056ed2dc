"""Prints of the files of known bodies of data: by them a body is known again before a byte of it is read.

A body is what one post gave or one registered release; only what is tied to our clients is kept. What prints are is
`data.hashing.file_fingerprints`, what follows from them `crawler.alerts.early_verdict`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from data.arrays.array_types import U64
from data.store.connection import stamp
from data.store.sighting_log import SightingLog

# Prints that are asked for in one statement: SQLite takes 32,766 values.
_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Body:
    """A known body of data, and which of the prints that were asked for it has.

    Attributes:
        kind, ref: `release` and its id, or `post` and its keyed id.
        files: distinct files of it. whole: print of the content of the archive itself, 0 where it is none.
    """

    kind: str
    ref: str
    files: int
    whole: int
    prints: frozenset[int]


class PrintLog(SightingLog):
    """What files were seen."""

    def note_release_prints(self, release: str, parts: list[U64], now: datetime) -> None:
        """Keep the prints of a registered release, one part for each of its files, instead of those it had."""
        with self._writing():
            self._forget_prints("release", release)
            for part, prints in enumerate(parts):
                self._note_prints("release", release, part, prints, now)

    def _note_prints(self, kind: str, ref: str, part: int, prints: U64, now: datetime) -> None:
        """Keep one sample's prints, shape (n, 2); the first row is the sample itself, the others are its files."""
        if not len(prints):
            return
        whole = int(prints[0, 0]) if len(prints) > 1 else 0
        contents = {*prints[1 if whole else 0 :, 0].tolist()} - {0}
        self.db.execute("delete from body where kind = ? and ref = ? and part = ?", (kind, ref, part))
        body = self.db.execute(
            "insert into body (kind, ref, part, at, files, whole) values (?, ?, ?, ?, ?, ?)",
            (kind, ref, part, stamp(now), len(contents), _signed(whole)),
        ).lastrowid
        self.db.conn.executemany(
            "insert into print values (?, ?)",
            [(_signed(each), body) for each in {*prints.ravel().tolist()} - {0}],
        )

    def _forget_prints(self, kind: str, ref: str) -> None:
        self.db.execute("delete from body where kind = ? and ref = ?", (kind, ref))

    def bodies_with(self, prints: U64) -> list[Body]:
        """Every known body that has one of some prints, those with most of them first."""
        wanted = [_signed(each) for each in {*prints.ravel().tolist()} - {0}]
        found: dict[int, set[int]] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            for row in self._rows(f"select print, body from print where print in ({marks})", *some):  # noqa: S608 - marks
                found.setdefault(row["body"], set()).add(row["print"] % 2**64)
        bodies = []
        for body, held in found.items():
            row = self._rows("select kind, ref, files, whole from body where id = ?", body)[0]
            bodies.append(Body(row["kind"], row["ref"], row["files"], row["whole"] % 2**64, frozenset(held)))
        return sorted(bodies, key=lambda body: (-len(body.prints), body.kind, body.ref))


def _signed(number: int) -> int:
    """As SQLite keeps integers."""
    return number - 2**64 if number >= 2**63 else number
