"""P2: what cannot be read, examined or kept becomes an event that reaches a person."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data.settings.home import Home
from scheduler.demo.servers import Chat, FeedEntry, LeakSite
from scheduler.reports.record_check import check_record
from tests.command import TOCSIN, environment, must, tocsin, tocsin_json
from tests.promises.test_fail_closed import SOURCE, Recorder, page
from tests.synth.people import people, to_csv
from tests.whole.test_kill import SOURCE as CARDS
from tests.whole.test_kill import tree

pytestmark = [pytest.mark.slow, pytest.mark.servers]

LOGIN = b"<html><body><form action=/login method=post><input name=u><input type=password name=p></form></body></html>"


@pytest.fixture
def site():
    server = Recorder("127.0.0.1")
    yield server
    server.stop()


def prepared(tmp_path: Path, text: str, chat: Chat | None = None) -> Path:
    home = tmp_path / "home"
    must(None, "init", home)
    if chat is not None:
        (home / "tocsin.toml").write_text(
            f'[channels.team]\nkind = "slack"\nurl = "{chat.url}/hook"\n[daemon]\nsilent_after = 1\n'
        )
    file = tmp_path / "site.yaml"
    file.write_text(text)
    must(home, "source", "add", file)
    return home


def kinds(home: Path) -> list[str]:
    return [alert["kind"] for alert in tocsin_json(home, "alert", "list")["alerts"]]


def test_a_listing_that_answers_with_a_login_page_rings_once_and_its_return_ends_it(tmp_path, site):
    with Chat() as chat:
        home = prepared(tmp_path, SOURCE.format(url=site.url), chat)
        site.answers = {"/": page("/post/1"), "/post/1": (200, {}, b"harmless")}
        assert tocsin(home, "crawl", "site").returncode == 0
        site.answers["/"] = (200, {"Content-Type": "text/html"}, LOGIN)
        for _ in range(2):
            done = tocsin(home, "crawl", "site", "--json")
            assert done.returncode == 2, "a login page is not the same as nothing found"
        assert len(chat.messages) == 1
        assert tocsin(home, "status").returncode == 2
        assert set(kinds(home)) <= {"source_silent", "source_changed"}
        site.answers["/"] = page("/post/1")
        assert tocsin(home, "crawl", "site").returncode == 0
        assert tocsin(home, "status").returncode == 0


def test_links_for_a_source_that_is_not_there_are_an_event(tmp_path, site):
    follow = "follow:\n  - source: pastes\n    match: 'https?://paste.*'\n"
    with Chat() as chat:
        home = prepared(tmp_path, SOURCE.format(url=site.url) + follow, chat)
        site.answers = {"/": page("/post/1"), "/post/1": (200, {}, b"harmless")}
        for _ in range(2):
            assert tocsin(home, "crawl", "site").returncode == 0
        assert kinds(home) == ["source_changed"]
        assert len(chat.messages) == 1


REDESIGNED = """\
name: site
platform: declared
url: {url}/
list: {{each: ["css:li"], fields: {{id: "xpath:./@id", title: "css:b.name", link: "css:a::attr(href)"}}}}
"""


def test_a_page_that_looks_different_rings_once_with_the_page_and_the_rule(tmp_path, site):
    def listing(name: str) -> tuple[int, dict[str, str], bytes]:
        rows = "".join(f"<li id=p{n}><b class={name}>Clinic {n}</b><a href=/post>x</a></li>" for n in range(9))
        return 200, {"Content-Type": "text/html"}, f"<html><body><ul>{rows}</ul></body></html>".encode()

    with Chat() as chat:
        home = prepared(tmp_path, REDESIGNED.format(url=site.url), chat)
        site.answers = {"/": listing("name"), "/post": (200, {}, b"harmless")}
        assert tocsin(home, "crawl", "site").returncode == 0
        site.answers["/"] = listing("css-1x2y")
        for _ in range(2):
            assert tocsin(home, "crawl", "site").returncode == 2, "posts may be missed"
        [event] = [each for each in tocsin_json(home, "event", "list")["events"] if each["kind"] == "source_changed"]
        assert event["facts"]["reason"] == "title: css:b.name found a value in 0 of 9 rows; before in 100 %"
        [evidence] = event["facts"]["evidence"]
        opened = json.loads(must(home, "evidence", "open", evidence, "--key", home / "keys" / "evidence.key"))
        assert "css-1x2y" in opened["page"]
        assert len([each for each in chat.messages if "no longer read correctly" in json.dumps(each)]) == 1
        site.answers["/"] = (200, {"Content-Type": "text/html"}, b"<html><body><p>We moved</p></body></html>")
        assert tocsin(home, "crawl", "site").returncode == 2
        site.answers["/"] = listing("name")
        assert tocsin(home, "crawl", "site").returncode == 0
        assert tocsin(home, "status").returncode == 0
        assert tocsin(home, "evidence", "verify").returncode == 0
        # the page belongs to an event, not to a finding; the self-test does not complain of it the next day
        later = check_record(Home(home, dict(os.environ)), datetime.now(UTC) + timedelta(days=1))
        assert (later.problems, later.evidence) == ([], 2)
        (home / "evidence" / f"{evidence}.age").unlink()
        later = check_record(Home(home, dict(os.environ)), datetime.now(UTC) + timedelta(days=1))
        assert later.problems == [f"the sealed file of {evidence} is missing"]


def test_the_examiner_killed_in_mid_sample_leaves_its_post_due_and_says_so(tmp_path):
    crowd = people(5, 20)
    body = to_csv(crowd)
    with LeakSite() as site, Chat() as chat:
        home = prepared(tmp_path, CARDS.format(url=site.url), chat)
        # a body that takes the examiner a while
        site.publish(FeedEntry("slow", "slow", "", "slow.csv", body * 20_000, "text/csv"))
        crawl = subprocess.Popen(
            [TOCSIN, "--home", str(home), "crawl", "site", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
        )  # fmt: skip
        killer = threading.Thread(target=_kill_examiner, args=(crawl.pid,))
        killer.start()
        out, err = crawl.communicate(timeout=120)
        killer.join()
        assert b"Traceback" not in err
        assert crawl.returncode == 2, out
        assert json.loads(out)["crawls"][0]["unexamined"] >= 1
        source = next(each for each in tocsin_json(home, "status")["sources"] if each["name"] == "site")
        assert source["due_posts"] == 1, "what was not examined must be examined the next time"
        assert {"unexamined", "source_silent"} & set(kinds(home))
        assert chat.messages
        again = tocsin_json(home, "crawl", "site")["crawls"][0]
        assert again["examined"] == 1


def _kill_examiner(root: int) -> None:
    """Kill it once it works on the sample: it has used processor time beyond its start."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for pid in tree(root):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])
            except OSError:
                continue
            if b"crawler.examiner.main" in command and any(
                b"crawler.fetching.crawl_process" in _command(other) for other in tree(root)
            ):
                started = _STARTED.setdefault(pid, ticks)
                if ticks > started + 30:
                    os.kill(pid, signal.SIGKILL)
                    return
        time.sleep(0.01)


_STARTED: dict[int, int] = {}


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_full_disk_is_said_and_nothing_is_half_kept(tmp_path):
    if os.geteuid() != 0:
        pytest.fail("this test mounts a small tmpfs and needs root: run it in a container as root")
    place = tmp_path / "small"
    place.mkdir()
    # without the filler it has room for the database and for its write-ahead log, which grows to 4 MB
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8000k", "tmpfs", str(place)], check=True)
    try:
        home = place / "home"
        must(None, "init", home)
        with LeakSite() as site:
            file = tmp_path / "site.yaml"
            file.write_text(CARDS.format(url=site.url))
            must(home, "source", "add", file)
            site.publish(FeedEntry("p0", "first", "", "p0.txt", b"harmless", "text/plain"))
            assert tocsin(home, "crawl", "site").returncode == 0
            filler = place / "filler"
            with filler.open("wb", buffering=0) as stream:
                while os.statvfs(place).f_bavail:
                    stream.write(b"x" * os.statvfs(place).f_frsize)
            for number in range(1, 40):
                site.publish(FeedEntry(f"p{number}", "more", "", f"p{number}.txt", b"harmless", "text/plain"))
            done = tocsin(home, "crawl", "site")
            assert done.returncode == 2
            assert "Traceback" not in done.stderr
            assert "disk is full" in done.stdout + done.stderr
            filler.unlink()
            result = tocsin_json(home, "crawl", "site")["crawls"][0]
            assert result["examined"] == 39, "what could not be kept is examined again"
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_further_part_on_a_known_listing_and_a_new_link_on_a_known_page_ring_once(tmp_path, site):
    text = SOURCE.format(url=site.url) + "item: {each: ['css:div.text'], revisit: 1s}\n"

    def served(title: str, body: str) -> None:
        site.answers["/"] = (
            200,
            {"Content-Type": "text/html"},
            f'<ul><li><a href="/post/1">{title}</a></li></ul>'.encode(),
        )
        inside = f'<div class="text">{body}</div><p>{time.monotonic_ns()} views</p>'
        site.answers["/post/1"] = (200, {"Content-Type": "text/html"}, inside.encode())

    with Chat() as chat:
        home = prepared(tmp_path, text, chat)
        told = []
        for title, body in (
            ("Vendor part 1", "the data"),
            ("Vendor part 1", "the data"),
            ("Vendor part 2", "the data"),
            ("Vendor part 2", "the data http://127.0.0.1/part2.7z"),
            ("Vendor part 2", "the data http://127.0.0.1/part2.7z"),
        ):
            served(title, body)
            assert tocsin(home, "crawl", "site").returncode == 0
            told.append(len(chat.messages))
            time.sleep(1.1)
        # the new link is a change of the post, and the file behind it is on a host that the source does not declare
        assert told == [0, 0, 1, 3, 3]
        assert "part (new: part 2; gone: part 1)" in str(chat.messages[0])
        assert sum("links (1 new)" in str(message) for message in chat.messages[1:]) == 1
        assert sum("1 file that no rule of this source reads" in str(message) for message in chat.messages[1:]) == 1
        assert "Vendor" not in str(chat.messages)


def test_a_post_that_announces_a_further_part_is_told_with_its_day_and_without_its_words(tmp_path, site):
    with Chat() as chat:
        home = prepared(tmp_path, SOURCE.format(url=site.url), chat)
        must(home, "incident", "add", "vendor", "--source", "site", "--word", "medivault")
        site.answers = {"/": page("/post/1"), "/post/1": (200, {}, b"quiet")}
        assert tocsin(home, "crawl", "site").returncode == 0
        site.answers |= {
            "/": page("/post/3", "/post/2", "/post/1"),
            "/post/2": (200, {}, b"Medivault: Zwiebelturm and the remaining data in 3 days"),
            "/post/3": (200, {}, b"some game: the full release in 5 days"),
        }
        for _ in range(2):
            assert tocsin(home, "crawl", "site").returncode == 0
        [message] = chat.messages
        assert "announced" in str(message)
        assert "word 'medivault'" in str(message)
        assert "Announced for" in str(message)
        assert "Zwiebelturm" not in str(message)
        [alert] = tocsin_json(home, "alert", "list")["alerts"]
        event = tocsin_json(home, "alert", "show", alert["event"])
        assert (event["kind"], event["incident"]) == ("announcement", "vendor")
        assert len(event["facts"]["deadlines"]) == 1
        [source] = [each for each in tocsin_json(home, "status")["sources"] if each["name"] == "site"]
        assert source["next_due"]


def test_a_session_reaches_its_site_alone_and_its_end_rings(tmp_path, site):
    """The site shows its board to whoever sends the cookie; the cookie is neither stored nor shown anywhere else."""
    secret = "s3cr3t-session-value"

    def members(headers) -> tuple[int, dict[str, str], bytes]:
        return page("/post/1") if secret in headers.get("Cookie", "") else (200, {"Content-Type": "text/html"}, LOGIN)

    with Chat() as chat:
        home = prepared(tmp_path, SOURCE.format(url=site.url), chat)
        site.answers = {"/": members, "/post/1": (200, {}, b"harmless")}
        walled = tocsin_json(home, "crawl", "site")["crawls"][0]
        assert walled["code"] == "walled"
        assert "source cookies" in walled["hint"]
        cookies = tmp_path / "cookies.txt"
        cookies.write_text(f"127.0.0.1\tFALSE\t/\tFALSE\t0\tsid\t{secret}\n")
        said = must(home, "source", "cookies", "site", cookies)
        assert "1 cookie of site for 127.0.0.1" in said
        (home / "sources" / "site.yaml").write_text(SOURCE.format(url=site.url) + "cookies: file\n")
        assert tocsin(home, "crawl", "site").returncode == 0
        cookies.write_text("127.0.0.1\tFALSE\t/\tFALSE\t0\tsid\texpired\n")
        must(home, "source", "cookies", "site", cookies)
        ended = tocsin_json(home, "crawl", "site")["crawls"][0]
        assert ended["code"] == "session_ended"
        assert len(chat.messages) == 3, "walled, its end, and the end of the session"
        (home / "keys" / "cookies" / "site.txt").unlink()
        missing = tocsin_json(home, "crawl", "site")["crawls"][0]
        assert missing["code"] == "config"
        at_rest = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
        assert secret.encode() not in at_rest
        assert secret not in json.dumps(chat.messages)
