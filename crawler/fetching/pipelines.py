"""The two steps of a fetched post: every part of it is examined, then all of it is committed at once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self, cast

from scrapy.crawler import Crawler

from crawler.fetching.items import FetchedPost, Sample
from crawler.fetching.spider import SourceSpider
from crawler.process.control_frames import CommitFrame, CommittedPost, Failure, PostFacts
from crawler.process.examiner_client import AsyncExaminerClient
from crawler.transport.errors import Trouble
from crawler.transport.resumed_download import Download
from data.case.canary_bitmaps import decode_bitmaps, encode_bitmaps, merge_bitmap_sets
from data.errors import ExamineError, ExaminerDied, LeaseLost
from data.model import Finding

# Characters of prints in the findings of one post; a body without them is not known again early, and that is all.
MAX_PRINTED = 6 * 2**20
# Parts that are reported in a finding that is not complete, for bytes of them were there.
PARTLY = frozenset({"too_large", "limit", "empty", "wall"})


class Examine:
    """Streams the parts of a post into the examiner, in order; one post at a time on each sample socket."""

    def __init__(self, spider: SourceSpider, sockets: list[socket.socket]) -> None:
        self._spider = spider
        self._sockets = sockets
        self._free: asyncio.Queue[AsyncExaminerClient] = asyncio.Queue()
        self._clients: list[AsyncExaminerClient] = []

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """With the crawl's spider and the sample sockets that the process was given."""
        spider = cast("SourceSpider", crawler.spider)
        return cls(spider, spider.sample_sockets)

    async def open_spider(self) -> None:
        """Take the sockets over into the event loop."""
        for sock in self._sockets:
            client = await AsyncExaminerClient.open(sock)
            self._clients.append(client)
            self._free.put_nowait(client)

    async def close_spider(self) -> None:
        """Close the sockets."""
        for client in self._clients:
            client.close()

    async def process_item(self, item: FetchedPost) -> FetchedPost:
        """The post with a finding for each part of it; what could not be read is its trouble."""
        client = await self._free.get()
        try:
            async for part in self._spider.parts.samples(item):
                if self._spider.state.stopped:
                    # not examined, so not seen: it stays due
                    _worsen(item, self._spider.state.trouble or Trouble("stopped", "the crawl was ended", retry=True))
                    break
                await self._part(client, item, part)
        except ExaminerDied as error:
            _worsen(item, Trouble("examiner", str(error), retry=True))
            self._spider.stop(Trouble("examiner", str(error), retry=True))
        except Exception as error:  # noqa: BLE001 - a platform may raise anything; its post stays due, the others go on
            _worsen(item, Trouble("platform", f"reading the post failed with {type(error).__name__}", retry=True))
        finally:
            self._free.put_nowait(client)
        return item

    async def _part(self, client: AsyncExaminerClient, item: FetchedPost, part: Sample | Trouble) -> None:
        if isinstance(part, Trouble):
            if part.code in PARTLY:
                part = Sample("missing", item.post.url, b"", str(part))
            elif part.code == "absent" or (item.findings and not part.retry):
                item.left[part.code] += 1
                return
            else:
                _worsen(item, part)
                return
        elif part.problem:
            _worsen(item, Trouble("cut", part.problem, retry=True))
        request = {
            "name": part.name,
            "source": item.post.source,
            "post": item.row.id,
            "url": part.url,
            "title": item.post.title,
            "sighted": True,
        }
        before = len(item.findings)
        try:
            if part.download is not None:
                await self._stream(client, item, part.download, request)
            else:
                item.findings.append(await client.examine(request, part.body, problem=part.problem))
        except ExaminerDied:
            raise
        except ExamineError as error:
            _worsen(item, Trouble("examine", str(error), retry=True))
        if part.early and len(item.findings) > before:
            item.early[len(item.findings) - 1] = part.early

    async def _stream(
        self, client: AsyncExaminerClient, item: FetchedPost, download: Download, request: Mapping[str, object]
    ) -> None:
        """Examine a body while it comes; one that changed meanwhile again, from its start."""
        try:
            while True:
                async with contextlib.aclosing(download.read()) as pieces:
                    finding = await client.examine_stream(request, pieces, problem=download.problem)
                # what hit in a version that is gone by now was there all the same
                if finding.hits or not download.changed:
                    item.findings.append(finding)
                if not download.changed:
                    break
        finally:
            await download.close()
            self._spider.state.counts["resumed"] += download.resumes
        trouble = download.trouble
        if trouble is not None and (trouble.retry or trouble.code not in PARTLY):
            _worsen(item, trouble)


class Commit:
    """Hands the findings of a post to the runner; only then is the post seen."""

    def __init__(self, spider: SourceSpider) -> None:
        self._spider = spider

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """With the crawl's spider."""
        return cls(cast("SourceSpider", crawler.spider))

    async def process_item(self, item: FetchedPost) -> FetchedPost:
        """The post, once it is kept."""
        spider = self._spider
        if spider.state.lost:
            return item
        # a part that is gone was examined as far as anybody can, as long as there is another one
        whole = item.findings and all(finding.complete for finding in item.findings) and not set(item.left) - {"absent"}
        spider.state.counts["examined" if whole and item.trouble is None else "unexamined"] += 1
        trouble = item.trouble
        frame = CommitFrame(
            post=CommittedPost(
                id=item.row.id,
                version=item.row.version,
                address=item.row.address,
                fields=item.row.fields,
                page_fields=item.page,
                announced=item.announced,
                facts=PostFacts(left=item.left),
            ),
            findings=_in_a_frame(item.findings),
            failed=None if trouble is None else Failure(code=trouble.code, detail=trouble.detail),
            links=spider.linked_posts(item.links.values()),
            previews=item.early,
        )
        with contextlib.suppress(LeaseLost):
            await spider.ask(frame)
        return item


def _in_a_frame(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings of a post as one frame holds them: sighted canaries in the first, prints as far as there is room."""
    whole = encode_bitmaps(merge_bitmap_sets(decode_bitmaps(finding.sighted) for finding in findings))
    left = MAX_PRINTED
    told = []
    for at, finding in enumerate(findings):
        left -= len(finding.prints)
        told.append(replace(finding, sighted={} if at else whole, prints=finding.prints if left >= 0 else ""))
    return tuple(told)


def _worsen(item: FetchedPost, trouble: Trouble) -> None:
    """Keep the first trouble, for it is the nearest to the cause."""
    if item.trouble is None:
        item.trouble = trouble
