"""Posts and what was found in them: due from the moment they are listed until their findings are committed.

What a change of a post's fields means is `data.store.post_changes`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from data.arrays.array_types import U64
from data.hashing.tags import keyed_sha256
from data.model import Event, Finding
from data.store.connection import stamp, time_of
from data.store.event_log import Route
from data.store.post_changes import Traits, additions, changes, merged, noise_of_looks, noise_of_page
from data.store.print_log import PrintLog


@dataclass(frozen=True, slots=True)
class PostRow:
    """A post as the crawl process reports it: keyed id and version, masked address, the sealed post itself.

    Attributes:
        traits: fields as its listing shows them. page: fields of its own page, where that was read.
    """

    id: str
    version: str
    address: str
    due: bytes = field(default=b"", repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)
    traits: Traits = field(default_factory=dict)
    page: Traits = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listed:
    """The answer to a page of a listing: ids to examine, those of them that changed, how many were settled before.

    `settled_ids` says which: pinned posts on top of a page are settled too, and must not end a walk. `revisit` names
    known posts whose own page is to be looked at once more; they are in no other list.
    """

    examine: tuple[str, ...]
    changed: tuple[str, ...]
    settled: int
    settled_ids: tuple[str, ...] = ()
    revisit: tuple[str, ...] = ()


# Pages of known posts that are looked at again for one page of a listing.
MAX_REVISITS = 10
# Looks that are remembered; then half of them is forgotten, so that a site may change its ways.
MAX_LOOKS = 5000
_PAGE = "page "


class PostLog(PrintLog):
    """What was seen."""

    def record_listed(
        self,
        crawl: str,
        fence: int,
        source: str,
        posts: Sequence[PostRow],
        now: datetime,
        *,
        volatile: Collection[str] = (),
        revisit_before: datetime | None = None,
    ) -> Listed:
        """Note the posts of one page of a listing; all that must be examined are due from now on.

        A post is to be examined when it is not known, when it is still due, or when a field of it changed that does not
        change by itself: learned from the looks at the source's posts, or declared.

        Args:
            crawl: its id.
            fence: what `lease_crawl` gave for it.
            source: name of the source.
            posts: in the order of the page.
            now: aware UTC.
            volatile: fields that the definition declares to change by themselves.
            revisit_before: posts that were examined before this are looked at again; None for no such look.
        """
        found: dict[str, list[str]] = {"examine": [], "changed": [], "settled": [], "revisit": []}
        with self._writing():
            self._fenced(crawl, fence)
            olds = {post.id: self._known(post.id) for post in posts}
            pairs = [
                (seen, post.traits)
                for post in posts
                if (old := olds[post.id]) is not None and not old["handed"] and (seen := _load(old["seen_traits"]))
            ]
            noise = {*volatile, *noise_of_looks(self._looks(source)), *noise_of_page(pairs)}
            self._note_looks(source, pairs)
            for post in posts:
                old = olds[post.id]
                if old is None:
                    self._insert_post(source, post, crawl, now)
                    found["examine"].append(post.id)
                    continue
                if old["settled"]:
                    found["settled"].append(post.id)
                seen = _load(old["seen_traits"])
                # what a link said of a post is less than what its own listing says: that is no change
                handed = bool(old["handed"]) and old["seen_version"] != post.version
                differs = bool(old["seen_version"] and not old["handed"] and changes(seen, post.traits, noise))
                again = bool(old["due"]) or not old["seen_version"] or differs or handed
                if again:
                    found["examine"].append(post.id)
                    if differs:
                        found["changed"].append(post.id)
                elif (
                    revisit_before and old["examined"] < stamp(revisit_before) and len(found["revisit"]) < MAX_REVISITS
                ):
                    found["revisit"].append(post.id)
                self.db.execute(
                    "update post set version = ?, traits = ?, address = ?, last_seen = ?, handed = 0,"
                    " due = case when ? then ? else due end, seen_version = case when ? then seen_version else ? end,"
                    " seen_traits = case when ? then seen_traits else ? end where id = ?",
                    (
                        post.version, _dump(post.traits), post.address, stamp(now), again, post.due,
                        again, post.version, again, _dump(merged(seen, post.traits)), post.id,
                    ),
                )  # fmt: skip
        return Listed(
            tuple(found["examine"]),
            tuple(found["changed"]),
            len(found["settled"]),
            tuple(found["settled"]),
            tuple(found["revisit"]),
        )

    def _known(self, post: str) -> dict[str, Any] | None:
        return self._one(
            "select seen_version, seen_traits, page_traits, settled, handed, examined, due is not null as due"
            " from post where id = ?",
            post,
        )

    def _insert_post(self, source: str, post: PostRow, crawl: str, now: datetime) -> None:
        self.db.table("post").insert(
            {
                "id": post.id,
                "source": source,
                "address": post.address,
                "version": post.version,
                "seen_version": "",
                "due": post.due,
                "first_seen": stamp(now),
                "last_seen": stamp(now),
                "first_crawl": crawl,
                "traits": _dump(post.traits),
            }
        )

    def changes_of(self, source: str, post: PostRow, volatile: Collection[str] = ()) -> dict[str, str]:
        """What changed in a post since it was last examined: field -> a phrase for people; {} for one never examined.

        Its own page counts too, by what is there now and was not.
        """
        old = self._known(post.id)
        if old is None or not old["seen_version"]:
            return {}
        noise = {*volatile, *noise_of_looks(self._looks(source))}
        found = changes(_load(old["seen_traits"]), post.traits, noise)
        page_noise = {field.removeprefix(_PAGE) for field in noise if field.startswith(_PAGE)}
        before = _load(old["page_traits"])
        for field_, said in additions(before, post.page, page_noise).items():
            found.setdefault(field_, said)
        return found

    def note_deadlines(
        self, source: str, post: str, found: Sequence[Mapping[str, Any]], now: datetime
    ) -> list[tuple[datetime, int, datetime | None]]:
        """Keep the times that a post announces; those that were not known, each with the one it takes the place of.

        A span ("in 48 h") counts from where its words were first seen, so that reading them again moves nothing.

        Args:
            source: name of the source.
            post: keyed id.
            found: as `crawler.pages.deadlines.Deadline.to_json`.
            now: aware UTC.

        Returns:
            (time, exactness in minutes, the time it takes the place of or None).
        """
        news = []
        with self._writing():
            rows = self._rows("select * from deadline where post = ?", post)
            held = {row["phrase"]: (datetime.fromisoformat(row["at"]), int(row["exact"])) for row in rows}
            for each in found:
                phrase, exact = str(each["phrase"])[:100], int(each["exact"])
                at = _deadline_at(each, now)
                old = held.get(phrase)
                if old is not None and (
                    each["at"] is None or abs(at - old[0]) <= timedelta(minutes=max(exact, old[1]))
                ):
                    continue
                if not any(abs(at - when) <= timedelta(minutes=max(exact, about)) for when, about in held.values()):
                    # the same phrase moved, or else the one that is still to come was put off
                    before = old[0] if old else max((when for when, _ in held.values() if when > now), default=None)
                    news.append((at, exact, before))
                held[phrase] = at, exact
                self.db.execute(
                    "insert into deadline values (?, ?, ?, ?, ?, ?) on conflict (post, phrase) do update set"
                    " at = excluded.at, exact = excluded.exact",
                    (post, phrase, source, stamp(at), exact, stamp(now)),
                )
        return news

    def deadline_near(self, source: str, now: datetime) -> tuple[datetime, int] | None:
        """The announced time of a source that is nearest to now, and its exactness in minutes."""
        rows = self._rows("select at, exact from deadline where source = ?", source)
        times = [(datetime.fromisoformat(row["at"]), int(row["exact"])) for row in rows]
        return min(times, key=lambda each: abs(each[0] - now), default=None)

    def _looks(self, source: str) -> dict[str, tuple[int, int]]:
        rows = self._rows("select field, looks, changes from look where source = ?", source)
        return {row["field"]: (row["looks"], row["changes"]) for row in rows}

    def _note_looks(self, source: str, pairs: Sequence[tuple[Traits, Traits]], prefix: str = "") -> None:
        """Count looks at fields, and those at which they had changed."""
        looks: Counter[str] = Counter()
        changed: Counter[str] = Counter()
        for old, new in pairs:
            looks.update({*old, *new})
            changed.update(list(additions(old, new) if prefix else changes(old, new)))
        for field_, number in looks.items():
            self.db.execute(
                "insert into look values (?, ?, ?, ?) on conflict (source, field) do update set"
                " looks = looks + excluded.looks, changes = changes + excluded.changes",
                (source, prefix + field_, number, changed[field_]),
            )
        self.db.execute(
            "update look set looks = looks / 2, changes = changes / 2 where source = ? and looks > ?",
            (source, MAX_LOOKS),
        )

    def record_walked(self, crawl: str, fence: int) -> None:
        """Note that the walk of the listing ended: all posts that it saw are settled.

        Posts that came by a link are not: they were on no listing, and must not end a walk.
        """
        with self._writing():
            self._fenced(crawl, fence)
            self.db.execute("update crawl set walked = 1 where id = ?", (crawl,))
            self.db.execute(
                "update post set settled = 1 where settled = 0 and handed = 0"
                " and source = (select source from crawl where id = ?)",
                (crawl,),
            )

    def settled_posts(self, source: str) -> int:
        """How many posts of a source are settled."""
        row = self._one("select count(*) as n from post where source = ? and settled = 1", source)
        return int(row["n"]) if row else 0

    def last_new(self, source: str) -> datetime | None:
        """When a post of the source's own listing was last seen for the first time."""
        row = self._one("select max(first_seen) as at from post where source = ? and handed = 0", source)
        return time_of(row["at"]) if row else None

    def due_posts(self, source: str) -> list[bytes]:
        """The sealed posts that wait for their examination, oldest first, those that failed before last."""
        rows = self._rows(
            "select due from post where source = ? and due is not null order by failures, first_seen, rowid", source
        )
        return [bytes(row["due"]) for row in rows]

    def commit_post(
        self,
        crawl: str,
        fence: int,
        source: str,
        post: PostRow,
        findings: Sequence[Finding],
        events: Sequence[Event],
        route: Route,
        now: datetime,
        *,
        failed: bool = False,
        links: Sequence[tuple[str, PostRow]] = (),
        prints: Mapping[int, U64] | None = None,
        early: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> int:
        """Keep the findings of a post with its events and alerts, and mark it seen: all or nothing.

        Args:
            crawl: its crawl.
            fence: what `lease_crawl` gave for it.
            source: name of the source.
            post: the post; it need not have been listed (local files).
            findings: one per sample of the post.
            events: what happened; an event whose id is known counts a sighting and makes no alert.
            route: channels of an event.
            now: aware UTC.
            failed: the post could not be examined: it stays due.
            links: posts of other sources that it led to, each with its source: due there from now on.
            prints: by number of a finding, prints of its files, where they are to be known again.
            early: new facts of earlier events, by their ids.

        Returns:
            How many events were new.

        Raises:
            LeaseLost: the fence is not current; nothing was kept.
            StoreFull: no space; nothing was kept.
        """
        with self._writing():
            self._fenced(crawl, fence)
            self.db.execute(
                "insert into post (id, source, address, version, seen_version, first_seen, last_seen, first_crawl)"
                " values (?, ?, ?, ?, '', ?, ?, ?) on conflict (id) do nothing",
                (post.id, source, post.address, post.version, stamp(now), stamp(now), crawl),
            )
            if post.page and (old := self._known(post.id)) is not None and (before := _load(old["page_traits"])):
                self._note_looks(source, [(before, post.page)], _PAGE)
            if failed:
                self.db.execute(
                    "update post set failures = failures + 1, last_seen = ? where id = ?", (stamp(now), post.id)
                )
            else:
                # a version that was listed while this one was examined stays due
                self.db.execute(
                    "update post set seen_version = ?, failures = 0, last_seen = ?, seen_traits = ?, examined = ?,"
                    " page_traits = case when ? = '' then page_traits else ? end,"
                    " due = case when version = ? then null else due end where id = ?",
                    (
                        post.version,
                        stamp(now),
                        _dump(post.traits),
                        stamp(now),
                        _dump(post.page),
                        _dump(post.page),
                        post.version,
                        post.id,
                    ),
                )
            for number, finding in enumerate(findings):
                self.db.table("finding").insert(
                    {
                        "id": finding_id(post, number),
                        "post": post.id,
                        "crawl": crawl,
                        "at": stamp(now),
                        "body": json.dumps(self._rested(finding).to_json()),
                        "fingerprint": finding.fingerprint,
                    },
                    replace=True,
                )
            for number, rows in (prints or {}).items():
                self._note_prints("post", post.id, number, rows, now)
            for event, facts in (early or {}).items():
                self.db.execute("update event set facts = ? where id = ?", (json.dumps(dict(facts)), event))
            self._note_sightings(source, post.id, post.address, findings, now)
            for other, linked in links:
                self.db.execute(
                    "insert into post (id, source, address, version, seen_version, due, first_seen, last_seen,"
                    " first_crawl, handed) values (?, ?, ?, ?, '', ?, ?, ?, ?, 1) on conflict (id) do nothing",
                    (linked.id, other, linked.address, linked.version, linked.due, stamp(now), stamp(now), crawl),
                )
            return self._insert_events(events, route, now)

    def _rested(self, finding: Finding) -> Finding:
        """The finding as it may rest: no names, no bare digest; sealed proof and sighted canaries lie elsewhere."""
        digest = ""
        if self._seal_key is not None and finding.sha256:
            digest = keyed_sha256(self._seal_key, finding.sha256)
        return replace(
            finding,
            path="",
            sha256=digest,
            sealed="",
            sighted={},
            prints="",
            members=tuple(self._rested(member) for member in finding.members),
        )

    def findings(self, *, post: str = "", crawl: str = "", limit: int = 100) -> list[dict[str, Any]]:
        """The latest findings as they rest, newest first."""
        rows = self._rows(
            "select * from finding where ? in ('', post) and ? in ('', crawl) order by at desc limit ?",
            post,
            crawl,
            limit,
        )
        return [{**row, "body": json.loads(row["body"])} for row in rows]

    def known_fingerprint(self, fingerprint: str, post: str) -> bool:
        """Whether the same set of canaries already hit in another post."""
        return (
            self._one("select 1 as one from finding where fingerprint = ? and post <> ? limit 1", fingerprint, post)
            is not None
        )


def finding_id(post: PostRow, number: int) -> str:
    """Id of a finding: the same sample of the same version of a post has the same one, however often it is examined."""
    return hashlib.sha256(f"finding\0{post.id}\0{post.version}\0{number}".encode()).hexdigest()[:32]


def _deadline_at(value: Mapping[str, Any], now: datetime) -> datetime:
    if value["at"] is None:
        return now + timedelta(minutes=int(value["after"]))
    return datetime.fromtimestamp(int(value["at"]) * 60, UTC)


def _dump(traits: Traits) -> str:
    return json.dumps(traits, separators=(",", ":"), sort_keys=True) if traits else ""


def _load(text: str) -> dict[str, Any]:
    return json.loads(text) if text else {}
