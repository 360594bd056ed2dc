"""A breach of 1,500 clients through the real commands: one message that each chat accepts, and tables that fit a screen."""

from __future__ import annotations

import csv
import json
import re
from contextlib import ExitStack
from pathlib import Path

import pytest

from crawler.records.column_roles import plan_columns_of_rows
from data.case.bundle import write_bundle
from data.hashing.case_keys import parse_enrol_key
from scheduler.canaries.enrolment import enrol_rows
from tests.command import must, tocsin, tocsin_json
from tests.scheduler.delivery.test_mail import mail_server
from tests.servers.breaking import Breaking, File
from tests.servers.strict_chats import NEEDS, STRICT
from tests.servers.webhook import Received, Webhook
from tests.synth.breach import client_ids, client_names
from tests.synth.people import COLUMNS, HEADERS, people, row, to_csv

CLIENTS = 1_500
SITE = """\
name: site
platform: declared
url: {url}/
list:
  as: html
  each: ["css:li"]
  fields: {{id: "css:a::attr(href)", title: "css:a::text", link: "css:a::attr(href)", raw: "css:a::attr(href)"}}
"""
HEAD = [HEADERS["fr"][name] for name in COLUMNS]


def write_bundles(home: Path, folder: Path, crowd: list) -> list[Path]:
    """One bundle for each client, the first with four people and all others with one."""
    key = parse_enrol_key((home / "keys" / "enrol.key").read_text())
    plan = plan_columns_of_rows(HEAD, [row(person) for person in crowd[:200]])
    names = client_names(CLIENTS, hostile=True)
    folder.mkdir()
    bundles = []
    for number, client in enumerate(client_ids(CLIENTS)):
        own = [crowd[number], *(crowd[CLIENTS:] if not number else ())]
        made = enrol_rows(iter([row(person) for person in own]), plan, key)
        bundles.append(folder / f"{number:04}.bundle")
        write_bundle(bundles[-1], key, made.records, client=client, name=names[client], canaries=made.canaries)
    return bundles


def channel(kind: str, url: str) -> str:
    """The settings of a channel of one kind, which has the name of its kind."""
    keys = {"kind": kind, "url": url, **NEEDS.get(kind, {})}
    return "".join([f"[channels.{kind}]\n", *(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())])


@pytest.mark.slow
def test_a_dump_that_hits_1500_clients_gives_one_message_and_short_tables(tmp_path):
    home = tmp_path / "home"
    must(None, "init", home)
    crowd = people(7, CLIENTS + 3)
    must(home, "canary", "import", *write_bundles(home, tmp_path / "bundles", crowd))
    dump = tmp_path / "dump.csv"
    dump.write_bytes(to_csv(crowd))
    with ExitStack() as stack:
        # a syslog server is no HTTP server: tests/scheduler/delivery/test_syslog.py
        kinds = sorted(STRICT.keys() - {"apprise", "email", "syslog"})
        chats = {kind: stack.enter_context(Webhook([STRICT[kind]])) for kind in kinds}
        inbox, port = stack.enter_context(mail_server())
        urls = {"email": f"smtp://127.0.0.1:{port}", **{kind: f"{chat.url}/hook" for kind, chat in chats.items()}}
        (home / "tocsin.toml").write_text("".join(channel(kind, url) for kind, url in urls.items()))
        done = tocsin(home, "scan", "--record", dump)
        assert done.returncode == 1, done.stderr
        assert f"{len(urls)} alerts delivered" in done.stderr
        # the same dump on a site is a re-post: a crawl of it prints as little, and the channels learn of it in a line
        site = Breaking()
        stack.callback(site.stop)
        site.files["/dump.csv"] = File(dump.read_bytes())
        (tmp_path / "site.yaml").write_text(SITE.format(url=site.url))
        must(home, "source", "add", tmp_path / "site.yaml")
        crawled = must(home, "crawl", "site", code=1)
        first_lines = [json.loads(each.body)["message"].splitlines()[0] for each in chats["generic"].received]
        assert len(first_lines) == 2, first_lines
        assert re.match(r"\W+Also at site, 2 places now: ", first_lines[1]), first_lines
        assert {kind: len(chat.received) for kind, chat in chats.items()} == dict.fromkeys(chats, 2)
        sizes = {kind: [len(each.body) for each in chat.received] for kind, chat in chats.items()}
        # what is known is not told again; a message of Discord is edited, and programs get all of every event
        longer = [kind for kind, (first, further) in sizes.items() if further > first / 2]
        assert longer == ["discord", "generic"], sizes
    for _, mail in inbox.mails:
        assert STRICT["email"](Received("DATA", "", {}, mail))[0] == 250
    assert len(inbox.mails) == 2
    text = json.loads(chats["generic"].received[0].body)["message"]
    assert re.fullmatch(
        r"🔴 Client data published: 1,503 people not seen before( \([\d,]+ to [\d,]+\))?, 1,500 of 1,500 clients; 0 known",
        text.splitlines()[0],
    ), text.splitlines()[0]
    assert "and 1,490 more" in text

    def is_short(output: str) -> None:
        assert len(output.splitlines()) <= 40, output
        listed = re.findall(r"^practice-\S+", output, re.MULTILINE)
        assert len(listed) == len(set(listed)) == 20
        assert listed[0].startswith("practice-00000"), "the client that was hit worst comes first"
        assert "… and 1,480 further clients" in output

    is_short(done.stdout)
    is_short(crawled)
    assert (
        "HIT data of 1,500 of 1,500 clients, 1,503 canaries in all, with up to 4 of one client in one post" in crawled
    )
    assert "--all-clients prints all" in crawled
    assert "HITS of 1,500 of 1,500 clients: 1,503 canaries in 1,503 records" in done.stdout

    # the command that the message names for everything, and the list of clients that its advice names
    event = re.search(r"tocsin alert show (\w+) --all$", text, re.MULTILINE)[1]
    is_short(must(home, "alert", "show", event))
    assert len(re.findall(r"^practice-", must(home, "alert", "show", event, "--all"), re.MULTILINE)) == CLIENTS
    target = tmp_path / "clients.csv"
    must(home, "alert", "show", event, "--csv", target)
    with target.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {each["client"] for each in rows} == set(client_ids(CLIENTS))
    assert not [each["name"] for each in rows if each["name"].startswith(("=", "@", "+", "-"))]
    assert len(tocsin_json(home, "alert", "show", event)["facts"]["clients"]) == CLIENTS

    must(home, "incident", "add", "Vendor", "--all-clients")
    shown = must(home, "incident", "show", "vendor")
    is_short(shown)
    assert "Data of 1,500 of 1,500 clients was sighted: 1,503 of 1,503 canaries." in shown
    assert len(tocsin_json(home, "incident", "show", "vendor")["blast_radius"]) == CLIENTS
