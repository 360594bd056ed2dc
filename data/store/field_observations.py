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


# Above so many rows the counts of a listing are halved, so that it may change slowly.
MAX_SHAPE_ROWS = 2000
# The rows of a listing are counted under this name, and its declared encoding follows this prefix.
ROWS, CHARSET_PREFIX = "rows", "charset "
# Counts of pages of posts follow the first prefix, and the pages since the last one that had a field the second.
POST_PREFIX, MISSED_PREFIX = "post ", "missed "


class ListingShapes:
    """The shapes of listings in table `listing_shape`; see `crawler.pages.listing_shape`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_source(self, source: str, definition: str) -> dict[str, tuple[int, int, int, int]]:
        """Field -> pages, filled, numbers, words; {} if nothing was counted with this digest of the definition.

        The field `rows` has the number of rows as `filled`; `charset NAME` has the pages that declare it. Fields of pages
        of posts follow `POST_PREFIX`; behind `MISSED_PREFIX` stand the pages since the last one that had the field.
        """
        rows = self._database.rows(
            "select field, pages, filled, numbers, words from listing_shape where source = ? and definition = ?",
            source,
            definition,
        )
        return {row["field"]: (row["pages"], row["filled"], row["numbers"], row["words"]) for row in rows}

    def add(self, source: str, definition: str, counts: dict[str, tuple[int, int, int, int]]) -> None:
        """Add the counts of a page of a listing that is well."""
        with self._database.transaction():
            self._database.execute(
                "delete from listing_shape where source = ? and definition <> ?", (source, definition)
            )
            for field, numbers in counts.items():
                self._database.execute(
                    "insert into listing_shape values (?, ?, ?, ?, ?, ?, ?) on conflict (source, field) do update set"
                    " pages = pages + excluded.pages, filled = filled + excluded.filled,"
                    " numbers = numbers + excluded.numbers, words = words + excluded.words",
                    (source, field, definition, *numbers),
                )
            self._halve(source, ROWS, f"field not like '{POST_PREFIX}%'")
            self._halve(source, f"{POST_PREFIX}body", f"field like '{POST_PREFIX}%'")

    def _halve(self, source: str, rows: str, those: str) -> None:
        """Halve the counts of some fields if there are enough of them."""
        self._database.execute(
            "update listing_shape set pages = (pages + 1) / 2, filled = filled / 2, numbers = numbers / 2,"  # noqa: S608
            f" words = words / 2 where source = ? and field not like '{MISSED_PREFIX}%' and {those}"
            " and (select filled from listing_shape as s where s.source = ? and s.field = ?) > ?",
            (source, source, rows, MAX_SHAPE_ROWS),
        )

    def put(self, source: str, definition: str, field: str, pages: int) -> None:
        """Set the number of pages of a field."""
        with self._database.transaction():
            self._database.execute(
                "insert into listing_shape values (?, ?, ?, ?, 0, 0, 0) on conflict (source, field) do update set"
                " definition = excluded.definition, pages = excluded.pages",
                (source, field, definition, pages),
            )

    def forget(self, source: str) -> None:
        """Forget how the listing of a source looks: the next crawl learns it anew."""
        with self._database.transaction():
            self._database.execute("delete from listing_shape where source = ?", (source,))
