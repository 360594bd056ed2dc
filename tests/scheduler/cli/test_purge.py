"""`tocsin purge --case`: keys are overwritten in place before they are deleted, and what may remain is said."""

from __future__ import annotations

import contextlib
import os

import pytest

from data.errors import InputError
from data.hashing.case_keys import parse_match_key
from data.settings.home import Home
from data.store.store import Store
from scheduler.cli.purge import overwrite_file
from tests.inside import fine, run


def case_of(home: Home) -> str:
    return parse_match_key((home.keys_dir / "match.key").read_text()).derive().case


def test_keys_are_overwritten_in_place_and_a_second_name_shows_it(home, tmp_path):
    with contextlib.closing(Store.open(home.db_path)) as store:
        head = str(store.head())
    # a hard link shows what happened to the bytes of a file that is deleted
    for name in ("match.key", "enrol.key"):
        os.link(home.keys_dir / name, tmp_path / name)
    sizes = {name: (tmp_path / name).stat().st_size for name in ("match.key", "enrol.key")}
    done = fine(home.path, "purge", "--case", case_of(home))
    for name, size in sizes.items():
        assert not (home.keys_dir / name).exists()
        assert (tmp_path / name).read_bytes() == bytes(size)
    assert not home.db_path.exists()
    assert not home.evidence_dir.exists()
    for words in (head, "overwritten", "SSD", "journalling", "snapshot", "backups"):
        assert words in done.stdout, words
    assert "came from the environment" not in done.stdout


def test_a_dry_run_and_another_case_change_nothing(home):
    key = (home.keys_dir / "match.key").read_bytes()
    assert "would delete" in fine(home.path, "purge", "--case", case_of(home), "--dry-run").stdout
    refused = run(home.path, "purge", "--case", "0" * 16)
    assert refused.returncode == 2
    assert "nothing was deleted" in refused.said
    assert (home.keys_dir / "match.key").read_bytes() == key


def test_a_key_that_came_by_the_environment_has_to_be_destroyed_there(home, monkeypatch):
    case, text = case_of(home), (home.keys_dir / "match.key").read_text()
    (home.keys_dir / "match.key").unlink()
    monkeypatch.setenv("TOCSIN_MATCH_KEY", text)
    assert "came from the environment" in fine(home.path, "purge", "--case", case).stdout
    assert "TOCSIN_MATCH_KEY" not in os.environ, "the command forgot it"


def test_a_file_that_cannot_be_overwritten_is_not_deleted(tmp_path):
    with pytest.raises(InputError, match="cannot be overwritten"):
        overwrite_file(tmp_path)


def test_what_a_link_leads_to_is_destroyed_too(home, tmp_path):
    elsewhere = tmp_path / "large-disk"
    elsewhere.mkdir()
    if home.releases_dir.exists():
        home.releases_dir.rmdir()
    (elsewhere / "a.tags").write_bytes(b"tags")
    home.releases_dir.symlink_to(elsewhere)
    fine(home.path, "purge", "--case", case_of(home))
    assert not elsewhere.exists()
    assert not home.releases_dir.is_symlink()
    assert not home.match_key_path.exists()
