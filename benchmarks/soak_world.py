"""The world of the soak: boards on real servers that post, edit, delete and get into trouble, and a receiver of alerts."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# So many servers, each at an address of its own, have the boards.
SERVERS = 10
# Posts that a board shows at most; one that is full loses its oldest.
SHOWN = 8
# Troubles last so many visits.
VISITS = 4
# Requests of two visits to a listing that answers nothing useful: each is tried three times.
ASKED = 7
# Share of posts that hold a canary.
HITS = 0.3
# Pages that stand where the listing should be, and answer 200.
PAGES = {
    "seized": "<title>THIS SITE HAS BEEN SEIZED</title><h1>This website has been seized</h1>",
    "parked": "<title>board</title><p>This domain is for sale. Make an offer.</p>",
    "default": "<title>Welcome to nginx!</title><h1>Welcome to nginx!</h1>",
    "challenge": "<title>Just a moment...</title><form id=challenge-form action=/?__cf_chl=1></form>",
    "redesigned": "<html><body><div class=card><h2>board</h2><p>the same posts, in other words</p></div></body></html>",
}
# Troubles that must be told, and those that must not keep anything from being read.
TOLD = ("broken", "hanging", "gone", "refused", "cut", "elsewhere", "circle", *PAGES)
QUIET = ("slow", "moved", "limited", "trickling")


@dataclass
class Version:
    """One version of a post: its bytes, when its board showed it, and until when."""

    board: str
    body: bytes
    began: datetime
    ended: datetime | None = None


@dataclass
class Trouble:
    """One trouble of a board: until when at least (monotonic), when by system time, and requests for the listing since."""

    board: str
    kind: str
    until: float
    began_at: datetime
    ended_at: datetime | None = None
    asked: int = 0


@dataclass
class Board:
    """A board of the site: where it is, what its listing shows, and its trouble."""

    name: str
    url: str
    shown: dict[str, list[Version]] = field(default_factory=dict)
    old: list[Version] = field(default_factory=list)
    trouble: Trouble | None = None
    posts: int = 0


class World:
    """The boards, and a receiver of alerts.

    Attributes:
        alerts: how often each alert arrived, by its id. strangers: requests for a board at a server that it is not at.
        away_until: the receiver answers 503 until then (monotonic).
    """

    def __init__(self, boards: int, seed: int) -> None:
        self.dice = random.Random(seed)
        self.lock = threading.Lock()
        self.alerts: Counter[str] = Counter()
        self.strangers = self.requests = 0
        self.away_until = 0.0
        self._limited: set[str] = set()
        self._servers = [_Server(self, f"127.0.1.{number + 1}") for number in range(SERVERS)]
        self.boards = {
            f"s{number}": Board(f"s{number}", self._servers[number % SERVERS].url) for number in range(boards)
        }
        self.url = self._servers[0].url
        for board in self.boards.values():
            board.posts = 1
            first = Version(board.name, f"first post of {board.name}\n".encode() * 10, datetime.now().astimezone())
            board.shown[f"{board.name}-1"] = [first]

    def receive(self, handler: Handler) -> None:
        """Take an alert."""
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        if time.monotonic() < self.away_until:
            handler.reply(503, b"")
            return
        with self.lock:
            self.alerts[handler.headers["webhook-id"]] += 1
        handler.reply(200, b"")

    def answer(self, handler: Handler) -> None:
        """Answer one request as the board's trouble wants it."""
        self.requests += 1
        parts = handler.path.strip("/").split("/")
        moved = parts[0] == "moved"
        board = self.boards.get(parts[1 if moved and len(parts) > 1 else 0])
        if board is None:
            handler.reply(404, b"")
            return
        if handler.home != board.url:
            self.strangers += 1
        is_listing = len(parts) == (2 if moved else 1)
        trouble = board.trouble
        kind = trouble.kind if trouble is not None else ""
        if trouble is not None and is_listing:
            trouble.asked += 1
        if kind == "hanging":
            time.sleep(6)
        elif kind == "slow":
            time.sleep(0.7)
        if kind in ("broken", "hanging"):
            handler.reply(500, b"")
        elif kind == "gone":
            handler.reply(404, b"")
        elif kind == "refused":
            handler.reset()
        elif kind == "elsewhere":
            other = next(each.url for each in self._servers if each.url != board.url)
            handler.reply(302, b"", Location=f"{other}{handler.path}")
        elif kind == "circle":
            handler.reply(302, b"", Location=handler.path)
        elif kind == "moved" and not moved:
            handler.reply(302, b"", Location=f"/moved{handler.path}")
        elif kind == "limited" and handler.path not in self._limited:
            self._limited.add(handler.path)
            handler.reply(429, b"", **{"Retry-After": "1"})
        elif is_listing:
            self._limited.discard(handler.path)
            self._listing(handler, board, kind)
        else:
            self._limited.discard(handler.path)
            with self.lock:
                versions = board.shown.get(parts[-2], [])
            number = int(parts[-1]) if parts[-1].isdigit() else 0
            handler.reply(200, versions[number - 1].body) if 0 < number <= len(versions) else handler.reply(404, b"")

    def _listing(self, handler: Handler, board: Board, kind: str) -> None:
        with self.lock:
            rows = [
                f'<li id="{name}"><a href="/{board.name}/{name}/{len(versions)}">{name} part {len(versions)}</a></li>'
                for name, versions in reversed(board.shown.items())
            ]
        page = PAGES.get(kind) or f"<html><ul>{''.join(rows)}</ul></html>"
        if kind == "cut":
            handler.cut(page.encode())
        elif kind == "trickling":
            handler.trickle(page.encode())
        else:
            handler.reply(200, page.encode(), "text/html")

    def step(self, *, end_all: bool = False) -> None:
        """Let troubles end that lasted long enough, and met two visits; at the end all of them."""
        now = time.monotonic()
        with self.lock:
            for board in self.boards.values():
                trouble = board.trouble
                if trouble is not None and (end_all or (now >= trouble.until and trouble.asked >= ASKED)):
                    trouble.ended_at = datetime.now().astimezone()
                    board.trouble = None

    def act(self, every: float, hits: list[str], number: int) -> Trouble | None:
        """One thing happens on one board; the trouble that it is, if it is one."""
        board = self.dice.choice(list(self.boards.values()))
        what = self.dice.choices(["post", "edit", "delete", "trouble"], [6, 2, 1, 1])[0]
        # each board sees one thing in about four visits: the receiver is away for one interval of eight
        if number % (2 * len(self.boards)) == 0:
            self.away_until = time.monotonic() + every
        if board.trouble is not None:
            return None
        now = datetime.now().astimezone()
        with self.lock:
            if what == "post":
                board.posts += 1
                if len(board.shown) >= SHOWN:
                    self._remove(board, next(iter(board.shown)), now)
                board.shown[f"{board.name}-{board.posts}"] = [self._version(board, number, hits, now)]
            elif what == "edit":
                versions = board.shown[self.dice.choice(list(board.shown))]
                versions[-1].ended = now
                versions.append(self._version(board, number, hits, now))
            elif what == "delete" and len(board.shown) > 1:
                self._remove(board, self.dice.choice(list(board.shown)), now)
            elif what == "trouble":
                kind = self.dice.choice(TOLD + QUIET)
                board.trouble = Trouble(board.name, kind, time.monotonic() + VISITS * every + 8, now)
                return board.trouble
        return None

    def _remove(self, board: Board, name: str, now: datetime) -> None:
        versions = board.shown.pop(name)
        versions[-1].ended = now
        board.old += versions

    def _version(self, board: Board, number: int, hits: list[str], now: datetime) -> Version:
        if hits and self.dice.random() < HITS:
            body = hits.pop().encode()
        else:
            body = f"message {number}: nothing of note\n".encode() * 20
        return Version(board.name, body, now)

    def versions(self) -> list[Version]:
        """Every version that was ever shown."""
        with self.lock:
            return [
                version
                for board in self.boards.values()
                for version in [*board.old, *(each for versions in board.shown.values() for each in versions)]
            ]

    def close(self) -> None:
        """End the servers."""
        for server in self._servers:
            server.http.shutdown()
            server.http.server_close()


class Handler(BaseHTTPRequestHandler):
    """Answers for a world."""

    protocol_version = "HTTP/1.1"
    world: World
    home: str

    def do_GET(self) -> None:
        self.world.answer(self)

    def do_POST(self) -> None:
        self.world.receive(self)

    def reply(self, status: int, body: bytes, kind: str = "text/plain", **headers: str) -> None:
        """A whole answer."""
        with contextlib.suppress(OSError):
            self._head(status, len(body), kind, **headers)
            self.wfile.write(body)

    def cut(self, body: bytes) -> None:
        """The first half of an answer."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self._head(200, len(body), "text/html")
            self.wfile.write(body[: len(body) // 2])

    def trickle(self, body: bytes) -> None:
        """A whole answer, in pieces that take their time."""
        with contextlib.suppress(OSError):
            self._head(200, len(body), "text/html")
            for at in range(0, len(body), len(body) // 8 + 1):
                self.wfile.write(body[at : at + len(body) // 8 + 1])
                self.wfile.flush()
                time.sleep(0.1)

    def reset(self) -> None:
        """No answer: the connection is reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _head(self, status: int, length: int, kind: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class _Quiet(ThreadingHTTPServer):
    """Says nothing of clients that are killed; other errors are shown."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type] # as it came


class _Server:
    """One server of a world."""

    def __init__(self, world: World, address: str) -> None:
        class Made(Handler):
            """Knows its world, and the address at which it answers."""

        Made.world = world
        self.http = _Quiet((address, 0), Made)
        self.http.daemon_threads = True
        self.url = Made.home = f"http://{address}:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()
