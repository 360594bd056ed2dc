"""A backup of a home that is in use restores to a working home; a damaged one restores to nothing."""

from __future__ import annotations

import contextlib
import stat
import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard

from data.case import evidence
from data.hashing.case_keys import parse_match_key
from data.store.store import Store
from tests.inside import fine, refused, run
from tests.leased_crawl import LeasedCrawl
from tests.synth.people import people, to_csv


@pytest.fixture
def used(home, tmp_path):
    """A home with a source, an incident, a kept piece of evidence and a crawl that is being written."""
    (tmp_path / "site.yaml").write_text("name: site\nplatform: feed\nurl: https://site.example/feed\n")
    (tmp_path / "people.csv").write_bytes(to_csv(people(3, 20)))
    fine(home.path, "source", "add", tmp_path / "site.yaml")
    fine(home.path, "incident", "add", "vendor")
    with contextlib.closing(Store.open(home.db_path)) as store:
        LeasedCrawl(store, "site", now=datetime.now(UTC)).finish(now=datetime.now(UTC))
        recipient = home.evidence_key_path.read_text().strip()
        evidence.keep(home.evidence_dir, "a" * 32, evidence.seal(recipient, b"proof"), datetime.now(UTC))
    return home


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(("tocsin.db", "daemon.lock", "delivery.lock"))
    }


@pytest.mark.slow
@pytest.mark.parametrize("keys", [False, True])
def test_a_backup_restores_to_a_home_that_knows_the_same(used, tmp_path, keys):
    file, copy = tmp_path / "backup.tar.zst", tmp_path / "restored"
    if keys:
        fine(used.path, "release", "add", "--name", "part 1", tmp_path / "people.csv")
    with contextlib.closing(Store.open(used.db_path)) as store:
        # another process writes while the backup is made: what is not committed is not in it
        store.database.execute("begin")
        done = fine(used.path, "backup", file, *(["--with-keys"] if keys else []), "--json")
        store.database.execute("rollback")
        states, head = store.sources.states(), str(store.head())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (done.json["keys"], done.json["head"]) == (keys, head)
    assert fine(None, "restore", file, copy, "--json").json["files"] == done.json["files"]
    expected = content(used.path)
    if not keys:
        expected = {name: value for name, value in expected.items() if not name.startswith("keys/")}
        expected["keys/evidence.pub"] = used.evidence_key_path.read_bytes()
        # the key comes from where the team keeps it
        (copy / "keys" / "match.key").write_bytes(used.match_key_path.read_bytes())
        (copy / "keys" / "match.key").chmod(0o600)
        expected["keys/match.key"] = used.match_key_path.read_bytes()
    assert content(copy) == expected
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in [copy, *copy.rglob("*")])
    with contextlib.closing(Store.open(copy / "tocsin.db")) as store:
        assert store.sources.states() == states
        assert str(store.head()) == head
    assert [each["name"] for each in fine(copy, "source", "list", "--json").json["sources"]].count("site") == 1
    assert parse_match_key((copy / "keys" / "match.key").read_text())
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")], "nothing is left beside it"


def test_a_backup_replaces_no_file_and_does_not_lie_in_the_home(used, tmp_path):
    (tmp_path / "there").write_text("mine")
    refused(run(used.path, "backup", tmp_path / "there"), "exists already")
    assert (tmp_path / "there").read_text() == "mine"
    refused(run(used.path, "backup", used.path / "b.tar.zst"), "would be lost with it")
    refused(run(used.path, "backup", tmp_path / "none" / "b.tar.zst"), "cannot be written")


def rewritten(file: Path, change) -> bytes:
    """The archive with a change to its members: name, content."""
    import io

    plain = zstandard.ZstdDecompressor().stream_reader(file.read_bytes()).read()
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(plain)) as old, tarfile.open(fileobj=out, mode="w") as new:
        for member in old:
            taken = old.extractfile(member)
            assert taken
            name, content = change(member.name, taken.read())
            if name:
                member.name, member.size = name, len(content)
                new.addfile(member, io.BytesIO(content))
    return zstandard.ZstdCompressor().compress(out.getvalue())


DAMAGES = {
    "cut off": (lambda raw, file: raw[: len(raw) // 2], "damaged"),
    "no archive": (lambda raw, file: b"hello", "no backup"),
    "another archive": (lambda raw, file: rewritten(file, lambda name, text: ("x", text)), "no backup"),
    "a changed file": (
        lambda raw, file: rewritten(file, lambda name, text: (name, b"x" if name == "tocsin.toml" else text)),
        "cut off or damaged",
    ),
    "a missing file": (
        lambda raw, file: rewritten(file, lambda name, text: ("" if name == "tocsin.toml" else name, text)),
        "cut off or damaged",
    ),
    "a file outside": (
        lambda raw, file: rewritten(file, lambda name, text: ("../outside" if name == "tocsin.toml" else name, text)),
        "no backup of a home does",
    ),
}


@pytest.mark.slow
def test_a_damaged_backup_restores_to_nothing(used, tmp_path):
    file = tmp_path / "backup.tar.zst"
    fine(used.path, "backup", file)
    raw = file.read_bytes()
    for name, (damage, words) in DAMAGES.items():
        (tmp_path / "bad").write_bytes(damage(raw, file))
        refused(run(None, "restore", tmp_path / "bad", tmp_path / "copy"), words)
        assert not (tmp_path / "copy").exists(), name
        assert not (tmp_path / "outside").exists(), name
    refused(run(None, "restore", file, used.path), "not an empty folder")


@pytest.mark.slow
def test_other_programs_read_a_backup(used, tmp_path):
    file = tmp_path / "backup.tar.zst"
    fine(used.path, "backup", file)
    with file.open("rb") as stream, zstandard.ZstdDecompressor().stream_reader(stream) as plain:
        (tmp_path / "backup.tar").write_bytes(plain.read())
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "backup.tar", "-C", tmp_path / "out"], check=True)
    done = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path / "out")
    assert done.returncode == 0
