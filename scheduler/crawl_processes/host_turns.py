"""Turns of requests to hosts that several sources declare, so that `rate` holds for a host, and not for each source of it.

Each crawl process keeps the pauses of its own crawls; between crawls, which run in whatever process, their runner does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from crawler.fetching.scrapy_settings import FULL_SPEED, requests_per_second
from data.settings.settings import CrawlSettings
from data.sources.definition import Definition, source_hosts


class HostTurns:
    """The turns of all crawls of one runner."""

    def __init__(self, definitions: Iterable[Definition] = (), clock: Callable[[], float] = time.monotonic) -> None:
        """Without a turn; `clock` gives seconds."""
        self._clock = clock
        self._sources: dict[str, list[Definition]] = {}
        # host -> when its latest turn is
        self._latest: dict[str, float] = {}
        self.declare(definitions)

    def declare(self, definitions: Iterable[Definition]) -> None:
        """These are all sources from now on; those that are disabled make no requests."""
        self._sources = {}
        for each in definitions:
            if each.enabled:
                for host in {host for host, _ in source_hosts(each)}:
                    self._sources.setdefault(host, []).append(each)

    def shared(self, definition: Definition, settings: CrawlSettings) -> frozenset[str]:
        """The hosts of a source that others declare as well, if any of them asks for pauses there."""
        return frozenset(
            host
            for host, _ in source_hosts(definition)
            if any(each.name != definition.name for each in self._sources.get(host, []))
            and min(requests_per_second(each, settings) for each in [definition, *self._sources[host]]) < FULL_SPEED
        )

    def of_crawl(self, definition: Definition, settings: CrawlSettings) -> Callable[[str], tuple[float, bool]]:
        """What gives one crawl its turns: host -> seconds until its next request there may be made, and True.

        A turn is as long after the latest one, of whichever source, as the rate of the asking source wants it. With False,
        the crawl already has a turn for each request that it may have under way, and is to ask again then: a process that
        a site has taken over could otherwise keep all other sources of the host waiting for ever.
        """
        pause = 1 / requests_per_second(definition, settings)
        most = min(definition.concurrency or settings.concurrency, settings.concurrency)
        given: list[float] = []

        def next_turn(host: str) -> tuple[float, bool]:
            now = self._clock()
            given[:] = [at for at in given if at > now]
            if len(given) >= most:
                return given[0] - now, False
            at = max(now, self._latest.get(host, now - pause) + pause)
            self._latest[host] = at
            given.append(at)
            return at - now, True

        return next_turn
