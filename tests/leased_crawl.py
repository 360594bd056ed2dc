"""A leased crawl of one source in a store, driven as the runner drives it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from data.model import Event, Finding
from data.store.posts import ListedPosts, PostRow
from data.store.store import PostCommit, Store

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class LeasedCrawl:
    """Stores a source, queues a crawl of it and leases the crawl."""

    def __init__(self, store: Store, source: str = "s", *, now: datetime = NOW, channels: Sequence[str] = ()) -> None:
        self.store, self.source, self.channels = store, source, channels
        store.sources.put(source, "d", True, now)
        self.id = store.crawls.queue(source, "test", now)
        self.fence = store.crawls.lease(self.id, "me", now + timedelta(minutes=1), now)

    def list(self, *posts: PostRow, now: datetime = NOW, **options) -> ListedPosts:
        return self.store.posts.record_listed(self.id, self.fence, self.source, posts, now, **options)

    def end_walk(self) -> None:
        self.store.posts.record_walked(self.id, self.fence)

    def commit(
        self,
        post: PostRow,
        findings: Sequence[Finding] = (),
        events: Sequence[Event] = (),
        *,
        now: datetime = NOW,
        fence: int | None = None,
        **more,
    ) -> int:
        """Commit a post; each event goes to all channels of the crawl. Returns how many events were new."""
        commit = PostCommit(
            self.id, self.fence if fence is None else fence, self.source, post, findings, events, **more
        )
        return self.store.commit_post(commit, lambda event: self.channels, now)

    def finish(self, *, now: datetime = NOW) -> None:
        self.store.finish_crawl(self.id, self.fence, "done", lambda event: self.channels, now)
