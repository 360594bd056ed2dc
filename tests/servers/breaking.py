"""A server whose connections break off in the middle of files, and which resumes them well, badly or not at all."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Headers = dict[str, str]
DATE = "Wed, 25 Nov 2026 12:00:00 GMT"
EARLIER = "Mon, 23 Nov 2026 12:00:00 GMT"


@dataclass
class File:
    """One file and how it is served.

    Attributes:
        breaks: offsets at which a connection that gets there ends, each as often as it stands there. reset: by a reset, not by a plain end.
        ranges: whether Range is understood. most: bytes of one range. chunked: without Content-Length. length: a Content-Length that is not true.
        special: number of the request (from 1) -> (status, headers, body) that is answered in place of the file; a body of
            None is the file's own bytes from where they were asked for.
        pause: called before each piece is sent, with its offset.
    """

    body: bytes
    etag: str = '"one"'
    modified: str = ""
    breaks: list[int] = field(default_factory=list)
    reset: bool = False
    ranges: bool = True
    most: int | None = None
    chunked: bool = False
    length: int | None = None
    headers: Headers = field(default_factory=dict)
    special: dict[int, tuple[int, Headers, bytes | None]] = field(default_factory=dict)
    pause: Callable[[int], None] = lambda _: None
    asked: list[Headers] = field(default_factory=list)
    sent: int = 0


class Breaking:
    """Serves a listing at / and each file under its path; robots.txt is not there."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.files: dict[str, File] = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                file = site.files.get(self.path)
                if file is not None:
                    with contextlib.suppress(OSError):
                        site.serve(self, file)
                    return
                rows = "".join(f'<li><a href="{path}">file</a></li>' for path in site.files)
                body = f"<html><body><ul>{rows}</ul></body></html>".encode()
                self.send_response(200 if self.path == "/" else 404)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args) -> None:
                pass

            def version_string(self) -> str:
                return "test"

            def date_time_string(self, timestamp=None) -> str:
                return DATE

        self.http = ThreadingHTTPServer((address, 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://{address}:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def serve(self, handler: BaseHTTPRequestHandler, file: File) -> None:
        file.asked.append(dict(handler.headers))
        match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        named = handler.headers.get("If-Range", "") in (file.etag, file.modified)
        start = int(match[1]) if match and file.ranges and named else 0
        total = len(file.body)
        headers = {"ETag": file.etag, "Last-Modified": file.modified, "Content-Type": "application/octet-stream"}
        status, body = 200, file.body
        if start:
            end = total if file.most is None else min(total, start + file.most)
            status, body = 206, file.body[start:end]
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{total}"
        if start >= total:
            status, body = 416, b""
            headers["Content-Range"] = f"bytes */{total}"
        length = len(body) if file.length is None or status != 200 else file.length
        if special := file.special.get(len(file.asked)):
            status, more, given = special
            headers.update(more)
            if given is not None:
                body, start = given, 0
            length = len(body)
        handler.send_response(status)
        for name, value in {**headers, **file.headers}.items():
            if value:
                handler.send_header(name, value)
        chunked = file.chunked and status == 200
        if chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        else:
            handler.send_header("Content-Length", str(length))
        handler.end_headers()
        self._send(handler, file, body, start, length, chunked=chunked)

    def _send(
        self, handler: BaseHTTPRequestHandler, file: File, body: bytes, start: int, length: int, *, chunked: bool
    ) -> None:
        end = start + len(body)
        cut = next((at for at in sorted(file.breaks) if start < at < end), None)
        at = start
        while at < end:
            file.pause(at)
            piece = body[at - start : min(at + 65_536, cut or end) - start]
            if chunked:
                handler.wfile.write(b"%x\r\n" % (len(piece) + (7 if at + len(piece) == cut else 0)))
            handler.wfile.write(piece)
            at += len(piece)
            file.sent += len(piece)
            if at == cut:
                file.breaks.remove(cut)
                self._end(handler, reset=file.reset)
                return
            if chunked:
                handler.wfile.write(b"\r\n")
        if chunked:
            handler.wfile.write(b"0\r\n\r\n")
        elif length != len(body):
            self._end(handler, reset=False)

    @staticmethod
    def _end(handler: BaseHTTPRequestHandler, *, reset: bool) -> None:
        handler.close_connection = True
        handler.wfile.flush()
        if reset:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
        else:
            handler.connection.shutdown(socket.SHUT_RDWR)
