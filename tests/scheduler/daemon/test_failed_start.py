"""A daemon that cannot start ends with a sentence and status 2, and the channels are told: once, again later, and of its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.errors import AlreadyRunning, ConfigError, KeyFileError, StoreError
from data.model import EventKind
from data.settings.home import Home
from data.settings.settings import channel_settings
from data.store.store import Store
from scheduler.canaries.known_watchlist import OTHER_DATABASE
from scheduler.daemon.daemon import Daemon
from scheduler.daemon.failed_start import SUBJECT, note_start, told_if_it_fails
from scheduler.daemon.home_lock import daemon_lock
from scheduler.demo.servers import Chat
from tests.command import must, tocsin

CHANNEL = '[channels.team]\nkind = "slack"\nurl = "{url}/hook"\n'


@pytest.fixture
def chat(home) -> Iterator[Chat]:
    Store.open(home.db_path).close()
    with Chat() as made:
        home.config_path.write_text(CHANNEL.format(url=made.url))
        yield made


def fail(home: Home, error: Exception) -> None:
    with pytest.raises(type(error)), told_if_it_fails(home):
        raise error


def start(home: Home) -> None:
    with contextlib.closing(Store.open(home.db_path)) as store:
        note_start(home, home.settings(), store, datetime.now(UTC))


def kinds(home: Home) -> list[EventKind]:
    with contextlib.closing(Store.open(home.db_path)) as store:
        return [event.kind for event in reversed(store.events.latest())]


LOST = KeyFileError("the match key is lost", hint="restore it")


def test_a_start_that_fails_again_and_again_is_one_state_that_ends_with_the_next_start(home, chat):
    for _ in range(3):
        fail(home, LOST)
    assert len(chat.messages) == 1
    assert "the match key is lost" in str(chat.messages)
    fail(home, StoreError("the watch-list is damaged"))
    assert len(chat.messages) == 2, "another reason is told"
    start(home)
    start(home)
    assert kinds(home) == [EventKind.SELFTEST_FAILED, EventKind.SELFTEST_FAILED, EventKind.RECOVERED]


def test_a_second_daemon_is_no_trouble(home, chat):
    fail(home, AlreadyRunning("another daemon is already running"))
    assert chat.messages == []


@pytest.mark.parametrize("is_lost", [True, False])
def test_without_a_usable_database_the_channels_are_told_directly_and_once(home, chat, is_lost):
    content = home.db_path.read_bytes()
    if is_lost:
        home.db_path.unlink()
    else:
        home.db_path.write_bytes(b"no database at all" * 100)
    for _ in range(3):
        fail(home, LOST)
    assert len(chat.messages) == 1
    assert home.db_path.exists() is not is_lost, "a lost database is not made anew by telling of it"
    fail(home, StoreError("the database cannot be used"))
    assert len(chat.messages) == 2
    home.db_path.write_bytes(content)
    start(home)
    start(home)
    assert kinds(home) == [EventKind.RECOVERED]


def test_settings_that_cannot_be_read_are_told_to_the_channels_that_can_be_read(home, chat):
    home.config_path.write_text(
        "[crawl\nwall = broken\n" + CHANNEL.format(url=chat.url) + '[channels.other]\nkind = "slack"\nurl = "nowhere"\n'
    )
    with pytest.raises(Exception, match=r"tocsin\.toml"), told_if_it_fails(home):
        home.settings()
    assert len(chat.messages) == 1
    assert "tocsintoml" in letters(chat.messages[0]["text"])


@pytest.mark.parametrize(
    "text",
    [
        "bogus = 1\n{channel}take_links = true\n",
        'bogus = 1\nconsole = "https://console.example"\n{channel}take_links = true\n',
        "{channel}take_link = true\n",
        "\ufeff{channel}",
        "{channel}[crawl]\nwall = {brackets}\n",
        "channels = 5\n{channel}",
    ],
    ids=["links without a console", "links", "misspelt", "byte order mark", "brackets", "no table"],
)
def test_no_fault_of_a_file_of_settings_hides_a_channel_that_can_be_read(home, chat, text):
    channel = CHANNEL.format(url=chat.url)
    home.config_path.write_text(text.format(channel=channel, brackets="[" * 5_000))
    with pytest.raises(ConfigError, match=r"tocsin\.toml"), told_if_it_fails(home):
        home.settings()
    assert len(chat.messages) == 1


@pytest.mark.parametrize(("had_daemon", "has_database"), [(True, False), (False, False), (True, True)])
def test_a_database_that_was_deleted_after_an_earlier_daemon_is_told_without_canaries_too(
    home, chat, had_daemon, has_database
):
    if not has_database:
        home.db_path.unlink()
    if had_daemon:
        with daemon_lock(home):
            pass
    with daemon_lock(home) as lock:
        daemon = Daemon(home, lock)
        asyncio.run(daemon.check_database())
        told = [event.facts["subject"] for event in daemon.store.events.latest()]
        daemon.store.close()
    assert told == ([OTHER_DATABASE] if had_daemon and not has_database else [])


def test_channels_of_a_file_that_others_may_write_are_not_trusted(home, chat):
    home.config_path.chmod(0o666)
    assert channel_settings(home.config_path, {}).channels == {}
    fail(home, LOST)
    home.config_path.chmod(0o600)
    home.path.chmod(0o777)
    fail(home, LOST)
    assert chat.messages == []


def read_only(path: Path) -> None:
    subprocess.run(["mount", "--bind", path, path], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", path], check=True)


def letters(text: str) -> str:
    """The letters of a text: a chat gets invisible characters in what it would make a link of."""
    return "".join(char for char in text if char.isalpha())


def spoil_settings(home: Path) -> None:
    with (home / "tocsin.toml").open("a") as out:
        out.write("[crawl]\nwal = 3\n")


def overwrite(path: Path) -> None:
    path.write_bytes(b"\xff" * path.stat().st_size)


# What is wrong with a home when its daemon starts, and words of the sentence that the command and the chat show.
FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "watch-list": (lambda home: overwrite(next(home.glob("watchlist/segment-*/*.part"))), "the watch-list is damaged"),
    "match key": (lambda home: (home / "keys" / "match.key").unlink(), "match.key cannot be read"),
    "open key": (lambda home: (home / "keys" / "match.key").chmod(0o644), "match.key can be read by other users"),
    "database": (lambda home: overwrite(home / "tocsin.db"), "the database cannot be used"),
    "settings": (spoil_settings, "no such setting"),
    "read-only home": (read_only, "cannot be used: Read-only file system"),
}


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.parametrize("fault", FAULTS)
def test_a_daemon_that_cannot_start_ends_with_a_sentence_and_tells_the_chat_once(home, chat, tmp_path, fault):
    if fault == "read-only home" and os.geteuid() != 0:
        pytest.skip("only root may mount")
    must(home.path, "canary", "generate", "--client", "p1", "--count", "5", "--out", tmp_path / "plant.csv")
    damage, words = FAULTS[fault]
    damage(home.path)
    # systemd keeps this folder from one start to the next
    kept = {"CACHE_DIRECTORY": str(tmp_path)}
    try:
        for _ in range(2):
            done = tocsin(home.path, "daemon", **kept)
            assert done.returncode == 2, done.stderr
            assert words in done.stderr
            assert "Traceback" not in done.stderr
    finally:
        if fault == "read-only home":
            subprocess.run(["umount", "-l", home.path], check=True)
    [message] = chat.messages
    assert SUBJECT in message["text"]
    assert letters(words) in letters(message["text"])


def test_the_subject_is_what_status_and_the_chat_show(home, chat):
    fail(home, LOST)
    shown = tocsin(home.path, "status")
    assert shown.returncode == 2
    assert SUBJECT in shown.stdout
