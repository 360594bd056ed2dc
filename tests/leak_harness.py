"""Crawls over Tor in a network namespace of its own, and counts every packet that any process in it sends.

All IP addresses are routed to the namespace's own loopback, so that the kernel counts a packet for every connection,
name lookup or single datagram to any address. Tor is reached through its Unix socket, or through a TCP port whose
packets are the only ones left out. In a mount namespace of its own it can also listen where the services of a usual
machine do that look up names for other processes. Called as `python -m tests.leak_harness FILE`; prints one JSON object.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import crawler.fetching.scrapy_settings
from scheduler.crawl_processes import fork_server
from tests.over_tor import Site, Watch, watching
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
# Where services of a usual machine listen that would send packets on behalf of others.
SERVICES = (
    "/run/nscd/socket",
    "/run/systemd/resolve/io.systemd.Resolve",
    "/run/dbus/system_bus_socket",
    "/run/avahi-daemon/socket",
)
# Reaches all of them from a process that nothing confines; the C library asks the first one for every name.
REACH_SERVICES = f"""
import contextlib, socket
with contextlib.suppress(OSError):
    socket.getaddrinfo("tocsin.invalid", 80)
for path in {SERVICES[1:]!r}:
    socket.socket(socket.AF_UNIX).connect(path)
"""
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


class Services:
    """Sockets at the places of `SERVICES`, in an empty /run of this mount namespace.

    Attributes:
        seen: path of each connection from another process than this one.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        subprocess.run([debian_program("mount", "mount"), "-t", "tmpfs", "tmpfs", "/run"], check=True)
        self._sockets = [self._listen(path) for path in SERVICES]

    def _listen(self, path: str) -> socket.socket:
        Path(path).parent.mkdir(parents=True)
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        Path(path).chmod(0o777)
        server.listen()
        threading.Thread(target=self._accept, args=(server, path), daemon=True).start()
        return server

    def _accept(self, server: socket.socket, path: str) -> None:
        while True:
            incoming, _ = server.accept()
            with incoming:
                pid, _, _ = struct.unpack("3i", incoming.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
                # this process is the runner, which looks up names of sources with a direct connection
                if pid != os.getpid():
                    self.seen.append(path)

    def control(self) -> list[str]:
        """The services that a process which nothing confines has reached."""
        self.seen.clear()
        subprocess.run([sys.executable, "-c", REACH_SERVICES], check=True)
        return self.taken()

    def taken(self) -> list[str]:
        """The services that other processes have reached since the last call."""
        # connections are queued in order: once this one is seen, all earlier ones are
        for server in self._sockets:
            probe = socket.socket(socket.AF_UNIX)
            probe.connect(server.getsockname())
            with probe:
                probe.recv(1)
        found = sorted(set(self.seen))
        self.seen.clear()
        return found


def run_case(watch: Watch, case: dict[str, Any], services: Services | None) -> dict[str, Any]:
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
    fork_server.server._end()
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
        "services": services.taken() if services else [],
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
    services = Services() if plan.get("services") else None
    site = Site()
    site.posts("/post")
    with watching(folder) as watch:
        found: dict[str, Any] = {}
        if services:
            found["control"] = {"services": services.control()}
        for case in plan["cases"]:
            case["sources"] = {
                name: text.replace("LOCAL_PORT", str(site.port)) for name, text in case["sources"].items()
            }
            found[case["name"]] = run_case(watch, case, services)
        print(json.dumps(found))
    site.stop()


if __name__ == "__main__":
    os.environ.update(dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"), "http://127.0.0.3:8080"))
    main()
