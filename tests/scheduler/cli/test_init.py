"""`tocsin init`: creates a home that only its owner can read, and says what to do with the keys."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from data.hashing.case_keys import parse_enrol_key, parse_match_key
from data.settings.home import Home
from tests.command import must, tocsin
from tests.inside import fine, refused, run, snapshot

FILES = {
    "tocsin.toml",
    "keys/match.key",
    "keys/enrol.key",
    "keys/evidence.key",
    "keys/evidence.pub",
    "sources/example.yaml",
}
FOLDERS = {"keys", "sources", "watchlist", "releases", "evidence"}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.slow
def test_only_the_owner_can_read_a_new_home_whatever_the_umask(tmp_path):
    home = tmp_path / "deep" / "home"
    old = os.umask(0)
    try:
        must(None, "init", home)
    finally:
        os.umask(old)
    found = {str(path.relative_to(home)) for path in home.rglob("*")}
    assert found == FILES | FOLDERS
    assert mode(home) == 0o700
    assert {name: mode(home / name) for name in FILES} == dict.fromkeys(FILES, 0o600)
    assert {name: mode(home / name) for name in FOLDERS} == dict.fromkeys(FOLDERS, 0o700)


def test_an_empty_folder_that_others_can_read_becomes_a_home_that_they_cannot(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    fine(None, "init", home)
    assert mode(home) == 0o700


def test_init_prints_what_to_do_with_the_keys_and_the_next_steps(tmp_path):
    home = tmp_path / "home"
    said = fine(None, "init", home).stdout
    assert f"{home}/keys/evidence.key" in said
    assert "Tocsin never needs it: move it to where only your team reads it" in said
    assert "Back it up off this machine" in said
    steps = re.findall(rf"^  tocsin --home {home} (\S+(?: \S+)?)", said, re.MULTILINE)
    assert steps == ["doctor", "canary generate", "source add", "crawl my-source", "daemon"]
    case = parse_match_key((home / "keys" / "match.key").read_text()).derive().case
    assert f"case {case}" in said


def test_no_key_is_printed(tmp_path):
    home = tmp_path / "home"
    said = fine(None, "init", home).said
    for name in ("match.key", "enrol.key", "evidence.key"):
        for word in (home / "keys" / name).read_text().split():
            secret = word.partition("=")[2] or word
            assert len(secret) < 20 or secret not in said, name


def test_the_keys_belong_together_and_no_two_homes_share_one(tmp_path):
    fine(None, "init", tmp_path / "a")
    fine(None, "init", tmp_path / "b")
    cases = []
    for name in ("a", "b"):
        keys = parse_match_key((tmp_path / name / "keys" / "match.key").read_text()).derive()
        assert parse_enrol_key((tmp_path / name / "keys" / "enrol.key").read_text()) == keys.enrol
        cases.append(keys.case)
    assert cases[0] != cases[1]
    publics = {(tmp_path / name / "keys" / "evidence.pub").read_text() for name in ("a", "b")}
    assert len(publics) == 2


def test_the_private_half_opens_what_the_public_half_seals(tmp_path):
    import pyrage

    from data.case import evidence

    home = tmp_path / "home"
    fine(None, "init", home)
    sealed = evidence.seal((home / "keys" / "evidence.pub").read_text(), b"proof")
    private = pyrage.x25519.Identity.from_str((home / "keys" / "evidence.key").read_text().strip())
    assert pyrage.decrypt(sealed, [private]) == b"proof"


def test_a_home_that_exists_is_refused_and_not_harmed(tmp_path):
    home = tmp_path / "home"
    fine(None, "init", home)
    before = snapshot(home)
    refused(run(None, "init", home), str(home), "nothing was changed", "hint:")
    refused(run(home, "init"), "nothing was changed")
    assert snapshot(home) == before


def test_a_folder_with_other_files_and_a_file_are_refused_and_not_harmed(tmp_path):
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    file.write_text("x")
    before = snapshot(tmp_path)
    refused(run(None, "init", folder), "not an empty folder")
    refused(run(None, "init", file), "not an empty folder")
    assert snapshot(tmp_path) == before


def test_a_folder_that_cannot_be_created_gives_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    refused(run(None, "init", tmp_path / "file" / "home"), "cannot be created", "hint:")


@pytest.mark.slow
def test_the_environment_names_the_home_if_no_option_does(tmp_path):
    done = tocsin(None, "init", TOCSIN_HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "home" / "tocsin.toml").is_file()


def test_the_settings_and_the_example_source_are_valid_and_the_example_is_disabled(tmp_path):
    home = tmp_path / "home"
    fine(None, "init", home)
    assert "security@your-team.example" in Home(home, {}).require().settings().crawl.user_agent
    listed = fine(home, "source", "list", "--json").json
    assert [(each["name"], each["enabled"]) for each in listed["sources"]] == [("example", False)]
    assert listed["errors"] == []
