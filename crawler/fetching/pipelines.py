"""The two pipelines of a fetched post: every part of it is examined, then the whole post is committed at once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self, cast

import orjson
from scrapy.crawler import Crawler

from crawler.fetching.items import BodyDownload, FetchedPost, FetchedSample
from crawler.fetching.spider import SourceSpider
from crawler.process.control_frames import Announcements, CommitFrame, CommittedPost, Failure, PostFacts
from crawler.process.memory_limits import is_out_of_memory
from crawler.process.sample_sockets import SMALL_AT_ONCE, SampleSockets
from crawler.transport.errors import OUT_OF_MEMORY, Trouble
from data.case.canary_bitmaps import decode_bitmaps, encode_bitmaps, merge_bitmap_sets
from data.case.seen_tags import cut_seen
from data.errors import ExamineError, ExaminerDied, LeaseLost
from data.model import Finding
from data.replaced import replaced

# Characters of the tags of values of all findings of a post: of four samples of the largest size.
MAX_SEEN = 800_000
# Characters of encoded file fingerprints in the findings of one post. A body without fingerprints cannot be recognised
# by a later preview; nothing else depends on them.
MAX_FINGERPRINTS = 6 * 2**20
# Bytes of the commit of one post, well below the limit of a frame.
MAX_COMMIT = 12 * 2**20
# A commit with so few findings, each with so few characters of fingerprints and without hits, members and links, is far
# below that: the checks of a finding bound everything else in it. It is not written once more to learn its size.
FEW_FINDINGS, SMALL_FINGERPRINTS = 16, 4096
# Codes of troubles that are reported as a finding that is not complete, because some bytes of the part existed.
# So many seconds a post with hits waits for a file that another post reads.
HIT_WAITS = 30.0
PENDING = Trouble("pending", "a file that another post links to as well is still being read", retry=True)
PARTIAL = frozenset({"too_large", "limit", "wall", "locked", "burn", "burned"})


class Examine:
    """Sends the parts of a post to the examiner, in order; of a few posts at a time."""

    _examiner: SampleSockets

    def __init__(self, spider: SourceSpider, sockets: list[socket.socket]) -> None:
        self._spider = spider
        self._sockets = sockets
        self._posts = asyncio.Semaphore(SMALL_AT_ONCE * max(1, len(sockets)))

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """As Scrapy makes it: with the crawl's spider and the sample sockets of the process."""
        spider = cast("SourceSpider", crawler.spider)
        return cls(spider, spider.sample_sockets)

    async def open_spider(self) -> None:
        """Open the sockets in the event loop."""
        self._examiner = await SampleSockets.open(self._sockets)

    async def close_spider(self) -> None:
        """Close the sockets."""
        self._examiner.close()

    async def process_item(self, item: FetchedPost) -> FetchedPost:
        """The post with a finding for each part; `trouble` is set if a part could not be read."""
        async with self._posts:
            try:
                async for part in self._spider.parts.samples(item):
                    if self._spider.state.stopped:
                        # the post is not examined completely, so it stays due
                        _set_trouble(
                            item, self._spider.state.trouble or Trouble("stopped", "the crawl was ended", retry=True)
                        )
                        break
                    await self._examine_part(item, part)
            except ExaminerDied as error:
                _set_trouble(item, Trouble("examiner", str(error), retry=True))
                self._spider.stop(Trouble("examiner", str(error), retry=True))
            except Exception as error:  # noqa: BLE001 - a platform may raise anything; its post stays due, the others go on
                broken = Trouble("platform", f"reading the post failed with {type(error).__name__}", retry=True)
                _set_trouble(item, OUT_OF_MEMORY if is_out_of_memory(error) else broken)
        return item

    async def _examine_part(self, item: FetchedPost, part: FetchedSample | Trouble) -> None:
        if isinstance(part, Trouble):
            if part.code in PARTIAL:
                part = FetchedSample("missing", item.post.url, b"", str(part))
            elif part.code == "absent" or ((item.findings or item.unchanged) and not part.retry):
                item.left[part.code] += 1
                # a post that was read before and is gone now has nothing more to examine
                item.unchanged = item.unchanged or (item.revisited and part.code == "absent")
                return
            else:
                _set_trouble(item, part)
                return
        elif part.problem:
            _set_trouble(item, Trouble("cut", part.problem, retry=True))
        request = {
            "name": part.name,
            "source": item.post.source,
            "post": item.row.id,
            "url": part.url,
            "title": item.post.title,
            "receipt": part.receipt,
            "sighted": True,
            "passwords": "\n".join(item.passwords),
        }
        before = len(item.findings)
        try:
            if part.download is not None:
                await self._stream(item, part.download, request)
            else:
                item.findings.append(await self._examiner.examine(request, part.body, problem=part.problem))
        except ExaminerDied:
            raise
        except ExamineError as error:
            _set_trouble(item, Trouble("examine", str(error), retry=True))
        if part.preview_event and len(item.findings) > before:
            item.preview_events[len(item.findings) - 1] = part.preview_event

    async def _stream(self, item: FetchedPost, download: BodyDownload, request: Mapping[str, object]) -> None:
        """Examine a body while it is downloaded; if the file changes meanwhile, examine it again from its start."""
        try:
            while True:
                async with contextlib.aclosing(download.read()) as pieces:
                    finding = await self._examiner.examine_stream(request, pieces, problem=download.problem)
                # hits in a version that has been replaced meanwhile count as well: the data was there
                if finding.hits or not download.changed:
                    item.findings.append(finding)
                if not download.changed:
                    break
        finally:
            await download.close()
            self._spider.state.counts["resumed"] += download.resumes
        trouble = download.trouble
        if trouble is not None and (trouble.retry or trouble.code not in PARTIAL):
            _set_trouble(item, trouble)


class Commit:
    """Sends the findings of a post to the runner; a post counts as seen only when the runner has stored them."""

    def __init__(self, spider: SourceSpider) -> None:
        self._spider = spider

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """As Scrapy makes it: with the crawl's spider."""
        return cls(cast("SourceSpider", crawler.spider))

    async def process_item(self, item: FetchedPost) -> FetchedPost:
        """The post, after the runner has stored it.

        Whatever goes wrong here, the runner hears of the post: it stays due and counts as unexamined, and the crawl fails.
        """
        try:
            await _await_shared_files(item)
            return await self._commit(item)
        finally:
            # whatever became of this post, others may wait for the files that it read for them
            missing = item.trouble or Trouble("stopped", "the crawl was ended", retry=True)
            for file, result in item.links.reads.items():
                result.set_result(None if file in item.links.done else missing)

    async def _commit(self, item: FetchedPost) -> FetchedPost:
        spider = self._spider
        if spider.state.lost:
            return item
        try:
            frame, complete = self._commit_of(item)
        except Exception as error:  # noqa: BLE001 - a post must never be dropped, whatever its data does
            detail = f"putting the result of the post together failed with {type(error).__name__}"
            spider.state.trouble = spider.state.trouble or Trouble("crash", detail, retry=True)
            frame, complete = _failed_commit(item, Failure(code="crash", detail=detail)), False
            # the findings of files that it read for others are lost with it
            item.links.done.clear()
        spider.state.note_post(complete=complete)
        if item.left["walled"]:
            spider.state.counts["walled"] += 1
        with contextlib.suppress(LeaseLost):
            await spider.ask(frame)
        return item

    def _commit_of(self, item: FetchedPost) -> tuple[CommitFrame, bool]:
        """The commit of a post, and whether the post counts as examined."""
        # a part that no longer exists does not count as unexamined, as long as there is another part
        complete = (
            (bool(item.findings) or item.unchanged)
            and all(each.complete for each in item.findings)
            and not set(item.left) - {"absent"}
        )
        trouble = item.trouble
        frame = CommitFrame(
            post=_committed_post(item),
            findings=_fit_into_frame(item.findings),
            failed=None if trouble is None else Failure(code=trouble.code, detail=trouble.detail),
            links=self._spider.reports.linked(item.links.handed.values()),
            hosts=self._spider.reports.linked_hosts(item.links.hosts),
            previews=item.preview_events,
        )
        frame = _within_budget(frame)
        return frame, complete and frame.failed is None


async def _await_shared_files(item: FetchedPost) -> None:
    """Wait for files that other posts of this crawl read; if one of them could not be read, this post stays due as well.

    The other post may vanish before the next crawl, and nobody would read the file any more. A post with hits waits a
    little, because its alert must not wait long: it stays due if such a file is still being read. No circle of posts waits for
    each other, because a post waits only for those that took their files before it took its own.
    """
    for result in item.links.shared:
        if item.trouble is not None:
            return
        hit = any(finding.hits for finding in item.findings)
        await asyncio.wait([result], timeout=HIT_WAITS if hit else None)
        if trouble := result.result() if result.done() else PENDING:
            _set_trouble(item, trouble)


def _committed_post(item: FetchedPost) -> CommittedPost:
    return CommittedPost(
        id=item.row.id,
        version=item.row.version,
        address=item.row.address,
        fields=item.row.fields,
        page_fields=item.page_fields,
        announced=item.announced,
        facts=PostFacts(left=item.left),
        parts=tuple(item.parts),
        last_page=item.last_page,
        revisited=item.revisited,
    )


def _failed_commit(item: FetchedPost, failure: Failure) -> CommitFrame:
    """A commit that reports nothing but the failure; the post stays due."""
    post = CommittedPost(
        id=item.row.id,
        version=item.row.version,
        address=item.row.address,
        fields=item.row.fields,
        page_fields={},
        announced=Announcements(rules=(), deadlines=()),
        facts=PostFacts(left={}),
        parts=(),
        last_page=0,
        revisited=item.revisited,
    )
    return CommitFrame(post=post, findings=(), failed=failure, links=(), hosts=(), previews={})


def _within_budget(frame: CommitFrame) -> CommitFrame:
    """The commit so that it fits into a frame; everything that is left out is reported.

    Lists of members go first: the runner stores only their sums, which the finding has already. Then links to other
    sources, then findings, those without hits and lineage first. The post stays due if links or findings were left out.
    """
    if _is_small(frame) or len(frame.to_json()) <= MAX_COMMIT:
        return frame
    frame = frame.model_copy(update={"findings": tuple(_without_members(finding) for finding in frame.findings)})
    if len(frame.to_json()) <= MAX_COMMIT:
        return frame
    failed = frame.failed or Failure(code="limit", detail="its links to other sources are too many to store")
    frame = frame.model_copy(update={"links": (), "failed": failed})
    size = len(frame.to_json())
    if size <= MAX_COMMIT:
        return frame
    sizes = [len(orjson.dumps(finding.to_json())) for finding in frame.findings]
    room = MAX_COMMIT - (size - sum(sizes))
    kept: list[int] = []
    # findings with hits or lineage first, small ones before large ones
    for at in sorted(
        range(len(sizes)), key=lambda at: (not (frame.findings[at].hits or frame.findings[at].lineage), sizes[at])
    ):
        if sizes[at] <= room:
            room -= sizes[at]
            kept.append(at)
    kept.sort()
    detail = f"the results of {len(sizes) - len(kept)} parts are too large to store"
    return frame.model_copy(
        update={
            "findings": tuple(frame.findings[at] for at in kept),
            "previews": {kept.index(at): event for at, event in frame.previews.items() if at in kept},
            "failed": Failure(code="limit", detail=detail),
        }
    )


def _is_small(frame: CommitFrame) -> bool:
    """Whether a commit has little of what has no bound far below the budget; most posts have nothing of it."""
    return (
        not (frame.links or frame.post.parts)
        and all(
            not (finding.members or finding.hits or finding.sighted) and len(finding.prints) < SMALL_FINGERPRINTS
            for finding in frame.findings[:FEW_FINDINGS]
        )
        and len(frame.findings) <= FEW_FINDINGS
    )


def _without_members(finding: Finding) -> Finding:
    if not finding.members:
        return finding
    problem = f"members: {len(finding.members)} members are not listed, because the result of the post is too large"
    return replace(finding, members=(), problems=(*finding.problems, problem))


def _fit_into_frame(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings of a post so that they fit into one frame.

    The first finding carries the sighted canaries of all of them. File fingerprints are left out once they exceed
    `MAX_FINGERPRINTS` characters together. If the tags of values exceed `MAX_SEEN`, each finding keeps a part of its own,
    which says how many there were.
    """
    whole = encode_bitmaps(merge_bitmap_sets(decode_bitmaps(finding.sighted) for finding in findings))
    left = MAX_FINGERPRINTS
    fits = sum(len(finding.seen) for finding in findings) <= MAX_SEEN
    share = MAX_SEEN if fits else MAX_SEEN // len(findings)
    fitted = []
    for at, finding in enumerate(findings):
        left -= len(finding.prints)
        fitted.append(
            replaced(
                finding,
                sighted={} if at else whole,
                prints=finding.prints if left >= 0 else "",
                seen=cut_seen(finding.seen, share),
            )
        )
    return tuple(fitted)


def _set_trouble(item: FetchedPost, trouble: Trouble) -> None:
    """Set the trouble of a post unless it has one: the first trouble is the nearest to the cause."""
    if item.trouble is None:
        item.trouble = trouble
