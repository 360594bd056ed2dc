"""What the text of a post says beside its data: times to come, rules that match it, passwords."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

from crawler.fetching.items import FetchedPost
from crawler.pages.deadlines import Deadline, find_deadlines
from crawler.pages.given_passwords import find_passwords
from crawler.pages.incident_rules import Rules
from crawler.process.control_frames import AnnouncedTime, Announcements


class PostText:
    """Reads the text of the posts of one crawl, and notes in each post what it says."""

    def __init__(self, rules: Rules) -> None:
        """For one crawl, with the rules of the source's incident."""
        self._rules = rules

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
