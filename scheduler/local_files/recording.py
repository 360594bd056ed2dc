"""`scan --record`: stores local files as posts of a source named `scan`, with their events and alerts."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from crawler.alerts.events import PostContext, events_of_post
from crawler.alerts.preview_verdict import fingerprints_to_keep
from data.case.seen_tags import seal_seen
from data.model import Finding
from data.plural import counted
from data.settings.home import Home
from data.store.posts import PostRow
from data.store.store import PostCommit
from scheduler.crawls.lease_owner import owner_name
from scheduler.crawls.question_handler import keep_evidence
from scheduler.crawls.sighted_releases import register_releases, sighted_releases
from scheduler.delivery.delivery import DisplayNames, deliver_until_empty
from scheduler.delivery.routing import route_by
from scheduler.local_files.scanning import Scanner

SOURCE = "scan"
LEASE = timedelta(minutes=5)


def record_scan(
    home: Home, scanner: Scanner, findings: Sequence[Finding], *, deliver: bool, report: Callable[[str], None]
) -> bool:
    """Store findings of local files and send their alerts; returns True if an alert could not be delivered.

    A local file is identified by its content: examining the same bytes again counts as a sighting, not as another
    event.

    Args:
        home: the home.
        scanner: the scanner that examined the files.
        findings: the findings to store.
        deliver: deliver the alerts now; otherwise they stay in the outbox.
        report: receives sentences about what was stored and delivered.
    """
    settings = home.settings()
    post_key = scanner.greeting.post_key
    route = route_by(settings)
    with contextlib.closing(scanner.open_store()) as store:
        now = datetime.now(UTC)
        store.sources.put(SOURCE, "", False, now)
        crawl = store.crawls.queue(SOURCE, "scan --record", now)
        fence = store.crawls.lease(crawl, owner_name(), now + LEASE, now)
        for finding in findings:
            post = hmac.new(post_key, b"scan" + bytes.fromhex(finding.sha256), hashlib.sha256).hexdigest()[:32]
            events = events_of_post(PostContext(SOURCE, post, "", "", now), [finding])
            row = PostRow(id=post, version=post, address="")
            kept = keep_evidence(home, store, row, [finding], now)
            commit = PostCommit(
                crawl,
                fence,
                SOURCE,
                row,
                [finding],
                events,
                fingerprints=fingerprints_to_keep([finding]),
                evidence=kept,
                seen=[seal_seen(post_key, finding.seen)] if finding.seen and settings.examine.keep_seen else [],
            )
            store.commit_post(commit, route, now)
            wanted = sighted_releases([finding], post_key=post_key, source=SOURCE, post=post, incident="", now=now)
            written = register_releases(wanted, scanner.finish_release)
            store.expected_releases.add(written)
            for release in written:
                report(f"stored as release {release}")
        store.finish_crawl(crawl, fence, "done", route, datetime.now(UTC), counts={"examined": len(findings)})
        store.seen.expire(now - settings.examine.keep_seen, settings.examine.keep_seen_bytes)
        if not deliver:
            return False
        delivered = asyncio.run(deliver_until_empty(settings, store, DisplayNames.of_home(home)))
        if delivered.sent:
            report(f"{counted(delivered.sent, 'alert')} delivered")
        failed = delivered.deferred + delivered.refused
        if failed:
            report(f"not delivered yet: {counted(failed, 'alert')}, kept in the outbox; see: tocsin alert list")
        return bool(failed)
