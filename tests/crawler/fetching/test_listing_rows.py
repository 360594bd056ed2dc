"""The rows of a listing on their way to the runner: one bad row costs that row, and many rows go in pieces."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from crawler.fetching.post_parts import MAX_PREVIEW, _fitting
from crawler.fetching.post_reports import BAD_ROW, LARGE_ROW, MAX_POSTS_IN_FRAME, ListedPage
from crawler.fetching.runner_socket import Control
from crawler.fetching.spider import SourceSpider
from crawler.pages.extract import read_listing
from crawler.pages.post_fields import OUT_OF_RANGE
from crawler.process.control_frames import FileListPreview, ListedAnswer, ListedFrame, read_question
from crawler.process.frames import MAX_FRAME, pack, receive, send
from crawler.process.job_frame import NO_RULES, Job, JobLimits
from data.model import Post
from data.sources.definition import Definition

KEY = bytes(32)
DEFINITION = Definition.model_validate(
    {
        "name": "site", "platform": "declared", "url": "https://site.example/",
        "list": {
            "as": "json", "each": ["json:@"],
            "fields": {"id": "json:id", "link": "json:link", "title": "json:title", "timer": "json:timer", "size": "json:size"},
        },
    }
)  # fmt: skip
JOB = Job(
    crawl="c", definition=DEFINITION, settings={}, network="refused", post_key=KEY, due=(), revisit=(), robots=b"", mode="crawl",
    limits=JobLimits(memory=2**30, wall=60.0), closed=Path("/closed"), settled=0, follow={}, shapes={}, recipient="", cookies=(), rules=NO_RULES,
)  # fmt: skip


def post(number: int) -> Post:
    return Post("site", str(number), f"https://site.example/t/{number}", title=f"post {number}")


def reported(posts: list[Post]) -> tuple[list[ListedFrame], dict, ListedAnswer, Counter[str]]:
    """What a spider reports of rows over a real socket to a thread in place of the runner."""
    ours, theirs = socket.socketpair()
    frames: list[ListedFrame] = []

    def answer() -> None:
        while True:
            try:
                kind, payload = receive(theirs)
            except EOFError:
                return
            if kind == b"P":
                continue
            assert len(payload) < MAX_FRAME
            frame = read_question(bytes(payload))
            assert isinstance(frame, ListedFrame)
            frames.append(frame)
            ids = tuple(each.id for each in frame.posts)
            found = ListedAnswer(examine=ids, changed=(), settled=1, settled_ids=ids[:1], start={})
            send(theirs, b"J", pack(b"J", found.to_json())[5:])

    thread = threading.Thread(target=answer)
    thread.start()
    problems: Counter[str] = Counter()

    async def run():
        control = Control(ours)
        spider = SourceSpider(name="site", job=JOB, due=(), control=control)
        try:
            page, rows = ListedPage(), {}
            async for some, answer in spider.reports.listed(posts, 1, problems):
                page.add(some, answer, some)
                rows |= some
            return rows, page
        finally:
            control._writer.close()

    rows, page = asyncio.run(run())
    ours.close()
    thread.join(10)
    theirs.close()
    return frames, rows, page, problems


@pytest.mark.slow
def test_many_rows_are_reported_in_pieces_and_each_row_once():
    posts = [post(number) for number in range(3 * MAX_POSTS_IN_FRAME + 7)]
    frames, rows, page, problems = reported(posts)
    assert [len(frame.posts) for frame in frames] == [MAX_POSTS_IN_FRAME] * 3 + [7]
    assert len(rows) == len(page.examine) == len(posts) == page.unseen
    assert page.examine == list(page.rows) == list(rows)
    assert len(page.settled) == len(frames)
    assert not problems


@pytest.mark.slow
def test_a_bad_row_costs_that_row_and_is_reported():
    bad = [
        replace(post(1), title="half a pair \ud800"),
        replace(post(2), body="x" * 5 * 2**20),
        replace(post(3), fields={"timer": "9999 years 9999 years"}),
        replace(post(4), fields={"timer": "1975-03-11"}),
        replace(post(5), fields={"size": "99999 TB"}),
        replace(post(6), native="\udfff"),
    ]
    _, rows, _, problems = reported([post(0), *bad, post(7)])
    shown = {each.native for _, each in rows.values()}
    assert {"0", "3", "4", "5", "7"} <= shown
    assert "2" not in shown
    assert problems[LARGE_ROW] == 1
    assert problems[BAD_ROW] == len(bad) + 2 - len(shown) - 1
    assert problems[OUT_OF_RANGE] == 2
    for row, _ in rows.values():
        assert "timer" not in row.fields


def test_an_empty_listing_is_reported_as_one_empty_page():
    frames, rows, answer, _ = reported([])
    assert [len(frame.posts) for frame in frames] == [0]
    assert not rows
    assert not answer.examine


def test_half_a_surrogate_pair_on_a_page_does_not_stop_its_listing():
    body = b'[{"id":"1","link":"/t/1","title":"a\\ud800b"},{"id":"2","link":"/t/2","title":"c"}]'
    listing = read_listing(DEFINITION, body, "https://site.example/")
    for each in listing.posts:
        orjson.dumps(each.to_json())
    pages = DEFINITION.model_copy(update={"list": DEFINITION.list.model_copy(update={"js": "data ="})})
    script = b"data = [{id: '1', link: '/t/1', title: 'a\\ud800b'}, {id: '2', link: '/t/2', title: 'c'}]"
    listing = read_listing(pages, script, "https://site.example/")
    assert [each.native for each in listing.posts] == ["1", "2"]
    for each in listing.posts:
        orjson.dumps(each.to_json())


def test_a_preview_of_very_many_files_is_cut_and_says_so():
    preview = FileListPreview(how="7z", complete=True, files="A" * (MAX_PREVIEW + 320), fetched=1, total=2)
    cut = _fitting(preview)
    assert len(cut.files) == MAX_PREVIEW
    assert cut.complete is False
    assert _fitting(cut) == cut
