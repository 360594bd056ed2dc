"""The parts of a fetched post: pages, attachments, links to other sources and announcements, without a spider."""

from __future__ import annotations

import asyncio
from typing import Any

from scrapy import Request
from scrapy.exceptions import DownloadTimeoutError
from scrapy.http import HtmlResponse, Response

from crawler.fetching.crawl_state import CrawlState
from crawler.fetching.items import FetchedPost, FetchedSample, ListingRow
from crawler.fetching.post_parts import MAX_ATTACHMENTS, MAX_ITEM_PAGES, PartLimits, PostParts
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


def read(pages: dict[str, str], definition: Definition | None = None, **keys: Any) -> tuple[FetchedPost, list[Any]]:
    """The post and its parts, from a site that has only these pages; any other request times out."""

    async def send(request: Request) -> Response:
        if request.url not in pages:
            raise DownloadTimeoutError
        return HtmlResponse(request.url, body=pages[request.url].encode(), encoding="utf-8", request=request)

    async def report_preview(_row: Any, _preview: Any) -> str:
        return "event"

    parts = PostParts(
        definition or define(),
        post_key=bytes(32),
        limits=LIMITS,
        state=CrawlState(),
        send=send,
        read_item=read_item,
        report_preview=report_preview,
        **{"follow": {}, "rules": Rules(), **keys},
    )

    async def collected() -> tuple[FetchedPost, list[Any]]:
        url, headers, meta = parts.first_request(POST)
        first = await send(Request(url, headers=headers, meta=meta))
        item = FetchedPost(POST, ListingRow("id", "version", "address", {}), False, first)
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


def test_a_part_that_does_not_arrive_leaves_the_post_due():
    links = "".join(f"<a class=file href=/f/d.7z.00{number}>x</a>" for number in (1, 2))
    _, [_, divided] = read({POST.url: page("text", links), f"{SITE}/f/d.7z.001": "one"})
    data, problem = joined(divided)
    assert data == b"one"
    assert problem.startswith("timeout")
    assert divided.download.trouble.retry
