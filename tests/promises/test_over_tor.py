"""Sources over Tor, whole: real onion services crawled into hits and an alert, failures told, nothing beside Tor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import must, tocsin
from tests.servers.tor_network import TorNetwork

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.xdist_group("tor")]

DIRECTORY = "name: {name}\nplatform: open_directory\nurl: {url}\nvia: tor\n"


def port_of(url: str) -> int:
    return int(url.rstrip("/").rpartition(":")[2])


def make_home(tmp_path: Path, tor: TorNetwork, extra: str = "", *, socks: str = "", control: str = "") -> Path:
    """A home whose Tor is the network's client."""
    home = tmp_path / "home"
    must(None, "init", home)
    (home / "tocsin.toml").write_text(
        f"[crawl]\nrate = 1000\nconcurrency = 16\n[tor]\njitter = 0\nsocks = '{socks or f'unix:{tor.client.socks}'}'\n"
        f"control = '{control or f'unix:{tor.client.control}'}'\n{extra}"
    )
    return home


def add(home: Path, text: str, **env: str) -> None:
    file = home.parent / "source.yaml"
    file.write_text(text)
    must(home, "source", "add", file, **env)


def crawl(home: Path, *names: str, **env: str):
    """Exit status and results of a crawl."""
    done = tocsin(home, "crawl", *names, "--json", **env)
    assert "Traceback" not in done.stderr
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)["crawls"]


def test_an_open_directory_of_an_onion_service_is_examined(tmp_path, tor_network, nginx):
    folder = nginx.directory("over-tor")
    for number in range(20):
        (folder / f"{number}.txt").write_text(f"text {number}")
    onion = tor_network.publish(port_of(nginx.url))
    home = make_home(tmp_path, tor_network, "wall = 'required'\n")
    add(home, DIRECTORY.format(name="dir", url=f"{onion.url}/json/over-tor/"))
    code, [result] = crawl(home, "dir")
    assert (code, result["state"], result["examined"], result["refused"]) == (0, "done", 20, 0), result
    seen = [line for line in nginx.requests() if onion.host in line]
    assert len(seen) >= 21
    assert not [line for line in seen if "ocsin" in line], "no header names the operator or us"
