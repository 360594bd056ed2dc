"""nginx, a real open directory and feed server.

`root` is listed at `/html/`, `/json/` and `/xml/`; `feeds` is served at `/feeds/`; `site` at `/` (pages that a test
writes, robots.txt). `/limited/` serves `root` with 429 above one request a second, `/redirect?to=URL` answers 302.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from tests.servers.base import HOST, ServerProcess, debian_program, free_port

CONFIG = """\
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    log_format plain '$request_method $request_uri $status $host "$http_user_agent" "$http_range"';
    log_format sizes '$request_uri $status $body_bytes_sent';
    access_log {folder}/access.log plain;
    access_log {folder}/sizes.log sizes;
    client_body_temp_path {folder}/tmp-body;
    proxy_temp_path {folder}/tmp-proxy;
    fastcgi_temp_path {folder}/tmp-fastcgi;
    uwsgi_temp_path {folder}/tmp-uwsgi;
    scgi_temp_path {folder}/tmp-scgi;
    types {{
        text/html html;
        text/plain txt csv sql log;
        application/json json;
        application/rss+xml rss;
        application/atom+xml atom;
        application/zip zip;
        application/gzip gz;
    }}
    default_type application/octet-stream;
    charset utf-8;
    autoindex_exact_size on;
    limit_req_zone $binary_remote_addr zone=slow:1m rate=1r/s;
    limit_req_status 429;
    server {{
        listen {host}:{port};
        server_name {host};
        location / {{ root {folder}/site; }}
        location /html/ {{ alias {folder}/root/; autoindex on; }}
        location /json/ {{ alias {folder}/root/; autoindex on; autoindex_format json; }}
        location /noranges/ {{ alias {folder}/root/; max_ranges 0; }}
        location /xml/ {{ alias {folder}/root/; autoindex on; autoindex_format xml; }}
        location /feeds/ {{ alias {folder}/feeds/; }}
        location /limited/ {{ alias {folder}/root/; autoindex on; limit_req zone=slow; }}
        location = /redirect {{ return 302 $arg_to; }}
        location = /ready {{ return 204; access_log off; }}
    }}
}}
"""


class Nginx:
    """The server; `url` without trailing slash."""

    def __init__(self, folder: Path) -> None:
        program = debian_program("nginx", "nginx-light")
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        self.folder = folder
        self.root, self.feeds, self.site = folder / "root", folder / "feeds", folder / "site"
        for part in (self.root, self.feeds, self.site):
            part.mkdir()
        config = folder / "nginx.conf"
        # started by root it would drop to a user who may not read a test's folder
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(CONFIG.format(folder=folder, host=HOST, port=port, user=user))
        self.process = ServerProcess(
            "nginx",
            [program, "-p", str(folder), "-e", "stderr", "-c", str(config)],
            folder=folder,
            ready_url=f"{self.url}/ready",
        )

    def directory(self, name: str) -> Path:
        """A new folder under `root` for one test; listed at `/html/NAME/` and the others."""
        path = self.root / name
        path.mkdir()
        return path

    def write_feed(
        self, name: str, entries: Iterable[tuple[str, str, str]], *, kind: str = "rss", at: datetime | None = None
    ) -> str:
        """Write a feed of (link, title, text) entries, newest first, in one step; returns its address."""
        from feedgen.feed import FeedGenerator  # type: ignore[import-untyped]

        feed = FeedGenerator()
        address = f"{self.url}/feeds/{name}.{kind}"
        feed.id(address)
        feed.title(name)
        feed.link(href=address, rel="self")
        feed.description(name)
        for link, title, text in entries:
            entry = feed.add_entry(order="append")
            entry.id(link)
            entry.guid(link, permalink=True)
            entry.title(title)
            entry.link(href=link)
            entry.description(text)
            entry.updated(at or datetime.now(UTC))
            entry.published(at or datetime.now(UTC))
        aside = self.feeds / f".{name}.new"
        aside.write_bytes(feed.rss_str(pretty=True) if kind == "rss" else feed.atom_str(pretty=True))
        aside.replace(self.feeds / f"{name}.{kind}")
        return address

    def requests(self) -> list[str]:
        """One line for each request so far: method, address, status, host, "user agent", "range"."""
        return (self.folder / "access.log").read_text().splitlines()

    def served(self, part: str) -> list[tuple[int, int]]:
        """Status and bytes of body of each answer to an address that holds a text."""
        lines = (self.folder / "sizes.log").read_text().splitlines()
        return [
            (int(status), int(size)) for url, status, size in (line.rsplit(" ", 2) for line in lines) if part in url
        ]

    def stop(self) -> None:
        self.process.stop()
