"""Shipped definitions of site software: one YAML file of `spiders/platforms/` for each, with the keys of a source file.

Beside those keys a platform file may have `base` (the module of `spiders/` that reads its pages, or another platform file,
whose keys it changes), `example` (an address
as an operator writes it), `sites` (hosts, if one service alone runs this software) and `address` (expressions for such addresses, without scheme and host, whose named groups
replace placeholders such as {board} in the addresses of the file), `values` (of placeholders for which an address has no
text), `marks` (expressions of which one is found in the markup of every listing of this software, and in no other site),
and `links` (expressions for the part after the host of an address that is a post of this software, with {root} from
`address`; the group `id` is the id of the post).
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from data.errors import SourceError
from data.sources.addresses import fill_placeholders
from data.sources.definition import Definition
from data.sources.discovery_lists import CHANNEL
from data.sources.source_files import SourceFile, load_yaml, merge

FOLDER = Path(__file__).resolve().parent.parent.parent / "spiders" / "platforms"
# Keys that only a platform file has.
_OWN = ("base", "example", "sites", "address", "values", "marks", "links")
# A post of a site that lives of links: the last word of the path, perhaps behind one word of the software, or the query.
_SHAPES = (
    r"{root}(?:[A-Za-z]{1,12}/)?(?P<id>[\w-]{2,64})(?:\.\w{1,10})?(?:/(?:raw|text|plain|download)?)?(?:[?#].*)?",
    r"{root}\?(?P<id>[\w-]{2,64})(?:[&#].*)?",
)
_ANYTHING = r"{root}.+"


@dataclass(frozen=True)
class PlatformFile:
    """One platform file.

    Attributes:
        base: name of the platform whose module reads the pages.
        example: an address of such a site, as an operator writes it.
        sites: hosts of the one service that runs this software; () if it runs on many.
        address: expressions for the part of an address after the host; () if every address will do.
        values: of placeholders for which an address has no text.
        marks: expressions by which pages of this software are recognised; () if they are not.
        links: expressions for addresses of posts, as links to this software have them; () if it has none of its own.
        keys: what the platform adds to a definition.
    """

    name: str
    base: str
    example: str
    sites: tuple[str, ...]
    address: tuple[str, ...]
    values: Mapping[str, str]
    marks: tuple[str, ...]
    links: tuple[str, ...]
    keys: Mapping[str, Any]

    def fits(self, url: str) -> bool:
        """Whether an address is one of a listing of this software."""
        return self._is_site(url) and (
            not self.address or any(re.fullmatch(expression, _place(url)) for expression in self.address)
        )

    def _is_site(self, url: str) -> bool:
        return not self.sites or (urlsplit(url).hostname or "") in self.sites

    def defaults_for(self, source: SourceFile) -> Mapping[str, Any]:
        """What the platform adds to the definition of one source.

        Raises:
            SourceError: the address of the source is not one of this software.
        """
        if not self.address:
            return self.keys
        url = str(source.raw.get("url") or source.raw.get("list", {}).get("url") or "")
        if not url:
            raise source.error("url", f"is missing: write it like {self.example}")
        keys = self.keys_for(url)
        if keys is None:
            raise source.error(
                "url", f"is not an address of {self.name} that can be read; write it like {self.example}"
            )
        return keys

    def keys_for(self, url: str) -> Mapping[str, Any] | None:
        """The keys with the placeholders filled in from an address; None if it is no address of this software."""
        if not self._is_site(url):
            return None
        for expression in self.address:
            if match := re.fullmatch(expression, _place(url)):
                values = {name: text or self.values.get(name, "") for name, text in match.groupdict().items()}
                keys = {key: _filled({key: each}, values)[key] for key, each in self.keys.items()}
                if also := keys.get("also"):
                    # addresses as an operator writes them: complete
                    origin = url[: len(url) - len(_after_host(url))]
                    keys["also"] = [fill_placeholders(each, {**values, "host": origin}) for each in also]
                return keys
        return None if self.address else self.keys


def _after_host(url: str) -> str:
    return re.sub(r"^[a-z]+://[^/?#]*", "", url)


def _place(url: str) -> str:
    """The part of an address after the host, without a fragment."""
    return re.sub(r"#.*", "", _after_host(url)) or "/"


@functools.lru_cache(maxsize=256)
def _read(path: Path, _changed: int, _size: int) -> dict[str, Any]:
    """The content of a platform file, read once until it changes: parsing YAML takes milliseconds."""
    raw, _ = load_yaml(path.read_text(encoding="utf-8"), f"spiders/platforms/{path.name}")
    return raw


def platform_file(name: str) -> PlatformFile | None:
    """The platform file of this name; None if there is none.

    Raises:
        SourceError: the file is not valid YAML or lacks a key.
    """
    path = FOLDER / f"{name}.yaml"
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name) or not path.is_file():
        return None
    status = path.stat()
    # thousands of sources have the same platform; each gets values of its own
    raw = copy.deepcopy(_read(path, status.st_mtime_ns, status.st_size))
    if "example" not in raw:
        raise SourceError(
            "is missing", file=f"spiders/platforms/{path.name}", field="example", hint="give the address of a listing"
        )
    keys = {key: value for key, value in raw.items() if key not in _OWN}
    base, address = str(raw.get("base", "declared")), tuple(raw.get("address", ()))
    if base != name and (parent := platform_file(base)) is not None:
        # the same site software in another dress: what this file does not say is as the other one says
        base, address, keys = parent.base, address or parent.address, merge(parent.keys, keys)
    return PlatformFile(
        name,
        base=base,
        example=str(raw["example"]),
        sites=tuple(raw.get("sites", ())),
        address=address,
        values={name: str(text) for name, text in raw.get("values", {}).items()},
        marks=tuple(raw.get("marks", ())),
        links=tuple(raw.get("links", ())),
        keys=keys,
    )


def link_shapes(definition: Definition) -> tuple[str, ...]:
    """Expressions for the part after the host of addresses that are posts of a source, for links that lead there.

    Only sources that live of links, and those whose platform file gives `links`, take links without a rule of the
    source that has the link: the others read their own listing. () for these.
    """
    shipped = platform_file(definition.platform)
    if (definition.platform if shipped is None else shipped.base) != "linked" and not (shipped and shipped.links):
        return ()
    url = definition.url or definition.list.url
    matches = (re.fullmatch(each, _place(url)) for each in (shipped.address if shipped else ()))
    found = next((match for match in matches if match), None)
    root = (found.groupdict().get("root") if found else None) or "/"
    if shipped is not None and shipped.links:
        shapes = shipped.links
    else:
        addresses = [section.url for section in (definition.raw, definition.item) if section is not None]
        shapes = _SHAPES if any("{id}" in each for each in addresses) else (_ANYTHING,)
    return tuple(each.replace("{root}", re.escape(root)) for each in shapes)


_ANY_PLACES = ("https://any.example/folder/", "https://any.example/folder/page?key=1")


def platform_of_address(url: str) -> str:
    """The platform whose listings have addresses of this form, if it is one alone; '' otherwise.

    Only platform files that take a part of the address count: any address at all fits the others.
    """
    if channel := CHANNEL.fullmatch(url):
        url = f"https://t.me/s/{channel[1]}"
    # on the front page of a site every root fits
    if _place(url) == "/":
        return ""
    found = []
    for name in platform_file_names():
        shipped = platform_file(name)
        if shipped is None or not shipped.address or shipped.base == "linked" or not shipped.fits(url):
            continue
        # software whose listing may have any folder or file says nothing by fitting this one
        if not any(shipped.fits(any_place) for any_place in _ANY_PLACES):
            found.append(name)
    return found[0] if len(found) == 1 else ""


def platform_of_host(host: str) -> str:
    """The platform that is about one service at this host, and takes links to it; '' if there is none."""
    for name in platform_file_names():
        shipped = platform_file(name)
        if shipped is not None and shipped.links:
            addresses = [shipped.example, *shipped.keys.get("hosts", ())]
            if host in {re.sub(r"^https?://(?:www\.)?|[/:].*$", "", address) for address in addresses}:
                return name
    return ""


def may_take_links(platform: str) -> bool:
    """Whether a source of this platform may take links without a rule; `link_shapes` decides."""
    shipped = platform_file(platform)
    return platform == "linked" or (shipped is not None and (shipped.base == "linked" or bool(shipped.links)))


def boards_of(definition: Definition) -> tuple[Definition, ...]:
    """The definition of each listing of a source: of its address, and of those in `also`. They share all other rules.

    Raises:
        SourceError: an address in `also` is not one that this platform reads.
    """
    shipped = platform_file(definition.platform)
    boards = [definition]
    for address in definition.also:
        keys = None if shipped is None else shipped.keys_for(address)
        if shipped is not None and keys is None:
            raise SourceError(f"{address} is not an address of {shipped.name} that can be read", hint=shipped.example)
        if shipped is None and definition.list.url:
            raise SourceError("`also` needs `url` for the address of the listing, not `list.url`")
        listing, feed = definition.list, definition.feed
        if keys is not None and "url" in keys.get("list", {}):
            listing = listing.model_copy(update={"url": keys["list"]["url"]})
        if feed is not None:
            url = (keys or {}).get("feed", {}).get("url", feed.url)
            # a feed of the whole site is read once
            feed = feed.model_copy(update={"url": url}) if url != feed.url else None
        boards.append(definition.model_copy(update={"url": address, "list": listing, "feed": feed}))
    return tuple(boards)


def marked_platforms() -> tuple[PlatformFile, ...]:
    """The platform files that have marks, by name; raises SourceError as `platform_file`."""
    found = (platform_file(name) for name in platform_file_names())
    return tuple(each for each in found if each is not None and each.marks)


def platform_file_names() -> list[str]:
    """The names of all platform files, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    """The value with the placeholders of `values` replaced in all addresses and templates."""
    if isinstance(value, list):
        return [_filled(each, values) for each in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: fill_placeholders(each, values) if key in ("url", "template") else _filled(each, values)
        for key, each in value.items()
    }
