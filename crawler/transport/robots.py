"""robots.txt as RFC 9309 describes it: a site whose rules cannot be learned is not read.

The rules of an origin are requested once a day (RFC 9309, section 2.4), through the crawl's own engine, so that
allow-list, rate, retries and redirects apply to that request as well. Between crawls the runner keeps them, sealed.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, MutableMapping
from typing import Any, Self
from urllib.parse import urlsplit

from protego import Protego
from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK

from crawler.transport.content_encoding import ContentDecoder, DamagedEncoding
from crawler.transport.errors import RobotsForbidden, RobotsUnknown, trouble_of
from crawler.transport.streamed_response import BEGINNING_ONLY, CONNECTION_ERRORS, STREAM, StreamedResponse
from data.errors import CertificateRefused

# RFC 9309, section 2.5: a crawler must read at least 500 KiB of the file. What follows them is not read.
MAX_BYTES = 500 * 1024
# Seconds for which rules are kept, and the size of a file that is kept.
KEPT_SECONDS, MAX_KEPT = 86_400, 64 * 1024
# Before any other request of the crawl, as Scrapy's own middleware does it.
_PRIORITY = 1000
_SKIPS_ROBOTS = "dont_obey_robotstxt"
_AGENT_LINE = re.compile(r"[ \t]*user[- ]?agent(?:[ \t]*:|[ \t])([^#\n]*).*", re.IGNORECASE)
# Stands for all agents that are not ours.
_OTHER_AGENT = "user-agent: another-agent-0"
_DISALLOW = re.compile(r"[ \t]*disallow[ \t]*:[ \t]*([^#\n]*)", re.IGNORECASE)
Rules = MutableMapping[str, tuple[int, str]]
"""Origin -> when its rules were learned, seconds since 1970, and the file ('' for a site without rules)."""


class RobotsMiddleware:
    """Lets a request through only if the rules of its origin are known and allow it.

    An answer of 400 to 499 means that a site has no rules (RFC 9309, section 2.3.1.3), except 429, by which a site
    asks for patience. Any other answer, a connection that fails, a redirect that is refused or does not end, and a file
    that breaks off within its first 500 KiB leave the rules unknown; then every path counts as forbidden (2.3.1.4).
    """

    def __init__(self, crawler: Crawler, agent: str, known: Rules, *, explain: bool = False) -> None:
        """For one crawl.

        Args:
            crawler: Scrapy's.
            agent: name by which robots.txt files address this crawler.
            known: rules that were learned before; those that this crawl learns are added.
            explain: name the line that forbids a request.
        """
        self._crawler, self._agent, self._known, self._explain = crawler, agent, known, explain
        self._timeout = crawler.settings.getfloat("DOWNLOAD_TIMEOUT")
        self._tries = 1 + crawler.settings.getint("RETRY_TIMES")
        self._origins: dict[str, asyncio.Task[Protego | RobotsUnknown | CertificateRefused]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """With the name by which robots.txt files address this crawler; NotConfigured if the source ignores them."""
        if not crawler.settings.getbool("ROBOTSTXT_OBEY"):
            raise NotConfigured
        spider: Any = crawler.spider
        return cls(crawler, crawler.settings["ROBOTSTXT_USER_AGENT"], spider.robots, explain=spider.job.mode != "crawl")

    async def process_request(self, request: Request) -> None:
        """Raise RobotsForbidden if the rules forbid the address, RobotsUnknown if they cannot be learned.

        CertificateRefused is raised if they cannot be learned because of the certificate of the site.
        """
        if request.meta.get(_SKIPS_ROBOTS):
            return
        parts = urlsplit(request.url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._origins:
            self._origins[origin] = asyncio.ensure_future(self._learn(origin))
        # one request that is cancelled must not take the answer from the others
        rules = await asyncio.shield(self._origins[origin])
        if isinstance(rules, CertificateRefused):
            raise CertificateRefused(str(rules), hint=rules.hint)
        if isinstance(rules, RobotsUnknown):
            raise RobotsUnknown(rules.reason)
        if not rules.can_fetch(request.url, self._agent):
            text = self._known.get(origin, (0, ""))[1] if self._explain else ""
            raise RobotsForbidden(deciding_line(text, self._agent, request.url))

    async def _learn(self, origin: str) -> Protego | RobotsUnknown | CertificateRefused:
        unknown = RobotsUnknown("")
        learned, text = self._known.get(origin, (0, ""))
        if 0 <= time.time() - learned < KEPT_SECONDS:
            return parse_rules(text.encode(), self._agent)
        self._known.pop(origin, None)
        for _ in range(self._tries):
            try:
                response = await self._request(f"{origin}/robots.txt")
            except CertificateRefused as error:
                # nothing of the site can be read: its own trouble says more than "the rules are unknown"
                return error
            except Exception as error:  # noqa: BLE001 - whatever prevents the answer, the rules are unknown
                return RobotsUnknown(trouble_of(error).detail)
            if 400 <= response.status < 500 and response.status != 429:
                return self._keep(origin, b"")
            if not 200 <= response.status < 300 or response.status == 206:
                # 206: a part of the rules, although all of them were requested
                if isinstance(response, StreamedResponse):
                    await response.close()
                return RobotsUnknown(f"the site answered with status {response.status}")
            try:
                async with asyncio.timeout(self._timeout):
                    return self._keep(origin, await _beginning(response))
            except TimeoutError:
                unknown = RobotsUnknown("the site did not send it within the time limit")
            except (DamagedEncoding, *CONNECTION_ERRORS) as error:
                unknown = RobotsUnknown(trouble_of(error).detail)
        return unknown

    def _keep(self, origin: str, body: bytes) -> Protego:
        if len(body) <= MAX_KEPT:
            self._known[origin] = int(time.time()), body.decode("utf-8-sig", errors="ignore")
        return parse_rules(body, self._agent)

    async def _request(self, url: str) -> Response:
        meta = {_SKIPS_ROBOTS: True, STREAM: 0, BEGINNING_ONLY: True}
        request = Request(url, priority=_PRIORITY, meta=meta, callback=NO_CALLBACK)
        engine = self._crawler.engine
        if engine is None:
            raise RuntimeError("robots.txt was asked for before the crawl began")
        return await engine.download_async(request)


def parse_rules(body: bytes, agent: str) -> Protego:
    """The rules of a robots.txt file, as far as they concern one crawler.

    Lines for other crawlers are given one common name before they are parsed: a group of 10,000 names with 10,000 rules
    would otherwise take minutes and gigabytes.

    Args:
        body: the file, or its beginning; a line that is cut off at `MAX_BYTES` is left out.
        agent: name of the crawler.
    """
    if len(body) >= MAX_BYTES:
        body = body[:MAX_BYTES].rpartition(b"\n")[0]
    lines = []
    for line in body.decode("utf-8-sig", errors="ignore").splitlines():
        found = _AGENT_LINE.match(line)
        name = found[1].strip(" \t:*").lower() if found else ""
        lines.append(line if found is None or name in agent.lower() else _OTHER_AGENT)
    return Protego.parse("\n".join(lines))


def deciding_line(text: str, agent: str, url: str) -> str:
    """The longest line that forbids an address, as a person finds it in the file; '' if none does."""
    lines: dict[bool, list[str]] = {True: [], False: []}
    applies, is_ours, in_rules = False, False, False
    for line in text.splitlines():
        if found := _AGENT_LINE.match(line):
            name = found[1].strip(" \t:").lower()
            if in_rules:
                applies = is_ours = in_rules = False
            ours = bool(name.strip("*")) and name.strip("*") in agent.lower()
            applies, is_ours = applies or ours or name == "*", is_ours or ours
        elif rule := _DISALLOW.match(line):
            in_rules = True
            path = rule[1].strip()
            if applies and path and not Protego.parse(f"user-agent: *\ndisallow: {path}").can_fetch(url, agent):
                lines[is_ours].append(f"Disallow: {path}")
        elif ":" in line:
            in_rules = True
    return max(lines[True] or lines[False], key=len, default="")[:200]


async def _beginning(response: Response) -> bytes:
    """The first `MAX_BYTES` of a decoded body, or all of a shorter one; closes the response.

    Raises:
        DamagedEncoding: the body cannot be decoded.
        DownloadFailedError: or another one of `CONNECTION_ERRORS`; the connection broke before that.
    """
    if not isinstance(response, StreamedResponse):
        return response.body[:MAX_BYTES]
    found, decoder = bytearray(), ContentDecoder(response.encodings)
    try:
        async for chunk in _all_chunks(response):
            for piece in decoder.feed(chunk):
                found += piece
                if len(found) >= MAX_BYTES:
                    return bytes(found[:MAX_BYTES])
        decoder.finish()
        return bytes(found)
    finally:
        await response.close()


async def _all_chunks(response: StreamedResponse) -> AsyncIterator[bytes]:
    yield response.body
    async for chunk in response.rest:
        yield chunk
