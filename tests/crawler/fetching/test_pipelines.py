"""The commit of a post: it fits into a frame whatever was found, and no post is dropped."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from crawler.fetching import pipelines
from crawler.fetching.crawl_state import CrawlState
from crawler.fetching.items import FetchedPost, ListingRow
from crawler.fetching.pipelines import MAX_COMMIT, Commit
from crawler.process.control_frames import MAX_PARTS, CommitFrame, PartsFrame, PostPart
from crawler.process.frames import MAX_FRAME
from crawler.transport.errors import Trouble
from data.case.seen_tags import MAX_TAGS, NUMBER, open_seen, seal_seen
from data.model import Finding, Hit, Post

POST = Post("site", "17", "http://site.example/t/17")


def finding(name: str, *, members: int = 0, hits: int = 0, length: int = 1000) -> Finding:
    inside = tuple(Finding("n" * length, "0" * 64, 9, "text") for _ in range(members))
    found = (Hit("practice-1", hits, hits, ("email",)),) if hits else ()
    return Finding(name, "1" * 64, 99, "zip", members=inside, hits=found)


def committed(monkeypatch, findings: list[Finding], parts: Sequence[PostPart] = ()) -> tuple[CommitFrame, CrawlState]:
    asked: list[CommitFrame] = []

    async def ask(frame: CommitFrame) -> None:
        asked.append(frame)

    state = CrawlState()
    spider = SimpleNamespace(
        state=state, ask=ask, reports=SimpleNamespace(linked=lambda _: (), linked_hosts=lambda _: ())
    )
    item = FetchedPost(
        post=POST,
        row=ListingRow("a" * 32, "b" * 32, "http://site.example/[…]", {}),
        changed=False,
        first=None,
        findings=findings,
        parts=list(parts),
        preview_events={len(findings) - 1: "e" * 32} if findings else {},
    )
    asyncio.run(Commit(spider).process_item(item))
    [frame] = asked
    return frame, state


def test_of_many_large_samples_each_keeps_a_part_of_its_tags_which_says_how_many_there_were(monkeypatch):
    tags = np.arange(1, MAX_TAGS + 1, dtype="<u8")
    whole = base64.b64encode(NUMBER.pack(5 * MAX_TAGS) + tags.tobytes()).decode()
    findings = [replace(finding(f"{n}.csv"), seen=whole) for n in range(41)]
    frame, _ = committed(monkeypatch, [*findings, finding("page")])
    assert sum(len(each.seen) for each in frame.findings) <= pipelines.MAX_SEEN
    for each in frame.findings[:41]:
        total, kept = open_seen(bytes(32), seal_seen(bytes(32), each.seen))
        assert total == 5 * MAX_TAGS
        assert kept.tolist() == tags[: len(kept)].tolist()
        assert len(kept) > 1500
    assert frame.findings[41].seen == ""
    frame, _ = committed(monkeypatch, findings[:4])
    assert [each.seen for each in frame.findings] == [whole] * 4


@pytest.mark.slow
def test_a_post_of_forty_archives_with_long_names_beside_hits_is_committed_with_its_hits(monkeypatch):
    frame, _ = committed(
        monkeypatch, [*(finding(f"{n}.zip", members=1000) for n in range(40)), finding("a.csv", hits=50)]
    )
    assert len(frame.to_json()) <= MAX_COMMIT < MAX_FRAME
    assert [hit.canaries for each in frame.findings for hit in each.hits] == [50]
    assert len(frame.findings) == 41
    assert frame.failed is None
    assert all("1000 members are not listed" in each.problems[-1] for each in frame.findings[:40])


def test_what_still_does_not_fit_is_left_out_with_a_word_and_the_hits_are_kept(monkeypatch):
    monkeypatch.setattr(pipelines, "MAX_COMMIT", 20_000)
    frame, state = committed(monkeypatch, [*(finding("n" * 5000) for _ in range(20)), finding("a.csv", hits=50)])
    assert len(frame.to_json()) <= 20_000
    assert [hit.canaries for each in frame.findings for hit in each.hits] == [50]
    assert frame.failed is not None
    assert frame.failed.code == "limit"
    assert state.counts == {"unexamined": 1}
    assert list(frame.previews) == [len(frame.findings) - 1]


@pytest.mark.slow
def test_as_many_parts_as_are_remembered_fit_into_their_frames_beside_findings(monkeypatch):
    parts = [PostPart(id=f"{number:032x}", version="f" * 32) for number in range(MAX_PARTS)]
    assert len(PartsFrame(parts=tuple(parts)).to_json()) < MAX_COMMIT // 2
    frame, _ = committed(monkeypatch, [finding("a.csv", hits=50)], parts)
    assert len(frame.to_json()) <= MAX_COMMIT // 2
    assert frame.failed is None
    assert len(frame.post.parts) == MAX_PARTS


@pytest.mark.parametrize(
    ("wall_struck_after", "complete", "all_done"),
    [(2, [True, True], True), (1, [True, False], False), (2, [True], False)],
)
def test_a_crawl_has_all_posts_if_none_was_broken_off_by_its_end(wall_struck_after, complete, all_done):
    state = CrawlState(awaited=2)
    for number, each in enumerate(complete):
        state.stopped = number >= wall_struck_after
        state.note_post(complete=each)
    state.stopped = True
    assert state.has_all_posts is all_done


@pytest.mark.parametrize("broken", [[SimpleNamespace(complete=True, members=(), sighted={}, prints=3)]])
def test_a_post_whose_result_cannot_be_put_together_stays_due_and_fails_the_crawl(monkeypatch, broken):
    frame, state = committed(monkeypatch, broken)
    assert frame.findings == ()
    assert frame.failed is not None
    assert frame.failed.code == "crash"
    assert state.trouble is not None
    assert state.counts == {"unexamined": 1}


def test_a_post_whose_result_cannot_be_stored_leaves_the_files_that_it_read_for_others_unread():
    async def result_of(links) -> Trouble | None:
        async def ask(frame: CommitFrame) -> None:
            assert frame.failed is not None or links is no_links

        reports = SimpleNamespace(linked=links, linked_hosts=lambda _: ())
        item = FetchedPost(POST, ListingRow("a" * 32, "b" * 32, "http://site.example/[…]", {}), False, None)
        item.findings.append(finding("a.csv"))
        read = item.links.reads["http://site.example/a.csv"] = asyncio.get_running_loop().create_future()
        item.links.done.update(item.links.reads)
        await Commit(SimpleNamespace(state=CrawlState(), ask=ask, reports=reports)).process_item(item)
        return read.result()

    def no_links(_):
        return ()

    def breaks(_):
        raise KeyError

    assert asyncio.run(result_of(no_links)) is None
    trouble = asyncio.run(result_of(breaks))
    assert trouble is not None
    assert trouble.retry
