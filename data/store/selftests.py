"""The latest result of each self-test."""

from __future__ import annotations

from datetime import datetime, timedelta

from data.store.database import Database, stamp

# The self-test of the examiner, and how often the daemon makes it.
EXAMINER_SELFTEST, SELFTEST_EVERY = "examiner", timedelta(hours=1)
# Name of the self-test that the daemon passes by making progress, and how often it stores that.
HEARTBEAT, HEARTBEAT_EVERY = "daemon", timedelta(seconds=10)


class SelfTests:
    """The results in table `selftest`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, name: str, now: datetime, *, passed: bool) -> None:
        """Store the result of a self-test in place of its earlier result."""
        with self._database.transaction():
            self._database.execute("insert or replace into selftest values (?, ?, ?)", (name, stamp(now), passed))

    def latest(self) -> dict[str, tuple[datetime, bool]]:
        """When each self-test last ran, and whether it passed, by its name."""
        rows = self._database.rows("select * from selftest")
        return {row["name"]: (datetime.fromisoformat(row["at"]), bool(row["passed"])) for row in rows}
