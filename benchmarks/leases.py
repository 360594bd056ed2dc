"""How many visits of sources, and how many posts, the one writer of the database can record.

`python -m benchmarks leases --sources=1000 --seconds=20`: each visit is queued, leased, lists 25 known posts, and is ended,
each step in its transaction as in the daemon; every tenth visit also commits a new post with its finding and an event. What
one coordinator can do at most follows from it (docs/scale.md); fetching and examining are not in it.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from crawler.alerts.events import build_event
from data.model import EventKind, Finding
from data.store.posts import PostRow
from data.store.store import PostCommit, Store

# Rows of a listing, and of how many visits one finds a new post.
ROWS, NEW_EVERY = 25, 10


def main() -> None:
    """Print rates by the clock and by the processor."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks leases", description=__doc__)
    parser.add_argument("--sources", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as made:
        path = Path(made) / "t.db"
        with contextlib.closing(Store.open(path)) as store:
            # the first visit of each source stores its posts
            with store.database.transaction():
                for number in range(options.sources):
                    store.sources.put(f"s{number}", "d", True, now)
                    _visit(store, f"s{number}", 1, now)
            now += timedelta(hours=1)
            visits = posts = 0
            began, used = time.perf_counter(), time.process_time()
            while time.perf_counter() - began < options.seconds:
                source = f"s{visits % options.sources}"
                posts += _visit(store, source, visits, now)
                visits += 1
                now += timedelta(milliseconds=1)
            wall, cpu = time.perf_counter() - began, time.process_time() - used
        size = path.stat().st_size / 1e6
    print(f"{visits} visits of {options.sources} sources, {posts} new posts, {size:.0f} MB")
    print(f"by the clock {visits / wall:,.0f} visits a second; by the processor {visits / cpu:,.0f}")
    print(f"arithmetic: 300,000 sources each hour are {300_000 / 3600:.0f} visits a second")


def _visit(store: Store, source: str, number: int, now: datetime) -> int:
    """Record one visit; returns how many new posts it found."""
    crawl = store.crawls.queue(source, "due", now)
    fence = store.crawls.lease(crawl, "me", now + timedelta(minutes=1), now)
    listed = [PostRow(f"{source}-{row}", "v", "") for row in range(ROWS)]
    store.posts.record_listed(crawl, fence, source, listed, now)
    found = number % NEW_EVERY == 0
    if found:
        post = PostRow(f"{source}-new-{number}", "v", "")
        event = build_event(EventKind.CANARY_HIT, now, post.id, post=post.id)
        commit = PostCommit(crawl, fence, source, post, [Finding("", "ab" * 32, 1, "text")], [event])
        store.commit_post(commit, lambda _: ["a"], now)
    store.posts.record_walked(crawl, fence)
    store.finish_crawl(crawl, fence, "done", lambda _: ["a"], now, counts={"rows": ROWS, "new": int(found)})
    return int(found)


if __name__ == "__main__":
    main()
