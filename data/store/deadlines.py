"""Times that posts announce for a release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from data.store.database import Database, stamp


class Deadlines:
    """The announced times in table `deadline`, one for each post and phrase."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(
        self, source: str, post: str, found: Sequence[Mapping[str, Any]], now: datetime
    ) -> list[tuple[datetime, int, datetime | None]]:
        """Store the times that a post announces; returns those that were not known before.

        A time span ("in 48 h") counts from when its words were first read, so reading them again moves nothing.

        Args:
            source: name of the source.
            post: keyed id.
            found: as `crawler.pages.deadlines.Deadline.to_json`.
            now: aware UTC.

        Returns:
            (time, exactness in minutes, the earlier announced time that it replaces or None).
        """
        news = []
        with self._database.transaction():
            rows = self._database.rows("select * from deadline where post = ?", post)
            known = {row["phrase"]: (datetime.fromisoformat(row["at"]), int(row["exact"])) for row in rows}
            for each in found:
                phrase, exact = str(each["phrase"])[:100], int(each["exact"])
                at = _announced_time(each, now)
                old = known.get(phrase)
                if old is not None and (
                    each["at"] is None or abs(at - old[0]) <= timedelta(minutes=max(exact, old[1]))
                ):
                    continue
                if not any(abs(at - when) <= timedelta(minutes=max(exact, about)) for when, about in known.values()):
                    # it replaces the time that the same phrase named before, or else the latest one still to come
                    replaced = old[0] if old else max((when for when, _ in known.values() if when > now), default=None)
                    news.append((at, exact, replaced))
                known[phrase] = at, exact
                self._database.execute(
                    "insert into deadline values (?, ?, ?, ?, ?, ?) on conflict (post, phrase) do update set"
                    " at = excluded.at, exact = excluded.exact",
                    (post, phrase, source, stamp(at), exact, stamp(now)),
                )
        return news

    def nearest(self, now: datetime) -> dict[str, tuple[datetime, int]]:
        """The time, past or to come, that each source announced nearest to now, and its exactness in minutes."""
        found: dict[str, tuple[datetime, int]] = {}
        for row in self._database.rows("select source, at, exact from deadline"):
            at, old = datetime.fromisoformat(row["at"]), found.get(row["source"])
            if old is None or abs(at - now) < abs(old[0] - now):
                found[row["source"]] = at, int(row["exact"])
        return found


def _announced_time(value: Mapping[str, Any], now: datetime) -> datetime:
    if value["at"] is None:
        return now + timedelta(minutes=int(value["after"]))
    return datetime.fromtimestamp(int(value["at"]) * 60, UTC)
