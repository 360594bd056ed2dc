"""Large bodies from a server whose connections break: the finding equals that of the local file, or reports why not."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import random
import re
import shutil
import signal
import threading
import time
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest

from crawler.process.examiner_client import ExaminerProcess
from data.model import EventKind
from data.settings.home import Home
from data.sources.source_files import parse_source
from data.store.store import Store
from scheduler.crawls.definitions import complete_definition
from scheduler.crawls.lease_owner import owner_name
from scheduler.crawls.run_crawl import run_crawl
from scheduler.local_files.scanning import open_scanner
from tests.command import must
from tests.servers.breaking import EARLIER, Breaking, File
from tests.synth.people import people
from tests.whole.test_kill import tree
from tests.whole.test_whole_way import enrol, table

pytestmark = [pytest.mark.slow, pytest.mark.servers]

ROWS = 3000
# Fields that differ between a sample whose rows were all kept in memory and one of which only a part was kept.
ESTIMATED = ("new_values", "interval", "notes")
SOURCE = """\
name: site
platform: declared
url: {url}/
rate: 1000
list:
  as: html
  each: ["css:li"]
  fields: {{id: "css:a::attr(href)", title: "css:a::text", link: "css:a::attr(href)"}}
"""


def _words(generator: random.Random, size: int) -> str:
    """So many bytes of words that no language has; hexadecimal digits of random bytes would count as unread."""
    letters = "".join(generator.choices("abcdefghijklmnoprstuvz", k=size))
    return " ".join(letters[at : at + 7] for at in range(0, size, 7))[:size]


def zip_of_tables(seed: int, rows: int = ROWS) -> bytes:
    """About 1.5 MB: two tables, one of them stored uncompressed, and random words, which hardly compress."""
    persons = people(seed, rows)
    generator = random.Random(seed)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one.csv", table(persons[: rows // 2]))
        archive.writestr("two.csv", table(persons[rows // 2 :]), zipfile.ZIP_STORED)
        archive.writestr("random.txt", _words(generator, 1_900_000))
    return out.getvalue()


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    folder = tmp_path_factory.mktemp("streams")
    must(None, "init", folder / "home")
    enrol(folder / "home", folder, "practice-a", people(1, ROWS)[:40])
    # `exact_rows` is below the number of rows, so that the estimates are compared with those of the local file as well.
    (folder / "home" / "tocsin.toml").write_text(
        '[crawl]\nstream_above = "64KiB"\ntimeout = "5s"\nrate = 1000\n[examine]\nexact_rows = 1000\n'
    )
    return Home(folder / "home", {})


@pytest.fixture(scope="module")
def body() -> bytes:
    return zip_of_tables(1)


@pytest.fixture(scope="module")
def expected(home, body, tmp_path_factory) -> dict:
    file = tmp_path_factory.mktemp("local") / "dump.zip"
    file.write_bytes(body)
    with open_scanner(home) as scanner:
        found, whole = (
            comparable(json.loads(json.dumps(scanner.examine(file, bounded=bounded).to_json())))
            for bounded in (True, False)
        )
    low, high = found["lineage"]["interval"]
    assert low <= whole["lineage"]["new"] <= high
    assert any("estimates" in note for note in found["lineage"]["notes"])
    assert _without_estimates(found) == _without_estimates(whole)
    return found


def _without_estimates(finding: dict) -> dict:
    lineage = {name: finding["lineage"][name] for name in finding["lineage"] if name not in ESTIMATED}
    return {**finding, "lineage": lineage}


@pytest.fixture(scope="module")
def examiner(home):
    with ExaminerProcess.start(home) as process:
        yield process


@pytest.fixture
def site():
    made = Breaking()
    yield made
    made.stop()


@pytest.fixture
def crawl(tmp_path, home, examiner, site):
    store = Store.open(tmp_path / "tocsin.db", seal_key=examiner.greeting.post_key)

    def run(meanwhile=None, more: str = "", **settings):
        # A sample that an earlier crawl saw has become a release, beside which the same sample would be a re-post.
        shutil.rmtree(home.releases_dir, ignore_errors=True)
        examiner.reload()
        definition = complete_definition(parse_source(SOURCE.format(url=site.url) + more, "site.yaml"))
        changed = home.settings()
        changed = changed.model_copy(update={"crawl": changed.crawl.model_copy(update=settings)})

        async def once():
            running = asyncio.ensure_future(
                run_crawl(home, store, definition, examiner, owner=owner_name(), settings=changed)
            )
            if meanwhile is not None:
                await meanwhile()
            return await running

        return asyncio.run(once())

    run.store = store
    yield run
    store.close()


def comparable(finding: dict) -> dict:
    """The fields of a finding that depend on the content alone.

    Left out are where it was found, its name and digests, and the fields that are stored separately.
    """
    kept = {
        name: finding[name]
        for name in finding
        if name not in ("path", "sha256", "sealed", "sighted", "prints", "release")
    }
    return {**kept, "members": [comparable(member) for member in finding["members"]]}


def findings(crawl) -> list[dict]:
    return [comparable(row["body"]) for row in crawl.store.findings.latest()]


def spread(size: int, count: int, seed: int = 3) -> list[int]:
    """Odd positions, none of them a round number, far enough from each other that each attempt counts as progress."""
    step = size // (count + 1)
    generator = random.Random(seed)
    return [number * step + generator.randrange(step // 2) | 1 for number in range(1, count + 1)]


def test_a_body_in_one_piece_gives_the_finding_of_the_local_file(crawl, site, body, expected):
    site.files = {"/dump.zip": File(body)}
    result = crawl()
    assert (result.examined, result.resumed) == (1, 0), (result, findings(crawl))
    assert findings(crawl) == [expected]
    assert expected["complete"]
    assert expected["hits"][0]["canaries"] == 40


SERVERS = {
    "a strong ETag": {},
    "resets": {"reset": True},
    "a Last-Modified": {"etag": "", "modified": EARLIER},
    "chunks": {"chunked": True},
    "no ranges": {"ranges": False},
    "no validator": {"etag": ""},
    "a Content-Length that is too large": {"length": 9_999_999},
}


@pytest.mark.parametrize("server", SERVERS)
def test_up_to_twenty_broken_connections_do_not_change_the_finding(crawl, site, body, expected, server):
    count = 20 if server in ("a strong ETag", "no validator") else 3
    breaks = spread(len(body), count)
    file = File(body, breaks=breaks[:], **SERVERS[server])
    site.files = {"/dump.zip": file}
    result = crawl(max_bytes=2**33)
    assert file.breaks == []
    assert result.state == "done", result.error
    assert findings(crawl) == [expected]
    assert result.examined == 1
    assert crawl.store.posts.due("site") == []
    assert count <= result.resumed <= count + 1
    if server in ("a strong ETag", "a Last-Modified"):
        assert file.sent < len(body) + count * 65_536, "bytes that had arrived were requested again"


def test_a_file_that_changed_is_read_again_from_its_start(crawl, site, body, expected):
    other = zip_of_tables(2)
    file = File(other, etag='"old"', breaks=[700_001])

    def change(at: int) -> None:
        if len(file.asked) == 2:
            file.body, file.etag = body, '"new"'

    file.pause = change
    site.files = {"/dump.zip": file}
    # The response to the resumed request belongs to another version.
    file.special = {2: (200, {"ETag": '"new"'}, body)}
    result = crawl()
    assert result.examined == 1
    assert findings(crawl) == [expected]


def test_changed_bytes_are_noticed_without_any_validator(crawl, site, body, expected):
    other = zip_of_tables(2)
    file = File(other, etag="", breaks=[700_001], special={2: (200, {}, body), 3: (200, {}, body)})
    site.files = {"/dump.zip": file}
    assert crawl().examined == 1
    assert findings(crawl) == [expected]
    assert len(file.asked) == 3, "one response shows the change, one more is read"


def test_hits_in_a_replaced_version_are_reported_as_well(crawl, site, body):
    harmless = _words(random.Random(5), 300_000).encode()
    file = File(body, etag='"old"', breaks=[len(body) - 500_000], special={2: (200, {"ETag": '"new"'}, harmless)})
    site.files = {"/dump.zip": file}
    result = crawl()
    first, second = sorted(findings(crawl), key=lambda finding: not finding["hits"])
    assert first["hits"]
    assert not first["complete"]
    assert any("changed" in problem for problem in first["problems"])
    assert (second["bytes"], second["complete"], second["hits"]) == (300_000, True, [])
    assert result.unexamined == 1, "the first version was not examined completely"


BAD_RESPONSES = {
    "another position": (206, {"Content-Range": "bytes 5-1004/1500000"}),
    "fewer bytes than announced": (206, {"Content-Range": "bytes 500001-1383585/1383586"}),
    "416 without a size": (416, {}),
}


@pytest.mark.parametrize("name", BAD_RESPONSES)
def test_a_wrong_response_to_a_range_request_is_never_used(crawl, site, body, expected, name):
    status, headers = BAD_RESPONSES[name]
    file = File(body, breaks=[500_001], special={2: (status, headers, b"x" * 1000)})
    site.files = {"/dump.zip": file}
    assert crawl(rate=1000).examined == 1
    assert findings(crawl) == [expected]
    assert "Range" not in file.asked[2], "no range is requested again"


def test_an_announced_length_that_is_too_large_is_corrected_by_a_416(crawl, site, body, expected):
    site.files = {"/dump.zip": File(body, length=len(body) + 5)}
    result = crawl()
    assert (result.examined, result.resumed) == (1, 1)
    assert findings(crawl) == [expected]


def test_a_file_taken_away_meanwhile_stays_due_and_its_beginning_is_examined(crawl, site, body):
    file = File(body, breaks=[700_001], special={number: (404, {}, b"gone") for number in range(2, 9)})
    site.files = {"/dump.zip": file}
    result = crawl()
    [finding] = findings(crawl)
    assert not finding["complete"]
    assert finding["hits"], "the bytes that arrived are examined"
    assert any("taken away" in problem for problem in finding["problems"])
    assert (result.unexamined, len(crawl.store.posts.due("site"))) == (1, 1)


def test_a_download_without_progress_is_given_up(crawl, site, body):
    file = File(body, breaks=[300_001] * 99, ranges=False)
    site.files = {"/dump.zip": file}
    result = crawl(timeout=timedelta(seconds=0.5))
    [finding] = findings(crawl)
    assert finding["bytes"] == 300_001
    assert any("after about 300,000 bytes" in problem for problem in finding["problems"])
    assert len(file.asked) < 9
    assert (result.unexamined, len(crawl.store.posts.due("site"))) == (1, 1)


def test_responses_shorter_than_the_requested_range_are_joined(crawl, site, body, expected):
    file = File(body, breaks=[200_001], most=300_000)
    site.files = {"/dump.zip": file}
    assert crawl().examined == 1
    assert findings(crawl) == [expected]
    assert len(file.asked) == 5


def test_a_body_that_stalls_for_too_long_is_requested_again(crawl, site, body, expected):
    file = File(body)

    def hang(at: int) -> None:
        if len(file.asked) == 1 and at > 500_000:
            time.sleep(1.5)

    file.pause = hang
    site.files = {"/dump.zip": file}
    result = crawl(timeout=timedelta(seconds=0.5))
    assert findings(crawl) == [expected]
    assert result.resumed == 1


@pytest.mark.parametrize("how", ["announced", "found"])
def test_a_body_over_max_bytes_is_cut_off_and_reported_and_not_requested_again(crawl, site, body, how):
    # More than the buffers at both ends of a connection hold.
    large = body + bytes(40_000_000)
    file = File(large, chunked=how == "found")
    site.files = {"/dump.zip": file}
    result = crawl(max_bytes=1_000_000)
    [finding] = findings(crawl)
    assert not finding["complete"]
    assert any("too_large" in problem for problem in finding["problems"])
    assert result.unexamined == 1
    assert crawl.store.posts.due("site") == []
    assert (finding["bytes"] > 0) is (how == "found")
    assert file.sent < len(large)


def test_a_compressed_body_is_decoded_on_the_way_and_resumed_in_its_compressed_form(crawl, site, body, expected):
    compressed = gzip.compress(body, mtime=0)
    file = File(compressed, headers={"Content-Encoding": "gzip"}, breaks=spread(len(compressed), 5))
    site.files = {"/dump.zip": file}
    result = crawl()
    assert (result.examined, file.breaks) == (1, [])
    assert findings(crawl) == [expected]


def test_a_decompression_bomb_in_the_encoding_ends_at_max_bytes(crawl, site):
    bomb = gzip.compress(bytes(400_000_000), 9, mtime=0)
    site.files = {"/dump.zip": File(bomb, headers={"Content-Encoding": "gzip"})}
    result = crawl(max_bytes=10_000_000)
    [finding] = findings(crawl)
    assert any("too_large" in problem for problem in finding["problems"])
    assert finding["bytes"] <= 10_000_000
    assert result.unexamined == 1


def test_a_body_is_not_read_further_once_its_reader_reaches_a_limit(crawl, site):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.bin", bytes(64_000_000))
    bomb = out.getvalue()
    deep = bomb
    for _ in range(10):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("deeper.zip", deep)
        deep = out.getvalue()
    file = File(deep)
    site.files = {"/dump.zip": file}
    assert crawl().unexamined == 1
    assert not findings(crawl)[0]["complete"]


def test_a_body_that_takes_the_whole_time_of_a_crawl_is_cut(crawl, site, body):
    file = File(body)

    def slow(at: int) -> None:
        # what is held before the body is examined arrives at once
        time.sleep(2 if at > 150_000 else 0)

    file.pause = slow
    site.files = {"/dump.zip": file}
    # a quarter of this time is left to examine what has arrived: little, so that a busy machine is done with it by then
    result = crawl(wall=timedelta(seconds=10))
    [finding] = findings(crawl)
    assert result.state == "done", result.error
    assert any("time of the crawl" in problem for problem in finding["problems"])
    assert finding["bytes"] > 0
    assert (result.unexamined, crawl.store.posts.due("site")) == (1, [])


def test_a_body_that_breaks_off_until_the_time_of_a_crawl_is_over_stays_due(crawl, site, body):
    """The next crawl may find the site well, unlike a body that is too large for the time of a crawl."""
    site.files = {"/dump.zip": File(body, breaks=[300_001] * 99, ranges=False)}
    # the pauses between requests take longer than this
    result = crawl(wall=timedelta(seconds=10))
    [finding] = findings(crawl)
    assert any("time of the crawl" in problem for problem in finding["problems"])
    assert (result.unexamined, len(crawl.store.posts.due("site"))) == (1, 1)


def test_a_resumed_request_that_is_redirected_elsewhere_contacts_nobody(crawl, site, body):
    elsewhere = Breaking("127.0.0.2")
    try:
        elsewhere.files = {"/dump.zip": File(body)}
        to = {"Location": f"{elsewhere.url}/dump.zip"}
        site.files = {"/dump.zip": File(body, breaks=[700_001], special={2: (302, to, b"")})}
        result = crawl()
        assert elsewhere.files["/dump.zip"].asked == []
        assert result.refused == 1
        [finding] = findings(crawl)
        assert not finding["complete"]
        assert finding["bytes"] == 700_001
        assert len(crawl.store.posts.due("site")) == 1
        kinds = {event.kind for event in crawl.store.events.latest()}
        assert EventKind.CANARY_HIT in kinds
        # The positive control: a declared host is followed, and the bytes from both hosts form one body.
        site.files["/dump.zip"].special = {}
        site.files["/dump.zip"].asked.clear()
        site.files["/dump.zip"].breaks = [700_001]
        site.files["/dump.zip"].special = {2: (302, to, b"")}
        assert crawl(more=f"hosts: ['{elsewhere.url}']\n").examined == 1
        assert len(elsewhere.files["/dump.zip"].asked) == 1
    finally:
        elsewhere.stop()


def crawl_processes() -> list[int]:
    """The forked crawl process and its server."""
    return [pid for pid in tree(os.getpid()) if b"crawl_fork_server" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_crawl_killed_in_the_middle_of_a_body_leaves_its_post_due_and_the_next_one_examines_it(
    crawl, site, body, expected
):
    file = File(body)
    reached, go_on = threading.Event(), threading.Event()

    def hold(at: int) -> None:
        if len(file.asked) == 1 and at > 800_000:
            reached.set()
            go_on.wait(30)

    file.pause = hold
    site.files = {"/dump.zip": file}

    async def kill() -> None:
        await asyncio.to_thread(reached.wait, 30)
        os.kill(max(crawl_processes()), signal.SIGKILL)
        go_on.set()

    result = crawl(meanwhile=kill)
    assert result.state == "failed"
    assert findings(crawl) == []
    assert len(crawl.store.posts.due("site")) == 1
    assert crawl().examined == 1
    assert findings(crawl) == [expected]
    assert crawl.store.posts.due("site") == []


def open_and_written(pids: list[int]) -> set[str]:
    """Files that processes hold open for writing, deleted ones too; devices, sockets and pipes are left out."""
    found = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target, flags = str(link.readlink()), Path(f"/proc/{pid}/fdinfo/{link.name}").read_text()
            except OSError:
                continue
            mode = int(re.search(r"flags:\s+(\d+)", flags)[1], 8)
            if target.startswith("/") and not target.startswith("/dev/") and mode & (os.O_WRONLY | os.O_RDWR):
                found.add(target)
    return found


def test_no_byte_of_a_body_is_ever_written_to_a_file(crawl, site, body, home, tmp_path, monkeypatch):
    """In the middle of the download no process has a file open for it, and afterwards no folder holds a byte of it."""
    temp = tmp_path / "temp"
    temp.mkdir()
    monkeypatch.setenv("TMPDIR", str(temp))
    # Bytes that cannot be compressed are as easy to recognise in a file as a name.
    secret = body[1_000_000:1_000_064]
    file = File(body)
    seen: list[set[str]] = []
    # The files that capture the output of tests are inherited, and other servers may run at the same time.
    before = open_and_written(tree(os.getpid()))

    def inspect(at: int) -> None:
        if at > 1_100_000 and not seen:
            seen.append(open_and_written(tree(os.getpid())) - before)

    file.pause = inspect
    site.files = {"/dump.zip": file}
    assert crawl().examined == 1
    assert [path for path in seen[0] if not path.endswith((".log", "-wal", "-shm", "tocsin.db"))] == []
    person = people(1, 1)[0]
    for folder in (temp, home.path, tmp_path):
        for path in folder.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                assert secret not in data, path
                assert person.nir.encode() not in data, path
