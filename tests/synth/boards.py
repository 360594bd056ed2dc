"""Boards as forum software serves them: threads with replies, pages, files and feeds, rendered in the markup of each.

The markup is that of the saved pages under `tests/samples/platforms`. Every software clamps page numbers, hides files or
answers absent threads in its own way; these ways are kept.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class Reply:
    """One post of a thread."""

    number: int
    text: str
    files: list[tuple[int, bytes]] = field(default_factory=list)
    edited: int = 0
    quoted: str = ""
    quoted_number: int = 0

    def html(self) -> str:
        """The text as every software shows it, below what it quotes."""
        quote = (
            f'<blockquote cite="#p{self.quoted_number}"><cite>poster wrote:</cite>{_lines(self.quoted)}</blockquote>'
            if self.quoted
            else ""
        )
        return quote + _lines(self.text)


@dataclass
class Thread:
    """A thread; `bumped` orders the listing."""

    number: int
    title: str
    posts: list[Reply]
    bumped: int


Answer = tuple[int, str, bytes]


class Board:
    """The content of one board, and how it changes."""

    def __init__(self) -> None:
        self.threads: dict[int, Thread] = {}
        self.clock = 1000
        self.posts = self.last_file = 0

    def topic(self, title: str, text: str) -> Thread:
        """A new thread."""
        made = Thread(len(self.threads) + 1, title, [], 0)
        self.threads[made.number] = made
        self.reply(made, text)
        return made

    def reply(self, thread: Thread, text: str, file: bytes = b"", quoted: str = "") -> Reply:
        """A new post in a thread, with a file and a quote if they are given."""
        self.clock += 60
        self.posts += 1
        made = Reply(self.posts, text, quoted=quoted)
        of = (post for each in self.threads.values() for post in each.posts if post.text == quoted)
        made.quoted_number = next(of, made).number if quoted else 0
        if file:
            self.last_file += 1
            made.files.append((self.last_file, file))
        thread.posts.append(made)
        thread.bumped = self.clock
        return made

    def edit(self, reply: Reply, text: str) -> None:
        """An edit: no listing shows it."""
        self.clock += 60
        reply.text, reply.edited = text, self.clock

    def listing(self) -> list[Thread]:
        """The threads, last post first."""
        return sorted(self.threads.values(), key=lambda each: -each.bumped)

    def newest(self, number: int) -> list[tuple[Thread, Reply]]:
        """The posts that were written or edited last."""
        every = [(thread, post) for thread in self.threads.values() for post in thread.posts]
        return sorted(every, key=lambda each: -max(each[1].edited, each[1].number))[:number]


def _html(body: str) -> Answer:
    return (
        200,
        "text/html; charset=utf-8",
        f"<!DOCTYPE html><html><head><title>Board</title></head><body>{body}</body></html>".encode(),
    )


def _lines(text: str) -> str:
    return escape(text, quote=False).replace("\n", "<br>\n")


def mybb(board: Board, path: str, query: dict[str, str]) -> Answer:
    """MyBB 1.8: files outside the text, and the pager of the forum above that of the thread."""
    page = int(query.get("page", 1))
    if path == "/forumdisplay.php":
        threads = board.listing()
        rows = "".join(
            f'<tr class="inline_row"><td class="forumdisplay_regular"><span class="subject_new" id="tid_{each.number}"><a href="showthread.php?tid={each.number}">{escape(each.title)}</a></span>'
            f'</td><td><a href="misc.php?action=whoposted&amp;tid={each.number}">{len(each.posts) - 1}</a></td><td><span class="lastpost smalltext">{board.clock - each.bumped} seconds ago</span></td></tr>'
            for each in threads[20 * (page - 1) :][:20]
        )
        more = (
            f'<a href="forumdisplay.php?fid=2&amp;page={page + 1}" class="pagination_next">Next</a>'
            if len(threads) > 20 * page
            else ""
        )
        return _html(f'<div class="pagination">{more}</div><table>{rows}</table>')
    if path == "/syndication.php":
        items = "".join(
            f"<item><guid>{post.number}</guid><title>{escape(thread.title)}</title><description>{escape(post.html())}</description>"
            f"<link>http://{{HOST}}/showthread.php?tid={thread.number}{f'&amp;pid={post.number}' if 'pids' in query else ''}#pid{post.number}</link></item>"
            for thread, post in board.newest(15)
        )
        return 200, "application/rss+xml", f"<rss version='2.0'><channel>{items}</channel></rss>".encode()
    if path == "/attachment.php":
        return 200, "application/octet-stream", _file(board, int(query["aid"]))
    thread = board.threads.get(int(query.get("tid", 0)))
    if thread is None:
        return _html("<div id=content><table><tr><td>The specified thread does not exist.</td></tr></table></div>")
    if 10 * (page - 1) >= len(thread.posts):
        page = 1
    posts = "".join(
        f'<a name="pid{each.number}" id="pid{each.number}"></a><div class="post " id="post_{each.number}"><div class="post_content"><div class="post_body scaleimages" id="pid_{each.number}">{each.html()}</div>'
        + "".join(
            f'<fieldset><legend>Attached Files</legend><a href="attachment.php?aid={aid}">lot.zip</a></fieldset>'
            for aid, _ in each.files
        )
        + "</div></div>"
        for each in thread.posts[10 * (page - 1) :][:10]
    )
    crumbs = '<div class="pagination pagination_breadcrumb"><a href="forumdisplay.php?fid=2&amp;page=2" class="pagination_next">Next</a></div>'
    more = (
        f'<a href="showthread.php?tid={thread.number}&amp;page={page + 1}" class="pagination_next">Next</a>'
        if len(thread.posts) > 10 * page
        else ""
    )
    return _html(f'{crumbs}<div class="pagination">{more}</div>{posts}')


def phpbb(board: Board, path: str, query: dict[str, str]) -> Answer:
    """phpBB 3.3: session ids, offsets, and the feed of posts."""
    start, sid = int(query.get("start", 0)), "sid=0123456789abcdef0123456789abcdef"
    if path == "/viewforum.php":
        threads = board.listing()
        rows = "".join(
            f'<li class="row bg1"><dl class="row-item"><dt><a href="./viewtopic.php?t={each.number}&amp;{sid}" class="topictitle">{escape(each.title)}</a>'
            + "".join(
                f'<div class="pagination"><a href="./viewtopic.php?t={each.number}&amp;{sid}&amp;start={at}">{at}</a></div>'
                for at in range(10, len(each.posts), 10)
            )
            + f"</dt>"
            f'<dd class="posts">{len(each.posts) - 1} <dfn>Replies</dfn></dd><dd class="lastpost"><a href="./viewtopic.php?p={each.posts[-1].number}&amp;{sid}#p{each.posts[-1].number}">x</a></dd></dl></li>'
            for each in threads[start:][:25]
        )
        more = (
            f'<li class="arrow next"><a href="./viewforum.php?f=2&amp;{sid}&amp;start={start + 25}">Next</a></li>'
            if len(threads) > start + 25
            else ""
        )
        return _html(f'<div class="pagination"><ul>{more}</ul></div><ul class="topiclist topics">{rows}</ul>')
    if path == "/app.php/feed/forum/2":
        entries = "".join(
            f'<entry><updated>2026-11-29T11:13:29+00:00</updated><id>http://{{HOST}}/viewtopic.php?p={post.number}#p{post.number}</id><link href="http://{{HOST}}/viewtopic.php?p={post.number}#p{post.number}"/>'
            f'<title type="html"><![CDATA[Forum • {escape(thread.title)}]]></title><content type="html"><![CDATA[\n{post.html()}<p>Statistics: Posted by <a href="http://{{HOST}}/memberlist.php?u=2">admin</a> — Sun Nov 29, 2026 11:13 am</p><hr />\n]]></content></entry>'
            for thread, post in board.newest(15)
        )
        return (
            200,
            "application/atom+xml; charset=UTF-8",
            f'<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom"><title>Board</title>{entries}</feed>'.encode(),
        )
    if path == "/download/file.php":
        return 200, "application/octet-stream", _file(board, int(query["id"]))
    thread = board.threads.get(int(query.get("t", 0)))
    if thread is None:
        return 404, *_html('<div id="message"><p>The requested topic does not exist.</p></div>')[1:]
    start = min(start, 10 * ((len(thread.posts) - 1) // 10))
    posts = "".join(
        f'<div id="p{each.number}" class="post bg2"><div class="postbody"><div id="post_content{each.number}"><div class="content">{each.html()}</div>'
        + "".join(
            f'<dl class="attachbox"><dd><dl class="file"><dt><a class="postlink" href="./download/file.php?id={aid}&amp;{sid}">lot.zip</a></dt></dl></dd></dl>'
            for aid, _ in each.files
        )
        + "</div></div></div>"
        for each in thread.posts[start:][:10]
    )
    more = (
        f'<li class="arrow next"><a href="./viewtopic.php?t={thread.number}&amp;{sid}&amp;start={start + 10}">Next</a></li>'
        if len(thread.posts) > start + 10
        else ""
    )
    return _html(f'<div class="pagination"><ul>{more}</ul></div>{posts}')


def nodebb(board: Board, path: str, query: dict[str, str]) -> Answer:
    """NodeBB 4: JSON, twenty a page."""
    page = int(query.get("page", 1))

    def pagination(total: int) -> dict[str, object]:
        last = -(-total // 20)
        return {
            "currentPage": page,
            "pageCount": last,
            "next": {"page": min(page + 1, last), "active": page < last, "qs": f"page={min(page + 1, last)}"},
        }

    def shown(thread: Thread, post: Reply) -> dict[str, object]:
        return {
            "pid": post.number,
            "tid": thread.number,
            "content": f'<p dir="auto">{post.html()}</p>\n',
            "timestamp": 1795950986067,
            "deleted": 0,
            "edited": post.edited,
            "attachments": [],
        }

    if path == "/api/recent":
        threads = [
            {
                "tid": each.number,
                "title": each.title,
                "slug": f"{each.number}/x",
                "timestamp": 1795950986067,
                "lastposttime": each.bumped,
                "postcount": len(each.posts),
                "teaserPid": str(each.posts[-1].number),
                "deleted": 0,
            }
            for each in board.listing()
        ]
        return _json({"topics": threads[20 * (page - 1) :][:20], "pagination": pagination(len(threads))})
    if path == "/api/recent/posts":
        return _json(
            [
                {
                    **shown(thread, post),
                    "deleted": False,
                    "url": f"http://{{HOST}}/post/{post.number}",
                    "topic": {"title": thread.title},
                }
                for thread, post in board.newest(20)
            ]
        )
    thread = board.threads.get(int(path.rpartition("/")[2]))
    if thread is None:
        return 403, *_json({"status": {"code": "not-authorised"}})[1:]
    return _json(
        {
            "tid": thread.number,
            "posts": [shown(thread, post) for post in thread.posts[20 * (page - 1) :][:20]],
            "pagination": pagination(len(thread.posts)),
        }
    )


def xenforo(board: Board, path: str, query: dict[str, str]) -> Answer:
    """XenForo 2: the first page of a thread has no number, and one beyond the last leads to the last one."""
    found = re.fullmatch(r"/(forums|threads|attachments)/[^/]*?(\d+)/(?:page-(\d+))?", path)
    kind, number, page = (found[1], int(found[2]), int(found[3] or 1)) if found else ("", 0, 1)
    if kind == "attachments":
        return 200, "application/octet-stream", _file(board, number)

    def more(count: int) -> str:
        base = path.partition("page-")[0]
        return (
            f'<a href="{base}page-{page + 1}" class="pageNav-jump pageNav-jump--next">Next</a>'
            if count > 20 * page
            else ""
        )

    if kind == "forums":
        threads = board.listing()
        rows = "".join(
            f'<div class="structItem structItem--thread js-threadListItem-{each.number}"><div class="structItem-title"><a href="/threads/x.{each.number}/" data-tp-primary="on">{escape(each.title)}</a></div>'
            f'<div class="structItem-cell structItem-cell--meta"><dl class="pairs"><dt>Replies</dt><dd>{len(each.posts) - 1}</dd></dl></div><time class="structItem-latestDate u-dt" data-time="{each.bumped}">now</time></div>'
            for each in threads[20 * (page - 1) :][:20]
        )
        return _html(f"{more(len(threads))}<div>{rows}</div>")
    thread = board.threads.get(number)
    if kind != "threads" or thread is None:
        return 404, *_html('<div class="blockMessage">The requested thread could not be found.</div>')[1:]
    posts = "".join(
        f'<article class="message message--post" data-content="post-{each.number}"><article class="message-body"><div class="bbWrapper">{each.html()}</div></article>'
        + "".join(
            f'<section class="message-attachments"><a class="file-preview" href="/attachments/lot-zip.{aid}/">x</a></section>'
            for aid, _ in each.files
        )
        + "</article>"
        for each in thread.posts[20 * (page - 1) :][:20]
    )
    return _html(f"{more(len(thread.posts))}{posts}")


def discourse(board: Board, path: str, query: dict[str, str]) -> Answer:
    """Discourse 3: JSON with the typed text, the ids of all posts of a topic, and no link to the next page."""

    def shown(thread: Thread, post: Reply) -> dict[str, object]:
        files = "".join(
            f'<a class="attachment" href="/uploads/short-url/{aid}.zip">lot.zip</a>' for aid, _ in post.files
        )
        quote = f'[quote="poster, post:1, topic:{thread.number}"]\n{post.quoted}\n[/quote]\n' if post.quoted else ""
        return {
            "id": post.number,
            "post_number": thread.posts.index(post) + 1,
            "post_type": 1,
            "topic_id": thread.number,
            "topic_title": thread.title,
            "raw": quote + post.text,
            "cooked": f"<p>{post.html()}</p>{files}",
            "created_at": "2026-11-29T11:13:29.000Z",
        }

    page = int(query.get("page", 1))
    if path == "/latest.json":
        topics = [
            {
                "id": each.number,
                "title": each.title,
                "slug": "x",
                "posts_count": len(each.posts),
                "highest_post_number": len(each.posts),
                "last_posted_at": each.bumped,
                "bumped_at": each.bumped,
                "created_at": "2026-11-29T11:13:29.000Z",
            }
            for each in board.listing()
        ]
        return _json({"topic_list": {"topics": topics[30 * page :][:30]}})
    if path == "/posts.json":
        every = [(thread, post) for thread in board.threads.values() for post in thread.posts]
        newest = sorted(every, key=lambda each: -each[1].number)[:50]
        return _json({"latest_posts": [shown(thread, post) for thread, post in newest]})
    if found := re.fullmatch(r"/uploads/short-url/(\d+)\.zip", path):
        return 200, "application/octet-stream", _file(board, int(found[1]))
    topic = re.fullmatch(r"/t/(\d+)\.json", path)
    thread = board.threads.get(int(topic[1])) if topic else None
    if thread is None or 20 * (page - 1) >= len(thread.posts):
        return 404, *_json({"errors": ["x"], "error_type": "not_found"})[1:]
    stream = {"posts": [shown(thread, post) for post in thread.posts[20 * (page - 1) :][:20]]}
    return _json({"post_stream": {**stream, "stream": [post.number for post in thread.posts]}, "id": thread.number})


def _json(value: object) -> Answer:
    return 200, "application/json; charset=utf-8", json.dumps(value, ensure_ascii=False).encode()


def _file(board: Board, number: int) -> bytes:
    [found] = [
        data for each in board.threads.values() for post in each.posts for aid, data in post.files if aid == number
    ]
    return found


BOARDS: dict[str, tuple[Callable[[Board, str, dict[str, str]], Answer], str]] = {
    "mybb": (mybb, "/forumdisplay.php?fid=2"),
    "phpbb": (phpbb, "/viewforum.php?f=2"),
    "nodebb": (nodebb, "/api/recent"),
    "xenforo": (xenforo, "/forums/data.2/"),
    "discourse": (discourse, "/latest"),
}
"""Software -> how it answers, and the address of its listing."""


class BoardSite:
    """A server on loopback with one board."""

    def __init__(self, software: str) -> None:
        self.board, self.asked = Board(), list[str]()
        render, listing = BOARDS[software]
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                status, kind, body = (
                    (404, "text/plain", b"") if parts.path == "/robots.txt" else render(site.board, parts.path, query)
                )
                if not kind.startswith("application/octet"):
                    body = re.sub(rb"\{HOST\}", site.host.encode(), body)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.host = f"127.0.0.1:{self.http.server_address[1]}"
        self.url = f"http://{self.host}{listing}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """End the server."""
        self.http.shutdown()
        self.http.server_close()
