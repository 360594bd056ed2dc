"""Previews: the file list of an archive on a real server is fetched and assessed before the archive is downloaded."""

from __future__ import annotations

import contextlib
import json
import random
import zipfile
from pathlib import Path

import pytest

from data.store.store import Store
from tests.command import must, tocsin
from tests.crawler.preview.test_torrent_file import bencode
from tests.servers.nginx import Nginx
from tests.synth import archives
from tests.synth.people import people, to_csv

pytestmark = [pytest.mark.slow, pytest.mark.servers]

BIG = 200 * 2**20


def pack(path: Path, tables: dict[str, bytes], filler: int = 0) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in tables.items():
            archive.writestr(name, text, zipfile.ZIP_DEFLATED)
        with archive.open("backup.bin", "w", force_zip64=True) as out:
            for start in range(0, filler, 2**20):
                out.write(bytes(min(2**20, filler - start)))


def pad(path: Path) -> None:
    """Make an archive large by putting zeros in front of it."""
    path.write_bytes(bytes(2**21) + path.read_bytes())


@pytest.fixture
def watched(tmp_path: Path, nginx: Nginx):
    """A home with three tables registered as a release, the folder of the server that it watches, and all tables."""
    home = tmp_path / "home"
    must(None, "init", home)
    group = people(3, 120)
    tables = {f"DUPONT Jean {at}.csv": to_csv(group[at * 30 : at * 30 + 30]) for at in range(4)}
    known = tmp_path / "part1.zip"
    pack(known, dict(list(tables.items())[:3]))
    must(home, "incident", "add", "Vendor")
    must(home, "release", "add", "--incident", "vendor", "--name", "part-1", known)
    folder = nginx.directory(tmp_path.name)
    source = tmp_path / "dir.yaml"
    source.write_text(f"name: dir\nplatform: open_directory\nurl: {nginx.url}/html/{folder.name}/\nrate: 1000\n")
    must(home, "source", "add", source)
    return home, folder, tables


def events(home: Path) -> list[dict]:
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        return [
            {"id": each.id, "kind": each.kind.value, "severity": each.severity.value, **each.facts}
            for each in reversed(store.events.latest())
        ]


def test_a_superset_of_200_mb_is_recognised_by_its_last_bytes_and_confirmed(watched, nginx: Nginx):
    home, folder, tables = watched
    pack(folder / "all.zip", tables, filler=BIG)
    size = (folder / "all.zip").stat().st_size
    done = tocsin(home, "crawl", "dir", "--json")
    assert json.loads(done.stdout)["crawls"][0]["examined"] == 1, done.stdout + done.stderr
    early, full = events(home)
    assert (early["kind"], early["severity"], early["verdict"]) == ("early_look", "warning", "superset")
    assert (early["files"], early["files_known"], early["files_unknown"], early["how"]) == (5, 3, 2, "zip")
    assert early["parents"] == [{"kind": "release", "ref": "part-1", "files": 3}]
    assert early["bytes_unknown"] == BIG + len(tables["DUPONT Jean 3.csv"])
    answers = nginx.served(f"{folder.name}/all.zip")
    assert [status for status, _ in answers] == [206, 200]
    fetched = sum(sent for status, sent in answers if status == 206)
    assert fetched == early["fetched"] <= size / 1000
    assert answers[-1][1] == size
    # the full examination confirms the preview, and both events state it
    assert (early["outcome"], early["full_verdict"]) == ("confirmed", "superset")
    assert full["kind"] == "further_release"
    assert full["early_looks"] == [{"verdict": "superset", "outcome": "confirmed"}]
    shown = must(home, "alert", "show", early["id"])
    assert "DUPONT" not in shown
    database = b"".join(path.read_bytes() for path in home.glob("tocsin.db*"))
    assert b"DUPONT" not in database


def test_each_kind_of_file_is_previewed_and_the_examination_confirms_or_corrects_it(
    watched, nginx: Nginx, tmp_path: Path
):
    home, folder, tables = watched
    (home / "tocsin.toml").write_text('[crawl]\nearly_above = "1MiB"\nrate = 1000\n')
    names = list(tables)
    known = {name: tables[name] for name in names[:3]}
    # the same people once more in another file: a superset by its files, but all of its records are known
    pack(folder / "reformatted.zip", {**known, "copy.csv": tables[names[0]].replace(b",", b";")}, filler=0)
    pad(folder / "reformatted.zip")
    pack(folder / "other.zip", {"n.txt": b"nothing of ours " * 9}, filler=2**21)
    (folder / "small.zip").write_bytes((tmp_path / "part1.zip").read_bytes())
    pieces = [{b"length": len(text), b"path": [b"x", name.encode()]} for name, text in known.items()]
    filler = bytes(random.Random(1).choices(b"abcdefghijklmnop ", k=10 * 2**20))
    members = [*((name, text) for name, text in tables.items()), ("backup.bin", filler)]
    (folder / "all.7z").write_bytes(archives.written("7zip", members, **{"compression-level": "1"}))
    (folder / "locked.7z").write_bytes(archives.seven_zip_locked(bytes(5 * 2**20)))
    (folder / "t.torrent").write_bytes(bencode({b"info": {b"name": b"t", b"files": pieces}}))
    tocsin(home, "crawl", "dir")
    found = events(home)
    previews = {(each["how"], each["verdict"]): each for each in found if each["kind"] == "early_look"}
    assert set(previews) == {
        ("zip", "superset"),
        ("zip", "new"),
        ("torrent", "re-post"),
        ("7z", "superset"),
        ("7z, locked", "undecided"),
    }
    seven = previews["7z", "superset"]
    assert (seven["files"], seven["files_known"], seven["outcome"]) == (5, 3, "confirmed")
    answers = nginx.served(f"{folder.name}/all.7z")
    # requests for the end, for the first 32 bytes, and for the whole file
    assert [status for status, _ in answers] == [206, 206, 200]
    assert sum(sent for _, sent in answers[:2]) == seven["fetched"] <= answers[2][1] / 1000
    locked = previews["7z, locked", "undecided"]
    assert (locked["files"], locked["outcome"], locked["severity"]) == (0, "open", "notice")
    assert "the archive encrypts its file names" in must(home, "alert", "show", locked["id"])
    assert (previews["torrent", "re-post"]["by_name"], previews["torrent", "re-post"]["outcome"]) == (3, "open")
    assert previews["zip", "new"]["outcome"] == "confirmed"
    # if a preview alert proves wrong, one correction is sent
    wrong = [each for each in found if each["kind"] == "early_look" and each["outcome"] == "corrected"]
    assert [each["severity"] for each in wrong] == ["warning", "warning"]
    assert wrong[1]["of_event"] == wrong[0]["id"]
    assert "corrected by the full examination" in must(home, "alert", "show", wrong[1]["id"])
    # an archive below the minimum size is not previewed, and is downloaded once
    assert [status for status, _ in nginx.served(f"{folder.name}/small.zip")] == [200]


def test_a_server_without_ranges_gets_one_request_and_attachments_are_previewed(watched, nginx: Nginx, tmp_path: Path):
    home, folder, tables = watched
    (home / "tocsin.toml").write_text('[crawl]\nearly_above = "1MiB"\nrate = 1000\n')
    for name in ("whole.zip", "part.zip"):
        pack(folder / name, tables, filler=2**21)
    page = nginx.site / f"{folder.name}.html"
    page.write_text(
        "<html><body><ul>"
        f'<li><a href="#1">one</a><i><a href="/noranges/{folder.name}/whole.zip">file</a></i></li>'
        f'<li><a href="#2">two</a><i><a href="/html/{folder.name}/part.zip">file</a></i></li></ul></body></html>'
    )
    source = tmp_path / "board.yaml"
    source.write_text(
        f"name: board\nplatform: declared\nurl: {nginx.url}/{page.name}\nlist:\n  each: ['css:li']\n"
        "  fields: {id: 'css:a::attr(href)', title: 'css:a::text', attachments: 'css:i a::attr(href)', body: 'css:a::text'}\n"
    )
    must(home, "source", "add", source)
    tocsin(home, "crawl", "board")
    assert [status for status, _ in nginx.served(f"noranges/{folder.name}/whole.zip")] == [200]
    assert [status for status, _ in nginx.served(f"html/{folder.name}/part.zip")] == [206, 200]
    previews = [each for each in events(home) if each["kind"] == "early_look"]
    assert [(each["verdict"], each["outcome"]) for each in previews] == [("superset", "confirmed")]
    assert len([each for each in events(home) if each["kind"] in ("further_release", "repost")]) >= 1
