"""The two servers of the demo, both on loopback: a small leak site and a chat endpoint that keeps what it receives."""

from __future__ import annotations

import html
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """One post of the leak site: what its card says, and the file behind it."""

    slug: str
    title: str
    blurb: str
    file: str
    body: bytes
    mime: str = "text/plain; charset=utf-8"


class _Quiet(BaseHTTPRequestHandler):
    """Answers without a line per request on the terminal."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""

    def answer(self, status: int, mime: str, body: bytes) -> None:
        """Send one whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", mime)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@dataclass
class _Server:
    """A threaded server on a free port of 127.0.0.1, for the length of a with block."""

    http: ThreadingHTTPServer = field(init=False)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """The request handler; each server has its own."""
        raise NotImplementedError("a server without a handler")

    @property
    def url(self) -> str:
        """Base address."""
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    def __enter__(self) -> Any:
        """Start."""
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop."""
        self.http.shutdown()
        self.http.server_close()


@dataclass
class LeakSite(_Server):
    """A card grid as extortion groups run them; entries may be published while it runs."""

    entries: list[Entry] = field(default_factory=list)

    def publish(self, entry: Entry) -> None:
        """Put an entry on top of the listing."""
        self.entries = [entry, *self.entries]

    def listing(self) -> bytes:
        """The page of cards."""
        cards = "".join(
            f'<div class="card" id="{entry.slug}"><h3>{html.escape(entry.title)}</h3>'
            f"<p>{html.escape(entry.blurb)}</p><span class='size'>{len(entry.body)}</span>"
            f'<a class="get" href="/files/{entry.file}">download</a></div>'
            for entry in self.entries
        )
        return f"<!doctype html><title>Published</title><h1>They did not pay</h1>{cards}".encode()

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """The request handler over this site's entries."""
        site = self

        class Handler(_Quiet):
            def do_GET(self) -> None:
                """Listing, files, robots.txt, 404."""
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
    """A chat endpoint that takes Slack's dialect."""

    messages: list[dict[str, Any]] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """The request handler that keeps messages."""
        chat = self

        class Handler(_Quiet):
            def do_POST(self) -> None:
                """Keep the message."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                chat.messages.append(json.loads(body))
                self.answer(200, "text/plain", b"ok")

        return Handler
