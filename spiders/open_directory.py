"""Platform `open_directory`: folders that a web server lists (nginx, Apache, Caddy, copyparty, others); each file is a post.

Names are taken from addresses and not from the visible text: nginx truncates visible names to 50 characters.

Some servers (Python's, mini_httpd, Express) tell neither which entries are folders nor when a file changed: they are asked.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit, urlunsplit

import orjson
from scrapy import Request
from scrapy.http import Response

from crawler.fetching.post_parts import NO_ENCODING
from crawler.fetching.spider import SourceSpider
from crawler.pages.extract import Listing, classify
from crawler.pages.html_text import decode, parse_html
from crawler.pages.row_values import Page, parse_xml
from data.model import Post
from data.sources.definition import Definition

# "01-Mar-2026 10:00", "2026-03-01 10:00", "2026-Mar-01 10:00:00", then perhaps "1.2M", "123" or "-"
_TIME = r"\d{2}-[A-Z][a-z]{2}-\d{4} \d{2}:\d{2}(?::\d{2})?|\d{4}-(?:\d{2}|[A-Z][a-z]{2})-\d{2} \d{2}:\d{2}(?::\d{2})?"
_FACTS = re.compile(rf"(?P<time>{_TIME})?\s*(?P<size>-|\d+(?:\.\d+)?\s?[KMGT]?(?:i?B)?)?(?=\s|$)")
# Characters that stand for something else in an address; a percent sign does where digits follow.
_RESERVED = re.compile(r"[#?]|%(?![0-9A-Fa-f]{2})")
_HEADINGS = re.compile(
    r"index of|directory (?:listing|index)|folder listing|listing (?:for|directory)|listing:|files within",
    re.IGNORECASE,
)

# Of so many files of a folder the server is asked for what its list does not say.
MAX_ASKED, ASKED_AT_ONCE = 500, 16
# A file that changed so shortly before the answer may change again in the same second, and some servers state the present.
_SETTLED = timedelta(seconds=2)


@dataclass(frozen=True)
class DirectoryEntry:
    """One entry of a folder: absolute address, whether it is a folder, size and time as the server writes them, or ''."""

    url: str
    folder: bool
    size: str = ""
    time: str = ""


def read_folder(
    definition: Definition, body: bytes, url: str, content_type: str = "", page_no: int = 1, status: int = 200
) -> Listing:
    """The files of one folder as posts, its sub-folders as `more`; arguments as `crawler.pages.extract.read_listing`.

    The native id is the path. Folders deeper than `depth` below the source's address are reported as a problem.
    """
    del page_no  # folders have no pages
    page = Page(url, None, url)
    entries = list(_entries(definition, page, body, content_type))
    # a blocked page has links too: they count as rows only if the page looks like the listing of a folder
    proven = len(entries) if any(entry.size or entry.time for entry in entries) or _is_folder(body) else 0
    verdict = classify(definition, status, body, content_type, rows=proven)
    if verdict != "ok":
        return Listing(state=verdict, problems=page.problems())
    if entries and not proven:
        page.problem_counts["folder: the page has links, but does not look like the listing of a folder"] += 1
    posts: dict[str, Post] = {}
    more: dict[str, None] = {}
    for entry in entries:
        if not entry.folder:
            post = _post(definition, entry)
            posts.setdefault(post.native, post)
        elif _depth(definition, entry.url) <= definition.depth:
            more[_with_query(definition, entry.url)] = None
        else:
            page.problem_counts[_too_deep(definition)] += 1
    return Listing(
        posts=tuple(posts.values()),
        state="ok" if entries else "empty",
        rows=len(entries),
        problems=page.problems(),
        more=tuple(more),
    )


def _with_query(definition: Definition, url: str) -> str:
    """The address of a folder with the query of the source, which may select the format of a listing (?F=1, ?ls)."""
    query = urlsplit(definition.list.url or definition.url).query
    return url + ("&" if "?" in url else "?") + query if query else url


def _too_deep(definition: Definition) -> str:
    return f"depth: a folder lies deeper than {definition.depth} and was not read"


def _is_folder(body: bytes) -> bool:
    """Whether a page says that it lists a folder, or is JSON or XML."""
    head = body[:4096].decode("latin-1")
    return head.lstrip()[:1] in ("[", "{") or "<list>" in head or bool(_HEADINGS.search(head))


def _post(definition: Definition, entry: DirectoryEntry) -> Post:
    parts = urlsplit(entry.url)
    path = _unquoted(parts.path)
    facts = {"size": entry.size, "mtime": entry.time}
    return Post(
        source=definition.name,
        native=f"{path}?{parts.query}" if parts.query else path,
        url=entry.url,
        raw=entry.url,
        title=path.rpartition("/")[2],
        fields={name: text for name, text in facts.items() if text},
        time=entry.time,
    )


def _unquoted(path: str) -> str:
    """The decoded path; names that are not UTF-8 are read as Latin-1, so that different names stay different."""
    raw = unquote_to_bytes(path)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _decoded_parts(path: str) -> list[str]:
    return [_unquoted(part) for part in path.split("/")]


def _depth(definition: Definition, url: str) -> int:
    """Folders between the source's address and this one; the source's own folder has depth 0."""
    root = _unquoted(urlsplit(definition.list.url or definition.url).path)
    here = _unquoted(urlsplit(url).path)
    if not root.endswith("/"):
        root = root + "/" if here.startswith(root + "/") else root[: root.rfind("/") + 1]
    return len([part for part in here.removeprefix(root).split("/") if part])


# --- formats of listings ----------------------------------------------------------------------------------------


def _entries(definition: Definition, page: Page, body: bytes, content_type: str) -> Iterator[DirectoryEntry]:
    text = decode(body, definition.charset, content_type)
    head = text.lstrip()[:200].lower()
    if head.startswith(("[", "{")) or "json" in content_type:
        yield from _from_json(page, text)
    elif head.startswith(("<?xml", "<list>")) and "<html" not in head:
        yield from _from_xml(page, text)
    else:
        yield from _from_html(page, text)


def _from_json(page: Page, text: str) -> Iterator[DirectoryEntry]:
    """Entries in the format of nginx with `autoindex_format json`, or of copyparty with `?ls`."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        page.problem_counts["json: the folder is not JSON"] += 1
        return
    if isinstance(found, dict):
        rows = [(row, kind == "dirs") for kind in ("dirs", "files") for row in found.get(kind) or ()]
        for row, folder in rows:
            if isinstance(row, dict) and isinstance(href := row.get("href"), str):
                moment = row.get("ts")
                yield from _entry(page, href, folder, str(row.get("sz") or ""), _epoch(moment))
            else:
                page.problem_counts["row: an entry of the folder has no address"] += 1
        return
    for row in found if isinstance(found, list) else ():
        if isinstance(row, dict) and isinstance(name := row.get("name"), str):
            yield from _named(
                page, name, row.get("type") == "directory", str(row.get("size", "")), str(row.get("mtime", ""))
            )
        else:
            page.problem_counts["row: an entry of the folder has no name"] += 1


def _from_xml(page: Page, text: str) -> Iterator[DirectoryEntry]:
    """Entries in the format of nginx with `autoindex_format xml`."""
    root, sound = parse_xml(text)
    if not sound:
        page.problem_counts["xml: the folder is not well-formed and was repaired"] += 1
    for node in () if root is None else root:
        if node.tag in ("file", "directory"):
            size = node.get("size", "") if node.tag == "file" else ""
            yield from _named(page, node.text or "", node.tag == "directory", size, node.get("mtime", ""))


def _from_html(page: Page, text: str) -> Iterator[DirectoryEntry]:
    """Entries of any HTML page that links them: `pre` lines, table rows, lists."""
    root, whole = parse_html(text)
    if not whole:
        page.problem_counts["html: the folder is nested too deep and was truncated there"] += 1
    if root is None:
        return
    base = root.xpath("string((//base/@href)[1])").strip()
    page.base = urljoin(page.url, base) if base else page.url
    seen: set[str] = set()
    for anchor in root.iter("a"):
        href = (anchor.get("href") or "").strip()
        # links that sort the list are queries on the folder itself; following them would never end
        if not href or href.startswith(("?", "#")):
            continue
        for entry in _entry(page, _encoded(href, anchor), None, *_facts(anchor)):
            if entry.url not in seen:
                seen.add(entry.url)
                yield entry


def _encoded(href: str, anchor: Any) -> str:
    """The address of a link, whose name is encoded if the server wrote it as it is: `serve` does so with "#", "?" and "%"."""
    folder, slash, name = href.rpartition("/")
    shown = "".join(anchor.itertext()).strip()
    return f"{folder}{slash}{quote(name)}" if name == shown and _RESERVED.search(name) else href


def _facts(anchor: Any) -> tuple[str, str]:
    """Size and time beside a link: from the text after it on its `pre` line, or from the cells of its row."""
    row = next(anchor.iterancestors("tr"), None)
    if row is not None and (exact := row.xpath("string(.//time/@datetime)").strip()):
        # Caddy: what it shows is rounded
        size = row.xpath("string(.//td/@data-order)").strip()
        return (size if size.isdecimal() else ""), exact
    if row is not None:
        cells = ["".join(cell.itertext()).strip() for cell in row.iter("td")]
        matches = [match for cell in cells if (match := _FACTS.fullmatch(cell))]
    else:
        match = _FACTS.match((anchor.tail or "").split("\n")[0].strip())
        matches = [match] if match else []
    size = next((match["size"] for match in matches if match["size"]), "")
    moment = next((match["time"] for match in matches if match["time"]), "")
    return ("" if size == "-" else size), moment


def _named(page: Page, name: str, folder: bool, size: str, time: str) -> Iterator[DirectoryEntry]:
    """The entry with this name in the folder of the page."""
    if name in ("", ".", ".."):
        return
    yield from _entry(page, "./" + quote(name, safe="") + ("/" if folder else ""), folder, size, _http_time(time))


def _entry(page: Page, href: str, folder: bool | None, size: str, time: str) -> Iterator[DirectoryEntry]:
    """The entry for a link that leads exactly one level down from the folder; nothing for any other link."""
    whole = page.absolute(href)
    try:
        here, there = urlsplit(page.url), urlsplit(whole)
    except ValueError:
        return
    # a server may write " " or "é" where the address of the page has %20 or %C3%A9
    root, parts = _decoded_parts(here.path or "/")[:-1], there.path.split("/")
    if (there.scheme, there.netloc) != (here.scheme, here.netloc) or _decoded_parts(there.path)[: len(root)] != root:
        return
    name = "/".join(parts[len(root) :])
    if not name or "/" in name.rstrip("/") or _unquoted(name.rstrip("/")) in (".", ".."):
        return
    is_folder = name.endswith("/") if folder is None else folder
    path = there.path if not is_folder or there.path.endswith("/") else there.path + "/"
    # the query of a folder link in HTML is a sort order; a query that JSON or XML states may be an access key
    query = "" if is_folder and folder is None else there.query
    yield DirectoryEntry(
        urlunsplit((there.scheme, there.netloc, path, query, "")), is_folder, "" if is_folder else size, time
    )


def _epoch(moment: Any) -> str:
    if not isinstance(moment, int | float) or isinstance(moment, bool):
        return ""
    try:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return ""


def _http_time(text: str) -> str:
    """A time like "Sun, 01 Mar 2026 10:00:00 GMT" as ISO 8601; any other text unchanged."""
    try:
        return datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return text


class OpenDirectorySpider(SourceSpider):
    """A folder on a web server and the folders below it."""

    name = "open_directory"
    defaults: ClassVar[Mapping[str, Any]] = {"list": {"complete": True}}

    @classmethod
    def read_listing(
        cls, definition: Definition, body: bytes, url: str, content_type: str = "", page_no: int = 1, status: int = 200
    ) -> Listing:
        """The files and sub-folders of one folder."""
        return read_folder(definition, body, url, content_type, page_no, status)

    async def completed(self, listing: Listing) -> Listing:
        """Ask by HEAD, which transfers no file, for the state of files without size and time, and which entries are folders.

        A link to a folder without a slash at its end looks like a file without ending; the server redirects to the slash.
        """
        definition = self.boards.definition
        unclear = [post for post in listing.posts if _is_unclear(post, listing)]
        found: dict[str, Response] = {}
        for first in range(0, min(len(unclear), MAX_ASKED), ASKED_AT_ONCE):
            batch = unclear[first : min(first + ASKED_AT_ONCE, MAX_ASKED)]
            answers = await asyncio.gather(*(self._head(post.url) for post in batch))
            found |= {post.native: answer for post, answer in zip(batch, answers, strict=True) if answer is not None}
            if not any(answers):
                # a server that does not answer such requests would hold the crawl until its end
                break
        problems, posts, more = list(listing.problems), [], list(listing.more)
        told = untold = 0
        for post in listing.posts:
            answer = found.get(post.native)
            if answer is not None and _leads_into(answer.url, post.url):
                if _depth(definition, answer.url) <= definition.depth:
                    more.append(_with_query(definition, answer.url))
                else:
                    problems.append(_too_deep(definition))
                continue
            state = "" if answer is None or _says_when(post) else _state(answer, datetime.now(UTC))
            told += bool(state)
            untold += not (state or _says_when(post))
            posts.append(replace(post, fields={**post.fields, "last": state}) if state else post)
        # a link that is no file, to a form for uploads for example, has no state either
        if untold and (not told or len(unclear) > MAX_ASKED):
            problems.append(f"changes: neither the list nor the server says when {untold} files changed")
        return replace(
            listing, posts=tuple(posts), more=tuple(dict.fromkeys(more)), problems=tuple(dict.fromkeys(problems))
        )

    async def _head(self, url: str) -> Response | None:
        try:
            return await self._send(Request(url, method="HEAD", headers=NO_ENCODING, dont_filter=True))
        except Exception:  # noqa: BLE001 - what is not known of the file is counted, and it is requested as it is
            return None


def _says_when(post: Post) -> bool:
    """Whether the list shows something that changes with the file."""
    return bool(post.fields.keys() & {"size", "mtime"})


def _is_unclear(post: Post, listing: Listing) -> bool:
    """Whether the list does not say if an entry has changed, or if it is a folder.

    A server that writes folders with a slash does so for all of them.
    """
    return not _says_when(post) or ("." not in post.title and not listing.more)


def _leads_into(there: str, here: str) -> bool:
    """Whether an address is that of the folder of this name."""
    new, old = urlsplit(there), urlsplit(here)
    return new.netloc == old.netloc and _unquoted(new.path) == _unquoted(old.path) + "/"


def _state(answer: Response, now: datetime) -> str:
    """What the headers of a file say that changes with it; '' if there is nothing, or the answer is no file's."""
    if answer.status != 200:
        return ""
    said = {name: (answer.headers.get(name) or b"").decode("latin-1") for name in ("ETag", "Last-Modified", "Date")}
    length = (answer.headers.get("Content-Length") or b"").decode("latin-1")
    if said["ETag"]:
        return f"{said['ETag']} {length}"
    changed, at = _moment(said["Last-Modified"]), _moment(said["Date"]) or now
    if changed is None or at - changed < _SETTLED:
        return length
    return f"{changed.isoformat()} {length}"


def _moment(text: str) -> datetime | None:
    """A date of HTTP, aware; None if it is none."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
