from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from data.case import evidence
from data.errors import HomeError, InputError, KeyFileError, StoreError
from data.hashing.case_keys import parse_match_key
from data.settings.home import Home
from data.store.database import stamp
from data.store.store import Store
from scheduler.cli import tocsin

AT = datetime(2026, 1, 15, tzinfo=UTC)


def run(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(tocsin, ["--home", str(home.path), "evidence", *arguments], standalone_mode=False)


@pytest.fixture
def kept(home: Home) -> Home:
    sealed = evidence.seal(home.evidence_key_path.read_text(), b"proof")
    entry = evidence.keep(home.evidence_dir, "f1", sealed, AT)
    with contextlib.closing(Store.open(home.db_path)) as store:
        store.database.insert(
            "finding",
            {"id": "f1", "post": "p", "crawl": "c", "at": stamp(AT), "body": "{}", "fingerprint": "", "evidence": ""},
        )
    assert entry.id == "f1"
    return home


def test_evidence_is_listed_and_verified(kept: Home) -> None:
    found = json.loads(run(kept, "list", "--json").stdout)["evidence"]
    assert [(each["id"], each["at"], each["expired"]) for each in found] == [("f1", "2026-01-15T00:00:00Z", None)]
    assert "f1" in run(kept, "list").stdout
    found = json.loads(run(kept, "verify", "--json").stdout)
    assert (found["evidence"], found["problems"], found["keys"]) == (1, [], "none")
    assert "contains_head" not in found
    assert run(kept, "verify").return_value == 0
    (kept.evidence_dir / "f1.age").unlink()
    broken = run(kept, "verify")
    assert broken.return_value == 2
    assert "missing" in broken.stdout


def test_exported_evidence_opens_with_the_private_key(kept: Home, tmp_path: Path) -> None:
    out = tmp_path / "f1.age"
    assert run(kept, "export", "f1", "--out", str(out)).exception is None
    age = shutil.which("age")
    assert age, "age is missing:  sudo apt-get install --no-install-recommends age"
    key = kept.keys_dir / "evidence.key"
    assert subprocess.run([age, "-d", "-i", str(key), str(out)], capture_output=True).stdout == b"proof"
    again = run(kept, "export", "f1", "--out", str(out))
    assert isinstance(again.exception, InputError)
    assert isinstance(run(kept, "export", "f2", "--out", str(tmp_path / "x")).exception, InputError)


def test_old_evidence_expires(kept: Home) -> None:
    assert run(kept, "expire", "--before", "2026-01-15").stdout == "0 pieces of evidence deleted\n"
    assert run(kept, "expire", "--before", "2026-01-16").stdout == "1 piece of evidence deleted\n"
    assert not (kept.evidence_dir / "f1.age").exists()
    assert run(kept, "verify").return_value == 0
    assert "expired" in run(kept, "list").stdout
    (kept.keys_dir / "match.key").unlink()
    refused = run(kept, "expire", "--before", "2026-01-16")
    assert refused.stdout == "0 pieces of evidence deleted\n"


def test_a_keyed_chain_is_not_continued_without_its_key(kept: Home) -> None:
    key = parse_match_key((kept.keys_dir / "match.key").read_text()).chain_keys().evidence
    evidence.keep(kept.evidence_dir, "f2", b"sealed", AT, key.advance(1))
    (kept.keys_dir / "match.key").unlink()
    assert isinstance(run(kept, "expire", "--before", "2026-01-16").exception, KeyFileError)
    assert (kept.evidence_dir / "f1.age").exists()


def test_an_empty_home_has_no_evidence(home: Home) -> None:
    assert json.loads(run(home, "list", "--json").stdout) == {"evidence": []}
    assert run(home, "expire", "--before", "2026-01-16").stdout == "0 pieces of evidence deleted\n"
    assert run(home, "verify").return_value == 0


def test_a_head_is_checked_and_one_that_cannot_be_read_is_refused(kept: Home) -> None:
    head = json.loads(run(kept, "verify", "--json").stdout)["head"]
    assert "the record holds this head" in run(kept, "verify", "--head", head).stdout
    assert json.loads(run(kept, "verify", "--json", "--head", head).stdout)["contains_head"] is True
    later = head.replace("1:", "2:", 1)
    gone = run(kept, "verify", "--head", later)
    assert gone.return_value == 2
    assert "entries are gone" in gone.stdout
    assert isinstance(run(kept, "verify", "--head", "abc").exception, InputError)


def test_evidence_without_its_database_is_a_problem(kept: Home) -> None:
    for path in kept.path.glob("tocsin.db*"):
        path.unlink()
    found = run(kept, "verify")
    assert found.return_value == 2
    assert "tocsin.db is missing" in found.stdout


def test_the_private_key_opens_evidence_and_prints_the_address(home: Home, tmp_path: Path) -> None:
    private, public = evidence.new_identity()
    proof = {"url": "https://board.example/showthread.php?tid=41", "title": "t", "excerpts": []}
    evidence.keep(home.evidence_dir, "f2", evidence.seal(public, json.dumps(proof).encode()), AT)
    key, other = tmp_path / "evidence.key", tmp_path / "other.key"
    key.write_text(f"# created: today\n{private}\n")
    other.write_text(evidence.new_identity()[0])
    assert run(home, "open", "f2", "--key", str(key), "--address").output == proof["url"] + "\n"
    assert json.loads(run(home, "open", "f2", "--key", str(key)).output) == proof
    assert isinstance(run(home, "open", "f2", "--key", str(other)).exception, InputError)


@pytest.mark.parametrize("name", ["evidence/chain.jsonl", "evidence/f1.age", "keys/match.key"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_device_in_place_of_a_file_is_reported_and_nothing_waits_for_it(
    kept: Home, name: str, kind: str
) -> None:
    path = kept.path / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    found = run(kept, "verify")
    assert found.return_value == 2 or isinstance(found.exception, StoreError | HomeError)
    if "chain" in name:
        with pytest.raises(StoreError, match="cannot be written: it is not a file"):
            evidence.keep(kept.evidence_dir, "f2", b"sealed", AT)


def test_a_damaged_match_key_is_a_problem_and_an_absent_one_is_not(kept: Home) -> None:
    kept.match_key_path.write_text("garbage")
    damaged = run(kept, "verify")
    assert damaged.return_value == 2
    assert "match key" in damaged.stdout
    kept.match_key_path.unlink()
    assert run(kept, "verify").return_value == 0
