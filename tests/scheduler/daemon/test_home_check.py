"""Damage to files of the home that nothing reads is found by the daemon's own check."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crawler.alerts.events import build_event
from data.errors import TocsinError
from data.model import EventKind, Finding, Hit
from data.store.database import Database, stamp
from data.store.migrations import SEALED
from data.store.posts import PostRow
from data.store.store import PostCommit, Store
from scheduler.daemon import home_check
from scheduler.daemon.home_check import home_faults

NOW = datetime(2026, 11, 2, 8, 30, tzinfo=UTC)
FLIPS = 200


def fill(store: Store) -> None:
    """Posts with findings, events and alerts, states, sightings, times and parts: a row in nearly every table."""
    store.sources.put("board", "d" * 64, True, NOW)
    crawl = "c" * 16
    store.database.insert(
        "crawl", {"id": crawl, "source": "board", "reason": "due", "state": "queued", "queued": stamp(NOW)}
    )
    fence = store.crawls.lease(crawl, "here", NOW + timedelta(minutes=1), NOW)
    for number in range(60):
        name = f"{number:032x}"
        post = PostRow(name, f"https://board.example/{name[-3:]}", f"{number * 7919:032x}", fields={"size": number})
        hit = Hit("practice-a", number + 1, 2 * number + 2, ("email", "nir"))
        event = build_event(
            EventKind.CANARY_HIT,
            NOW,
            name,
            source="board",
            post=name,
            facts={"records": number, "clients": ["practice-a"]},
        )
        store.commit_post(
            PostCommit(
                crawl,
                fence,
                "board",
                post,
                [Finding("", f"{number:064x}", 4000, "csv", hits=(hit,))],
                [event],
                parts=[(f"{number:030x}-1", "v")],
            ),
            lambda _: ["team", "mail"],
            NOW,
        )
        store.audit.record("daemon", "examined", name, NOW)
    store.states.begin(event, "board", lambda _: ["team"], NOW)
    store.selftests.record("examiner", NOW, passed=True)
    store.crawls.end(crawl, fence, "done", NOW, counts={"listed": 60}, error="")


def contents(path: Path) -> dict[str, Any]:
    """All that can be read of a database, from its tables and from its indexes; errors are contents too."""
    found: dict[str, Any] = {}
    with contextlib.closing(sqlite3.connect(path)) as db:
        try:
            objects = db.execute("select type, name, tbl_name, sql from sqlite_master").fetchall()
            tables = [name for kind, name, _, _ in objects if kind == "table"]
            found["schema"] = objects
        except (sqlite3.Error, UnicodeDecodeError) as error:
            # Python cannot decode a message of SQLite that names a part of the schema with a flipped bit
            return {"schema": str(error)}
        for table in tables:
            for order in (
                "not indexed",
                *(f"indexed by [{table}_copy]" for _ in [0] if f"{table}_copy" in str(objects)),
            ):
                columns = "name" if table == "_sqlite_migrations" else "*"  # nothing reads when they were applied
                try:
                    found[f"{table} {order}"] = db.execute(f"select {columns} from [{table}] {order}").fetchall()
                except (sqlite3.Error, UnicodeDecodeError) as error:
                    found[f"{table} {order}"] = str(error)
    return found


@pytest.fixture
def filled(home) -> Iterator[Path]:
    with contextlib.closing(Store.open(home.db_path)) as store:
        fill(store)
    with contextlib.closing(sqlite3.connect(home.db_path)) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    return home.db_path


@pytest.mark.slow
def test_each_flipped_bit_that_changes_what_is_read_is_found(home, filled):
    whole, before = filled.read_bytes(), contents(filled)
    assert home_faults(home) == []
    choose = random.Random(20)
    # half of the file is empty space, where a flip changes nothing
    used = [at for at, byte in enumerate(whole) if byte]
    changed, missed = 0, []
    # a flip in an index changes nothing that is read, so flips are tried until so many have changed something
    while changed < FLIPS * 3 / 4:
        at, bit = choose.choice(used), choose.randrange(8)
        damaged = bytearray(whole)
        damaged[at] ^= 1 << bit
        filled.write_bytes(damaged)
        if contents(filled) == before:
            continue
        changed += 1
        try:
            with contextlib.closing(Database.open(filled)) as database:
                if not database.integrity_problems():
                    missed.append((at, bit))
        except TocsinError:
            pass  # found: it cannot be opened or checked at all
    assert missed == []


def test_damage_to_the_entry_of_an_index_that_sqlite_made_is_found(home, filled):
    damaged = bytearray(filled.read_bytes())
    entry = b"sqlite_autoindex_crawl_1crawl"
    assert damaged.count(entry) == 1
    damaged[damaged.index(entry) + len(entry) - 3] ^= 0x80
    filled.write_bytes(damaged)
    assert home_faults(home) != []


def test_all_columns_of_all_tables_have_a_copy_in_an_index(home):
    with contextlib.closing(Store.open(home.db_path)) as store:
        db = store.database.connection
        tables = [name for (name,) in db.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            columns = {row[1] for row in db.execute(f"pragma table_info([{table}])")} - SEALED
            indexes = [row[1] for row in db.execute(f"pragma index_list([{table}])") if not row[4]]
            copied = [{row[2] for row in db.execute(f"pragma index_xinfo([{index}])")} for index in indexes]
            assert "sqlite_" in table or any(columns <= each for each in copied), (
                f"{table}: call copy_rows in a migration"
            )


def test_a_check_of_the_database_that_takes_too_long_or_is_not_waited_for_is_given_up(home, filled, monkeypatch):
    monkeypatch.setattr("data.store.database.PROGRESS_STEPS", 10)
    with pytest.raises(TocsinError, match="SQLITE_INTERRUPT"), contextlib.closing(Database.open(filled)) as database:
        database.integrity_problems(lambda: True)
    monkeypatch.setattr(home_check, "DATABASE_SECONDS", 0.0)
    assert any("did not end within" in each for each in home_faults(home))


def test_a_definition_of_a_table_that_changed_is_found(home, filled):
    with contextlib.closing(sqlite3.connect(filled)) as db:
        db.execute("pragma writable_schema = on")
        db.execute("update sqlite_master set sql = replace(sql, 'default 0', 'default 1') where name = 'post'")
        db.commit()
    with contextlib.closing(Database.open(filled)) as database:
        assert "the schema is not that of this version" in database.integrity_problems()
