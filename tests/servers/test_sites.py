"""Real pastebins and file servers, each watched by the few lines of its platform: all found, none doubled, edits and deletions noticed."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import must, tocsin_json
from tests.servers.nginx import Nginx
from tests.servers.sites import Apache, Bepasty, Caddy, Copyparty, Dpaste, Zerobin
from tests.synth.people import Person, people

pytestmark = [pytest.mark.servers, pytest.mark.slow]

# Posts of each server: of one person each, whose client is named after the server.
POSTS = {"bepasty": 40, "copyparty": 25, "caddy": 25, "apache": 20, "dpaste": 10, "zerobin": 3}
# Sources that show the same folder in another way.
STYLES = {"apache": ("list", "fancy", "table")}
HEAD = ["nom", "prenom", "date_naissance", "nir", "email", "telephone", "client"]


def row(one: Person) -> list[str]:
    return [one.surname, one.first, f"{one.dob:%d/%m/%Y}", one.nir, one.email, one.phone]


def written(one: Person, kind: int, draw: random.Random) -> str:
    """A post about a person: as prose, as the hard CSV of forums and pastebins, as SQL, as JSON, or in another encoding of lines."""
    noise = " ".join(
        draw.choices(
            [
                "**fort**",
                "[b]gras[/b]",
                ":-)",
                "(c)",
                "<i>x</i>",
                "`code`",
                "http://x.example/a?b=1&c=2",
                "éà",
                "&amp;",
            ],
            k=6,
        )
    )
    match kind % 5:
        case 0:
            return f"{';'.join(HEAD[:6])}\r\n{';'.join(row(one))}\r\n\"{noise}\";\t;''\r\n"
        case 1:
            return f"# {noise}\n\nLe patient {one.first} {one.surname}, né le {one.dob:%d/%m/%Y}, tél. {one.phone}, {one.email}\n> {noise}\n"
        case 2:
            values = ", ".join(f"'{value}'" for value in row(one))
            return f"INSERT INTO `patients` ({', '.join(HEAD[:6])}) VALUES ({values});\n-- {noise}\n"
        case 3:
            return (
                f'[{{"nom": "{one.surname}", "prenom": "{one.first}", "mail": "{one.email}", "tel": "{one.phone}"}}]\n'
            )
        case _:
            return "\n".join(
                [noise, f"nom: {one.surname}", f"prénom: {one.first}", f"mail: {one.email}", f"tél: {one.phone}", ""]
            )


@pytest.fixture(scope="module")
def crowd() -> dict[str, list[Person]]:
    """Client -> its people, two more than it has posts."""
    wanted = {name: count + 2 for name, count in POSTS.items()}
    everybody = iter(people(15, sum(wanted.values())))
    return {name: [next(everybody) for _ in range(count)] for name, count in wanted.items()}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    made: dict[str, object] = {}
    try:
        for kind in (Bepasty, Copyparty, Caddy, Apache, Dpaste, Zerobin):
            name = kind.__name__.lower()
            made[name] = kind(tmp_path_factory.mktemp(name))
        yield made
    finally:
        for server in made.values():
            server.stop()  # type: ignore[attr-defined]


def post_everything(
    servers: dict[str, object], crowd: dict[str, list[Person]], nginx: Nginx
) -> tuple[str, dict[str, str]]:
    """Post all; the address of a feed that links to what no list shows, and server -> id or name of its first post."""
    draw, first, links = random.Random(15), {}, []
    for name, count in POSTS.items():
        server = servers[name]
        for number, one in enumerate(crowd[name][:count]):
            text = written(one, number, draw)
            if isinstance(server, Dpaste):
                links.append(server.post(text))
            elif isinstance(server, Zerobin):
                links.append(server.post(text, f"Key-{number}+of/a-test"))
            elif isinstance(server, Bepasty):
                first.setdefault(name, server.post(f"{number} é.csv", text.encode()))
            else:
                files: Path = server.files  # type: ignore[attr-defined]
                folder = files / "sub folder" if number % 3 == 0 else files
                folder.mkdir(exist_ok=True)
                file = folder / f"{number:03} a name with é, # and many letters so that lists cut it.csv"
                file.write_bytes(text.encode())
                first.setdefault(name, str(file))
    text = "\n".join(links)
    return nginx.write_feed("sites", [("http://board.example/1", "new pastes", text)]), first


def table(crowd: dict[str, list[Person]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(HEAD)
    writer.writerows([*row(one), name] for name, crowd_of in crowd.items() for one in crowd_of)
    return out.getvalue()


def write_sources(home: Path, servers: dict[str, object], feed: str) -> None:
    places = {
        "bepasty": ("bepasty", "/+list"), "copyparty": ("open_directory", "/?ls"), "caddy": ("open_directory", "/"),
        "dpaste": ("dpaste", "/"), "zerobin": ("zerobin", "/"),
    }  # fmt: skip
    for style in STYLES["apache"]:
        places[f"apache-{style}"] = ("open_directory", f"/{style}/" + ("?F=2" if style == "list" else ""))
    for name, (platform, place) in places.items():
        url = servers[name.partition("-")[0]].url + place  # type: ignore[attr-defined]
        (home / "sources" / f"{name}.yaml").write_text(f"name: {name}\nplatform: {platform}\nurl: {url}\nrate: 500/s\n")
    (home / "sources" / "feed.yaml").write_text(
        f"name: feed\nplatform: feed\nurl: {feed}\nlist: {{whole: true}}\nrate: 500/s\n"
    )


def crawl(home: Path) -> dict[str, dict[str, Any]]:
    return {each["source"]: each for each in tocsin_json(home, "crawl", "--all", timeout=600)["crawls"]}


def test_every_post_of_every_site_is_found_once_and_edits_and_deletions_are_told(tmp_path, servers, crowd, nginx):
    home = tmp_path / "home"
    must(None, "init", home)
    (tmp_path / "clients.csv").write_text(table(crowd))
    must(
        None, "canary", "enrol", "--key", home / "keys" / "enrol.key", "--client-column", "client",
        tmp_path / "clients.csv", "--out", tmp_path / "all.bundle",
    )  # fmt: skip
    must(home, "canary", "import", tmp_path / "all.bundle")
    feed, first = post_everything(servers, crowd, nginx)
    for example in (home / "sources").glob("*.yaml"):
        example.unlink()
    write_sources(home, servers, feed)

    found, again = crawl(home), crawl(home)
    wrong = [each for each in (*found.values(), *again.values()) if each["unexamined"] or each["gap"] or each["error"]]
    assert not wrong
    for source in found.keys() - {"feed"}:
        count = POSTS[source.partition("-")[0]]
        both = [found[source], again[source]]
        # what is linked is read in the crawl after the one that saw the link, whichever came first
        assert sum(each["examined"] for each in both) == count, (source, both)
        assert max(each["canaries"] for each in both) == count, (source, both)
        assert again[source]["examined"] in (0, count), source

    # a person more in one file or item of each; and one that had hits is gone
    for name in ("copyparty", "caddy", "apache"):
        file = Path(first[name])
        file.write_text(file.read_text() + ";".join(row(crowd[name][-1])) + "\n")
    Path(servers["caddy"].files / next(iter(sorted(p.name for p in servers["caddy"].files.glob("*.csv"))))).unlink()
    servers["bepasty"].remove(first["bepasty"])
    changed = crawl(home)
    for source in ("copyparty", "caddy", "apache-list", "apache-fancy", "apache-table"):
        assert (changed[source]["changed"], changed[source]["canaries"]) == (1, 2), (source, changed[source])
    gone = [
        event["source"]
        for event in tocsin_json(home, "event", "list", "--kind", "listing_changed")["events"]
        if event["facts"].get("fields") == ["gone"]
    ]
    assert sorted(gone) == ["bepasty", "caddy"]
