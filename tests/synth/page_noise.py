"""Listings as real site software writes them, anew at every look with the noise that such pages have, and changes put into them.

The markup is that of the saved pages under `tests/samples`; the platform files read it.
"""

from __future__ import annotations

import html
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from crawler.fetching.platform_loader import PlatformLoader
from crawler.pages.post_fields import listing_fields, version_of
from data.sources.definition import Definition
from data.sources.platform_files import platform_file
from data.sources.source_files import build_definition, parse_source
from data.store.posts import PostRow
from data.store.store import Store
from tests.leased_crawl import LeasedCrawl

START = datetime(2026, 11, 1, 9, tzinfo=UTC)
KEY = bytes(range(32))


@dataclass(frozen=True)
class Entry:
    """A post of a listing, as its site has it."""

    number: int
    title: str
    body: str
    size: str
    percent: int
    ends: datetime
    magnet: str = ""
    state: str = "bad"
    replies: int = 1
    views: int = 10
    links: tuple[str, ...] = ()


@dataclass
class Site:
    """One listing over time."""

    software: str
    draw: random.Random
    entries: list[Entry] = field(default_factory=list)

    def render(self, now: datetime) -> bytes:
        """The page as it is served now: nothing of the posts changed, everything about them may have."""
        draw = self.draw
        shown = [replace(each, views=each.views + draw.randrange(500), replies=each.replies) for each in self.entries]
        if draw.random() < 0.3:
            # an old thread is bumped
            shown.insert(0, shown.pop(draw.randrange(len(shown))))
        return RENDERERS[self.software](shown, now, draw)


WORDS = [
    "cabinet",
    "clinique",
    "lilas",
    "port",
    "nord",
    "moulin",
    "laboratoire",
    "dossier",
    "hopital",
    "sante",
    "vendor",
    "medical",
    "dump",
    "base",
]


def make_site(software: str, seed: int, posts: int = 15) -> Site:
    draw = random.Random(f"{software} {seed}")
    site = Site(software, draw)
    for number in range(posts):
        title = " ".join(draw.sample(WORDS, 3)) + draw.choice(
            ["", f" part {draw.randrange(1, 4)}", " 2026", " [sample]"]
        )
        body = f"{draw.randrange(1, 900)} 000 records of {draw.choice(WORDS)}. {' '.join(draw.choices(WORDS, k=8))}"
        site.entries.append(
            Entry(
                100 + number, title, body, f"{draw.randrange(1, 90)} GB", draw.randrange(0, 99),
                START + timedelta(days=draw.randrange(40, 90)), f"magnet:?xt=urn:btih:{draw.randbytes(20).hex()}",
                draw.choice(["bad", "good"]), draw.randrange(20), draw.randrange(5000),
            )
        )  # fmt: skip
    return site


def _ago(draw: random.Random) -> str:
    return draw.choice(
        ["Today, 10:32 AM", "Yesterday, 09:12 PM", f"{draw.randrange(2, 59)} minutes ago", "3 hours ago", "11-03-2026"]
    )


def _advert(draw: random.Random) -> str:
    return (
        f'<div class="ad"><a href="https://ads.example/c?id={draw.randrange(10**6)}&amp;t={draw.randbytes(16).hex()}">'
        f"{draw.choice(['Buy VPN', 'Cheap hosting', 'Casino 200 % bonus'])}</a></div>"
    )


def _chrome(draw: random.Random, now: datetime, rows: str) -> bytes:
    token = draw.randbytes(16).hex()
    return (
        f'<!DOCTYPE html><html><head><meta charset="utf-8"><title>Board ({draw.randrange(99)})</title></head><body>'
        f'<form><input type="hidden" name="csrf" value="{token}"></form>'
        f"<p>{draw.randrange(3, 400)} guests, {draw.randrange(50)} members online. It is {now:%H:%M}.</p>"
        f"{_advert(draw) if draw.random() < 0.5 else ''}{rows}{_advert(draw)}"
        f"<p>Page generated in 0.{draw.randrange(999)} s</p></body></html>"
    ).encode()


def _mybb(entries: list[Entry], now: datetime, draw: random.Random) -> bytes:
    sid = draw.randbytes(16).hex()
    rows = [
        f'<tr class="inline_row"><td><span class=" subject_{draw.choice(["new", "old"])}" id="tid_{each.number}">'
        f'<a href="showthread.php?tid={each.number}&amp;sid={sid}">{html.escape(each.title)}</a></span>'
        f"<span class=smalltext>{draw.choice(['', '(Pages: 1 2 3)'])}</span></td><td>{each.replies:,}</td><td>{each.views:,}</td>"
        f"<td>{_ago(draw)}<br>by user{draw.randrange(99)}</td></tr>"
        for each in entries
    ]
    return _chrome(draw, now, f"<table>{''.join(rows)}</table>")


def _phpbb(entries: list[Entry], now: datetime, draw: random.Random) -> bytes:
    sid = draw.randbytes(16).hex()
    rows = [
        f'<li class="row bg{draw.randrange(1, 3)}"><dl><dt title="No unread posts">'
        f'<a href="./viewtopic.php?f=2&amp;t={each.number}&amp;sid={sid}" class="topictitle">{html.escape(each.title)}</a>'
        f'<div>by <a class="username">x</a> » <time datetime="{START:%FT%T}+00:00">{_ago(draw)}</time></div></dt>'
        f'<dd class="posts">{each.replies}</dd><dd class="views">{each.views}</dd></dl></li>'
        for each in entries
    ]
    return _chrome(draw, now, f'<ul class="topiclist topics">{"".join(rows)}</ul>')


def _spirit(entries: list[Entry], now: datetime, draw: random.Random) -> bytes:
    rows = [
        f'<div class="layout__topics__topic"><div class="topic__title"><a class="topic__link" href="/topic/{each.number}/slug/">'
        f"{html.escape(each.title)}</a></div><span>{each.views}</span><span>{_ago(draw)}</span></div>"
        for each in entries
    ]
    return _chrome(draw, now, "".join(rows))


def _cards(entries: list[Entry], now: datetime, draw: random.Random) -> bytes:
    rows = []
    for each in entries:
        links = "".join(f' <a href="{link}">{link}</a>' for link in each.links)
        rows.append(
            f'<div class="post-block {each.state}" onclick="viewpage(\'/topic.php?id={each.number}\')">'
            f'<div data-id="{each.number}" class="post-title">{html.escape(each.title)}</div>'
            f'<div class="post-text">{html.escape(each.body)}{links}<br>{each.views:,} views, updated {_ago(draw)}</div>'
            f'<div class="timer" data-until="{int(each.ends.timestamp())}">{(each.ends - now).days}D</div>'
            f'<div class="published">published {each.percent} %</div><div class="size">{each.size}</div>'
            f'<a href="{each.magnet}">magnet</a></div>'
        )
    return _chrome(draw, now, "".join(rows))


def _relative_cards(entries: list[Entry], now: datetime, draw: random.Random) -> bytes:
    """As `_cards`, with countdowns that only say what is left."""
    page = _cards(entries, now, draw).decode()
    for each in entries:
        left = each.ends - now
        text = f"{left.days}d {left.seconds // 3600}h {left.seconds // 60 % 60}m"
        page = page.replace(f'data-until="{int(each.ends.timestamp())}"', f'data-until="{text}"')
    return page.encode()


def _nodebb(entries: list[Entry], now: datetime, draw: random.Random) -> bytes:
    topics = [
        {
            "tid": each.number, "mainPid": each.number + 1000, "title": html.escape(each.title), "slug": f"{each.number}/x",
            "timestamp": int(START.timestamp() * 1000), "lastposttime": int(now.timestamp() * 1000),
            "postcount": each.replies, "viewcount": each.views, "deleted": 0, "teaser": {"content": _ago(draw)},
        }
        for each in entries
    ]  # fmt: skip
    return json.dumps({"topics": topics, "loggedInUser": {"csrf": draw.randbytes(8).hex()}}).encode()


RENDERERS: dict[str, Callable[[list[Entry], datetime, random.Random], bytes]] = {
    "mybb": _mybb,
    "phpbb": _phpbb,
    "spirit": _spirit,
    "nodebb": _nodebb,
    "leak_cards": _cards,
    "leak_cards, relative": _relative_cards,
}
IN_TITLE = {
    "title marker": lambda each: replace(each, title=each.title + " (Updated)"),
    "full": lambda each: replace(each, title=each.title + " - FULL DATA LEAK"),
    "part": lambda each: replace(each, title=each.title + " Part 7"),
    "renamed": lambda each: replace(each, title="vendue " + each.title),
}
IN_CARD = {
    "size": lambda each: replace(each, size="750 GB"),
    "percent": lambda each: replace(each, percent=100),
    "countdown": lambda each: replace(each, ends=each.ends + timedelta(days=3)),
    "magnet": lambda each: replace(each, magnet=each.magnet[:-4] + "ffff"),
    "state": lambda each: replace(each, state="good" if each.state == "bad" else "bad"),
    "link": lambda each: replace(each, links=(*each.links, f"https://files.example/{each.number}/part-x.7z")),
    "records": lambda each: replace(each, body=each.body + " Now 999 000 patients more."),
    "price": lambda each: replace(each, body=each.body + " Price: $45,000"),
}


def injections(software: str) -> dict[str, Callable[[Entry], Entry]]:
    """What can change in a post of this software."""
    return {**IN_TITLE, **(IN_CARD if "cards" in software else {})}


@dataclass
class Outcome:
    """Of many looks at one listing."""

    looks: int = 0
    false: int = 0
    injected: int = 0
    told: int = 0
    renamed: int = 0
    missed: list[str] = field(default_factory=list)
    rang: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        self.looks += other.looks
        self.false += other.false
        self.injected += other.injected
        self.told += other.told
        self.renamed += other.renamed
        self.missed += other.missed
        self.rang += other.rang


def watch(software: str, seed: int, looks: int, store: Store, *, inject: bool) -> Outcome:
    """Look at a listing again and again through the real reader, fields and store.

    Args:
        software: of `RENDERERS`. seed: of the listing and its noise.
        looks: at the whole page. store: empty, or of other sources.
        inject: after the first few looks, one change in one post at every third look.
    """
    name = f"{software.split(',')[0]}-{seed}"
    definition = definition_of(software)
    site = make_site(software, seed)
    changes = list(injections(software).items())
    outcome = Outcome()
    now = START
    for look in range(looks):
        now += timedelta(minutes=site.draw.randrange(10, 90))
        kind, changed = "", 0
        if inject and look > 2 and look % 3 == 0:
            kind, change = changes[(look // 3) % len(changes)]
            at = site.draw.randrange(len(site.entries))
            changed = site.entries[at].number
            before = site.entries[at]
            site.entries[at] = change(before)
            kind = kind if site.entries[at] != before else ""
        rang = _look(definition, name, site.render(now), now, store)
        outcome.looks += len(site.entries)
        if kind:
            outcome.injected += 1
            # all that the public trackers' rule (same title, cut to 90 characters) sees, and as a new post
            outcome.renamed += site.entries[at].title[:90] != before.title[:90]
            outcome.told += str(changed) in rang
            outcome.missed += [] if str(changed) in rang else [f"{software}: {kind}"]
            rang.pop(str(changed), None)
        if look:
            outcome.false += len(rang)
            outcome.rang += [f"{software}: {said}" for said in rang.values()]
    return outcome


def definition_of(software: str) -> Definition:
    """The definition that reads such a listing."""
    shipped = platform_file(software.split(",")[0])
    assert shipped is not None
    via = "via: tor\n" if ".onion" in shipped.example else ""
    source = parse_source(f"name: site\nplatform: {shipped.name}\nurl: {shipped.example}\n{via}", "site.yaml")
    return build_definition(source, PlatformLoader().defaults_for(source))


def _look(definition: Definition, name: str, page: bytes, now: datetime, store: Store) -> dict[str, dict[str, str]]:
    """One crawl: native id of each post that rang -> what it said."""
    url = definition.url.replace("{page}", "1").replace("{offset}", "0")
    kind = "application/json" if definition.list.kind == "json" else "text/html"
    posts = PlatformLoader().platform(definition.platform).read_listing(definition, page, url, kind).posts
    rows, natives = [], {}
    for post in posts:
        traits = listing_fields(KEY, post, now)
        rows.append(PostRow(f"{name}/{post.native}", version_of(KEY, traits), "http://x/", b"due", fields=traits))
        natives[rows[-1].id] = post.native
    crawl = LeasedCrawl(store, name, now=now)
    listed = crawl.list(*rows, now=now, volatile=definition.list.volatile)
    rang = {}
    for row in rows:
        if row.id in listed.examine:
            said = store.posts.changes_of(name, row, definition.list.volatile)
            if said:
                rang[natives[row.id]] = said
            crawl.commit(row, now=now)
    crawl.end_walk()
    crawl.finish(now=now)
    return rang
