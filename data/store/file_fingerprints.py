"""Fingerprints of the files of known bodies of data, by which such a body is recognised before any of it is downloaded.

A *body* is the content of one post or of one registered release. Fingerprints of posts are stored only if the post has
to do with the clients. `data.hashing.file_fingerprints` makes the fingerprints, `crawler.alerts.preview_verdict` draws
conclusions from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from data.store.database import Database, stamp

if TYPE_CHECKING:
    from data.arrays.array_types import U64

# Fingerprints in one statement: SQLite accepts 32,766 values.
_PER_STATEMENT = 10_000


@dataclass(frozen=True, slots=True)
class KnownBody:
    """A known body of data that shares file fingerprints with what was asked for.

    Attributes:
        kind, ref: `release` and its id, or `post` and its keyed id.
        files: how many distinct files it has.
        whole: fingerprint of the content of the archive that holds them, 0 if there is none.
        fingerprints: the fingerprints that were asked for and that it has.
    """

    kind: str
    ref: str
    files: int
    whole: int
    fingerprints: frozenset[int]


class FileFingerprints:
    """The bodies in table `body` with their fingerprints in table `print`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def replace_release(self, release: str, parts: Sequence[U64], now: datetime) -> None:
        """Store the fingerprints of a registered release in place of earlier ones.

        Args:
            release: its id.
            parts: one array for each of its samples, as for `add`; none to forget the release.
            now: aware UTC.
        """
        with self._database.transaction():
            self._database.execute("delete from body where kind = 'release' and ref = ?", (release,))
            for part, fingerprints in enumerate(parts):
                self.add("release", release, part, fingerprints, now)

    def add(self, kind: str, ref: str, part: int, fingerprints: U64, now: datetime) -> None:
        """Store the fingerprints of one sample in place of those that this part of the body had.

        Args:
            kind: `release` or `post`.
            ref: id of the release, or keyed id of the post.
            part: number of the sample in the body.
            fingerprints: shape (n, 2): by content (0 if unknown) and by name. The first row is the sample itself, the
                others are the files in it.
            now: aware UTC.
        """
        if not len(fingerprints):
            return
        whole = int(fingerprints[0, 0]) if len(fingerprints) > 1 else 0
        contents = {*fingerprints[1 if whole else 0 :, 0].tolist()} - {0}
        with self._database.transaction():
            self._database.execute("delete from body where kind = ? and ref = ? and part = ?", (kind, ref, part))
            body = self._database.execute(
                "insert into body (kind, ref, part, at, files, whole) values (?, ?, ?, ?, ?, ?)",
                (kind, ref, part, stamp(now), len(contents), _signed(whole)),
            ).lastrowid
            self._database.execute_many(
                "insert into print values (?, ?)",
                [(_signed(each), body) for each in {*fingerprints.ravel().tolist()} - {0}],
            )

    def bodies_with(self, fingerprints: U64) -> list[KnownBody]:
        """Every known body that has at least one of some fingerprints, those with most of them first."""
        wanted = [_signed(each) for each in {*fingerprints.ravel().tolist()} - {0}]
        found: dict[int, set[int]] = {}
        for start in range(0, len(wanted), _PER_STATEMENT):
            some = wanted[start : start + _PER_STATEMENT]
            marks = ",".join("?" * len(some))
            query = f"select print, body from print where print in ({marks})"  # noqa: S608 - only question marks
            for row in self._database.rows(query, *some):
                found.setdefault(row["body"], set()).add(row["print"] % 2**64)
        bodies = []
        for body, held in found.items():
            [row] = self._database.rows("select kind, ref, files, whole from body where id = ?", body)
            bodies.append(KnownBody(row["kind"], row["ref"], row["files"], row["whole"] % 2**64, frozenset(held)))
        return sorted(bodies, key=lambda body: (-len(body.fingerprints), body.kind, body.ref))


def _signed(number: int) -> int:
    """An unsigned 64-bit number in the signed form in which SQLite keeps integers."""
    return number - 2**64 if number >= 2**63 else number
