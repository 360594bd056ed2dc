"""Expressions that backtrack for ever end after their time limit, whatever their shape."""

from __future__ import annotations

import re
import threading
import time

import pytest

from crawler.pages import time_limit
from crawler.pages.extract import read_listing
from crawler.pages.incident_rules import Rules
from crawler.pages.item_addresses import page_of_item
from crawler.pages.time_limit import SearchTimeout, search
from data.sources.source_files import parse_source
from scheduler.crawls.definitions import complete_definition

MANY = "a" * 5000 + "!"
SLOW = {
    "nested repeats": r"(a+)+$",
    "overlapping alternatives": r"(a|aa)+$",
    "equal alternatives": r"^(?:a|a)*$",
    "classes that overlap": r"^(?:\w|[a-z]b?)*$",
    "an optional part in a repeat": r"^(?:a?a)*$",
    "bounded repeats": r"^(?:a{1,100}){1,100}$",
    "optional parts in a row": r"^(?:a?){40}a{5000}$",
    "repeats in a row": r"a*a*a*a*a*b",
    "a look-ahead": r"^(?=(?:a|aa)+$)a",
    "a negative look-ahead": r"^(?!(?:a|aa)+$)b",
    "a back-reference": r"^(a*)(a*)(a*)\1\2\3b",
    "lazy repeats": r"^(?:a|aa)+?$",
    "a condition": r"^(a)?(?(1)(?:a|aa)+$|b)",
}
SOURCE = """\
name: slow
platform: declared
url: http://h.test/
list: {{as: html, each: "{each}", fields: {{title: {title}, link: "css:a::attr(href)"}}{more}}}
"""
PAGE = f'<ul><li><a href="/1">{MANY}</a></li><li><a href="/2">short</a></li></ul>'.encode()


@pytest.fixture(autouse=True)
def forget_slow_expressions(monkeypatch):
    monkeypatch.setattr(time_limit._timer, "slow", set())


@pytest.mark.parametrize("expression", SLOW.values(), ids=SLOW)
def test_a_search_ends_after_its_time_limit(expression):
    with pytest.raises(SearchTimeout):
        search(re.compile(expression), MANY, 0.05)


def test_a_search_in_time_has_its_result_and_leaves_no_timer():
    assert search(re.compile("b"), "abc").start() == 1
    assert search(re.compile("x"), "abc") is None
    assert not time_limit._timer.armed
    total = sum(number for number in range(10**6))
    assert total, "no signal arrives later"


def test_an_expression_that_was_too_slow_once_is_not_tried_again():
    pattern = re.compile(r"(a|aa)+$")
    with pytest.raises(SearchTimeout):
        search(pattern, MANY, 0.05)
    with pytest.raises(SearchTimeout):
        search(pattern, "a", 60)


def test_other_threads_search_without_a_limit():
    found = []
    thread = threading.Thread(target=lambda: found.append(search(re.compile("b"), "abc")))
    thread.start()
    thread.join()
    assert found[0].start() == 1


def listing(each: str = "css:li", title: str = '"css:a"', more: str = ""):
    source = parse_source(SOURCE.format(each=each, title=title, more=more), "slow.yaml")
    return read_listing(complete_definition(source), PAGE, "http://h.test/")


@pytest.mark.slow
def test_a_slow_expression_of_a_source_costs_a_value_and_is_reported():
    found = listing(title='{x: "css:a", re: "^(?:a|[a-z]b?)*$"}')
    assert [post.native for post in found.posts]
    assert any("took longer than" in problem for problem in found.problems), found.problems


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed",
    [{"each": "xpath://li[re:test(., '^(a|aa)+$')]"}, {"more": ', drop: {title: "^(?:a|[a-z]b?)*$"}'}],
    ids=["re:test in XPath", "drop"],
)
def test_where_a_slow_expression_decides_what_is_read_the_page_fails(changed):
    with pytest.raises(SearchTimeout):
        listing(**changed)


@pytest.mark.slow
def test_a_slow_expression_of_an_incident_is_named_and_the_others_are_used():
    rules = Rules.of((), ("^(?:a|[a-z]b?)*$", "a!"), {})
    assert rules.matching(MANY) == ["expression '^(?:a|[a-z]b?)*$' (too slow)", "expression 'a!'"]


ADDRESSES = """name: x
platform: declared
url: http://h.example/
list:
  url: "{host}/new?since={since}&offset={offset}&cursor={cursor}"
  as: html
  each: ["css:li"]
  fields: {id: "css:a::text", link: "css:a::attr(href)"}
  cursor: "css:p::text"
  pages: {max: 3, start: 0, step: 1}
item: {url: "{host}/{id}/{id}/{page}", each: ["css:p"], fields: {body: "css:p::text"}}
"""


@pytest.mark.parametrize("sent", ["t/p/", "/", "new?since=&offset=&cursor=", "&offset=&cursor="])
def test_an_address_that_a_site_chose_takes_no_time_with_a_power_of_its_length(sent):
    """Of processor time: matched with a wildcard for each placeholder, 16 kB took hours."""
    definition = complete_definition(parse_source(ADDRESSES, "x.yaml"))
    url = f"http://h.example/{sent * (16_384 // len(sent))}x"
    began = time.thread_time()
    assert page_of_item(definition, url) == 0
    read_listing(definition, b'<ul><li><a href="/1">x</a></li></ul><p>c</p>', url)
    assert page_of_item(definition, url[:2000]) == 0
    assert time.thread_time() - began < 5
    assert page_of_item(definition, "http://h.example/a/b/7") == 7
