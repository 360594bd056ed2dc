"""Failures of the daemon's own work are told once, their end too, and also if the database cannot be written."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import pytest

from data.errors import StoreFull
from data.model import EventKind
from data.store.store import Store
from scheduler.daemon.supervisor import Supervisor, WorkFailure
from scheduler.daemon.trouble_reports import TroubleReports
from scheduler.demo.servers import Chat


@pytest.fixture
def world(home):
    with Chat() as chat, contextlib.closing(Store.open(home.db_path)) as store:
        (home.path / "tocsin.toml").write_text(f'[channels.team]\nkind = "slack"\nurl = "{chat.url}/hook"\n')
        settings = home.settings()
        yield TroubleReports(home, lambda: settings, lambda: store), store, chat


def states(store: Store) -> list[str]:
    return [state.subject for state in store.states.lasting()]


def failure(work: str, code: str, count: int = 1) -> WorkFailure:
    return WorkFailure(work, code, "it failed with ZeroDivisionError", count)


@pytest.mark.parametrize(("code", "first"), [("crash", True), ("hang", True), ("error", False), ("store", False)])
def test_a_failure_that_may_pass_is_told_when_it_happens_again_and_every_other_one_at_once(world, code, first):
    reports, store, _ = world

    async def scenario() -> None:
        await reports.failed(failure("delivery", code))
        assert bool(states(store)) is first
        await reports.failed(failure("delivery", code, 2))
        await reports.failed(failure("delivery", code, 3))
        assert len(states(store)) == 1
        await reports.recovered("delivery")
        assert states(store) == []

    asyncio.run(scenario())
    assert [event.kind for event in store.events.latest()] == [EventKind.RECOVERED, EventKind.SELFTEST_FAILED]


def test_work_that_fails_for_the_same_reason_is_one_state_until_all_of_it_succeeds(world):
    reports, store, _ = world

    async def scenario() -> None:
        for work in ("heartbeat", "delivery"):
            await reports.failed(failure(work, "store", 2))
        assert states(store) == ["the database"]
        await reports.recovered("heartbeat")
        assert states(store) == ["the database"]
        await reports.recovered("delivery")
        assert states(store) == []

    asyncio.run(scenario())


def test_a_state_of_a_daemon_that_was_killed_ends_when_the_work_succeeds_in_the_next_one(home, world):
    _, store, _ = world
    settings = home.settings()

    async def scenario() -> None:
        for code, work in (("crash", "delivery"), ("store", "heartbeat")):
            await world[0].failed(failure(work, code, 2))
        reports = TroubleReports(home, lambda: settings, lambda: store)
        supervisor = Supervisor(reports)
        supervisor.earlier = reports.adopt()

        async def good() -> None:
            pass

        assert sorted(states(store)) == ["delivery", "the database"]
        await supervisor.run("delivery", good)
        assert states(store) == ["the database"]
        await supervisor.run("heartbeat", good)
        assert states(store) == []

    asyncio.run(scenario())


def test_a_step_of_the_start_that_failed_is_done_again_until_it_succeeds(world):
    reports, store, _ = world
    supervisor = Supervisor(reports)
    left = [StoreFull("the disk is full"), StoreFull("the disk is full")]
    done = asyncio.Event()

    async def step() -> None:
        if left:
            raise left.pop()
        done.set()

    async def scenario() -> None:
        assert not await supervisor.run("the end of failed starts", step)
        supervisor.retry("the end of failed starts", step, timedelta(milliseconds=1))
        await done.wait()
        await supervisor.stop()

    asyncio.run(scenario())
    assert supervisor.failures == {}
    assert states(store) == []
    assert [event.kind for event in store.events.latest()] == [EventKind.RECOVERED, EventKind.SELFTEST_FAILED]


def test_work_that_is_not_done_any_more_holds_no_state(world):
    reports, store, _ = world
    supervisor = Supervisor(reports)

    async def bad() -> None:
        raise OSError

    async def scenario() -> None:
        for work in ("crawl of removed", "crawl of kept"):
            for _ in range(2):
                await supervisor.run(work, bad)
        await supervisor.forget(lambda name: name == "crawl of kept")
        assert states(store) == ["crawl of kept"]
        assert supervisor.failures == {"crawl of kept": 2}

    asyncio.run(scenario())
    assert store.events.latest()[0].kind is EventKind.RECOVERED


def test_a_database_that_cannot_be_written_is_told_to_the_channels_directly_once_and_its_recovery_is_stored(world):
    reports, store, chat = world
    # As on a file system that was mounted read-only after an error.
    store.database.connection.execute("pragma query_only = on")

    async def scenario() -> None:
        for count in (2, 3, 4):
            await reports.failed(failure("heartbeat", "store", count))
        assert states(store) == []
        assert len(chat.messages) == 1
        assert "the database" in str(chat.messages[0])
        store.database.connection.execute("pragma query_only = off")
        await reports.recovered("heartbeat")

    asyncio.run(scenario())
    assert [event.kind for event in store.events.latest()] == [EventKind.RECOVERED]


def test_what_a_daemon_told_without_the_database_and_did_not_live_to_end_is_ended_by_the_next_one(home, world):
    killed, store, chat = world
    settings = home.settings()
    store.database.connection.execute("pragma query_only = on")

    async def fails(reports: TroubleReports) -> None:
        for count in (2, 3):
            await reports.failed(failure("heartbeat", "store", count))

    asyncio.run(fails(killed))
    # the disk is still full: nobody is told again
    second = TroubleReports(home, lambda: settings, lambda: store)
    assert second.adopt() == {"heartbeat"}
    asyncio.run(fails(second))
    assert len(chat.messages) == 1
    store.database.connection.execute("pragma query_only = off")
    for _ in range(2):
        reports = TroubleReports(home, lambda: settings, lambda: store)
        supervisor = Supervisor(reports)
        supervisor.earlier = reports.adopt()

        async def good() -> None:
            pass

        asyncio.run(supervisor.run("heartbeat", good))
        [event] = store.events.latest()
        assert (event.kind, event.facts["subject"]) == (EventKind.RECOVERED, "the database")
