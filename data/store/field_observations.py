"""How often each field of a source's posts was observed and had changed, to learn which fields are volatile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from data.store.database import Database
from data.store.post_changes import Fields, additions, changes

# Above so many observations of a field its counts are halved, so that what was learned of a site can change with it.
MAX_OBSERVATIONS = 5000
# Fields of a post's own page are counted under this prefix, apart from those of its listing.
PAGE_PREFIX = "page "


class FieldObservations:
    """The counts in table `look`: one row for each source and field."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_source(self, source: str) -> dict[str, tuple[int, int]]:
        """Field -> (how often it was observed, how often it had changed)."""
        rows = self._database.rows("select field, looks, changes from look where source = ?", source)
        return {row["field"]: (row["looks"], row["changes"]) for row in rows}

    def add(self, source: str, pairs: Sequence[tuple[Fields, Fields]], *, page: bool = False) -> None:
        """Count the fields of posts that were observed again; call it in the transaction that stores the posts.

        Args:
            source: name of the source.
            pairs: (old, new) fields of each post.
            page: the fields are those of the posts' own pages, where only additions count as changes.
        """
        observed: Counter[str] = Counter()
        changed: Counter[str] = Counter()
        for old, new in pairs:
            observed.update({*old, *new})
            changed.update(list(additions(old, new) if page else changes(old, new)))
        for field, number in observed.items():
            self._database.execute(
                "insert into look values (?, ?, ?, ?) on conflict (source, field) do update set"
                " looks = looks + excluded.looks, changes = changes + excluded.changes",
                (source, PAGE_PREFIX + field if page else field, number, changed[field]),
            )
        self._database.execute(
            "update look set looks = looks / 2, changes = changes / 2 where source = ? and looks > ?",
            (source, MAX_OBSERVATIONS),
        )
