"""The parts of a fetched post: pages, attachments, links to other sources and announcements, without a spider."""

from __future__ import annotations

import asyncio
from typing import Any

from scrapy import Request
from scrapy.exceptions import DownloadTimeoutError
from scrapy.http import HtmlResponse, Response

from crawler.fetching import thread_parts
from crawler.fetching.crawl_state import CrawlState
from crawler.fetching.items import FetchedPost, FetchedSample, ListingRow
from crawler.fetching.post_parts import MAX_ITEM_PAGES, PartLimits, PostParts
from crawler.fetching.thread_parts import MAX_ATTACHMENTS
from crawler.pages.extract import read_item
from crawler.pages.incident_rules import Rules
from crawler.transport.errors import Trouble
from crawler.transport.resumed_download import DownloadLimits
from data.model import Post
from data.sources.definition import Definition

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


def read(
    pages: dict[str, str],
    definition: Definition | None = None,
    *,
    known: Any = (),
    start: int = 0,
    post: Post = POST,
    **keys: Any,
) -> tuple[FetchedPost, list[Any]]:
    """The post and its parts, from a site that has only these pages; any other request times out."""

    async def send(request: Request) -> Response:
        if request.url not in pages:
            raise DownloadTimeoutError
        return HtmlResponse(request.url, body=pages[request.url].encode(), encoding="utf-8", request=request)

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
        **{"follow": {}, "rules": Rules(), **keys},
    )

    async def collected() -> tuple[FetchedPost, list[Any]]:
        url, headers, meta = parts.first_request(post, start)
        first = await send(Request(url, headers=headers, meta=meta))
        item = FetchedPost(post, ListingRow("id", "version", "address", {}), False, first, start=start)
        return item, [part async for part in parts.samples(item)]

    return asyncio.run(collected())


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
    assert [(post.source, url) for url, post in item.links.items()] == [("pastes", "https://paste.example/k#KEY")]
    assert item.left == {"undeclared link": 1}


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

    async def listed() -> list[Any]:
        parts = PostParts(
            THREAD, post_key=bytes(32), limits=LIMITS, state=CrawlState(), send=never, read_item=read_item,
            report_preview=never, ask_parts=all_new, follow={}, rules=Rules(),
        )  # fmt: skip
        return [part async for part in parts.samples(feed)]

    assert [part.name for part in asyncio.run(listed())] == ["listing"]
    page_of_thread = thread(("p1", "one"), ("p2", "Bonjour, le reste :<br>https://x.example/a"))
    _, [sample] = read({f"{POST.url}?page=1": page_of_thread}, THREAD, known=known_after(feed))
    assert sample.body.decode().splitlines() == ["Clinic data", "one"]


async def all_new(parts: Any) -> Any:
    return [part.id for part in parts]


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
