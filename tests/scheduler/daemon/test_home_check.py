"""Damage to files of the home that nothing reads is found by the daemon's own check."""

from __future__ import annotations

import contextlib
import sqlite3

from data.store.store import Store
from scheduler.daemon.home_check import home_faults


def test_flipped_bits_in_pages_of_the_database_that_nothing_reads_are_found(home):
    Store.open(home.db_path).close()
    with contextlib.closing(sqlite3.connect(home.db_path)) as db:
        # pages of tables and indexes that no check opens for its content; every one of them is walked
        pages = dict(db.execute("select name, rootpage from sqlite_master where rootpage > 1").fetchall())
        (size,) = db.execute("pragma page_size").fetchone()
        db.execute("pragma wal_checkpoint(truncate)")
    assert len(pages) > 20
    assert home_faults(home) == []
    whole = home.db_path.read_bytes()
    for name in ("finding", "deadline", "post_due"):
        damaged = bytearray(whole)
        # the byte that says what kind of page it is
        damaged[(pages[name] - 1) * size] ^= 1 << 1
        home.db_path.write_bytes(damaged)
        assert home_faults(home), name
    home.db_path.write_bytes(whole)
    assert home_faults(home) == []
