"""Migrations: a database of every earlier version opens with all its rows; one of a newer version is refused."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest
from sqlite_utils import Database

from data.errors import StoreVersion
from data.store.migrations import MIGRATIONS
from data.store.store import Store

STEPS = [migration.name for migration in MIGRATIONS._migrations]


def written_by(path, step: str) -> None:
    """Write a database as it was after a migration, with one row in every table."""
    db = Database(path)
    MIGRATIONS.apply(db, stop_before=STEPS[STEPS.index(step) + 1]) if step != STEPS[-1] else MIGRATIONS.apply(db)
    for table in db.tables:
        if table.name.startswith(("_", "sqlite")):
            continue
        row = {
            column.name: b"x" if column.type == "BLOB" else 1 if column.type == "INTEGER" else "x"
            for column in table.columns
        }
        if table.name == "alert":
            row["event"] = "x"
        table.insert(row)
    db.conn.commit()
    db.close()


def rows(path) -> dict[str, list[dict]]:
    db = Database(path)
    found = {table.name: list(table.rows) for table in db.tables if not table.name.startswith(("_", "sqlite"))}
    db.close()
    return found


@pytest.mark.parametrize("step", STEPS)
def test_a_database_of_every_earlier_version_opens_with_all_its_rows(tmp_path, step):
    path = tmp_path / "t.db"
    written_by(path, step)
    before = rows(path)
    with contextlib.closing(Store.open(path)):
        pass
    after = rows(path)
    assert {name: len(found) for name, found in after.items()} == {name: int(name in before) for name in after}
    # the table of incidents was never used, and is dropped
    before.pop("incident", None)
    for name, [row] in before.items():
        assert {column: after[name][0][column] for column in row} == row


def test_posts_of_the_first_version_count_as_listed(tmp_path):
    written_by(tmp_path / "t.db", "0001")
    with contextlib.closing(Store.open(tmp_path / "t.db")):
        pass
    assert rows(tmp_path / "t.db")["post"][0]["handed"] == 0


def test_a_database_of_a_newer_version_is_refused_and_left_unchanged(tmp_path):
    path = tmp_path / "t.db"
    with contextlib.closing(Store.open(path)) as store:
        store.database.execute(
            "insert into _sqlite_migrations (migration_set, name, applied_at) values ('tocsin', '9999', 'x')"
        )
        store.database.connection.commit()
    with pytest.raises(StoreVersion, match="newer"):
        Store.open(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select count(*) from _sqlite_migrations where name = '9999'").fetchone() == (1,)


def test_exact_numbers_of_earlier_versions_are_rounded_in_every_byte_of_the_file(tmp_path):
    path = tmp_path / "t.db"
    db = Database(path)
    MIGRATIONS.apply(db, stop_before="0011")
    phone, born = 612345678, 19750311
    body = {
        "bytes": phone, "rows": 12345678, "complete": True, "problems": [f"format: {phone} rows are not read"],
        "members": [{"rows": phone}], "lineage": {"interval": [phone, phone], "new_values": {"phone": phone}},
    }  # fmt: skip
    fields = {"size": [born, "0123456789ab"], "records": [phone, 12], "price": [f"eur {born}"], "timer": [29000000, 60]}
    post = dict.fromkeys(("id", "source", "address", "version", "seen_version", "first_seen", "last_seen"), "x")
    texts = dict.fromkeys(("traits", "seen_traits", "page_traits"), json.dumps(fields))
    db.table("post").insert({**post, "first_crawl": "x", **texts})
    finding = dict.fromkeys(("id", "post", "crawl", "at", "fingerprint"), "x")
    db.table("finding").insert({**finding, "body": json.dumps(body)})
    event = dict.fromkeys(
        ("id", "kind", "severity", "at", "source", "incident", "post", "address", "last_seen"), "x"
    )  # fmt: skip
    facts = {"bytes": phone, "changed": [f"records (new: {phone})"], "problems": [f"[{born}] is a keyed id"]}
    db.table("event").insert({**event, "facts": json.dumps(facts)})
    db.conn.commit()
    db.close()
    assert str(phone).encode() in path.read_bytes()
    with contextlib.closing(Store.open(path)):
        pass
    after = rows(path)
    found = json.loads(after["finding"][0]["body"])
    assert (found["bytes"], found["rows"], found["complete"]) == (612000000, 12345678, True)
    assert found["problems"] == ["format: about 612,000,000 rows are not read"]
    assert found["members"] == [{"rows": 612000000}]
    assert found["lineage"] == {"interval": [612000000] * 2, "new_values": {"phone": 612000000}}
    for column in texts:
        assert json.loads(after["post"][0][column]) == {
            "size": [19800000, "0123456789ab"], "records": [12, 612000000], "price": ["eur 19800000"],
            "timer": [29000000, 60],
        }  # fmt: skip
    seen = json.loads(after["event"][0]["facts"])
    assert seen["bytes"] == 612000000
    assert seen["changed"] == ["records (new: about 612,000,000)"]
    assert seen["problems"] == facts["problems"], "a keyed id stays as it is"
    assert str(phone).encode() not in b"".join(each.read_bytes() for each in tmp_path.iterdir())
