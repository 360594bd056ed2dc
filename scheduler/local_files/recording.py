"""What `scan --record` stores: local files as posts of the source `scan`, with their events and alerts."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from crawler.alerts.events import PostContext, events_of_post
from crawler.alerts.preview_verdict import fingerprints_to_keep
from data.model import Finding
from data.settings.home import Home
from data.store.posts import PostRow
from data.store.store import PostCommit, Store
from scheduler.crawls.crawl_answers import keep_evidence
from scheduler.crawls.lease_owner import owner_name
from scheduler.crawls.sighted_releases import register, sightings
from scheduler.delivery.delivery import DisplayNames, deliver_until_empty
from scheduler.delivery.routing import route_by
from scheduler.local_files.scanning import Scanner

SOURCE = "scan"
LEASE = timedelta(minutes=5)


def record_scan(
    home: Home, scanner: Scanner, findings: Sequence[Finding], *, deliver: bool, tell: Callable[[str], None]
) -> bool:
    """Store findings of local files and ring for them; True if an alert could not be delivered.

    The identity of a local file is its content: the same bytes examined again are a sighting, not another event.
    """
    settings = home.settings()
    post_key = scanner.greeting.post_key
    route = route_by(settings)
    with contextlib.closing(Store.open(home.db_path, seal_key=post_key)) as store:
        now = datetime.now(UTC)
        store.sources.put(SOURCE, "", False, now)
        crawl = store.crawls.queue(SOURCE, "scan --record", now)
        fence = store.crawls.lease(crawl, owner_name(), now + LEASE, now)
        for finding in findings:
            post = hmac.new(post_key, b"scan" + bytes.fromhex(finding.sha256), hashlib.sha256).hexdigest()[:32]
            events = events_of_post(PostContext(SOURCE, post, "", "", now), [finding])
            row = PostRow(id=post, version=post, address="")
            keep_evidence(home, row, [finding], now)
            commit = PostCommit(
                crawl, fence, SOURCE, row, [finding], events, fingerprints=fingerprints_to_keep([finding])
            )
            store.commit_post(commit, route, now)
            wanted = sightings([finding], post_key=post_key, source=SOURCE, post=post, incident="", now=now)
            for release in register(wanted, scanner.finish_release):
                tell(f"kept as release {release}")
        store.finish_crawl(crawl, fence, "done", route, datetime.now(UTC), counts={"examined": len(findings)})
        if not deliver:
            return False
        delivered = asyncio.run(deliver_until_empty(settings, store, DisplayNames.of_home(home)))
        if delivered.sent:
            tell(f"{delivered.sent} alerts delivered")
        failed = delivered.deferred + delivered.refused
        if failed:
            tell(f"{failed} alerts could not be delivered and stay in the outbox; see: tocsin alert list")
        return bool(failed)
