"""The parts of a fetched post: pages, attachments, links to other sources and announcements, without a spider."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Collection, Sequence
from typing import Any

import pytest
from scrapy import Request
from scrapy.exceptions import DownloadTimeoutError
from scrapy.http import HtmlResponse, Response

from crawler.fetching import joined_download, thread_parts
from crawler.fetching.crawl_state import CrawlState
from crawler.fetching.first_page import PostPages
from crawler.fetching.items import FetchedPost, FetchedSample, ListingRow
from crawler.fetching.joined_download import JoinedDownload
from crawler.fetching.platform_loader import PlatformLoader
from crawler.fetching.post_links import MAX_HOSTS, LinkReader
from crawler.fetching.post_parts import MAX_ITEM_PAGES, PartLimits, PostParts
from crawler.fetching.thread_parts import MAX_ATTACHMENTS
from crawler.pages.extract import read_feed, read_item
from crawler.pages.incident_rules import Rules
from crawler.transport.errors import Trouble
from crawler.transport.resumed_download import DownloadLimits
from data.model import Post
from data.sources.definition import Definition
from data.sources.platform_files import platform_file
from data.sources.source_files import build_definition, parse_source

SITE = "https://site.example"
POST = Post("site", "1", f"{SITE}/t/1", title="Clinic data")
LIMITS = PartLimits(2**20, 2**24, DownloadLimits(max_bytes=2**30, stall=5, max_pause=1, wall=60, deadline=2**40))


def define(**keys: Any) -> Definition:
    item = {
        "each": ["css:.post"],
        "fields": {
            "body": [{"x": "css:p", "text": "html"}],
            "attachments": [{"x": "css:a.file::attr(href)"}],
        },
        "next": [{"x": "css:a.next::attr(href)"}],
    }
    listing = {"each": ["css:li"], "fields": {"id": [{"x": "xpath:./@id"}]}}
    whole = {"name": "site", "platform": "declared", "url": f"{SITE}/", "list": listing, "item": item, **keys}
    return Definition.model_validate(whole)


def read(pages: Any, definition: Definition | None = None, **more: Any) -> tuple[FetchedPost, list[Any]]:
    """One post and its parts; arguments as of `read_all`."""
    [found] = read_all(pages, definition, **more)
    return found


def read_all(
    pages: dict[str, str | tuple[int, str]],
    definition: Definition | None = None,
    *,
    known: Any = (),
    start: int = 0,
    post: Post = POST,
    others: Sequence[Post] = (),
    follow: Any = None,
    shapes: Any = None,
    rules: Rules | None = None,
    revisited: bool = False,
) -> list[tuple[FetchedPost, list[Any]]]:
    """The post, and others after it, with their parts, from a site that has only these pages, some with a status; other
    requests time out."""

    async def send(request: Request) -> Response:
        if request.url not in pages:
            raise DownloadTimeoutError
        found = pages[request.url]
        status, text = found if isinstance(found, tuple) else (200, found)
        return HtmlResponse(request.url, status, body=text.encode(), encoding="utf-8", request=request)

    async def report_preview(_row: Any, _preview: Any) -> str:
        return "event"

    async def ask_parts(found: Any) -> Any:
        return [part.id for part in found if (part.id, part.version) not in known]

    parts = PostParts(
        definition or define(),
        post_key=bytes(32),
        limits=LIMITS,
        state=CrawlState(),
        send=send,
        read_item=read_item,
        report_preview=report_preview,
        ask_parts=ask_parts,
        links=LinkReader(definition or define(), follow or {}, shapes or {}),
        rules=rules or Rules(),
        pages=PostPages(""),
    )

    async def collected(post: Post) -> tuple[FetchedPost, list[Any]]:
        url, headers, meta = parts.first_request(post, start)
        first = await send(Request(url, headers=headers, meta=meta))
        row = ListingRow("id", "version", "address", {})
        item = FetchedPost(post, row, False, first, start=start, revisited=revisited)
        return item, [part async for part in parts.samples(item)]

    async def one_by_one() -> list[tuple[FetchedPost, list[Any]]]:
        return [await collected(each) for each in (post, *others)]

    return asyncio.run(one_by_one())


def page(text: str, more: str = "") -> str:
    return f"<html><body><div class=post><p>{text}</p>{more}</div></body></html>"


def test_all_pages_of_a_thread_become_one_sample():
    item, parts = read(
        {POST.url: page("one", "<a class=next href=/t/1?page=2>n</a>"), f"{POST.url}?page=2": page("two")}
    )
    assert [(part.name, part.body) for part in parts] == [("post", b"Clinic data\none\ntwo")]
    assert item.page_fields["read"] == 1


def test_a_thread_is_read_to_the_page_limit_and_the_rest_is_reported():
    pages = {POST.url: page("0", "<a class=next href=/t/1?page=1>n</a>")}
    for number in range(1, 2 * MAX_ITEM_PAGES):
        link = f"<a class=next href=/t/1?page={number + 1}>n</a>"
        pages[f"{POST.url}?page={number}"] = page(str(number), link)
    _, [sample, trouble] = read(pages)
    assert sample.body.decode().split()[-1] == str(MAX_ITEM_PAGES - 1)
    assert (trouble.code, trouble.retry) == ("limit", False)


def test_a_missing_attachment_is_reported_and_the_others_are_read():
    links = "<a class=file href=/a.txt>a</a><a class=file href=/gone.txt>b</a><a class=file href=/c.txt>c</a>"
    _, parts = read({POST.url: page("text", links), f"{SITE}/a.txt": "first", f"{SITE}/c.txt": "third"})
    assert [part.code if isinstance(part, Trouble) else part.name for part in parts] == [
        "post",
        "a.txt",
        "timeout",
        "c.txt",
    ]


def test_an_attachment_that_is_refused_is_not_tried_again_but_one_that_asks_for_patience_is():
    links = "<a class=file href=/members.zip>a</a><a class=file href=/later.zip>b</a>"
    pages = {POST.url: page("text", links), f"{SITE}/members.zip": (403, "no"), f"{SITE}/later.zip": (429, "later")}
    _, [_, members, later] = read(pages)
    assert (members.code, members.retry) == ("blocked", False)
    assert (later.code, later.retry) == ("blocked", True)


def test_attachments_over_the_limit_are_counted():
    links = "".join(f"<a class=file href=/{number}.txt>x</a>" for number in range(MAX_ATTACHMENTS + 3))
    files = {f"{SITE}/{number}.txt": "x" for number in range(MAX_ATTACHMENTS + 3)}
    _, parts = read({POST.url: page("text", links), **files})
    assert len([part for part in parts if isinstance(part, FetchedSample)]) == MAX_ATTACHMENTS + 1
    assert parts[-1] == Trouble("limit", "3 further attachments were not read", retry=False)


def test_links_are_handed_to_the_sources_that_declare_their_hosts_and_others_are_counted():
    definition = define(
        follow=[
            {"match": r"^https://paste\.example/", "source": "pastes"},
            {"match": r"/elsewhere/", "source": "pastes"},
            {"match": r"^https://off\.example/", "source": "disabled"},
        ]
    )
    text = "https://paste.example/k#KEY https://other.example/elsewhere/1 https://off.example/2"
    follow = {"pastes": frozenset({("paste.example", 443)})}
    item, _ = read({POST.url: page(text)}, definition, follow=follow)
    assert [(post.source, url) for url, post in item.links.handed.items()] == [
        ("pastes", "https://paste.example/k#KEY")
    ]
    assert item.left == {"undeclared link": 1}
    assert set(item.links.hosts) == {"other.example"}


def test_files_on_more_hosts_than_are_counted_are_told():
    links = "".join(f"<a href='https://h{number}.example/dump.zip'>x</a>" for number in range(MAX_HOSTS + 2))
    item, _ = read({POST.url: page("text", links + "<a href='https://last.example/page'>x</a>")})
    assert len(item.links.hosts) == MAX_HOSTS
    assert item.left == {"further links": 2}


PASTE_SHAPES = {"pastes": (r"/(?:raw/)?(?P<id>[a-z0-9]+)(?:[?#].*)?",), "any": (r"/.+",)}
PASTE_HOSTS = {"pastes": frozenset({("paste.example", 443)}), "any": frozenset({("files.example", 443)})}


@pytest.mark.parametrize(
    ("link", "handed", "hosts", "files"),
    [
        ("https://paste.example/k7#KEY", [("pastes", "k7")], {}, []),
        ("https://PASTE.example/raw/k7?x=1", [("pastes", "k7")], {}, []),
        ("https://paste.example/", [], {}, []),
        ("https://paste.example/about/us", [], {}, []),
        ("https://paste.example/static/app-1f3c9b.css", [], {}, []),
        ("https://paste.example/en/faq?page=2#Downloads", [], {}, []),
        ("https://paste.example/view/8f3Kq2Lz", [], {"paste.example": 0}, []),
        ("https://paste.example/download/q/dump.csv", [], {"paste.example": 1}, []),
        ("http://paste.example/k7", [], {"paste.example": 0}, []),
        ("https://files.example/d/Zk/dump.7z#p", [("any", "https://files.example/d/Zk/dump.7z#p")], {}, []),
        ("https://mega.nz/folder/x#k", [], {"mega.nz": 0}, []),
        ("https://www.other.example/db.sql.gz", [], {"other.example": 1}, []),
        ("https://other.example/get.php?f=a%2Fdump.part1.rar&x=1", [], {"other.example": 1}, []),
        ("https://other.example/robots.txt", [], {"other.example": 0}, []),
        (f"{SITE}/up/dump.7z", [], {}, [f"{SITE}/up/dump.7z"]),
        (f"{SITE}/up/photo.png", [], {}, []),
        ("http://www.site.example/thread/2", [], {}, []),
        ("http://www.site.example/dump.zip", [], {"site.example": 1}, []),
        ("ftp://other.example/dump.zip", [], {}, []),
        ("https://[::1/x.zip", [], {}, []),
        ("https://bücher.example/x", [], {"xn--bcher-kva.example": 0}, []),
    ],
)
def test_each_link_is_handed_over_read_or_counted(link, handed, hosts, files):
    item, parts = read({POST.url: page("text", f"<a href='{link}'>x</a>")}, follow=PASTE_HOSTS, shapes=PASTE_SHAPES)
    assert [(post.source, post.native) for post in item.links.handed.values()] == handed
    assert {host: len(found) for host, found in item.links.hosts.items()} == hosts
    assert list(item.links.files) == files
    # the file is requested: this site has none, so that each is a part that is missing
    assert [part.code for part in parts if isinstance(part, Trouble)] == ["timeout"] * len(files)


def test_a_file_that_another_post_brought_is_read_again_only_if_the_post_changed():
    pages = {POST.url: page("text", "<a href='/a.csv'>x</a>"), f"{SITE}/a.csv": "a;b"}
    item, parts = read(pages)
    assert [part.name for part in parts] == ["post", "a.csv"]
    known = {(part.id, part.version) for part in item.parts}
    assert [part.name for part in read(pages, known=known)[1]] == ["post"]
    off, parts = read(pages, define(linked_files=False))
    assert [part.name for part in parts] == ["post"]
    assert {host: len(found) for host, found in off.links.hosts.items()} == {"site.example": 1}


def test_a_file_beyond_the_limit_of_one_post_is_read_with_another_that_links_to_it():
    other = Post("site", "2", f"{SITE}/t/2")
    links = "".join(f"<a href='/{number}.csv'>x</a>" for number in range(MAX_ATTACHMENTS + 3))
    files = {f"{SITE}/{number}.csv": "x" for number in range(MAX_ATTACHMENTS + 3)}
    last = f"{MAX_ATTACHMENTS + 2}.csv"
    pages = {POST.url: page("index", links), other.url: page("text", f"<a href='/0.csv'>x</a><a href='/{last}'>x</a>")}
    (_, index), (_, parts) = read_all({**pages, **files}, others=[other])
    assert index[-1].detail == "3 further attachments were not read"
    assert [part.name for part in parts] == ["post", last], "the first file was read with the index"


def test_a_linked_file_that_is_not_there_yet_is_requested_when_another_post_links_to_it():
    pages = {POST.url: page("text", "<a href='/a.csv'>x</a>"), f"{SITE}/a.csv": (404, "not yet")}
    item, [_, missing] = read(pages)
    assert (missing.code, missing.retry) == ("absent", False)
    known = {(part.id, part.version) for part in item.parts}
    assert [part.name for part in read({**pages, f"{SITE}/a.csv": "a;b"}, known=known)[1]] == ["post", "a.csv"]


@pytest.mark.parametrize("revisited", [False, True])
def test_other_posts_do_not_stay_due_because_a_file_that_they_link_to_is_not_there(revisited):
    pages = {POST.url: page("text", "<a href='/a.csv'>x</a>"), f"{SITE}/a.csv": (404, "not yet")}
    item, parts = read(pages, revisited=revisited)
    assert [part.code for part in parts if isinstance(part, Trouble)] == ([] if revisited else ["absent"])
    assert item.links.reads.keys() == item.links.done == {f"{SITE}/a.csv"}


def test_rules_and_deadlines_of_the_text_are_announced():
    rules = Rules.of(["clinic"], ["part [0-9]"], {})
    item, _ = read({POST.url: page("Part 2 of the data in 48 hours")}, rules=rules)
    assert item.announced.rules == ("word 'clinic'",)
    assert [each.phrase for each in item.announced.deadlines] == ["in 48 h"]


def test_a_page_on_which_the_rules_find_no_text_is_examined_as_it_is():
    _, [sample, trouble] = read({POST.url: "<html><body><b>DUPONT;Jean</b></body></html>"})
    assert b"DUPONT;Jean" in sample.body
    assert trouble.code == "empty"


def joined(part: Any) -> tuple[bytes, str]:
    """The bytes of a divided file, and what is wrong with it."""

    async def collected() -> bytes:
        return b"".join([piece async for piece in part.download.read()])

    return asyncio.run(collected()), part.download.problem()


def test_parts_of_a_divided_file_are_one_sample_each_part_requested_once():
    names = ["d.csv.ab", "a.txt", "d.csv.aa", "d.csv.ac"]
    links = "".join(f"<a class=file href=/f/{name}>x</a>" for name in names)
    asked: list[str] = []

    class Counted(dict):
        def __getitem__(self, url: str) -> str:
            asked.append(url.rpartition("/")[2])
            return super().__getitem__(url)

    pages = Counted({POST.url: page("text", links), **{f"{SITE}/f/{name}": f"<{name}>" for name in names}})
    _, [post, divided, other] = read(pages)
    assert (post.name, divided.name, other.name) == ("post", "d.csv", "a.txt")
    assert joined(divided) == (b"<d.csv.aa><d.csv.ab><d.csv.ac>", "")
    assert sorted(asked) == ["1", "a.txt", "d.csv.aa", "d.csv.ab", "d.csv.ac"]


def test_a_missing_part_is_named_and_those_behind_it_are_read():
    links = "".join(f"<a class=file href=/f/d.7z.00{number}>x</a>" for number in (1, 3))
    pages = {POST.url: page("text", links), f"{SITE}/f/d.7z.001": "one", f"{SITE}/f/d.7z.003": "three"}
    _, [_, divided] = read(pages)
    assert joined(divided) == (b"onethree", "part 2 of this divided file is missing")


def test_files_that_are_one_table_arrive_as_one_archive():
    links = "".join(f"<a class=file href=/f/{name}>x</a>" for name in ("p.dbf", "p.fpt", "q.fpt"))
    pages = {POST.url: page("text", links)} | {f"{SITE}/f/{name}": name * 200 for name in ("p.dbf", "p.fpt", "q.fpt")}
    _, [_, table, other] = read(pages)
    data, problem = joined(table)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = {each.name: archive.extractfile(each).read() for each in archive.getmembers()}
    assert files == {"p.dbf": b"p.dbf" * 200, "p.fpt": b"p.fpt" * 200}
    assert problem == ""
    assert other.body == b"q.fpt" * 200


def test_parts_whose_addresses_are_numbers_are_joined_by_the_names_that_the_page_shows():
    """Forums hand out `attachment.php?id=7`; a part may also be named by `download`, and one stands in another reply."""
    link = "<a class=file href='/attachment.php?id={}'{}>{}</a>"
    shown = {7: "d.7z.002", 3: " d.7z.003\n", 5: "readme.txt"}
    links = "".join(link.format(number, "", name) for number, name in shown.items())
    more = f"<div class=post><p>rest</p>{link.format(9, ' download=d.7z.001', '1st part (5 MB)')}</div>"
    pages = {POST.url: page("text", links).replace("</body>", f"{more}</body>")} | {
        f"{SITE}/attachment.php?id={number}": f"<{number}>" for number in (3, 5, 7, 9)
    }
    _, [post, divided, other] = read(pages)
    assert (post.name, divided.name, other.body) == ("post", "d.7z", b"<5>")
    assert joined(divided) == (b"<9><7><3>", "")


def test_a_part_that_does_not_arrive_leaves_the_post_due():
    links = "".join(f"<a class=file href=/f/d.7z.00{number}>x</a>" for number in (1, 2))
    _, [_, divided] = read({POST.url: page("text", links), f"{SITE}/f/d.7z.001": "one"})
    data, problem = joined(divided)
    assert data == b"one"
    assert problem.startswith("timeout")
    assert divided.download.trouble.retry


def test_a_further_page_without_parts_is_not_the_end_of_the_thread():
    link = "<a class=next href=/t/1?page=2>n</a>"
    _, parts = read({POST.url: page("one", link), f"{POST.url}?page=2": "<html><body><b>restyled</b></body></html>"})
    assert [part.code if isinstance(part, Trouble) else part.name for part in parts] == ["page", "post", "empty"]
    assert b"restyled" in parts[0].body


def test_parts_in_which_the_rule_for_the_text_finds_nothing_are_not_an_empty_post():
    _, [sample, trouble] = read({POST.url: "<html><body><div class=post><i>DUPONT;Jean</i></div></body></html>"})
    assert b"DUPONT;Jean" in sample.body
    assert trouble.code == "empty"


# --- threads: parts with ids -----------------------------------------------------------------------------------------

THREAD = define(
    item={
        "url": "{link}?page={page}",
        "each": ["css:.post"],
        "fields": {
            "id": [{"x": "xpath:./@id"}],
            "body": [{"x": "css:p", "text": "html"}],
            "attachments": [{"x": "css:a.file::attr(href)"}],
        },
        "next": [{"x": "css:a.next::attr(href)"}],
    }
)


def thread(*parts: tuple[str, str], more: str = "") -> str:
    posts = "".join(f"<div class=post id={name}><p>{text}</p></div>" for name, text in parts)
    return f"<html><body>{posts}{more}</body></html>"


def known_after(item: FetchedPost) -> set[tuple[str, str]]:
    return {(part.id, part.version) for part in item.parts}


def test_of_a_thread_that_is_read_again_only_new_and_edited_replies_are_examined():
    first = f"{POST.url}?page=1"
    item, _ = read({first: thread(("p1", "one"), ("p2", "two"))}, THREAD)
    known = known_after(item)
    item, parts = read({first: thread(("p1", "one"), ("p2", "two"))}, THREAD, known=known)
    assert (parts, item.unchanged, known_after(item)) == ([], True, known)
    edited = thread(("p1", "one"), ("p2", "two, 06 12 34 56 78"), ("p3", "three"))
    item, [sample] = read({first: edited}, THREAD, known=known)
    assert sample.body.decode().splitlines() == ["Clinic data", "two, 06 12 34 56 78", "three"]
    assert len(known_after(item) - known) == 2


def test_more_parts_than_are_remembered_are_examined_each_time_and_that_is_told(monkeypatch):
    monkeypatch.setattr(thread_parts, "MAX_PARTS", MAX_ATTACHMENTS + 3)
    first = f"{POST.url}?page=1"
    pages = {first: thread(*((f"p{number}", f"text {number}") for number in range(5)))}
    item, _ = read(pages, THREAD)
    assert len(item.parts) == 3
    item, [sample, trouble] = read(pages, THREAD, known=known_after(item))
    assert sample.body.decode().splitlines() == ["Clinic data", "text 3", "text 4"]
    assert (trouble.code, trouble.retry) == ("limit", False)
    assert "2 parts" in trouble.detail
    assert not item.unchanged


def test_a_thread_with_a_new_reply_is_read_from_its_last_known_page_on():
    link = "<a class=next href=/t/1?page=3>n</a>"
    pages = {f"{POST.url}?page=2": thread(("p9", "old"), more=link), f"{POST.url}?page=3": thread(("p10", "new"))}
    item, [sample] = read(pages, THREAD, start=2)
    assert sample.body.decode().splitlines() == ["Clinic data", "old", "new"]
    assert item.last_page == 3
    assert item.page_fields == {}


def test_a_board_that_gives_its_last_page_again_does_not_loop():
    link = "<a class=next href=/t/1?page={}>n</a>"
    pages = {f"{POST.url}?page={n}": thread(("p1", "one"), more=link.format(n + 1)) for n in range(1, 9)}
    item, [sample] = read(pages, THREAD)
    assert item.last_page == 2
    assert sample.body.decode().splitlines() == ["Clinic data", "one"]


def test_a_reply_of_the_feed_is_the_same_part_as_on_the_page_of_its_thread():
    reply = Post("site", "p2", f"{SITE}/t/1?p=2#p2", body="Bonjour, le reste : https://x.example/a")
    feed = FetchedPost(reply, ListingRow("id", "version", "address", {}), False, None)

    assert [part.name for part in read_reply(feed)] == ["listing"]
    page_of_thread = thread(("p1", "one"), ("p2", "Bonjour, le reste :<br>https://x.example/a"))
    _, [sample] = read({f"{POST.url}?page=1": page_of_thread}, THREAD, known=known_after(feed))
    assert sample.body.decode().splitlines() == ["Clinic data", "one"]


def read_reply(item: FetchedPost, known: Collection[tuple[str, str]] = ()) -> list[Any]:
    """The samples of a reply as a feed has it."""

    async def new(parts: Any) -> Any:
        return [part.id for part in parts if (part.id, part.version) not in known]

    async def samples() -> list[Any]:
        parts = PostParts(
            THREAD, post_key=bytes(32), limits=LIMITS, state=CrawlState(), send=never, read_item=read_item,
            report_preview=never, ask_parts=new, links=LinkReader(THREAD, {}, {}), rules=Rules(),
            pages=PostPages(""),
        )  # fmt: skip
        return [part async for part in parts.samples(item)]

    return asyncio.run(samples())


QUOTED = "DUPONT;Jean;12/02/1950;jean.dupont@ville.example"
# What phpBB and NodeBB write about a reply that quotes another one, in their feeds.
QUOTING_FEEDS = {
    "phpbb": (
        (
            "<feed><entry><id>http://b.example/t?p=9#p9</id><content><![CDATA[<blockquote><div><cite>A wrote:</cite>{quoted}"
            "</div></blockquote>{rest}<p>Statistics: Posted by B</p><hr/>]]></content></entry>"
            "<entry><id>http://b.example/t?p=4#p4</id><content><![CDATA[{first}]]></content></entry></feed>"
        ),
        "application/atom+xml",
    ),
    "nodebb": (
        (
            '[{{"pid": 9, "content": "<p><a href=\\"/post/4\\">A</a> said:</p><blockquote><p>{quoted}</p></blockquote><p>{rest}</p>"}},'
            ' {{"pid": 4, "content": "<p>{first}</p>"}}]'
        ),
        "application/json",
    ),
}


@pytest.mark.parametrize("software", QUOTING_FEEDS)
@pytest.mark.parametrize(
    ("first", "quoted", "rest", "counted"),
    [
        (f"voici {QUOTED} etc.", QUOTED, "merci", False),
        ("autre chose, et rien de plus", QUOTED, "merci", True),
        (f"voici {QUOTED} etc.", QUOTED, "", False),
    ],
    ids=["quote of another reply", "quote that nobody wrote", "nothing but a quote"],
)
def test_what_a_reply_of_the_feed_quotes_counts_once(software, first, quoted, rest, counted):
    shipped = platform_file(software)
    text = f"name: site\nplatform: {software}\nurl: {shipped.example}\n"
    definition = build_definition(
        parse_source(text, "s.yaml"), PlatformLoader().defaults_for(parse_source(text, "s.yaml"))
    )
    form, kind = QUOTING_FEEDS[software]
    listing = read_feed(definition, form.format(first=first, quoted=quoted, rest=rest).encode(), shipped.example, kind)
    reply, other = listing.posts
    quoting = listing.quoting[reply.native]
    item = FetchedPost(
        reply, ListingRow("id", "version", "address", {}), False, None, quoting=quoting, others=(other.body,)
    )
    samples = [sample.body.decode() for sample in read_reply(item)]
    assert any(QUOTED in sample for sample in samples) is counted
    assert any(rest in sample for sample in samples) or not rest
    assert item.unchanged is (not samples)
    assert len(item.parts) == 1, "the page of its thread does not have it examined again"
    assert listing.quoting.keys() == {reply.native}


async def never(*_: Any) -> Any:
    raise AssertionError("nothing is requested")


def test_a_file_that_guests_may_not_fetch_is_told_once():
    definition = THREAD.model_copy(update={"blocked": THREAD.blocked.model_copy(update={"text": "log in first"})})
    body = thread(("p1", "one"), more="").replace("</div>", "<a class=file href=/a.zip>a</a></div>")
    pages = {f"{POST.url}?page=1": body, f"{SITE}/a.zip": "<html>please log in first</html>"}
    item, [_, trouble] = read(pages, definition)
    assert (trouble.code, trouble.retry) == ("blocked", False)
    item, parts = read(pages, definition, known=known_after(item))
    assert parts == []


def archived(files: dict[str, FetchedSample | Trouble]) -> tuple[dict[str, bytes], str]:
    """What an archive of these files holds, by name, and the problem of reading them."""

    async def open_part(address: str) -> FetchedSample | Trouble:
        return files[address]

    async def collected() -> tuple[bytes, str]:
        made = JoinedDownload(tuple(files), range(1, len(files) + 1), (), open_part, None, tuple(files))
        return b"".join([piece async for piece in made.read()]), made.problem()

    data, problem = asyncio.run(collected())
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {each.name: archive.extractfile(each).read() for each in archive}, problem  # type: ignore[union-attr]


def test_a_large_file_that_belongs_to_others_is_read_whole_whether_or_not_its_size_is_announced(monkeypatch):
    monkeypatch.setattr(joined_download, "_MAX_HELD", 300)
    body = bytes(range(250)) * 4
    definition = FetchedSample("t.frm", "", b"definition")
    assert archived({"t.frm": definition, "t.myd": FetchedSample("t.myd", "", body)}) == (
        {"t.frm": b"definition", "t.myd": body},
        "",
    )
    pieces = {str(at): FetchedSample("", "", body[at : at + 250]) for at in range(0, 1000, 250)}

    async def open_piece(address: str) -> FetchedSample | Trouble:
        return pieces[address]

    unknown = JoinedDownload(tuple(pieces), range(1, 5), (), open_piece)
    found, problem = archived({"t.frm": definition, "t.myd": FetchedSample("t.myd", "", b"", download=unknown)})
    assert b"".join(list(found.values())[1:]) == body
    assert problem.startswith("size: ")
