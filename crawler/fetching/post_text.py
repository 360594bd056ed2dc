"""What the text of a post says beside its data: times to come, rules that match it, links to other sources, passwords."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from crawler.fetching.items import FetchedPost
from crawler.pages import extract
from crawler.pages.deadlines import Deadline, find_deadlines
from crawler.pages.given_passwords import find_passwords
from crawler.pages.incident_rules import Rules
from crawler.process.control_frames import AnnouncedTime, Announcements
from crawler.transport import allow_list
from data.sources.definition import Definition

# At most this many links of a post are handed to other sources.
MAX_LINKS = 200


class PostText:
    """Reads the text of the posts of one crawl, and notes in each post what it says."""

    def __init__(self, definition: Definition, follow: Mapping[str, frozenset[tuple[str, int]]], rules: Rules) -> None:
        """For one crawl.

        Args:
            definition: of the source.
            follow: other source -> the (host, port) pairs that it declares; links are handed to these sources only.
            rules: of the source's incident.
        """
        self._definition, self._follow, self._rules = definition, follow, rules

    def note_passwords(self, item: FetchedPost, *texts: str) -> None:
        """Set `item.passwords` to what the text of the post gives, and the name of its site."""
        host = urlsplit(item.post.url).hostname or ""
        item.passwords = tuple(find_passwords("\n".join([item.post.title, item.post.body, *texts]), [host]))

    def note_announcements(self, item: FetchedPost, *texts: str) -> None:
        """Add to `item.announced` what the text of a post announces, and the countdown of its listing."""
        text = "\n".join([item.post.title, item.post.body, *texts])
        times = {each.phrase: each for each in item.announced.deadlines}
        now = datetime.now(UTC)
        found = find_deadlines(text, now)
        end = item.row.fields.get("timer")
        if end is not None and end[0] > now.timestamp() / 60:
            found.append(Deadline(end[0], None, end[1], "countdown"))
        times |= {each.phrase: AnnouncedTime(**each.to_json()) for each in found}
        item.announced = Announcements(
            rules=tuple(dict.fromkeys([*item.announced.rules, *self._rules.matching(text)])),
            deadlines=tuple(times.values()),
        )

    def note_links(self, item: FetchedPost, links: Iterable[str], text: str) -> None:
        """Add links that other sources read to `item.links`; links to undeclared hosts are counted only."""
        for post in extract.harvest(self._definition, links, text):
            if post.url == item.post.url or post.url in item.links or post.source not in self._follow:
                continue
            try:
                allow_list.require_allowed(post.url, self._follow[post.source], over_tor=True)
            except allow_list.RequestRefused:
                item.left["undeclared link"] += 1
                continue
            if len(item.links) >= MAX_LINKS:
                item.left["further links"] += 1
            else:
                item.links[post.url] = post
