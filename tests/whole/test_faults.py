"""The fault matrix: whatever part of a running daemon stands still, ends or fails, nothing is lost, and people are told."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crawler.process import examiner_client
from crawler.sandbox import sandbox
from data.case import evidence
from data.store.database import stamp
from data.store.selftests import HEARTBEAT_EVERY
from scheduler.crawl_processes import crawl_process, fork_server
from scheduler.crawls import run_crawl
from scheduler.daemon import daemon
from scheduler.daemon.cadence import MIN_INTERVAL
from scheduler.daemon.watch_state import MISSED_BEATS
from tests.command import must, tocsin, tocsin_json
from tests.servers.hostile_answers import ANSWERS, HostileServer
from tests.whole.campaign import Campaign
from tests.whole.fault_world import BEAT, INTERVALS, LOOKS, SELFTEST_EVERY, TEST, VISIT, world
from tests.whole.file_damage import fail_reading, flip_bits
from tests.whole.test_whole_way import table

__all__ = ["world"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.servers,
    pytest.mark.skipif(os.geteuid() != 0, reason="full file systems are mounted, which only root may do"),
]

SIGNALS = {"stands still": signal.SIGSTOP, "is killed": signal.SIGKILL}
# What is hit, its command line, the words of the events or troubles of which one must tell of it, and in which intervals
# that is counted.
PARTS = {
    "examiner": (b"crawler.examiner.main", ("the examiner was replaced",), LOOKS),
    "fork server of crawls": (b"crawl_fork_server", ("fork server of crawl processes",), LOOKS),
    # a process that several sources share is repeated source by source, and nothing more is lost than time
    "crawl process": (b"", ("no progress", "SIGKILL", "crawled again in a process of its own"), VISIT),
    "fork server of readers": (b"", ("process that starts readers",), LOOKS),
    "reader": (b"", ("reader",), VISIT),
}


@pytest.mark.parametrize("fault", SIGNALS)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_stands_still_or_is_killed_loses_nothing_and_is_told(world, part, fault):
    words, telling, unit = PARTS[part]
    world.calm()
    hits, mark = world.hits(), world.mark()
    if part == "crawl process":
        target = world.crawl_process()
    elif part == "fork server of readers":
        target = world.fork_server_of_readers()
    elif part == "reader":
        target = world.reader()
    else:
        target = world.pids(words)[0]
    if part in {"crawl process", "reader"}:
        # the visit that it serves began before
        mark = world.mark()
    os.kill(target, SIGNALS[fault])
    if part == "crawl process":
        # The crawl may only go on once the part that was hit has been given up.
        world.until(lambda: not Path(f"/proc/{target}").exists(), "the crawl process was not ended")
    elif part != "reader":
        world.publish_hit()
    world.site.hold.set()
    world.until(world.examined, "a post was lost")
    world.until(lambda: world.hits() == hits + 1, "the hit was not reported")
    world.must_be_told(mark, unit, telling)
    assert world.hits() == hits + 1, "no hit is reported twice"
    if part == "reader":
        # what was examined less than two self-tests before one that fails is examined again, in full this time
        world.tested_since(datetime.now(UTC) + 2 * SELFTEST_EVERY)


@pytest.mark.parametrize("fault", SIGNALS)
def test_a_runner_that_stands_still_or_is_killed_loses_nothing_and_is_told(world, fault):
    world.calm()
    hits = world.hits()
    world.crawl_process()
    process = world.process
    process.send_signal(SIGNALS[fault])
    if fault == "is killed":
        process.wait()
    else:
        world.until(lambda: world.heartbeat_age() > MISSED_BEATS * HEARTBEAT_EVERY, "the daemon goes on")
    # whoever cannot run tells nobody: `status` does, to the monitoring that asks for it
    done = tocsin(world.home, "status")
    assert (done.returncode, "daemon" in done.stdout) == (2, True)
    if fault == "is killed":
        world.log.write_text("")
        world.start()
        assert world.logged('"a crawl was not ended by its process"') == 1
    else:
        process.send_signal(signal.SIGCONT)
    world.site.hold.set()
    world.until(world.examined, "a post was lost")
    world.until(lambda: world.hits() == hits + 1, "the hit was not reported")
    world.calm()
    world.until(lambda: tocsin(world.home, "status").returncode == 0, "status does not recover")
    assert world.hits() == hits + 1, "no hit is reported twice"


def test_parts_that_stand_still_are_replaced_within_two_intervals_of_the_shortest_cadence():
    """The world of these tests has shorter deadlines."""
    for frozen, looks in (
        (examiner_client.FROZEN_SECONDS, daemon.EXAMINER_TICK),
        (sandbox.FORK_SECONDS, daemon.EXAMINER_TICK),
        (fork_server.FORK_SECONDS, daemon.EXAMINER_TICK),
        (crawl_process.FROZEN_SECONDS, timedelta(seconds=2 * run_crawl.LOOK_SECONDS)),
    ):
        assert timedelta(seconds=frozen) + 2 * looks <= INTERVALS * MIN_INTERVAL
    assert MISSED_BEATS * HEARTBEAT_EVERY <= INTERVALS * MIN_INTERVAL, "status tells of a daemon that stands still"


def test_evidence_that_cannot_be_written_delays_no_alert_and_is_kept_later(world):
    hits, mark = world.hits(), world.mark()
    folder = world.home / "evidence"
    kept = len(evidence.entries(folder))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=1", "full", folder], check=True)
    try:
        world.publish_hit()
        world.until(lambda: world.hits() == hits + 1, "the hit was not reported")
        world.until(lambda: world.told("no space is left on the disk for evidence"), "nobody was told of the evidence")
        world.must_be_told(mark, VISIT, ("no space is left on the disk for evidence",))
        assert tocsin(world.home, "status").returncode == 2
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
    world.until(world.examined, "the post was not examined again")
    assert len(evidence.entries(folder)) == kept + 1
    must(world.home, "evidence", "verify")
    assert world.hits() == hits + 1, "the alert was sent twice"


def test_a_full_disk_loses_nothing_and_the_channels_are_told_without_the_database(world):
    hits, logged = world.hits(), len(world.log.read_text())
    ballast = world.home / "ballast"
    with ballast.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        # A write that does not fit is cut first, and refused then.
        while out.write(b"\0" * 4096):
            pass
    try:
        world.publish_hit()
        world.until(lambda: world.told("the database"), "nobody was told of the full disk")
        # nothing can be stored: what the heartbeat could not store is in the log alone
        log, told = world.log.read_text()[logged:], "the channels were told without the database"
        assert told in log
        assert log.partition(told)[0].count('event="work failed" work=heartbeat ') <= INTERVALS
    finally:
        ballast.unlink()
    world.until(world.examined, "a post was lost")
    world.until(lambda: world.hits() == hits + 1, "the hit was not reported")


# Classes of files of the home: which files, and the words of the alert about their damage.
FILES = {
    "watch-list": ("watchlist/segment-*/*.part", "the watch-list is damaged"),
    "release": ("releases/known/**/*.tags", "the tag set"),
    "match key": ("keys/match.key", "keys/match.key is lost or damaged"),
    "enrolment key": ("keys/enrol.key", "keys/enrol.key is damaged"),
    "evidence key": ("keys/evidence.pub", "the evidence key is not"),
    "evidence": ("evidence/*.age", "was altered"),
    "settings": ("tocsin.toml", "tocsin.toml: "),
    "source file": ("sources/site.yaml", "site.yaml"),
    "incidents": ("incidents.toml", "incidents.toml: "),
    "database": ("tocsin.db", "tocsin.db is damaged"),
}
# Reading and writing them fails. The manifests stand for the sets, which are mapped into memory.
UNREADABLE = {
    "watch-list": ("watchlist/manifest.json", "watch-list"),
    "release": ("releases/known/manifest.json", "the manifest of the release"),
    "match key": ("keys/match.key", "keys/match.key is lost or damaged"),
    "enrolment key": ("keys/enrol.key", "keys/enrol.key is damaged"),
    "evidence key": ("keys/evidence.pub", "evidence cannot be read: Input/output error"),
    "chain of the evidence": ("evidence/chain.jsonl", "evidence chain cannot be read: Input/output error"),
    "settings": ("tocsin.toml", "tocsin.toml cannot be read: Input/output error"),
    "source file": ("sources/site.yaml", "cannot be read: Input/output error"),
    "incidents": ("incidents.toml", "incidents.toml cannot be read: Input/output error"),
}


@pytest.mark.parametrize("damage", ["bits are flipped", "reading and writing fails with EIO"])
def test_damaged_files_of_the_home_are_told_each_and_no_hit_is_lost(world, damage):
    world.calm()
    hits, told, mark, events = world.hits(), len(world.chat.messages), world.mark(), datetime.now(UTC)
    cells = FILES if damage == "bits are flipped" else UNREADABLE
    files = {name: sorted(world.home.glob(pattern)) for name, (pattern, _) in cells.items()}
    assert all(files.values()), files
    every = [file for each in files.values() for file in each]
    # a self-test in between would tell of the first ones only
    with world.paused():
        repair = flip_bits(every) if damage == "bits are flipped" else fail_reading(every)
    try:
        world.publish_hit()
        for name, (_, words) in cells.items():
            # a chat shows the beginning of a long reason, and the command that shows all of it
            world.until(lambda words=words: words in str(reasons(world, events)), f"nobody was told of the {name}")
            world.must_be_told(mark, TEST, (words,))
        subjects = {subject for subject, _ in reasons(world, events)}
        for message in ("its self-test failed", "needs attention: home", "needs attention: record"):
            world.until(lambda message=message: message in str(world.chat.messages[told:]), f"not shown: {message}", 60)
        assert subjects >= {"examiner", "home", "record"}
        world.until(lambda: any(f"dump-{world.posts}" in each for each in world.site.asked), "the source is not read")
    finally:
        with world.paused():
            repair()
    world.reload()
    world.until(world.examined, "a post was lost")
    world.until(lambda: world.hits() == hits + 1, "the hit was not reported")
    world.calm()
    assert world.hits() == hits + 1, "no hit is reported twice"
    assert tocsin(world.home, "status").returncode == 0
    must(world.home, "evidence", "verify")


def reasons(world, since: datetime) -> list[tuple[str, str]]:
    """Subject and reason of each event since a time that an alert was sent of."""
    with world.store() as store:
        sent = {row["event"] for row in store.database.rows("select event from alert where state = 'sent'")}
        return [
            (str(each.facts.get("subject")), str(each.facts.get("reason")))
            for each in store.events.latest(limit=200)
            if each.at >= since and each.id in sent
        ]


def letters(text: str) -> str:
    """The letters of a text: a chat gets invisible characters in what it would make a link of."""
    return "".join(char for char in text if char.isalpha())


def test_times_of_a_clock_that_was_ahead_are_repaired_and_told(world):
    hits, mark = world.hits(), world.mark()
    ahead = stamp(datetime.now(UTC) + timedelta(days=700))
    with world.store() as store, store.together():
        store.database.execute("update crawl set started = ?, queued = ? where state = 'done'", (ahead, ahead))
        store.database.execute("update post set first_seen = ?, last_seen = ?", (ahead, ahead))
    world.publish_hit()
    world.must_be_told(mark, BEAT, ("the clock of this machine was ahead",))
    world.until(lambda: world.told("the clock of this machine was ahead"), "the chat was not told of the clock")
    world.until(world.examined, "the source was blind")
    world.until(lambda: world.hits() == hits + 1, "the hit was not reported")


HOSTILE_SOURCE = """\
name: {name}
platform: declared
url: {url}/{name}/?page={{page}}
every: 3s
timeout: 3s
robots: {{ignore: "a server of this test, which answers nothing but what it is told to"}}
list:
  each: ["css:li"]
  fields: {{id: "css:a::attr(href)", title: "css:a::text", link: "css:a::attr(href)"}}
"""


def test_hostile_answers_of_sites_are_told_and_no_post_is_lost(world):
    """All answers at once, each of a site of its own: first its listing, then a post, then neither."""
    world.calm()
    hostile, listed = {"listing", "post"}, table(world.crowd[-4:-2])

    def sane(path: str) -> bytes | None:
        kind = "listing" if "page=" in path else "post"
        if kind in hostile:
            return None
        name = path.split("/")[1]
        return f'<li><a href="/{name}/p">post</a></li>'.encode() if kind == "listing" else (listed + name).encode()

    server = HostileServer(sane)
    told, hits, mark = len(world.chat.messages), world.hits(), world.mark()
    try:
        for name in ANSWERS:
            source = world.home / "sources" / f"{name}.yaml"
            source.write_text(HOSTILE_SOURCE.format(name=name, url=server.url))
            source.chmod(0o600)
        world.reload()
        # the crawls of other sources go on, and so do alerts
        world.publish_hit()
        world.until(lambda: world.hits() == hits + 1, "hostile sites hold other sources up")
        for name in ANSWERS:
            world.must_be_told(mark, VISIT, kinds=frozenset({"source_silent"}), source=name)
            # by its name, or by what tells of all sites that fail together
            world.until(
                lambda name=name: (
                    any(letters(name) in letters(str(each)) for each in world.chat.messages[told:])
                    or (shared_subject(world, name) or "no trouble") in str(world.chat.messages[told:])
                ),
                f"{name}: nobody was told",
            )
        hostile.discard("listing")
        for name in ANSWERS:
            world.until(
                lambda name=name: any(path == f"/{name}/p" for path in server.asked), f"{name}: the post is not read"
            )
        hostile.clear()
        for name in ANSWERS:
            if name != "bomb":
                # what is larger than any body that is read is told, and not requested again
                world.until(lambda name=name: has_hit(world, name), f"{name}: the post was lost")
        assert "unexamined" in kinds_of(world, "bomb")
    finally:
        for name in ANSWERS:
            (world.home / "sources" / f"{name}.yaml").unlink(missing_ok=True)
        server.close()
        world.reload()


def shared_subject(world, source: str) -> str:
    """The subject of the event that tells of this source's trouble with that of others; '' if it was told alone."""
    with world.store() as store:
        found = (event.facts.get("shared", "") for event in store.events.latest(limit=1000) if event.source == source)
        return next(filter(None, found), "")


def kinds_of(world, source: str) -> set[str]:
    with world.store() as store:
        return {event.kind.value for event in store.events.latest(limit=1000) if event.source == source}


def has_hit(world, source: str) -> bool:
    with world.store() as store:
        rows = store.database.rows(
            "select body from finding join post on finding.post = post.id where post.source = ?", source
        )
    return any(json.loads(row["body"])["hits"] for row in rows)


def test_hostile_answers_of_chats_delay_no_other_channel_and_lose_no_alert(world):
    world.calm()
    is_hostile = True
    server = HostileServer(lambda _: None if is_hostile else b"ok")
    settings, hits = (world.home / "tocsin.toml").read_text(), world.hits()
    channels = "".join(
        f'[channels.{name}]\nkind = "slack"\nburst = 0\ntimeout = "2s"\nurl = "{server.url}/{name}/hook"\n'
        for name in ANSWERS
    )
    (world.home / "tocsin.toml").write_text(channels + settings)
    try:
        before = world.logged("reloaded")
        world.reload()
        world.until(lambda: world.logged("reloaded") > before, "the settings are not read")
        # a crawl that was running sends its alerts to the channels of the settings that it began with
        crawled = world.logged("crawled")
        world.until(lambda: world.logged("crawled") >= crawled + 2, "no crawl began with the new settings")
        world.publish_hit()
        world.until(lambda: world.hits() == hits + 1, "hostile channels hold an alert up")
        asked = {f"/{name}/hook" for name in ANSWERS}
        world.until(lambda: asked <= set(server.asked), "a channel was not tried")
        world.until(lambda: not untried(world), "a channel was tried without a result")
        is_hostile = False
        # whatever was deferred or refused; an answer that begins with 200 means that the chat has the message
        for _ in range(3):
            tocsin(world.home, "alert", "retry", "--all")
        world.until(lambda: not world.unsent(), "an alert was not delivered")
        hit = [path for path, body in server.bodies if b"Further release" in body or b"Client data published" in body]
        assert set(hit) == asked, "a channel did not get the alert of the hit"
    finally:
        (world.home / "tocsin.toml").write_text(settings)
        server.close()
        world.reload()


def untried(world) -> list[str]:
    """The channels that no alert was tried on: while a channel defers one alert, its others wait."""
    with world.store() as store:
        rows = store.database.rows("select channel from alert group by channel having max(attempts) = 0")
    return [row["channel"] for row in rows]


# Attacks of the short campaign, and the seed that its moments and targets come from.
ATTACKS, SEED = 2, 20


def test_attacks_at_random_moments_lose_nothing_and_double_nothing(world):
    """A short campaign; `python -m tests.whole.campaign` makes a long one."""
    Campaign(world, SEED).run(ATTACKS)


def test_after_all_of_that_the_daemon_is_well_and_stops_while_a_part_stands_still(world):
    world.until(lambda: tocsin_json(world.home, "status")["problems"] == [], "a state did not end")
    assert tocsin(world.home, "status").returncode == 0
    target = world.pids(b"crawler.examiner.main")[0]
    os.kill(target, signal.SIGSTOP)
    assert world.stop() < 30
    assert not Path(f"/proc/{target}").exists()
    world.log.write_text("")
    world.start()


def test_a_clock_that_is_set_while_the_daemon_runs_blinds_no_source_and_is_told(world):
    world.calm()
    assert world.stop() < 30
    clock = world.folder / "clock"
    clock.write_text("+0")
    world.log.write_text("")
    world.start(clock)
    for offset, words in (
        ("+700d", ("the system's clock was set forward by 700 days",)),
        ("-2d", ("the clock of this machine was ahead", "the system's clock was set back by 702 days")),
        ("+0", ("the system's clock was set forward by",)),
    ):
        hits, mark = world.hits(), world.mark()
        # a new file takes the place of the old one, so that nobody reads an empty one
        (new := clock.with_suffix(".new")).write_text(offset)
        new.rename(clock)
        world.publish_hit()
        world.until(world.examined, f"{offset}: the source was blind")
        world.until(lambda hits=hits: world.hits() == hits + 1, f"{offset}: the hit was not reported")
        for each in words:
            world.must_be_told(mark, BEAT, (each,))
            world.until(lambda each=each: world.told(each), f"{offset}: the chat was not told")


def test_evidence_that_cannot_be_read_when_the_daemon_starts_is_told_and_delays_no_alert(world):
    world.calm()
    assert world.stop() < 30
    hits, told = world.hits(), len(world.chat.messages)
    repair = fail_reading([world.home / "evidence" / "chain.jsonl"])
    try:
        world.log.write_text("")
        world.start()
        world.publish_hit()
        world.until(lambda: world.hits() == hits + 1, "the hit was not reported")
        world.until(
            lambda: any(
                letters("evidence chain cannot be read") in letters(str(each)) for each in world.chat.messages[told:]
            ),
            "nobody was told of the evidence",
        )
        assert tocsin(world.home, "status").returncode == 2
    finally:
        repair()
    world.until(world.examined, "the post was not examined again")
    must(world.home, "evidence", "verify")
    assert world.hits() == hits + 1, "the alert was sent twice"
