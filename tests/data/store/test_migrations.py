"""Migrations: a database of every earlier version opens with all its rows; one of a newer version is refused."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest
from sqlite_utils import Database

from data.errors import StoreError, StoreVersion
from data.store import migrations
from data.store.database import copies_of
from data.store.store import Store

STEPS = list(migrations.STEPS)


def written_by(path, step: str) -> None:
    """Write a database as it was after a migration, with one row in every table."""
    db = Database(path)
    migrations.apply(db.conn, stop_before=(*STEPS, None)[STEPS.index(step) + 1])
    for table in db.tables:
        if table.name.startswith(("_", "sqlite")):
            continue
        row = {column.name: {"BLOB": b"x", "INTEGER": 1, "REAL": 1.0}.get(column.type, "x") for column in table.columns}
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
@pytest.mark.slow
def test_a_database_of_every_earlier_version_opens_with_all_its_rows(tmp_path, step):
    path = tmp_path / "t.db"
    written_by(path, step)
    before = rows(path)
    with contextlib.closing(Store.open(path)):
        pass
    after = rows(path)
    # the event of this database was acknowledged, which is a decision about it
    assert {name: len(found) for name, found in after.items()} == {
        name: int(name in before or name == "triage") for name in after
    }
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
    migrations.apply(db.conn, stop_before="0011")
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


@pytest.mark.slow
def test_a_copy_of_the_database_is_kept_before_it_is_brought_up_to_date(tmp_path):
    path = tmp_path / "t.db"
    written_by(path, STEPS[-2])
    before = rows(path)
    (tmp_path / "t.db.before-0001").touch()
    with contextlib.closing(Store.open(path)):
        pass
    [copy] = copies_of(path)
    assert copy.name == f"t.db.before-{STEPS[-2]}"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert rows(copy) == before
    # a database that is new, or up to date, needs none
    for each in (path, tmp_path / "new.db"):
        copy.unlink(missing_ok=True)
        Store.open(each).close()
        assert copies_of(each) == []


def test_without_room_for_the_copy_nothing_is_changed(tmp_path):
    path = tmp_path / "t.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        migrations.apply(connection, stop_before=STEPS[-1])
        connection.commit()
    before = rows(path)
    # a folder in the way stands for a disk without room: SQLite cannot write there either
    (tmp_path / "t.db.part").mkdir()
    with pytest.raises(StoreError, match="no copy"):
        Store.open(path)
    assert rows(path) == before
