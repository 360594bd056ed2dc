"""Names and texts that others chose change no page: its elements stay those of a page with harmless names."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from lxml import html

from crawler.alerts.events import build_event
from data.model import EventKind, Severity
from tests.corpora.fetch import BLNS, files
from tests.scheduler.console.conftest import Site
from tests.synth import console_home

pytestmark = pytest.mark.slow

NUMBER = 200
OWN = [
    "<script>document.title='hacked'</script>", "</title><script>alert(1)</script>", "\"><img src=x onerror=alert(1)>",
    "' autofocus onfocus=alert(1) x='", "{{ 7*7 }}{% include 'base.html' %}", "</textarea><svg onload=alert(1)>",
    "javascript:alert(1)", "=HYPERLINK(\"http://evil.example\",\"x\")", "+1+cmd|' /C calc'!A0", "@SUM(1)", "-1",
    "\u202egnp.exe\u202c", "\u2066isolated\u2069", "a\x00b\x1b[31mred\x07", "line\nbreak\rreturn", "\ufeffbom", "</td></tr></table>",
    "<!--", "-->", "]]>", "<base href=http://evil.example/>", "<form action=http://evil.example>", "<meta http-equiv=refresh content=0>",
    "http://leaksexampleonion.onion/x", "\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace"), "x" * 5000, "é" * 300,
    "\N{RIGHT-TO-LEFT MARK}\N{ARABIC LETTER MARK}mixed", "Z\u0335\u0336\u0337\u0338a\u0335\u0336lgo", "&lt;b&gt; &amp;amp; &#60;",
]  # fmt: skip


def strings() -> list[str]:
    """Hostile texts: our own, and a published list of others."""
    listed = [each for each in json.loads(files(BLNS)["resources/blns.json"]) if each.strip()]
    return [*OWN, *listed][:NUMBER]


def stocked(home, texts) -> Site:
    """A home in which clients, an incident and the facts of events have these texts."""
    now = datetime(2026, 11, 1, tzinfo=UTC)
    console_home.make_home(home)
    clients = {f"practice-{number}": text for number, text in enumerate(texts)}
    console_home.put_clients(home, clients)
    console_home.put_sources(home, ["board"], now)
    # a name without a letter gives no id: all names begin alike
    incidents = [console_home.put_incident_of(home, f"i{number} {text}"[:200], list(clients)[number : number + 1], ["board"])
                 for number, text in enumerate(texts[:40])]  # fmt: skip
    events = [
        build_event(
            EventKind.FURTHER_RELEASE, now + timedelta(minutes=number), number, source="board", severity=Severity.CRITICAL,
            incident=incidents[number % 40], address=f"http://x.example/{text}", facts=console_home.leak_facts([client]),
        )
        for number, (client, text) in enumerate(clients.items())
    ]  # fmt: skip
    events += [
        build_event(
            EventKind.LISTING_CHANGED, now, "c", number, source="board", facts={"changed": [text], "reason": text}
        )
        for number, text in enumerate(texts)
    ]
    events.append(
        build_event(EventKind.CANARY_HIT, now, "all", source="board", facts=console_home.leak_facts(list(clients)))
    )
    console_home.put_events(home, events, now)
    return Site(home)


def skeleton(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """The elements of a page with the names of their attributes, in order."""
    return [
        (each.tag, tuple(sorted(each.keys()))) for each in html.fromstring(text).iter() if isinstance(each.tag, str)
    ]


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    hostile = strings()
    assert len(hostile) == NUMBER
    made = (
        stocked(folder / "hostile", hostile),
        stocked(folder / "harmless", [f"Cabinet {number}" for number in range(NUMBER)]),
    )
    yield made
    for each in made:
        each.close()


PATHS = [
    "/", *(f"/alerts?page={page}" for page in range(1, 10)), "/incidents", "/sources", "/sources/board", "/delivery", "/about",
    *(f"/incidents/{{i{number}}}" for number in (0, 1, 2, 25)), "/alerts/{all}", "/alerts/{first}",
]  # fmt: skip


def address(site: Site, path: str) -> str:
    """A path with the ids of this home: its texts differ, so its ids do."""
    if "{i" in path:
        number = int(path.partition("{i")[2][:-1])
        ids = [each["id"] for each in site.client("view").get("/incidents.json").json()["incidents"]]
        return "/incidents/" + next(each for each in ids if each == f"i{number}" or each.startswith(f"i{number}-"))
    if "{" in path:
        with site.store() as store:
            kind = "canary_hit" if "all" in path else "further_release"
            return f"/alerts/{store.events.latest(kind=kind, limit=1)[0].id}"
    return path


@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_the_elements_of_one_with_harmless_names(sites, path):
    pages = [site.client("admin").get(address(site, path)) for site in sites]
    assert [page.status_code for page in pages] == [200, 200]
    hostile, harmless = (skeleton(page.text) for page in pages)
    assert hostile == harmless
    text = pages[0].text
    assert not [char for char in text if unicodedata.category(char) == "Cc" and char not in "\n\t"]
    assert not set(text) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\ufeff")
    assert ".onion/" not in text


@pytest.mark.parametrize("path", ["/alerts/{all}", "/alerts", "/incidents", "/now", "/delivery", "/sources"])
def test_the_twins_are_json_and_csv_that_nothing_runs(sites, path):
    site = sites[0]
    client, place = site.client("view"), address(site, path)
    answer = client.get(f"{place}.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()
    assert answer.text.isprintable() or not [each for each in answer.text if each < " " and each != "\n"]
    answer = client.get(f"{place}.csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert len({len(row) for row in rows}) == 1
    assert len(rows) > 1
    numeric = [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert all(cell.replace(".", "", 1).lstrip("-").isdigit() for cell in numeric)


def test_all_two_hundred_names_are_shown(sites):
    """The counterpart: the pages do show the names, escaped, and do not leave them out."""
    text = html.fromstring(sites[0].client("view").get(f"{address(sites[0], '/alerts/{all}')}").text).text_content()
    names = {
        row["name"]
        for row in sites[0].client("view").get(f"{address(sites[0], '/alerts/{all}')}.json").json()["clients"]
    }
    assert len(names) >= NUMBER - 5
    assert "<script>document.title='hacked'</script>" in text
