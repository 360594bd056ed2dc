"""The posts of all sources: which are known, which are due, and what changed in them.

A post is *due* from the moment it is listed until its findings are committed; a crawl that is killed leaves its posts
due, and the next crawl of the source examines them. A post is *settled* once the walk of the listing that first showed
it has ended. Only a settled post ends a later walk, so that a crawl killed between two pages reads on the next time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from data.store.crawls import Crawls
from data.store.database import Database, parse_stamp, stamp
from data.store.field_observations import PAGE_PREFIX, FieldObservations
from data.store.post_changes import (
    LAST_POST,
    Fields,
    additions,
    changes,
    comparison_base,
    volatile_in_history,
    volatile_on_page,
)

# In one crawl, the own pages of at most so many known posts are read again.
MAX_REVISITS = 10
# Posts younger than this, and posts with hits, are read again so many times as often as others.
YOUNG, MORE_OFTEN = timedelta(days=2), 8
# Parts that one query looks up.
PARTS_TOGETHER = 500

# What changes in a post of which a page or file was read, and in one whose row the listing shows so as well.
_READ = (
    "examined = ?, page_traits = case when ? = '' then page_traits else ? end, last_page = max(last_page, ?),"
    " hit = max(hit, ?), visit = case when ? <> '' or page_traits <> '' then coalesce(?, visit) end"
)
_SEEN = ", seen_version = ?, failures = 0, last_seen = ?, seen_traits = ?, due = case when version = ? then null else due end"


@dataclass(frozen=True, slots=True)
class PostRow:
    """A post as the crawl process reports it.

    Attributes:
        id, version: keyed. address: masked.
        due: the sealed post, which the next crawl needs if this one does not examine it.
        fields: of its listing. page_fields: of its own page, {} if that was not read.
        last_page: number of the last page that was read, 0 if pages have no numbers. reading: keyed digest of the parts
            that were examined, '' for all of them. revisited: it was read again although its listing shows no change.
            hit: canaries were found in it. visit: sealed id and addresses, from which its own page can be read again;
            b"" for those that are stored.
    """

    id: str
    version: str
    address: str
    due: bytes = field(default=b"", repr=False)
    fields: Fields = field(default_factory=dict)
    page_fields: Fields = field(default_factory=dict)
    last_page: int = 0
    revisited: bool = False
    hit: bool = False
    reading: str = ""
    visit: bytes = b""


@dataclass(frozen=True, slots=True)
class ListedPosts:
    """The answer to one page of a listing; every tuple holds ids of posts in the order of the page.

    Attributes:
        examine: posts to examine.
        changed: those of `examine` that are known and changed.
        settled: posts that were settled before. A pinned post is settled too, and must not end a walk.
        start: post of `changed` -> number of the last page of it that was read.
        retitled: known posts of the page whose title has changed, known posts, earlier observations of titles of this
            source, and how many of these had changed.
    """

    examine: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()
    start: Mapping[str, int] = field(default_factory=dict)
    retitled: tuple[int, int, int, int] = (0, 0, 0, 0)


class Posts:
    """The posts in table `post`.

    A post that came by a link from another source is marked as *handed*: no listing of its own source has shown it yet.
    """

    def __init__(self, database: Database, crawls: Crawls) -> None:
        self._database, self._crawls = database, crawls
        self._observations = FieldObservations(database)

    def record_listed(
        self,
        crawl: str,
        fence: int,
        source: str,
        posts: Sequence[PostRow],
        now: datetime,
        *,
        volatile: Collection[str] = (),
    ) -> ListedPosts:
        """Store the posts of one page of a listing; those that must be examined are due from now on.

        A post must be examined if it is not known, if it is still due, or if one of its fields changed that is not
        volatile. Volatile fields are declared, or learned from earlier observations of the source's posts.

        Args:
            crawl: its id.
            fence: of its lease.
            source: name of the source.
            posts: in the order of the page.
            now: aware UTC.
            volatile: fields that the source's definition declares as volatile.

        Raises:
            LeaseLost: the fence is not current; nothing was stored.
        """
        examine: list[str] = []
        changed: list[str] = []
        settled: list[str] = []
        with self._database.transaction():
            self._crawls.check_fence(crawl, fence)
            known = {post.id: self._known(post.id) for post in posts}
            pairs = [
                (examined_fields, post.fields)
                for post in posts
                if (old := known[post.id]) is not None
                and not old["handed"]
                and (examined_fields := _load(old["seen_traits"]))
            ]
            history = self._observations.of_source(source)
            titles = sum("title" in old and old.get("title") != new.get("title") for old, new in pairs)
            ignored = {
                *volatile,
                *volatile_in_history(history),
                *volatile_on_page(pairs),
            }
            self._observations.add(source, pairs)
            for post in posts:
                old = known[post.id]
                if old is None:
                    self._insert_listed(source, post, crawl, now)
                    examine.append(post.id)
                    continue
                if old["settled"]:
                    settled.append(post.id)
                examined_fields = _load(old["seen_traits"])
                # A link shows less of a post than its own listing does, so a difference between the two is no change;
                # but the post is examined again in the version that its listing shows.
                first_listed = bool(old["handed"]) and old["seen_version"] != post.version
                differs = bool(
                    old["seen_version"] and not old["handed"] and changes(examined_fields, post.fields, ignored)
                )
                again = bool(old["due"]) or not old["seen_version"] or differs or first_listed
                if again:
                    examine.append(post.id)
                    if differs:
                        changed.append(post.id)
                self._update_listed(post, examined_fields, now, again=again)
            start = {
                name: old["last_page"] for name in changed if (old := known[name]) is not None and old["last_page"]
            }
        retitled = (titles, len(pairs), *history.get("title", (0, 0)))
        return ListedPosts(tuple(examine), tuple(changed), tuple(settled), start, retitled)

    def _known(self, post: str) -> dict[str, Any] | None:
        return self._database.first_row(
            "select seen_version, seen_traits, page_traits, settled, handed, examined, last_page, due is not null as due"
            " from post where id = ?",
            post,
        )

    def _insert_listed(self, source: str, post: PostRow, crawl: str, now: datetime) -> None:
        self._database.insert(
            "post",
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
                "traits": _dump(post.fields),
            },
        )

    def _update_listed(self, post: PostRow, examined_fields: Fields, now: datetime, *, again: bool) -> None:
        """Update a known post that a listing showed; unless it is examined again, its version counts as examined."""
        self._database.execute(
            "update post set version = ?, traits = ?, address = ?, last_seen = ?, handed = 0,"
            " due = case when ? then ? else due end, seen_version = case when ? then seen_version else ? end,"
            " seen_traits = case when ? then seen_traits else ? end where id = ?",
            (
                post.version,
                _dump(post.fields),
                post.address,
                stamp(now),
                again,
                post.due,
                again,
                post.version,
                again,
                _dump(comparison_base(examined_fields, post.fields)),
                post.id,
            ),
        )

    def record_walked(self, crawl: str, fence: int, *, settle: bool = True) -> None:
        """Note that the walk of a listing ended: all posts of the source are settled from now on, if `settle`.

        Posts that came by a link are not settled: they were on no listing, and must not end a walk.

        Raises:
            LeaseLost: the fence is not current; nothing was stored.
        """
        with self._database.transaction():
            self._crawls.check_fence(crawl, fence)
            self._database.execute("update crawl set walked = 1 where id = ?", (crawl,))
            if settle:
                self._database.execute(
                    "update post set settled = 1 where settled = 0 and handed = 0"
                    " and source = (select source from crawl where id = ?)",
                    (crawl,),
                )

    def record_examined(self, source: str, post: PostRow, crawl: str, now: datetime) -> None:
        """Mark a post as examined in its version; a version that was listed meanwhile stays due."""
        with self._database.transaction():
            self._observe_page(source, post)
            if not self._record_page(post, now):
                # a post that no listing showed, such as a local file
                self._ensure_stored(source, post, crawl, now)
                self._record_page(post, now)

    def examine_again(self, since: datetime) -> int:
        """Take all posts that were examined since a time for new ones: the next listing that shows them makes them due.

        Their findings stay; the same finding makes no second event. Returns how many posts there are.
        """
        with self._database.transaction():
            self._database.execute(
                "delete from part where post in (select id from post where examined >= ?)", (stamp(since),)
            )
            return self._database.execute(
                "update post set seen_version = '', seen_traits = '', page_traits = '', last_page = 0"
                " where examined >= ? and seen_version <> ''",
                (stamp(since),),
            ).rowcount

    def _record_page(self, post: PostRow, now: datetime) -> bool:
        """Note that a post was read; of one that has a page of its own the sealed addresses are kept, to read it again.

        Returns whether the post is stored.
        """
        page = _dump(post.page_fields)
        read = (stamp(now), page, page, post.last_page, post.hit, page, post.visit or None)
        # in one statement, because each one writes the whole row and its copy. The row of a post that is read again was
        # not seen in this crawl: what the listing showed last stays.
        row = () if post.revisited else (post.version, stamp(now), _dump(post.fields), post.version)
        return bool(
            self._database.execute(f"update post set {_READ}{'' if post.revisited else _SEEN} where id = ?",  # noqa: S608
                                   (*read, *row, post.id)).rowcount
        )  # fmt: skip

    def sealed_page(self, post: str, *, has_page: bool) -> bytes:
        """A post that is due, as it was sealed; b"" if it is not due, or has no page of its own, now or before."""
        row = self._database.first_row("select due from post where id = ? and (? or page_traits <> '')", post, has_page)
        return bytes(row["due"]) if row is not None and row["due"] is not None else b""

    def sealed_addresses(self, post: str) -> bytes:
        """A post that is due, or else the addresses that are kept of it, as they were sealed; b"" for neither."""
        row = self._database.first_row("select coalesce(due, visit) as sealed from post where id = ?", post)
        return bytes(row["sealed"]) if row is not None and row["sealed"] is not None else b""

    def to_revisit(self, source: str, every: timedelta, now: datetime) -> list[bytes]:
        """The sealed posts whose own page is to be read again: the longest unread first, at most `MAX_REVISITS`.

        Args:
            source: name of the source.
            every: how long a page is left alone; a young post, and one with hits, an eighth of it.
            now: aware UTC.
        """
        if not every:
            return []
        rows = self._database.rows(
            "select visit from post where source = ? and visit is not null and due is null"
            " and examined < case when hit or first_seen > ? then ? else ? end order by examined limit ?",
            source,
            stamp(now - YOUNG),
            stamp(now - every / MORE_OFTEN),
            stamp(now - every),
            MAX_REVISITS,
        )
        return [bytes(row["visit"]) for row in rows]

    def missing_with_hits(self, source: str, since: datetime) -> list[tuple[str, str]]:
        """Id and masked address of posts that had hits, and that no listing of this source has shown since a time."""
        rows = self._database.rows(
            "select id, address from post where source = ? and hit and not handed and last_seen < ?",
            source,
            stamp(since),
        )
        return [(row["id"], row["address"]) for row in rows]

    def is_gone(self, post: str) -> bool:
        """Note that the site no longer has a post, which is then not read again; whether it had hits."""
        with self._database.transaction():
            row = self._database.first_row("select hit from post where id = ?", post)
            self._database.execute("update post set visit = null where id = ?", (post,))
        return bool(row and row["hit"])

    def record_failed(self, source: str, post: PostRow, crawl: str, now: datetime) -> None:
        """Count a failed examination of a post, which stays due."""
        with self._database.transaction():
            self._ensure_stored(source, post, crawl, now)
            self._observe_page(source, post)
            self._database.execute(
                "update post set failures = failures + 1, last_seen = ? where id = ?", (stamp(now), post.id)
            )

    def _ensure_stored(self, source: str, post: PostRow, crawl: str, now: datetime) -> None:
        """Store a post that no listing showed, such as a local file."""
        self._database.execute(
            "insert into post (id, source, address, version, seen_version, first_seen, last_seen, first_crawl)"
            " values (?, ?, ?, ?, '', ?, ?, ?) on conflict (id) do nothing",
            (post.id, source, post.address, post.version, stamp(now), stamp(now), crawl),
        )

    def _observe_page(self, source: str, post: PostRow) -> None:
        """Count which fields of the post's own page changed since it was read before."""
        if post.page_fields and (old := self._known(post.id)) is not None and (before := _load(old["page_traits"])):
            self._observations.add(source, [(before, post.page_fields)], page=True)

    def add_linked(self, source: str, post: PostRow, crawl: str, now: datetime) -> None:
        """Make a post due that came by a link from another source, unless it is known."""
        with self._database.transaction():
            self._database.execute(
                "insert into post (id, source, address, version, seen_version, due, first_seen, last_seen,"
                " first_crawl, handed) values (?, ?, ?, ?, '', ?, ?, ?, ?, 1) on conflict (id) do nothing",
                (post.id, source, post.address, post.version, post.due, stamp(now), stamp(now), crawl),
            )

    def changes_of(self, source: str, post: PostRow, volatile: Collection[str] = ()) -> dict[str, str]:
        """What changed in a post since it was last examined: field -> a phrase for people; {} if it never was.

        Of the post's own page only additions count.
        """
        old = self._known(post.id)
        if old is None or not old["seen_version"]:
            return {}
        ignored = {*volatile, *volatile_in_history(self._observations.of_source(source))}
        found = {} if post.revisited else changes(_load(old["seen_traits"]), post.fields, ignored)
        ignored_on_page = {name.removeprefix(PAGE_PREFIX) for name in ignored if name.startswith(PAGE_PREFIX)}
        for name, phrase in additions(_load(old["page_traits"]), post.page_fields, ignored_on_page).items():
            found.setdefault(name, phrase)
        # that there is a reply is no news: what the reply says is examined
        found.pop(LAST_POST, None)
        return found

    def new_parts(self, parts: Sequence[tuple[str, str]]) -> tuple[str, ...]:
        """The ids of those parts of a post (replies, files), given as id and version, that were not examined so."""
        known: dict[str, str] = {}
        for at in range(0, len(parts), PARTS_TOGETHER):
            ids = [name for name, _ in parts[at : at + PARTS_TOGETHER]]
            marks = ", ".join("?" * len(ids))
            rows = self._database.rows(f"select id, version from part where id in ({marks})", *ids)  # noqa: S608 - marks
            known |= {row["id"]: row["version"] for row in rows}
        return tuple(dict.fromkeys(name for name, version in parts if known.get(name) != version))

    def record_parts(self, post: str, parts: Sequence[tuple[str, str]]) -> None:
        """Note that parts of a post were examined; call it in the transaction that stores their findings.

        A thread has hits if one of its replies has, which the feed may have shown as a post of its own: whichever of the
        two is stored first.
        """
        if not parts:
            return
        row = self._database.first_row("select hit from post where id = ?", post)
        for name, _ in parts:
            if name == post:
                # a reply of the feed, which its thread may already name as its part
                self._database.execute(
                    "update post set hit = 1 where ? and hit = 0 and id = (select post from part where id = ?)",
                    (bool(row and row["hit"]), name),
                )
            elif not (row and row["hit"]):
                self._database.execute(
                    "update post set hit = 1 where id = ? and exists (select 1 from part join post as other"
                    " on other.id = part.post where part.id = ? and other.hit)",
                    (post, name),
                )
        self._database.execute_many(
            "insert into part (id, version, post) values (?, ?, ?) on conflict (id) do update set"
            " version = excluded.version, post = excluded.post",
            [(name, version, post) for name, version in parts],
        )

    def due(self, source: str) -> list[bytes]:
        """The sealed posts of a source that are due: oldest first, but after them those that failed before."""
        rows = self._database.rows(
            "select due from post where source = ? and due is not null order by failures, first_seen, rowid", source
        )
        return [bytes(row["due"]) for row in rows]

    def count_settled(self, source: str) -> int:
        """How many posts of a source are settled."""
        [row] = self._database.rows("select count(*) as n from post where source = ? and settled = 1", source)
        return int(row["n"])

    def latest_new(self, source: str) -> datetime | None:
        """When the source's own listing last showed a new post; None if never."""
        [row] = self._database.rows("select max(first_seen) as at from post where source = ? and handed = 0", source)
        return parse_stamp(row["at"])


def _dump(fields: Fields) -> str:
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS).decode() if fields else ""


def _load(text: str) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = orjson.loads(text) if text else {}
    return fields
