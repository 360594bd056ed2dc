"""P3: `kill -9` of any process at any moment loses no post and doubles no message."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from scheduler.demo.servers import FeedEntry, LeakSite
from tests.command import TOCSIN, environment, must, tocsin_json
from tests.synth.people import people
from tests.whole.test_whole_way import enrol, table

pytestmark = [pytest.mark.servers, pytest.mark.slow]

KILLS = 50
POSTS = 12
SEED = 50

SOURCE = """\
name: site
platform: declared
url: {url}/
every: 1s
list:
  as: html
  each: ["css:div.card"]
  fields: {{id: "xpath:./@id", title: "css:h3::text", raw: "css:a.get::attr(href)", link: "css:a.get::attr(href)"}}
"""


def tree(root: int) -> list[int]:
    """The process and all that descend from it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                parents[int(entry.name)] = int(fields[1])
    found = [root] if root in parents else []
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def start(home: Path, log) -> subprocess.Popen:
    return subprocess.Popen([TOCSIN, "--home", str(home), "daemon"], stdout=log, stderr=log, env=environment())


def test_fifty_kills_lose_no_post_and_double_no_message(tmp_path, synapse):
    dice = random.Random(SEED)
    home = tmp_path / "home"
    must(None, "init", home)
    crowd = people(SEED, POSTS * 3)
    enrol(home, tmp_path, "practice-a", crowd)
    sender, reader = synapse.register(f"killed-{os.getpid()}"), synapse.register(f"reader-{os.getpid()}")
    room = synapse.create_room(sender, "kills", reader)
    (home / "tocsin.toml").write_text(
        f'[channels.room]\nkind = "matrix"\nurl = "{synapse.url}"\nroom = "{room}"\ntoken = "{sender.token}"\n'
        "burst = 0\n"
        '[daemon]\ndeliver_every = "300ms"\n'
    )
    source = tmp_path / "site.yaml"
    published = 0
    with LeakSite() as site, (tmp_path / "daemon.log").open("ab") as log:
        source.write_text(SOURCE.format(url=site.url))
        must(home, "source", "add", source)
        daemon = start(home, log)
        try:
            for turn in range(KILLS):
                # posts appear all the while, so that kills meet every stage of their way
                if published < POSTS and turn % 3 == 0:
                    site.publish(entry(published, crowd))
                    published += 1
                time.sleep(dice.uniform(0.05, 2.0))
                victims = tree(daemon.pid)
                if victims:
                    victim = daemon.pid if turn % 2 == 0 else dice.choice(victims)
                    os.kill(victim, signal.SIGKILL)
                    if victim == daemon.pid:
                        daemon.wait()
                if daemon.poll() is not None:
                    wait_gone(daemon.pid)
                    daemon = start(home, log)
            while published < POSTS:
                site.publish(entry(published, crowd))
                published += 1
            deadline = time.monotonic() + 90
            while time.monotonic() < deadline:
                if daemon.poll() is not None:
                    # the last kill met its examiner before that was ready: whoever supervises a daemon starts it again
                    daemon = start(home, log)
                alerts = tocsin_json(home, "alert", "list")["alerts"]
                told = {alert["event"] for alert in alerts if alert["kind"] in ("canary_hit", "further_release")}
                if len(told) == POSTS and all(alert["state"] == "sent" for alert in alerts):
                    break
                time.sleep(0.5)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(timeout=30)
    alerts = tocsin_json(home, "alert", "list")["alerts"]
    leaks = [alert for alert in alerts if alert["kind"] in ("canary_hit", "further_release")]
    assert len({alert["event"] for alert in leaks}) == POSTS, "a post was lost"
    assert {alert["state"] for alert in alerts} == {"sent"}
    messages = [message["content"]["body"] for message in synapse.read_messages(reader, room)]
    assert len(messages) == len(set(messages)) == len(alerts), "a message was doubled or lost"
    assert "Traceback" not in (tmp_path / "daemon.log").read_text()


def entry(number: int, crowd: list) -> FeedEntry:
    body = table(crowd[number * 3 : number * 3 + 3]).encode()
    return FeedEntry(f"post-{number}", f"part {number}", "", f"part-{number}.csv", body, "text/csv")


def wait_gone(pid: int) -> None:
    """What the dead daemon left running ends by itself; a new one must not meet it half-way."""
    deadline = time.monotonic() + 10
    while tree(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
