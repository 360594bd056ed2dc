"""What becomes of the links of a post: read here, handed to another source, or counted for the operator."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from crawler.fetching.items import FetchedPost
from crawler.pages import extract
from crawler.pages.html_text import addresses_in
from crawler.pages.links import is_data_file, may_be_post, place_of
from crawler.pages.row_values import compiled_expression
from crawler.transport import allow_list
from data.model import Post
from data.sources.addresses import place_in
from data.sources.definition import Definition, source_hosts
from data.sources.known_services import service_of

# At most this many links of a post are handed to other sources.
MAX_LINKS = 200
# Hosts of one post, and files on each, that are counted for the operator.
MAX_HOSTS, MAX_FILES = 50, 1000
HostPorts = frozenset[tuple[str, int]]


class LinkReader:
    """Sorts the links of the posts of one crawl."""

    def __init__(
        self, definition: Definition, follow: Mapping[str, HostPorts], shapes: Mapping[str, tuple[str, ...]]
    ) -> None:
        """For one crawl.

        Args:
            definition: of the source.
            follow: other source -> the (host, port) pairs that it declares; links are handed to these sources only.
            shapes: other source -> expressions for the part after the host of an address that is a post there; the
                group `id`, if there is one, is its id.
        """
        self._definition, self._follow = definition, follow
        self._own = source_hosts(definition)
        self._own_names = {host.removeprefix("www.") for host, _ in self._own}
        # what the folder shows is listed there as well
        self._reads_files = definition.linked_files and definition.platform != "open_directory"
        self._by_place: defaultdict[tuple[str, int], list[tuple[str, list[re.Pattern[str]]]]] = defaultdict(list)
        for source, expressions in shapes.items():
            compiled = [compiled_expression(each) for each in expressions]
            for place in follow.get(source, ()):
                self._by_place[place].append((source, compiled))

    def note(self, item: FetchedPost, links: Iterable[str], text: str = "") -> None:
        """Add links, and the addresses in a text, to `item.links`.

        A link that a rule of the source hands over goes where the rule says. Any other one is matched against the
        shapes of all sources that live of links. Hosts that nobody declares are counted and never contacted, and so are
        links to the hosts of these sources that look like a post and have none of the shapes.
        """
        own = {item.post.url, item.post.raw, *item.post.attachments}
        for link in dict.fromkeys([*links, *addresses_in(text)]):
            if not self._hand_over_by_rule(item, link) and link not in own:
                self._sort(item, link)

    def _hand_over_by_rule(self, item: FetchedPost, link: str) -> bool:
        """Hand a link over by `follow` of the definition; whether one of its rules is about this link."""
        found = extract.harvest(self._definition, (link,))
        for post in found:
            if post.url == item.post.url or post.source not in self._follow:
                continue
            try:
                allow_list.require_allowed(post.url, self._follow[post.source], over_tor=True)
            except allow_list.RequestRefused:
                if post.url not in item.links.handed:
                    item.left["undeclared link"] += 1
                    self._count_host(item, link)
                continue
            self._hand_over(item, post)
        return bool(found)

    def _hand_over(self, item: FetchedPost, post: Post) -> None:
        handed = item.links.handed
        if post.url in handed:
            return
        if len(handed) >= MAX_LINKS:
            item.left["further links"] += 1
        else:
            handed[post.url] = post

    def _sort(self, item: FetchedPost, link: str) -> None:
        place = place_of(link)
        if place is None:
            return
        if place in self._own:
            if is_data_file(link) and self._definition.platform != "open_directory":
                if self._reads_files:
                    item.links.files.setdefault(link.partition("#")[0])
                else:
                    self._count_host(item, link)
            return
        places = self._by_place.get(place, ())
        for source, shapes in places:
            for shape in shapes:
                if match := shape.fullmatch(place_in(link)):
                    native = match.groupdict().get("id") or extract.canonical_address(self._definition, link)
                    self._hand_over(item, Post(source, native, link))
                    return
        # of a declared host only what looks like a post that its source does not take
        if not places or is_data_file(link) or may_be_post(link):
            self._count_host(item, link)

    def _count_host(self, item: FetchedPost, link: str) -> None:
        place = place_of(link)
        if place is None:
            return
        host = service_of(place[0]) or place[0].removeprefix("www.")
        if host in self._own_names and not is_data_file(link):
            # the site itself, at another port or with other letters before its name
            return
        hosts = item.links.hosts
        if host not in hosts and len(hosts) >= MAX_HOSTS:
            if is_data_file(link):
                # it is not told by its host, so it is told as a link that nothing became of
                item.left["further links"] += 1
            return
        files = hosts.setdefault(host, set())
        if is_data_file(link) and len(files) < MAX_FILES:
            files.add(link)
