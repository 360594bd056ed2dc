"""Crawls over Tor in a network namespace of its own, and counts every packet that any process in it sends.

All IP addresses are routed to the namespace's own loopback, so that the kernel counts a packet for every connection,
name lookup or single datagram to any address. Tor is reached through its Unix socket, or through a TCP port whose
packets are the only ones left out. Called as `python -m tests.leak_harness FILE`; prints one JSON object.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import crawler.fetching.scrapy_settings
from scheduler.crawls import crawl_processes
from tests.over_tor import Watch, watching
from tests.servers.base import debian_program

STOCK = "scrapy.core.downloader.handlers._httpx.HttpxDownloadHandler"
RULES = """\
table inet leaks {{
  chain output {{
    type filter hook output priority 0;
    {left_out}
    counter
  }}
}}
"""
SOCKS_PORT = 9050
# Python imports a module of this name when it starts.
UNCONFINED = """\
from crawler.process import landlock, privileges

privileges.without_network = privileges.only_inherited_sockets = lambda: "off for this test"
landlock.restrict = lambda *paths, **limits: "off for this test"
"""


def route_everything_to_loopback() -> None:
    """Route all addresses of the namespace to its loopback."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo")
    run("ip", "-6", "route", "add", "local", "::/0", "dev", "lo")


def run(*command: str, stdin: str = "") -> str:
    program = debian_program(command[0], {"ip": "iproute2", "nft": "nftables"}[command[0]])
    return subprocess.run([program, *command[1:]], input=stdin, text=True, capture_output=True, check=True).stdout


def start_counting(*, except_socks: bool = False) -> None:
    """Reset the packet counter to 0."""
    port = f"ip daddr 127.0.0.1 tcp dport {SOCKS_PORT} accept\n    ip saddr 127.0.0.1 tcp sport {SOCKS_PORT} accept"
    run("nft", "-f", "-", stdin="flush ruleset\n" + RULES.format(left_out=port if except_socks else ""))


def counted() -> int:
    """Packets since `start_counting`."""
    found = re.search(r"counter packets (\d+)", run("nft", "list", "ruleset"))
    assert found is not None
    return int(found[1])


@contextlib.contextmanager
def relay(path: Path) -> Iterator[None]:
    """Make Tor's Unix socket reachable on a TCP port of this namespace."""

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                incoming, _ = server.accept()
                outgoing = socket.socket(socket.AF_UNIX)
                outgoing.connect(str(path))
                threading.Thread(target=pump, args=(incoming, outgoing), daemon=True).start()
                threading.Thread(target=pump, args=(outgoing, incoming), daemon=True).start()

    with socket.create_server(("127.0.0.1", SOCKS_PORT)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield


def unconfined_folder(parent: Path) -> Path:
    """A folder that, on the path of modules, keeps crawl processes from confining themselves.

    Without it these cases would show what the confinement prevents, not what the download handler does.
    """
    folder = parent / "unconfined"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(UNCONFINED)
    return folder


def run_case(watch: Watch, case: dict[str, Any]) -> dict[str, Any]:
    """Crawl the sources of one case; returns the results of the crawls and the number of packets."""
    watch.configure(Path(case["folder"]), concurrency=32, timeout="20s", patience=case.get("patience", "20s"))
    if case.get("tcp"):
        text = watch.home.config_path.read_text()
        watch.home.config_path.write_text(text.replace(f"unix:{case['folder']}/socks", f"127.0.0.1:{SOCKS_PORT}"))
    for name, text in case["sources"].items():
        (watch.home.sources_dir / f"{name}.yaml").write_text(f"name: {name}\n{text}")
    handlers = crawler.fetching.scrapy_settings.HANDLERS
    handler = handlers["tor"]
    handlers["tor"] = STOCK if case.get("swapped") else handler
    # The fork server is started anew, so that it has the environment of this case.
    crawl_processes._server._end()
    if not case.get("confined"):
        os.environ["PYTHONPATH"] = str(unconfined_folder(watch.home.path.parent))
    try:
        with relay(Path(case["folder"]) / "socks") if case.get("tcp") else contextlib.nullcontext():
            start_counting(except_socks=bool(case.get("tcp")))
            began = time.monotonic()
            results = watch.crawl(*case["sources"])
    finally:
        handlers["tor"] = handler
        os.environ.pop("PYTHONPATH", None)
    return {
        "packets": counted(),
        "seconds": round(time.monotonic() - began, 1),
        "crawls": {
            each.source: [each.state, each.examined, each.unexamined, each.refused, each.requests, each.error]
            for each in results
        },
    }


def main() -> None:
    """Run all cases of a file, in order."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    route_everything_to_loopback()
    folder = Path(plan["folder"])
    with watching(folder) as watch:
        print(json.dumps({case["name"]: run_case(watch, case) for case in plan["cases"]}))


if __name__ == "__main__":
    os.environ.update(dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"), "http://127.0.0.3:8080"))
    main()
