"""The two servers of the demo, both on loopback: a small leak site, and a chat endpoint that records its messages."""

from __future__ import annotations

import html
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One post of the leak site: the texts of its card, and the file that it links to."""

    slug: str
    title: str
    blurb: str
    file: str
    body: bytes
    mime: str = "text/plain; charset=utf-8"


class _QuietHandler(BaseHTTPRequestHandler):
    """A request handler that prints nothing on the terminal."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Print nothing."""

    def answer(self, status: int, mime: str, body: bytes) -> None:
        """Send one complete answer."""
        self.send_response(status)
        self.send_header("Content-Type", mime)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@dataclass
class _Server:
    """A threaded server on a free port of 127.0.0.1, which runs during a `with` block."""

    http: ThreadingHTTPServer = field(init=False)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """The class of the request handler; each kind of server has its own."""
        raise NotImplementedError("a subclass must define its handler")

    @property
    def url(self) -> str:
        """Base address of the server."""
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    def __enter__(self) -> Any:
        """Start the server."""
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop the server."""
        self.http.shutdown()
        self.http.server_close()


@dataclass
class LeakSite(_Server):
    """A site with a grid of cards, as extortion groups run them; entries can be published while it runs."""

    entries: list[FeedEntry] = field(default_factory=list)

    def publish(self, entry: FeedEntry) -> None:
        """Put an entry on top of the listing."""
        self.entries = [entry, *self.entries]

    def listing(self) -> bytes:
        """The page with the cards."""
        cards = "".join(
            f'<div class="card" id="{entry.slug}"><h3>{html.escape(entry.title)}</h3>'
            f"<p>{html.escape(entry.blurb)}</p><span class='size'>{len(entry.body)}</span>"
            f'<a class="get" href="/files/{entry.file}">download</a></div>'
            for entry in self.entries
        )
        return f"<!doctype html><title>Published</title><h1>They did not pay</h1>{cards}".encode()

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """The request handler that serves the entries of this site."""
        site = self

        class Handler(_QuietHandler):
            def do_GET(self) -> None:
                """Serve the listing or a file; answer 404 to everything else, such as robots.txt."""
                if self.path == "/":
                    self.answer(200, "text/html; charset=utf-8", site.listing())
                    return
                for entry in site.entries:
                    if self.path == f"/files/{entry.file}":
                        self.answer(200, entry.mime, entry.body)
                        return
                self.answer(404, "text/plain", b"not found")

        return Handler


@dataclass
class Chat(_Server):
    """A chat endpoint that accepts messages in the format of Slack."""

    messages: list[dict[str, Any]] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """The request handler that records messages."""
        chat = self

        class Handler(_QuietHandler):
            def do_POST(self) -> None:
                """Record the message."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                chat.messages.append(json.loads(body))
                self.answer(200, "text/plain", b"ok")

        return Handler
