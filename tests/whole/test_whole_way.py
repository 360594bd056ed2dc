"""The whole road on real servers: canaries enrolled, posted, crawled, and one message in a real chat."""

from __future__ import annotations

import csv
import io
import json
import re
import secrets
from pathlib import Path

import pytest

from tests.command import must, tocsin
from tests.synth.people import Person, people

pytestmark = [pytest.mark.servers, pytest.mark.slow]

CLIENTS = ("practice-a", "practice-b")


def table(crowd: list[Person]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["nom", "prenom", "date_naissance", "nir", "email", "telephone"])
    for one in crowd:
        writer.writerow([one.surname, one.first, f"{one.dob:%d/%m/%Y}", one.nir, one.email, one.phone])
    return out.getvalue()


def enrol(home: Path, folder: Path, client: str, crowd: list[Person]) -> None:
    file, bundle = folder / f"{client}.csv", folder / f"{client}.bundle"
    file.write_text(table(crowd))
    must(None, "canary", "enrol", "--key", home / "keys" / "enrol.key", "--client", client, file, "--out", bundle)
    must(home, "canary", "import", bundle)


def add_source(home: Path, folder: Path, name: str, text: str) -> None:
    file = folder / f"{name}.yaml"
    file.write_text(f"name: {name}\n{text}")
    must(home, "source", "add", file)


def crawl(home: Path, name: str) -> tuple[int, dict]:
    done = tocsin(home, "crawl", name, "--json")
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)["crawls"][0]


FORUM = """\
platform: declared
url: {url}/topic/active/
robots: {{ignore: "a test server of our own"}}
list:
  as: html
  each: ["css:.topic__link"]
  fields:
    id: {{x: "xpath:./@href", re: '/topic/(\\d+)/'}}
    title: "xpath:string(.)"
    link: "xpath:./@href"
item:
  each: ["css:.js-comment-text"]
"""


@pytest.fixture
def room(synapse):
    sender = synapse.register(f"tocsin-{secrets.token_hex(4)}")
    reader = synapse.register(f"analyst-{secrets.token_hex(4)}")
    room = synapse.create_room(sender, "alarms", reader)
    return sender, reader, room


def test_a_dump_posted_to_three_real_servers_rings_once_in_a_real_chat(
    tmp_path, pinnwand, spirit, nginx, synapse, room
):
    home = tmp_path / "home"
    must(None, "init", home)
    crowd = people(7, 60)
    enrol(home, tmp_path, "practice-a", crowd[:20])
    enrol(home, tmp_path, "practice-b", crowd[20:30])
    sender, reader, place = room
    (home / "tocsin.toml").write_text(
        f'[channels.room]\nkind = "matrix"\nurl = "{synapse.url}"\nroom = "{place}"\ntoken = "{sender.token}"\n'
    )
    # 5 canaries of a, 3 of b, 20 strangers
    dump = table([*crowd[:5], *crowd[20:23], *crowd[40:60]])

    paste = pinnwand.post("dump.csv", dump)
    feed = nginx.write_feed("whole", [(paste.raw, "fresh data", "see paste")])
    spirit.post_topic("fresh data", "```\n" + dump + "```\n")
    folder = nginx.directory("whole")
    (folder / "dump.csv").write_text(dump)

    add_source(home, tmp_path, "pastes", f"platform: feed\nurl: {feed}\nhosts: ['{pinnwand.url}']\n")
    add_source(home, tmp_path, "forum", FORUM.format(url=spirit.url))
    add_source(home, tmp_path, "files", f"platform: open_directory\nurl: {nginx.url}/json/whole/\n")

    for name in ("pastes", "forum", "files"):
        code, result = crawl(home, name)
        assert code == 1, result
        assert result["examined"] >= 1
        assert result["unexamined"] == 0
        assert result["hits"] == {"practice-a": 5, "practice-b": 3}, name

    contents = [message["content"] for message in synapse.read_messages(reader, place)]
    # one message rings; the two other places are short replies in its thread
    [first] = [content["body"] for content in contents if "m.relates_to" not in content]
    assert "practice-a" in first
    assert "practice-b" in first
    replies = [content["body"] for content in contents if "m.relates_to" in content]
    assert [re.search(r"\d places now", reply)[0] for reply in replies] == ["2 places now", "3 places now"]
    for one in crowd:
        assert one.email not in str(contents)
        assert one.surname not in str(contents)

    for name in ("pastes", "forum", "files"):
        code, result = crawl(home, name)
        assert (code, result["new"], result["changed"], result["examined"]) == (0, 0, 0, 0), (name, result)
    assert len(synapse.read_messages(reader, place)) == len(contents)
