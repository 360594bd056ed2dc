"""Bad input: a clear sentence, what to do next, exit status 2, never a traceback, nothing lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scheduler.demo.servers import FeedEntry, LeakSite
from tests.command import must, tocsin
from tests.whole.test_kill import SOURCE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bad") / "home"
    must(None, "init", path)
    return path


def refused(done, *words: str) -> None:
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    said = (done.stdout + done.stderr).lower()
    for word in words:
        assert word.lower() in said, (word, said)


def enrol(home: Path, file: Path, *more: str | Path):
    return tocsin(
        None, "canary", "enrol", "--key", home / "keys" / "enrol.key", "--client", "p1", *more, file,
        "--out", file.parent / "out.bundle",
    )  # fmt: skip


BAD_TABLES = {
    "zero bytes": b"",
    "only white space": b" \n\n \n",
    "binary": bytes(range(256)) * 64,
    "no column of use": b"colour,shape\nred,round\nblue,square\n",
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_table_that_cannot_be_enrolled_is_refused(home, tmp_path, name):
    file = tmp_path / "in.csv"
    file.write_bytes(BAD_TABLES[name])
    done = enrol(home, file)
    refused(done, "in.csv", "hint:")
    assert not (tmp_path / "out.bundle").exists()


def test_a_table_that_is_not_there_is_named(home, tmp_path):
    refused(enrol(home, tmp_path / "nowhere.csv"), "nowhere.csv")


def test_a_column_that_does_not_exist_is_answered_with_the_nearest(home, tmp_path):
    file = tmp_path / "in.csv"
    file.write_text("nom,prenom,ddn\nDUPONT,Jean,12/03/1975\n")
    refused(enrol(home, file, "--columns", "non=surname,prenom=first,ddn=dob"), "non", "nom")


def test_a_key_that_is_none_is_refused(home, tmp_path):
    file = tmp_path / "in.csv"
    file.write_text("nom,prenom,ddn\nDUPONT,Jean,12/03/1975\n")
    wrong = tmp_path / "wrong.key"
    wrong.write_text("not a key\n")
    done = tocsin(None, "canary", "enrol", "--key", wrong, "--client", "p1", file, "--out", tmp_path / "o.bundle")
    refused(done, "key", "hint:")


def test_a_bundle_for_another_case_a_cut_one_and_an_altered_one_are_refused_whole(home, tmp_path):
    file = tmp_path / "in.csv"
    file.write_text(
        "nom,prenom,ddn\n"
        + "".join(
            f"DUPONT{'ABCDEFGHIJ'[i // 10]}{'ABCDEFGHIJ'[i % 10]},Jean,12/03/19{i % 90 + 10}\n" for i in range(100)
        )
    )
    other = tmp_path / "other"
    must(None, "init", other)
    done = enrol(home, file)
    assert done.returncode == 0, done.stderr
    bundle = tmp_path / "out.bundle"
    refused(tocsin(other, "canary", "import", bundle), "key")
    whole = bundle.read_bytes()
    for damaged in (
        whole[: len(whole) // 2],
        whole[:-1],
        whole + b"x",
        whole[:-500] + bytes([whole[-500] ^ 1]) + whole[-499:],
        b"",
    ):
        bundle.write_bytes(damaged)
        refused(tocsin(home, "canary", "import", bundle), "out.bundle")
    assert '"clients": []' in must(home, "canary", "list", "--json")


BAD_SOURCES = {
    "not yaml": ("name: [", "line"),
    "not a mapping": ("- just\n- a list\n", "source"),
    "unknown platform": ("name: a\nplatform: myb\nurl: http://127.0.0.1/\n", "platform"),
    "unknown key": ("name: a\nplatform: feed\nurl: http://127.0.0.1/\nevry: 15m\n", "every"),
    "no address": ("name: a\nplatform: feed\n", "url"),
    "wrong span": ("name: a\nplatform: feed\nurl: http://127.0.0.1/\nevery: soon\n", "every"),
    "wrong scheme": ("name: a\nplatform: feed\nurl: ftp://127.0.0.1/\n", "url"),
    "onion without tor": ("name: a\nplatform: feed\nurl: http://abcdefghijklmnop.onion/\n", "tor"),
    "path in name": ("name: ../a\nplatform: feed\nurl: http://127.0.0.1/\n", "name"),
}


@pytest.mark.parametrize("name", BAD_SOURCES)
def test_a_source_file_that_is_wrong_is_refused_with_file_and_field(home, tmp_path, name):
    text, word = BAD_SOURCES[name]
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    refused(tocsin(home, "source", "add", file), "wrong.yaml", word)
    assert sorted(path.name for path in (home / "sources").iterdir()) == ["example.yaml"]


def test_scanning_what_is_not_there_is_said(home, tmp_path):
    refused(tocsin(home, "scan", tmp_path / "nowhere"), "nowhere", "no such file")


def test_an_unreadable_file_is_said_and_the_others_are_examined(home, tmp_path):
    locked, fine = tmp_path / "locked.txt", tmp_path / "fine.txt"
    locked.write_text("x")
    fine.write_text("nothing of interest")
    locked.chmod(0)
    if os.access(locked, os.R_OK):
        # root reads everything: a folder of that name is as unreadable as a file
        locked.unlink()
        locked.symlink_to(tmp_path / "gone")
    done = tocsin(home, "scan", "--json", locked, fine)
    refused(done, "locked.txt", "fine.txt")
    assert '"complete": true' in done.stdout
    assert '"complete": false' in done.stdout


def test_an_unknown_setting_is_answered_with_the_nearest(tmp_path):
    path = tmp_path / "home"
    must(None, "init", path)
    (path / "tocsin.toml").write_text("[crawl]\ntimout = 5\n")
    refused(tocsin(path, "status"), "crawl.timout", "timeout")


def test_a_folder_that_is_no_home_is_said(tmp_path):
    refused(tocsin(tmp_path, "status"), "not a Tocsin home", "tocsin init")


def test_a_home_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "home"
    must(None, "init", path)
    (path / "keys" / "match.key").chmod(0o644)
    refused(tocsin(path, "scan", "-"), "can be read by other users", "chmod")


def test_a_gigabyte_in_one_line_ends_within_its_limits(home, tmp_path):
    file = tmp_path / "line.csv"
    with file.open("wb") as stream:
        for _ in range(1024):
            stream.write(b"abcdefg," * 2**17)
    done = tocsin(home, "scan", "--json", file, timeout=600)
    assert done.returncode in (0, 2)
    assert "Traceback" not in done.stderr
    assert f'"bytes": {2**30}' in done.stdout


def test_a_gigabyte_in_one_line_is_refused_by_enrolment_in_a_sentence(home, tmp_path):
    file = tmp_path / "line.csv"
    with file.open("wb") as stream:
        stream.truncate(2**30)
    refused(enrol(home, file), "line.csv", "hint:")


def test_no_command_runs_code_from_the_folder_that_it_is_called_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # as an unpacked dump might hold it
    for name in ("crawler", "data", "multiprocessing", "json", "scheduler", "spiders", "scrapy", "numba"):
        (tmp_path / f"{name}.py").write_text("import os\nos.open('ran', os.O_CREAT)\n")
    (tmp_path / "sample.txt").write_text("nothing")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    must(None, "init", "home")
    with LeakSite() as site:
        site.publish(FeedEntry("one", "one", "", "one.txt", b"harmless"))
        (tmp_path / "site.yaml").write_text(SOURCE.format(url=site.url))
        must(Path("home"), "source", "add", "site.yaml")
        must(Path("home"), "crawl", "site")
    must(Path("home"), "scan", "sample.txt")
    assert not (tmp_path / "ran").exists()
