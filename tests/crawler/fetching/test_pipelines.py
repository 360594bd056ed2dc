"""The commit of a post: it fits into a frame whatever was found, and no post is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from crawler.fetching import pipelines
from crawler.fetching.crawl_state import CrawlState
from crawler.fetching.items import FetchedPost, ListingRow
from crawler.fetching.pipelines import MAX_COMMIT, Commit
from crawler.process.control_frames import MAX_PARTS, CommitFrame, PartsFrame, PostPart
from crawler.process.frames import MAX_FRAME
from data.model import Finding, Hit, Post


def finding(name: str, *, members: int = 0, hits: int = 0, length: int = 1000) -> Finding:
    inside = tuple(Finding("n" * length, "0" * 64, 9, "text") for _ in range(members))
    found = (Hit("practice-1", hits, hits, ("email",)),) if hits else ()
    return Finding(name, "1" * 64, 99, "zip", members=inside, hits=found)


def committed(monkeypatch, findings: list[Finding], parts: Sequence[PostPart] = ()) -> tuple[CommitFrame, CrawlState]:
    asked: list[CommitFrame] = []

    async def ask(frame: CommitFrame) -> None:
        asked.append(frame)

    state = CrawlState()
    spider = SimpleNamespace(state=state, ask=ask, reports=SimpleNamespace(linked=lambda _: ()))
    item = FetchedPost(
        post=Post("site", "17", "http://site.example/t/17"),
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
