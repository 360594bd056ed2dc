"""P4, measured by the kernel: a source over Tor sends no packet outside Tor, whatever the site or Tor do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.leak_harness import SERVICES
from tests.over_tor import LISTING, Site, port_of
from tests.servers.base import debian_program
from tests.servers.tor_network import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.servers]

ROOT = Path(__file__).parents[2]
REQUESTS = 10_000
# A listing for which robots.txt is requested as well.
OBEYS_ROBOTS = LISTING.replace("robots: {{ignore: a test}}\n", "")
DECLARED = "hosts: ['http://127.0.0.1:LOCAL_PORT']\n"
FEED = "platform: feed\nurl: {url}\nvia: tor\nrobots: {{ignore: a test}}\n"
GONE = """\
platform: declared
url: {url}/json/leaks.json
via: tor
list:
  as: json
  each: "json:@"
  fields: {{id: "json:id", link: {{x: "json:id", template: "/gone/{{}}"}}}}
"""
ELSEWHERE = (
    "http://127.0.0.2/x", "http://clear.example/x", "https://clear.example/x", "http://[2001:db8::1]/x",
    "https://[::1]:8443/x", "//clear.example/y", "http://0x7f000002/x", "ftp://clear.example/x", "file:///etc/hostname",
    "s3://bucket/key", "data:text/plain,x",
)  # fmt: skip
REDIRECTS = (
    "http://clear.example/stolen", "https://127.0.0.2/stolen", "http://[2001:db8::1]/", "file:///etc/hostname",
    "ftp://clear.example/",
)  # fmt: skip


def run_harness(tmp_path: Path, cases: list[dict], *, services: bool = False) -> dict:
    """The output of the harness, which runs in a network namespace (and mount namespace) of its own."""
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"folder": str(tmp_path), "cases": cases, "services": services}))
    flags = ["--net"] if os.geteuid() == 0 else ["--net", "--map-root-user"]
    flags += ["--mount"] if services else []
    done = subprocess.run(
        [debian_program("unshare", "util-linux"), *flags, sys.executable, "-m", "tests.leak_harness", str(plan)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def make_hostile(site: Site) -> None:
    """Make the site try every way of sending a crawl to another host."""
    headers = {
        "Onion-Location": "http://clear.example/",
        "Refresh": "0; url=http://clear.example/",
        "Link": "<http://clear.example/style.css>; rel=preload",
        "Set-Cookie": "known=1; Domain=.example",
        "Alt-Svc": 'h2="clear.example:443"',
    }
    redirects = [f"/redirect/{number}" for number in range(len(REDIRECTS))]
    site.posts("/ok", *redirects, *ELSEWHERE, headers=headers, head='<link rel="icon" href="http://clear.example/i">')
    for path, target in zip(redirects, REDIRECTS, strict=True):
        site.answers[path] = (302, {"Location": target}, b"")
    site.answers["/robots.txt"] = (301, {"Location": "http://clear.example/robots.txt"}, b"")
    body = b'<html><head><base href="http://clear.example/"></head><body><li><a href="post">p</a></li></body></html>'
    site.answers["/based"] = (200, {"Content-Type": "text/html"}, body)
    items = "".join(f"<item><title>t</title><link>{link}</link><guid>{link}</guid></item>" for link in ELSEWHERE[:4])
    feed = f'<rss version="2.0"><channel><title>f</title>{items}</channel></rss>'.encode()
    site.answers["/feed.xml"] = (200, {"Content-Type": "application/rss+xml"}, feed)


def test_no_packet_is_sent_outside_tor(tmp_path, tor_network, nginx):
    site, doomed = Site(), Site()
    make_hostile(site)
    doomed.posts(*(f"/post/{number}" for number in range(200)))
    onion, dying = tor_network.publish(site.port), tor_network.publish(doomed.port)
    (nginx.root / "leaks.json").write_text(json.dumps([{"id": str(number)} for number in range(REQUESTS)]))
    many = tor_network.publish(port_of(nginx.url))
    client = str(tor_network.client.folder)
    fragile = tor_network.another_client("killed")
    fragile.start()
    wait_for("the client", fragile.bootstrapped, 20)
    no_tor = tmp_path / "no-tor"
    no_tor.mkdir()
    hostiles = {
        "links": LISTING.format(url=f"{onion.url}/"),
        "robots": OBEYS_ROBOTS.format(url=f"{onion.url}/"),
        "based": LISTING.format(url=f"{onion.url}/based"),
        "feed": FEED.format(url=f"{onion.url}/feed.xml"),
        "named": LISTING.format(url=f"http://clear.test:{site.port}/ok"),
    }
    direct = {
        "name": LISTING.format(url=f"http://clear.test:{site.port}/"),
        "number": LISTING.format(url=f"http://127.0.0.9:{site.port}/"),
        "onion": LISTING.format(url=f"{onion.url}/"),
    }
    killing = threading.Thread(target=kill_after, args=(doomed, fragile, 40), daemon=True)
    killing.start()
    http = socket.socket(socket.AF_UNIX)
    http.bind(str(no_tor / "socks"))
    http.listen()
    threading.Thread(target=answer_http, args=(http,), daemon=True).start()
    absent = {"folder": str(tmp_path / "absent"), "patience": "1s", "sources": hostiles}
    found = run_harness(
        tmp_path,
        [
            {"name": "up", "folder": client, "sources": hostiles},
            {
                "name": "up, by port", "folder": client, "tcp": True,
                "sources": {f"{name}-by-port": text for name, text in hostiles.items()},
            },
            {
                "name": "killed", "folder": str(fragile.folder), "patience": "1s",
                "sources": {"dying": LISTING.format(url=f"{dying.url}/") + "concurrency: 4\n"},
            },
            {"name": "absent", **absent},
            {"name": "no Tor", "folder": str(no_tor), "patience": "1s", "sources": hostiles},
            {"name": "many", "folder": client, "sources": {"many": GONE.format(url=many.url)}},
            {"name": "direct", "folder": client, "swapped": True, "sources": direct},
            {"name": "direct, confined", "folder": client, "swapped": True, "confined": True, "sources": direct},
        ],
    )  # fmt: skip
    http.close()
    fragile.stop()
    site.stop()
    doomed.stop()

    leaks = {name: case["packets"] for name, case in found.items()}
    direct_packets = leaks.pop("direct")
    assert direct_packets > 0, "the harness must count packets that are sent outside Tor"
    assert leaks == dict.fromkeys(leaks, 0), found
    # The crawls themselves did what they should.
    for name in ("up", "up, by port"):
        crawls = {source.removesuffix("-by-port"): crawl for source, crawl in found[name]["crawls"].items()}
        assert crawls["links"][:2] == ["done", 1], crawls
        assert crawls["links"][3] >= len(ELSEWHERE), crawls
        assert (crawls["robots"][0], crawls["robots"][3]) == ("failed", 1), crawls
        assert crawls["based"][3] == 1
        assert crawls["feed"][3] >= 3
        assert crawls["named"][4] > 0
    state, examined, *_ = found["killed"]["crawls"]["dying"]
    assert state == "failed"
    assert 0 < examined < 200
    assert {crawl[0] for name in ("absent", "no Tor") for crawl in found[name]["crawls"].values()} == {"failed"}
    assert found["many"]["crawls"]["many"][0] == "done", found["many"]
    assert found["many"]["crawls"]["many"][4] >= REQUESTS
    assert {crawl[0] for crawl in found["direct, confined"]["crawls"].values()} == {"failed"}, (
        "the confinement of the process is enough to stop them"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can replace /run in a mount namespace")
def test_no_crawl_connects_to_a_service_that_looks_up_names(tmp_path, tor_network):
    """nscd, systemd-resolved, D-Bus and avahi listen, and would send packets for whoever asks them."""
    site = Site()
    make_hostile(site)
    onion = tor_network.publish(site.port)
    client = str(tor_network.client.folder)
    over_tor = {
        "links": LISTING.format(url=f"{onion.url}/"),
        "named": LISTING.format(url=f"http://clear.test:{site.port}/ok"),
    }
    # the runner looks this name up; the crawl process must not
    direct = {"direct": LISTING.replace("via: tor\n", "").format(url="http://localhost:LOCAL_PORT/") + DECLARED}
    found = run_harness(
        tmp_path,
        [
            {"name": "over Tor", "folder": client, "confined": True, "sources": over_tor},
            {"name": "over Tor, unconfined", "folder": client, "sources": over_tor},
            {"name": "direct", "folder": client, "confined": True, "sources": direct},
            {"name": "direct, unconfined", "folder": client, "sources": direct},
            {"name": "stock handler", "folder": client, "swapped": True, "sources": over_tor},
            {"name": "stock handler, confined", "folder": client, "swapped": True, "confined": True, "sources": over_tor},
        ],
        services=True,
    )  # fmt: skip
    site.stop()
    reached = {name: case["services"] for name, case in found.items()}
    assert reached.pop("control") == sorted(SERVICES), "an unconfined process must reach all of them"
    assert "/run/nscd/socket" in reached.pop("stock handler"), "a crawl that looks names up must be seen"
    assert not any(reached.values()), found
    assert found["over Tor"]["crawls"]["links"][:2] == ["done", 1], found
    # what the first crawl has examined is not examined again, but every link is tried again
    assert found["over Tor, unconfined"]["crawls"]["links"][0] == "done", found
    for name in ("direct", "direct, unconfined"):
        assert found[name]["crawls"]["direct"][0] == "done", found[name]


def kill_after(site: Site, tor, requests: int) -> None:
    while len(site.asked) < requests:
        time.sleep(0.02)
    tor.kill()


def answer_http(server: socket.socket) -> None:
    while True:
        try:
            incoming, _ = server.accept()
        except OSError:
            return
        with incoming:
            incoming.recv(100)
            incoming.sendall(b"HTTP/1.0 501 Tor is not an HTTP Proxy\r\n\r\n")
