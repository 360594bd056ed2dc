"""`tocsin source new` looks at a page and proposes a source file, which is written after a yes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.inside import fine, refused, run
from tests.servers.webhook import Webhook
from tests.synth.boards import BoardSite

pytestmark = [pytest.mark.slow, pytest.mark.servers]
CARDS = "".join(
    f'<div class="card"><h3><a class="t" href="/v/{n}">Victim {n}</a></h3><p>{"words " * 9}</p></div>'
    for n in (1, 2, 3)
)


@pytest.fixture
def home(tmp_path) -> Path:
    path = tmp_path / "home"
    fine(None, "init", path)
    return path


def files(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "sources").iterdir())


def test_a_known_software_is_proposed_by_its_marks_and_written_after_a_yes(home):
    site = BoardSite("mybb")
    for number in range(3):
        site.board.topic(f"Sujet {number}", "Bonjour")
    done = fine(home, "source", "new", site.url, "--name", "board")
    assert "platform: mybb" in done.stdout
    assert "Sujet 2" in done.stdout
    assert "3 posts, 2 opened, state ok" in done.stdout
    assert "board.yaml was not written; to write it, give --yes" in done.said
    assert files(home) == ["example.yaml"]
    done = fine(home, "source", "new", site.url, "--name", "board", "--yes")
    assert files(home) == ["board.yaml", "example.yaml"]
    assert (
        home / "sources" / "board.yaml"
    ).read_text() == f"name: board\nplatform: mybb\nurl: {site.url}\nevery: 15m\n"
    site.stop()


def test_addresses_in_bulk_are_proposed_each_and_those_without_posts_are_told(home, tmp_path):
    further = '<a href="/?page=2">Next page \u00bb</a>'
    page = (200, {"Content-Type": "text/html; charset=utf-8"}, (CARDS + further).encode())
    moved = (200, {"Content-Type": "text/html"}, b"<p>We moved</p>")
    login = (200, {"Content-Type": "text/html"}, b"<form><input name=u><input type=password name=p></form>")
    with Webhook([page]) as cards, Webhook([moved]) as empty, Webhook([login]) as walled:
        listed = tmp_path / "addresses.txt"
        listed.write_text(f"# to watch\n{cards.url}\n\n{empty.url}\n{walled.url}\n")
        done = run(home, "source", "new", "--from", listed, "--yes", "--json")
    assert done.returncode == 2
    first, second, third = done.json["sources"]
    assert (first["written"], first["platform"], [post["title"] for post in first["posts"]]) == (
        True, "declared", ["Victim 1", "Victim 2", "Victim 3"],
    )  # fmt: skip
    assert "3 elements div.card repeat" in first["why"]
    assert "next:" in (home / "sources" / f"{first['name']}.yaml").read_text()
    assert "links to a next page, which is not read" in first["opened"][0]["problem"]
    assert "files behind other addresses are not read" in " ".join(first["notes"])
    assert f"{first['name']}.yaml" in files(home)
    assert (second["written"], third["written"]) == (False, False)
    assert "no posts were found" in second["error"]
    assert "the site refused access" in third["error"]
    fine(home, "source", "list")


def test_what_is_not_an_address_is_refused(home):
    refused(run(home, "source", "new"), "name an address")
    refused(run(home, "source", "new", "board.example/forum"), "address")
    refused(run(home, "source", "new", "https://a.example/", "https://b.example/", "--name", "x"), "--name is for one")
