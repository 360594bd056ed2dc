"""The report about one client: nothing of the others, what is filled in and what is blank, clocks, amendments."""

from __future__ import annotations

import contextlib
import json
import math
import re
from dataclasses import replace
from datetime import timedelta

import lxml.html
import pytest

from crawler.alerts.events import PostContext, events_of_post
from data.errors import InputError
from data.settings.home import Home
from data.store.posts import PostRow
from data.store.store import Store
from scheduler.reports.clocks import enter_aware, record_reported
from scheduler.reports.document.client_page import own_figures, render_client
from scheduler.reports.document.page import render_incident
from scheduler.reports.document.words import Words
from scheduler.reports.incident_figures import read_figures
from scheduler.reports.incident_scope import IncidentScope
from tests.leased_crawl import LeasedCrawl
from tests.scheduler.cli.test_incident import run
from tests.scheduler.reports.document.test_page import NOW, empty_home
from tests.synth.reported_incident import BEGAN, CANARIES, ReportedIncident, finding, lineage, small_incident


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    return small_incident(empty_home(tmp_path_factory.mktemp("client"))).home


def page(home: Home, client: str, language: str = "en", now=NOW):
    figures = read_figures(home, "vendor-2026", now)
    return lxml.html.document_fromstring(render_client(figures, own_figures(figures, client), language))


def fields(tree) -> dict[str, str]:
    """The fields of the form: label -> value, '' if it is blank."""
    return {
        row.xpath("string(th)"): " ".join(" ".join(line.split()) for line in row.xpath("td/span[@class='line']/text()"))
        for row in tree.xpath("//section[@id='form']//tbody/tr")
    }


@pytest.mark.parametrize("language", ["en", "fr"])
def test_no_word_of_the_other_clients(home, language):
    for client, others in (
        ("p1", ("Maison du Port", "Centre Nord", "p2", "p3")),
        ("p3", ("Lilas", "Port", "p1", "p2")),
    ):
        text = page(home, client, language).text_content()
        for other in others:
            assert not re.search(rf"\b{other}\b", text), other
    # totals over several clients: people of a post, canaries and numbers of clients
    assert re.search(r"\b(500|700|200|of 3)\b", page(home, "p1").text_content()) is None


def test_figures_of_a_client_have_bounds_and_say_on_what_they_rest(home):
    figures = read_figures(home, "vendor-2026", NOW)
    own = own_figures(figures, "p1")
    assert (own.tagged, own.sighted, own.copies, len(own.posts), own.uncounted) == (CANARIES, 20, 1, 3, 1)
    # at least the most in one post; 12 and 20 without the copy
    assert own.records == (20, 32)
    low, high = own.people
    assert low == 20
    assert high == pytest.approx(own.share[1] * CANARIES, abs=1)
    assert own.data == {"names": (20, 32), "dob": (20, 32), "email": (20, 32), "note": (7, 12), "minor": (2, 4)}
    assert own.size_classes == ((6, 50),)
    other = own_figures(figures, "p2")
    assert (other.data, other.uncounted) == ({"names": (3, 3), "dob": (3, 3), "email": (3, 3)}, 2)
    with pytest.raises(InputError):
        own_figures(figures, "nobody")


def test_the_form_is_filled_where_it_is_known_and_blank_where_a_person_must_decide(home):
    filled = fields(page(home, "p1"))
    enrolled = "of the people enrolled with Tocsin; people who were not enrolled come on top"
    assert filled["Approximate number of data subjects"] == f"20 to 27 {enrolled}"
    assert filled["Size class in the CNIL’s open data"] == f"6 to 50 people {enrolled}"
    assert filled["Approximate number of records"] == "20 to 32"
    assert (
        "Minors (2 by the birth date; people of 100 years and more count too" in filled["Categories of data subjects"]
    )
    assert "Health data" in filled["Categories of personal data"]
    assert "Concerned" in filled["Loss of confidentiality of data protected by professional secrecy"]
    blank = {label for label, value in filled.items() if not value}
    assert {
        "Origin of the breach", "Contact", "Consequences and impacts for the people concerned", "Measures taken or planned",
        "Gravity (negligible / limited / important / maximal)", "Date of awareness of the breach",
    } <= blank  # fmt: skip
    # of a client of whom nothing was seen, nothing is filled in
    assert set(fields(page(home, "p3")).values()) == {""}


def test_the_points_of_the_article_stand_in_its_order(home):
    french = page(home, "p1", "fr").xpath("//section[@id='form']//caption/text()")
    assert [text[:2] for text in french] == ["a)", "b)", "c)", "d)"]
    assert french[0].startswith("a) Nature de la violation de données à caractère personnel y compris, si possible,")


def test_planted_people_are_not_counted_as_patients(tmp_path):
    made = small_incident(empty_home(tmp_path))
    path = made.home.watchlist_dir / "manifest.json"
    value = json.loads(path.read_text())
    for bundle in value["bundles"]:
        bundle["planted"] = True
    # as a manifest of the first format, which has no checksum
    path.write_text(json.dumps({**{k: v for k, v in value.items() if k != "checksum"}, "format": 1, "generation": ""}))
    filled = fields(page(made.home, "p1"))
    assert filled["Approximate number of data subjects"].startswith("33.8 % to 66.2 %")
    assert "Minors" not in filled["Categories of data subjects"]
    assert filled["Size class in the CNIL’s open data"] == filled["Approximate number of records"] == ""
    assert "professional secrecy is concerned" in page(made.home, "p1").text_content()


def section(tree, name: str) -> str:
    return " ".join(tree.xpath(f"string(//section[@id='{name}'])").replace("\N{NO-BREAK SPACE}", " ").split())


@pytest.mark.parametrize("language", ["en", "fr"])
def test_new_is_only_what_was_compared(home, language):
    """Of the posts of p2 one is new, one its copy, and in the third nobody could be compared."""
    words = Words(language)
    summary = section(page(home, "p2", language), "summary")
    assert words("c_new", n=1, name="Maison du Port") in summary
    assert words("sum_open", n=1) in summary
    # p1 was seen in one post that was new twice, and in its copy
    summary = section(page(home, "p1", language), "summary")
    assert words("c_new", n=1, name="Cabinet des Lilas") in summary
    # bounds are worth nothing without what they rest on
    assert words("assumption") in summary
    assert words("sum_open", n=1) not in summary


def test_of_a_client_that_was_not_seen_no_figure_says_none(home):
    figures = read_figures(home, "vendor-2026", NOW)
    own = own_figures(figures, "p3")
    assert own.people == (0, math.ceil(own.share[1] * CANARIES))
    assert own.people[1] > 0
    rows = {
        row.xpath("string(th)"): row.xpath("string(td)")
        for row in page(home, "p3").xpath("//section[@id='figures']//tr")
    }
    assert (rows["People"], rows["Records"]) == ("0 to 4", "not known")


def test_where_a_post_was_not_counted_or_not_to_its_end_numbers_are_the_least(home):
    tree = page(home, "p2")
    rows = {row.xpath("string(th)"): row.xpath("string(td)") for row in tree.xpath("//section[@id='figures']//tr")}
    assert (rows["Records"], rows["names"], rows["Minors"]) == ("at least 3", "at least 3", "not known")
    assert "all numbers may be higher" in fields(tree)["Approximate number of records"]


def test_people_found_outside_of_tables_and_a_local_file_count(tmp_path):
    """Three people in a table of a local file, two more only in bytes that no reader read: what is counted is the least."""
    made = ReportedIncident(empty_home(tmp_path), {"p1": "Un"})
    partly = finding({"p1": 5}, lineage("new", 10, 10), 1, notes=1)
    partly = replace(partly, hits=(replace(partly.hits[0], data={"names": 3, "email": 3}),))
    with contextlib.closing(Store.open(made.home.db_path)) as store:
        crawl = LeasedCrawl(store, "scan", now=BEGAN)
        context = PostContext("scan", "a" * 32, "", "", BEGAN)
        crawl.commit(PostRow("a" * 32, "1", ""), [partly], events_of_post(context, [partly]), now=BEGAN)
    figures = read_figures(made.home, "vendor-2026", NOW)
    own = own_figures(figures, "p1")
    assert (own.sighted, own.records, own.uncounted) == (5, (5, 5), 1)
    rows = {
        row.xpath("string(th)"): row.xpath("string(td)")
        for row in page(made.home, "p1").xpath("//section[@id='figures']//tr")
    }
    assert rows["names"] == "at least 3"
    # the event of a local file names no incident, and belongs to the only one
    assert figures.clocks.of().first_event == figures.clocks.of("p1").first_event == BEGAN


def _change_bundles(home: Home, bundles) -> None:
    path = home.watchlist_dir / "manifest.json"
    value = json.loads(path.read_text())
    value["bundles"] = bundles(value["bundles"])
    # as a manifest of the first format, which has no checksum
    path.write_text(json.dumps({**{k: v for k, v in value.items() if k != "checksum"}, "format": 1, "generation": ""}))


def test_people_whose_canaries_were_retired_and_invented_people_do_not_falsify_the_bounds(tmp_path):
    made = small_incident(empty_home(tmp_path))
    again = {"id": "bundle-again", "client": "p1", "name": "", "created": "", "canaries": 40, "tags": 1, "kinds": {}}

    def retire(bundles):
        old = [{**each, "retired": NOW.isoformat()} for each in bundles if each["client"] == "p1"]
        return [
            *(each for each in bundles if each["client"] != "p1"),
            *old,
            {**again, "planted": False, "retired": None},
        ]

    _change_bundles(made.home, retire)
    own = own_figures(read_figures(made.home, "vendor-2026", NOW), "p1")
    assert (own.sighted, own.retired) == (0, 20)
    assert own.people[0] == 20
    assert fields(page(made.home, "p1"))["Approximate number of data subjects"].startswith("20 to ")

    def mix(bundles):
        planted = {**again, "canaries": 5, "planted": True, "retired": None}
        return [{**each, "retired": None} for each in bundles if each["id"] != "bundle-again"] + [planted]

    _change_bundles(made.home, mix)
    own = own_figures(read_figures(made.home, "vendor-2026", NOW), "p1")
    # five of those who were recognised may be nobody
    assert (own.people[0], own.records, own.count("note")) == (15, (15, 32), 2)
    assert "5 invented ones at most" in section(page(made.home, "p1"), "figures")


def test_clocks_run_from_what_a_person_entered_and_each_client_has_its_own(tmp_path):
    made = small_incident(empty_home(tmp_path))
    scope = IncidentScope.of_home(made.home.path, "vendor-2026")
    before = read_figures(made.home, "vendor-2026", NOW)
    assert before.clocks.of().first_event == BEGAN
    assert (before.clocks.of().aware, before.clocks.of().dues[0].at) == (None, None)
    assert "not entered" in render_incident(before, "en")
    with contextlib.closing(Store.open(made.home.db_path)) as store:
        enter_aware(store, scope, BEGAN + timedelta(hours=1), "wrong", NOW)
        enter_aware(store, scope, BEGAN + timedelta(hours=2), "anna", NOW)
        enter_aware(store, scope, BEGAN - timedelta(hours=80), "bert", NOW, "p1")
        [event] = [each for each in store.events.latest() if each.at == BEGAN]
        store.triage.decide([event.id], _acknowledged(), "carla", NOW)
        assert store.audit.verify() == []
    figures = read_figures(made.home, "vendor-2026", NOW)
    clocks = figures.clocks.of()
    assert (clocks.aware.at, clocks.aware.who, clocks.acknowledged.who) == (BEGAN + timedelta(hours=2), "anna", "carla")
    gdpr, early = clocks.dues[:2]
    assert (gdpr.left(NOW), early.left(NOW)) == (timedelta(hours=62), timedelta(hours=14))
    assert [due.at is None for due in clocks.dues] == [False, False, False, True, True]
    assert "to be checked by a person" in render_incident(figures, "en")
    assert figures.clocks.of("p2").aware is None
    late = page(made.home, "p1")
    assert "passed 20 h ago" in late.text_content().replace("\N{NO-BREAK SPACE}", " ")
    assert "Reasons for the delay (art. 33(1))" in fields(late)
    assert "Reasons for the delay (art. 33(1))" not in fields(page(made.home, "p2"))
    with contextlib.closing(Store.open(made.home.db_path)) as store:
        record_reported(store, scope, {"canaries": 1}, "bert", BEGAN - timedelta(hours=70), "p1")
    assert "Reasons for the delay (art. 33(1))" not in fields(page(made.home, "p1"))


def _acknowledged():
    from data.model import TriageState
    from data.store.triage import Decision

    return Decision(TriageState.ACKNOWLEDGED)


def test_an_amendment_tells_both_figures_when_counts_change_after_a_report_was_handed_over(tmp_path):
    made = small_incident(empty_home(tmp_path))
    scope = IncidentScope.of_home(made.home.path, "vendor-2026")
    own = own_figures(read_figures(made.home, "vendor-2026", NOW), "p1")
    with contextlib.closing(Store.open(made.home.db_path)) as store:
        # a figure that was not known then, and one that is not known any more
        record_reported(store, scope, {"canaries": 3, "posts": 3, "clients": 1}, "anna", NOW, "p2")
        record_reported(store, scope, own.to_report(), "anna", NOW, "p1")
    assert "No figure has changed since the report" in page(made.home, "p1").text_content()
    assert page(made.home, "p3").xpath("//section[@id='amendment']") == []
    other = section(page(made.home, "p2"), "amendment")
    assert "These figures changed since" in other
    assert "People, at least–3" in other
    assert "Clients whose data was seen1–" in other
    more = finding({"p1": 30}, lineage("new", 100, 100), 9, notes=7)
    made.crawl(13, [("e" * 32, [more])])
    tree = page(made.home, "p1", now=NOW + timedelta(hours=2))
    rows = {
        row.xpath("string(th)"): row.xpath("td/text()") for row in tree.xpath("//section[@id='amendment']//tbody/tr")
    }
    assert rows["Canaries seen"] == ["20", "30"]
    assert rows["Records, at least"] == ["20", "30"]
    assert rows["Minors, by the birth date"] == ["2", "2"]
    assert len(tree.xpath("//section[@id='amendment']//tr[@class='hot']")) == 6


@pytest.mark.slow  # the command as a person runs it, on a home that it checks
def test_the_command_writes_pages_and_records_what_is_handed_over(home: Home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(home, "report", "vendor-2026", "--client", "p1", "--out", str(tmp_path / "p1.html"))
    assert (code, out) == (0, f"report: file://{tmp_path}/p1.html\n"), err
    code, out, _ = run(home, "report", "Vendor 2026", "--language", "fr")
    assert (code, (tmp_path / "vendor-2026.csv").read_text().count("\n")) == (0, 4)
    assert 'lang="fr"' in (tmp_path / "vendor-2026.html").read_text()
    code, out, err = run(home, "report", "vendor-2026")
    assert (code, "is not overwritten" in err) == (2, True)
    code, out, err = run(home, "report", "vendor-2026", "--each", str(tmp_path / "each"), "--filed")
    assert (code, out.startswith("2 reports: file://")) == (0, True), err
    assert sorted(path.name for path in (tmp_path / "each").iterdir()) == ["p1.html", "p2.html"]
    assert "Amendment" in page(home, "p1").text_content()
    assert run(home, "incident", "aware", "vendor-2026", "--at", "2026-11-24T13:00+01:00")[:2] == (
        0, "vendor-2026: aware since 2026-11-24 12:00 UTC\n"
    )  # fmt: skip
    for wrong in ("2999-01-01T00:00", "yesterday"):
        assert run(home, "incident", "aware", "vendor-2026", "--at", wrong)[0] == 2
    assert run(home, "report", "nothing")[0] == 2
