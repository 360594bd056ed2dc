"""The report in a real Chromium: its script finds a client, its policy refuses nothing of it, it fits on a phone."""

from __future__ import annotations

import pytest

from scheduler.reports.document.page import render_incident
from scheduler.reports.incident_figures import read_figures
from tests.browser import chromium, size
from tests.scheduler.reports.document.test_page import NOW, empty_home
from tests.synth.reported_incident import ReportedIncident, finding, lineage

CLIENTS = {f"p{number:02}": f"Cabinet médical {number}" for number in range(60)}
OVERLAPPING = """
const drawing = document.querySelector("svg.lineage");
drawing.setAttribute("font-family", `'${arguments[0]}'`);
const words = Array.from(drawing.querySelectorAll("text.legend"));
const others = [...words, ...drawing.querySelectorAll(".mark")];
const box = each => each.getBoundingClientRect(), edge = box(drawing).right;
const over = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
return words.filter(each => box(each).right > edge || others.some(other => other !== each && over(box(each), box(other))))
  .map(each => each.textContent);
"""


@pytest.mark.slow
def test_a_client_is_found_and_the_page_fits_on_a_phone(tmp_path):
    incident = ReportedIncident(empty_home(tmp_path), CLIENTS)
    hits = dict.fromkeys(list(CLIENTS)[:50], 5)
    incident.crawl(0, [("a" * 32, [finding(hits, lineage("new", 500, 500), 1)])])
    page = tmp_path / "report.html"
    page.write_text(render_incident(read_figures(incident.home, "vendor-2026", NOW), "en"), encoding="utf-8")
    with chromium() as browser:
        size(browser, 360)
        browser.get(page.as_uri())
        # tables scroll within themselves: the page never scrolls sideways
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
        box = browser.find_element("id", "find")
        assert box.is_displayed()
        box.send_keys("MEDICAL 47")
        shown = [row.text for row in browser.find_elements("css selector", "tr[data-find]") if row.is_displayed()]
        assert len(shown) == 1
        assert "Cabinet médical 47" in shown[0]
        assert browser.find_element("id", "found").text == "shown: 1"
        # nor does a font that stands in for Arial push words of the drawing over the next mark, in either language
        for language in ("en", "fr"):
            page.write_text(
                render_incident(read_figures(incident.home, "vendor-2026", NOW), language), encoding="utf-8"
            )
            size(browser, 1100)
            browser.get(page.as_uri())
            for font in ("Liberation Sans", "DejaVu Sans"):
                assert browser.execute_script(OVERLAPPING, font) == [], (language, font)
        assert browser.get_log("browser") == []
    with chromium(scripts=False) as browser:
        browser.get(page.as_uri())
        assert not browser.find_element("id", "find").is_displayed()
        assert len(browser.find_elements("css selector", "#clients > div tr[data-find]")) == 25
