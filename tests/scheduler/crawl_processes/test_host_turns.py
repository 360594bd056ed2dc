"""Requests of several sources to one host have turns, as far apart as the source that asks allows."""

from __future__ import annotations

from data.settings.settings import CrawlSettings
from data.sources.definition import Definition
from scheduler.crawl_processes.host_turns import HostTurns

SETTINGS = CrawlSettings()


def source(name: str, host: str = "site.example", **values: object) -> Definition:
    return Definition.model_validate({"name": name, "platform": "feed", "url": f"https://{host}/{name}", **values})


def test_turns_at_a_host_are_in_one_row_whichever_source_asks():
    now = [100.0]
    quick, slow, other = source("quick", rate=2), source("slow", rate=0.1), source("other", "other.example", rate=2)
    turns = HostTurns([quick, slow, other], lambda: now[0])
    of_quick, of_slow, of_other = (turns.of_crawl(each, SETTINGS) for each in (quick, slow, other))
    assert of_quick("site.example") == (0, True)
    assert of_quick("site.example") == (0.5, True)
    assert of_slow("site.example") == (10.5, True), "as slow as its own file says, whoever asked before"
    assert of_quick("site.example") == (11, True), "and nobody overtakes it"
    assert of_other("other.example") == (0, True)
    now[0] = 200.0
    assert of_quick("site.example") == (0, True)
    assert turns.of_crawl(quick, SETTINGS)("site.example") == (0.5, True), "the next crawl knows of the last one"


def test_a_crawl_has_no_more_turns_ahead_than_requests_at_a_time():
    now = [0.0]
    greedy = source("greedy", rate=1, concurrency=2)
    turns = HostTurns([greedy, source("patient")], lambda: now[0])
    next_turn = turns.of_crawl(greedy, SETTINGS)
    assert [next_turn("site.example") for _ in range(5)] == [(0, True), (1, True), (2, True), (1, False), (1, False)]
    now[0] = 1.5
    assert next_turn("site.example") == (1.5, True)
    assert turns.of_crawl(source("patient", rate=1), SETTINGS)("site.example") == (2.5, True)


def test_only_hosts_of_several_sources_that_ask_for_pauses_have_turns():
    alone, one, two = source("alone", "alone.example"), source("one"), source("two", hosts=["more.example"])
    turns = HostTurns([alone, one, two, source("off", "alone.example", enabled=False)])
    assert turns.shared(alone, SETTINGS) == frozenset()
    assert turns.shared(two, SETTINGS) == {"site.example"}
    fast = SETTINGS.model_copy(update={"rate": 1000.0})
    assert turns.shared(two, fast) == frozenset()
    turns.declare([one, two.model_copy(update={"rate": 1.0})])
    assert turns.shared(one, fast) == {"site.example"}, "the other one asks for pauses"
