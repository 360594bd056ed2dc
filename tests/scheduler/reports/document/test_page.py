"""The report about an incident: its figures, its form, hostile names, its size, both languages, and the PDF."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import string
import time
import unicodedata
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import lxml.html
import pytest

from data.case.incidents import put_incident
from data.errors import InputError
from data.model import AUTHENTICITY, HIT_DATA, VERDICTS, Origin, Severity, TriageState
from data.settings.home import Home
from data.store.crawls import KEPT
from data.store.store import Store
from data.store.triage import Decision
from scheduler.reports.document import page as page_module
from scheduler.reports.document.client_page import own_figures, render_client
from scheduler.reports.document.page import FOLDED, render_incident
from scheduler.reports.document.paper_lines import _fitted
from scheduler.reports.document.words import LANGUAGES, Words, catalogue
from scheduler.reports.document.writing import check_new, write_pdf
from scheduler.reports.incident_figures import IncidentFigures, read_figures
from scheduler.reports.timeline import LEAK_KINDS, WATCH_KINDS
from tests.synth.reported_incident import BEGAN, ReportedIncident, finding, lineage, small_incident

NOW = BEGAN + timedelta(hours=12)
# quotes, tags, entities, template marks, styles, line ends, directions, halves of surrogates, very long ones
HOSTILE = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</title></style></script>", "{{ 7*7 }}{% raw %}",
    "javascript:alert(1)", "http://evil.onion/steal", "&lt;b&gt;&#x202e;", "a\x1b[31mb\x00c\x07", "\u202egpj.exe\u2066",
    "\u2028\u2029\x85\r\n", "é" * 5000, "--><!-- x", "]]>", "'; drop table event; --", "\u0000", "Z\u0335\u0489" * 50,
    "</svg><text>", "\ud7ff\ufdd0\uffff", "=cmd|' /C calc'!A0", "@everyone",
]  # fmt: skip


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> IncidentFigures:
    return read_figures(small_incident(empty_home(tmp_path_factory.mktemp("small"))).home, "vendor-2026", NOW)


def empty_home(path: Path) -> Home:
    (path / "sources").mkdir(mode=0o700)
    (path / "tocsin.toml").write_text("")
    return Home(path)


def table_of(html: str) -> list[list[str]]:
    """The lines of the tables of clients, as texts."""
    tree = lxml.html.fromstring(html)
    return [[" ".join(cell.text_content().split()) for cell in row] for row in tree.xpath("//tr[@data-find]")]


def test_the_figures_are_those_of_incident_show(figures):
    shown = figures.shown
    rows = table_of(render_incident(figures, "en"))
    assert [(row[0], row[1], row[2]) for row in rows] == [
        (f"{each['name']} {each['client']}", str(each["sighted"]), str(each["tagged"]))
        for each in shown["blast_radius"]
    ]
    assert [each["sighted"] for each in shown["blast_radius"]] == [20, 3, 0]
    # bounds are rounded outwards, as the command rounds them
    assert rows[0][3] == "33.8 % to 66.2 %"


def test_the_summary_says_what_happened_and_adds_up_new_people(figures):
    text = lxml.html.fromstring(render_incident(figures, "en")).text_content()
    assert "Data of 2 of 3 clients was seen in 3 posts" in text
    assert "1 of these posts holds data that was not known before" in text
    # 500 and 200; the data of another organisation does not count, and the copy holds nobody new
    assert "700 people not seen before (between 680 and 700)." in text
    assert "1 post repeats data that was already known." in text
    assert "professional secrecy" in text
    assert "board was not read for 12 h in all" in re.sub("[\u00a0]", " ", text)
    assert "1 post was not examined to its end" in text


def test_two_versions_of_a_post_are_two_rows_and_relations_name_the_earlier_post(figures):
    posts = figures.graph.posts
    assert [(each.post[0], each.version, each.verdict) for each in posts] == [
        ("a", 1, "new"), ("b", 1, "re-post"), ("a", 2, "superset"), ("c", 1, "overlap"), ("d", 1, "seen"),
    ]  # fmt: skip
    assert [[each.parent for each in post.relations] for post in posts] == [[], ["post 1"], ["post 1"], ["post 1"], []]
    assert figures.graph.new_people == (700, 680, 700)
    html = render_incident(figures, "en")
    assert html.count('class="arc ') == 3
    assert "Post 3 (version 2)" in html
    assert "71.4 % of it from Post 1, 100 % of which it holds" in html.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_said_of_what_was_not_compared_or_not_read(tmp_path, language):
    """Canaries in a text, canaries in what is probably another's data, and a source that was never read."""
    made = ReportedIncident(empty_home(tmp_path), {"p1": "Un", "p2": "Deux"})
    another = lineage("overlap", 900, 890, interval=(890, 890), origin=Origin("another's", 0.01))
    made.crawl(0, [("a" * 32, [finding({"p1": 3}, None, 1, notes=1)]), ("b" * 32, [finding({"p2": 1}, another, 2)])])
    figures, words = read_figures(made.home, "vendor-2026", NOW), Words(language)
    tree = lxml.html.document_fromstring(render_incident(figures, language))
    summary = tree.xpath("string(//section[@id='summary'])")
    assert words("sum_new_none") not in summary
    assert words("sum_open", n=1) in summary
    assert words("sum_another", n=1) in summary
    assert words("sum_notes") in summary
    assert words("sum_blind", n=2) in summary
    [new] = tree.xpath(f"//dt[.='{words('fig_new')}']/following-sibling::dd")
    assert new.text_content().strip().startswith(words("not_known"))
    [mirror] = tree.xpath("//section[@id='sources']//tr[contains(th, 'mirror')]")
    assert mirror.xpath("string(td[last()])") == words("never_read")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_second_incident_does_not_silently_take_away_what_was_seen(tmp_path, language):
    made = ReportedIncident(empty_home(tmp_path), {"p1": "Un", "p2": "Deux"})
    made.crawl(0, [("a" * 32, [finding({"p1": 3}, None, 1)])], source="elsewhere")
    assert read_figures(made.home, "vendor-2026", NOW).shown["outside"] == []
    put_incident(made.home.path, "Other", clients=["p2"], sources=[])
    figures, words = read_figures(made.home, "vendor-2026", NOW), Words(language)
    assert figures.shown["outside"] == [{"client": "p1", "sources": ["elsewhere"]}]
    text = lxml.html.document_fromstring(render_incident(figures, language)).text_content()
    assert words("sum_outside", n=1) in text
    assert words("lead_nothing") not in text
    assert words("k_nothing") not in text
    own = render_client(figures, own_figures(figures, "p1"), language)
    assert words("c_outside", n=1) in own
    assert words("c_lead_none", name="Un") not in own
    assert words("c_outside", n=1) not in render_client(figures, own_figures(figures, "p2"), language)
    assert read_figures(made.home, "other", NOW).shown["outside"] == []
    # both name a source: what was seen there is counted for both, and both say so
    assert words("sum_shared", n=1) not in text
    put_incident(made.home.path, "Other", sources=["board"])
    for name in ("vendor-2026", "other"):
        assert words("sum_shared", n=1) in render_incident(read_figures(made.home, name, NOW), language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_person_closed_as_a_false_alarm_is_told_as_that(tmp_path, language):
    made = ReportedIncident(empty_home(tmp_path), {"p1": "Un", "p2": "Deux"})
    made.crawl(0, [("a" * 32, [finding({"p1": 3}, None, 1)]), ("b" * 32, [finding({"p2": 3}, None, 2)])])
    with contextlib.closing(Store.open(made.home.db_path)) as store:
        [event] = [each for each in store.events.latest() if each.post == "a" * 32]
        store.triage.decide([event.id], Decision(TriageState.CLOSED, reason="false-alarm"), "ana", NOW)
    figures, words = read_figures(made.home, "vendor-2026", NOW), Words(language)
    pages = [render_incident(figures, language)]
    pages += [render_client(figures, own_figures(figures, client), language) for client in ("p1", "p2")]
    assert [words("sum_dismissed", n=1) in each for each in pages] == [True, True, False]
    # in the timeline, where the sentence of the summary does not stand
    timelines = [lxml.html.document_fromstring(each).xpath("string(//section[@id='timeline'])") for each in pages]
    assert [words("ev_dismissed") in each for each in timelines] == [True, True, False]


def test_times_when_nobody_looked_are_told(figures):
    board, mirror = figures.coverage
    assert (board.source, board.done, board.failed) == ("board", 2, 2)
    again = BEGAN + timedelta(hours=9)
    assert [(gap.begin, gap.end, gap.failed) for gap in board.gaps] == [(BEGAN, again, 2), (again, None, 0)]
    assert (board.unwatched, mirror.unwatched) == (timedelta(hours=12), timedelta(hours=11))
    assert board.every == timedelta(minutes=15)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_gap_is_claimed_for_a_time_from_which_no_crawl_is_kept(tmp_path, language):
    made = ReportedIncident(empty_home(tmp_path), {"p1": "Un"})
    for hours in (0, *range(100, 100 + KEPT)):
        made.crawl(hours)
    words, begin = Words(language), BEGAN + timedelta(hours=100)
    assert read_figures(made.home, "vendor-2026", NOW).coverage[0].kept_since is None
    with contextlib.closing(Store.open(made.home.db_path)) as store:
        store.sources.put("board", "digest", True, BEGAN)
        assert list(store.crawls.prune(BEGAN + timedelta(days=30))) == [1]
    figures = read_figures(made.home, "vendor-2026", NOW)
    assert figures.coverage[0].kept_since == begin
    text = lxml.html.document_fromstring(render_incident(figures, language)).text_content()
    assert words("not_kept", begin=words.short(begin)) in text
    assert words("u_not_kept", n=1, begin=begin) in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_whole_accessible_and_refers_to_nothing_outside(figures, language):
    html = render_incident(figures, language)
    tree = lxml.html.document_fromstring(html)
    assert tree.get("lang") == language
    assert len(tree.xpath("//main")) == len(tree.xpath("//h1")) == len(tree.xpath("//header")) == 1
    ids = tree.xpath("//@id")
    assert len(ids) == len(set(ids))
    for target in tree.xpath("//*/@aria-labelledby | //label/@for"):
        assert target in ids
    for table in tree.xpath("//table[not(ancestor::details)]"):
        assert all(table.xpath(part) for part in ("caption", "thead//th[@scope='col']", "tbody/tr"))
    assert all(link.startswith("#") and link[1:] in ids for link in tree.xpath("//@href"))
    assert tree.xpath("//@src | //link | //iframe | //object | //form") == []
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", html) == []
    assert "hxxp[://]exampleonionaddress[.]onion/" in html
    [script] = tree.xpath("//script/text()")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in tree.xpath("//meta[@http-equiv]/@content")[0]
    assert not re.search(r" on\w+=", html)


def test_hostile_names_change_nothing(tmp_path):
    """Two hundred names and the incident's own: the page has the same elements as with plain names."""
    made = {}
    for kind in ("plain", "hostile"):
        path = tmp_path / kind
        path.mkdir()
        names = [HOSTILE[at % len(HOSTILE)] + str(at) if kind == "hostile" else f"Cabinet {at}" for at in range(200)]
        clients = {f"p{at:03}": name.replace("\ud800", "") for at, name in enumerate(names)}
        incident = ReportedIncident(empty_home(path), clients, name="</h1><script>x" if kind == "hostile" else "plain")
        incident.crawl(0, [("a" * 32, [finding(dict.fromkeys(clients, 4), lineage("new", 500, 500), 1)])])
        made[kind] = render_incident(read_figures(incident.home, incident.incident.id, NOW), "en")
    trees = {kind: lxml.html.document_fromstring(html) for kind, html in made.items()}
    elements = {kind: [each.tag for each in tree.iter() if isinstance(each.tag, str)] for kind, tree in trees.items()}
    # a name that is the same as the id after cleaning is not repeated: one span less
    assert [tag for tag in elements["hostile"] if tag != "span"] == [tag for tag in elements["plain"] if tag != "span"]
    bad = {char for char in made["hostile"] if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}} - {"\n"}
    assert bad == set()
    assert len(trees["hostile"].xpath("//script")) == 1
    assert max(len(row[0]) for row in table_of(made["hostile"])) < 100


@pytest.mark.slow
def test_with_1500_clients_the_page_is_below_3_mb_and_folds_most_of_them(tmp_path):
    clients = {f"practice-{at:04}": f"Cabinet médical de la rue {at} {'x' * 30}" for at in range(1500)}
    incident = ReportedIncident(empty_home(tmp_path), clients)
    hits = {client: 1 + at % 30 for at, client in enumerate(clients)}
    incident.crawl(0, [("a" * 32, [finding(hits, lineage("new", 50_000, 50_000), 1)])])
    html = render_incident(read_figures(incident.home, "vendor-2026", NOW), "fr", csv_name="clients.csv")
    assert len(html.encode()) < 3_000_000
    tree = lxml.html.document_fromstring(html)
    assert len(tree.xpath("//tr[@data-find]")) == 1500
    assert len(tree.xpath("//section[@id='clients']/div//tr[@data-find]")) == page_module.FOLDED
    assert "clients.csv" in html


def test_both_languages_have_every_entry_with_the_same_places():
    def places(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    for key, entry in catalogue().items():
        assert set(entry) == set(LANGUAGES), key
        texts = [entry[language] for language in LANGUAGES]
        assert all(text.strip() or key == "none" for text in texts), key
        assert places(texts[0]) == places(texts[1]), key
        assert (" | " in texts[0]) == (" | " in texts[1]), key
        for text in texts:
            if " | " in text:
                _, many = text.split(" | ")
                assert "n" in places(many) or "{n}" in text, key


def test_every_entry_is_used_and_every_used_entry_exists():
    folder = Path(page_module.__file__).parent
    code = "".join(path.read_text(encoding="utf-8") for path in [*folder.glob("*.py"), *folder.glob("*.j2")])
    used = set(re.findall(r"""["']([a-z][\w-]*)["']""", code))
    families = ("v_", "ev_", "severity_", "state_", "auth_", "kind_", "legend_", "unit_", "m_", "r_", "data_")
    unused = {key for key in catalogue() if key not in used and not key.startswith(families)}
    assert unused == set()
    families_of = {
        "v_": {*VERDICTS, "seen"}, "ev_": {*LEAK_KINDS, *WATCH_KINDS}, "data_": {*HIT_DATA} - {"minor"},
        "severity_": {each.value for each in Severity}, "auth_": {*AUTHENTICITY} - {"open"},
        "state_": {"ok", "failing", "running", "new", "disabled"}, "legend_": {"baseline", "new", "known", "open"},
        "r_": {"clients", "canaries", "new", "new_low", "new_high", "posts", "people_low", "people_high", "records_low",
               "records_high", "minors", "notes"},
    }  # fmt: skip
    for family, members in families_of.items():
        assert {f"{family}{member}" for member in members} - set(catalogue()) == set()
    called = set(re.findall(r"""\b(?:words|w|self|self\._words)\(["']([\w-]+)["']""", code))
    assert called - set(catalogue()) == set()


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ["15,000", "3.1 % to 9.9 %", "1 December 2026, 07:05 UTC", "2 d 3 h", "0 min", "1 post", "0 posts"]),
        ("fr", ["15 000", "3,1 % à 9,9 %", "1er décembre 2026 à 07:05 UTC", "2 j 3 h", "0 min", "1 publication", "0 publication"]),
    ],
)  # fmt: skip
def test_numbers_shares_and_times_are_written_as_each_language_does(language, expected):
    words = Words(language)
    at = BEGAN.replace(month=12, day=1, hour=7, minute=5)
    found = [
        words.number(15_000), words.share((0.0313, 0.0986)), words.time(at), words.span(timedelta(days=2, hours=3, minutes=4)),
        words.span(timedelta(0)), words("posts", n=1), words("posts", n=0),
    ]  # fmt: skip
    assert [re.sub(r"[\u00a0\u202f]", " ", text) for text in found] == expected


@pytest.mark.slow
def test_the_pdf_says_the_same_and_many_clients_cost_little_more_time(figures, tmp_path):
    """What is folded on a screen becomes lines there: a row of a table costs ten times as much as a line."""
    from pypdf import PdfReader

    [example, *_] = figures.seen
    many = [{**example, "client": f"c{number}", "name": f"Cabinet {number}"} for number in range(600)]
    of_many = replace(figures, shown={**figures.shown, "blast_radius": many})
    pages = [render_incident(figures, "fr", paper=True), render_incident(of_many, "en", csv_name="all.csv", paper=True)]
    spent, told = [], []
    for number, page in enumerate(pages):
        path = tmp_path / f"{number}.pdf"
        begin = time.process_time()
        write_pdf(path, page)
        spent.append(time.process_time() - begin)
        told.append(" ".join(" ".join(page.extract_text() for page in PdfReader(path).pages).split()))
        assert path.stat().st_mode & 0o077 == 0
    assert "Maison du Port" in told[0]
    assert "Synthèse" in told[0]
    assert pages[1].count("<tr data-find>") == FOLDED
    assert [number for number in range(600) if not re.search(rf"Cabinet {number}\b.{{0,5}}c{number}\b", told[1])] == []
    # as rows of a table they took 5 to 10 times as long
    assert spent[1] < 3 * spent[0]


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("Cabinet", 9, "Cabinet  "),
        ("12", -4, "  12"),
        ("15,000,000", -9, "15,000,000"),
        ("Cabinet du Port", 8, "Cabinet…"),
        ("診療所", 8, "診療所  "),
        ("診療所", 5, "診療…"),
    ],
)
def test_a_cell_takes_its_columns_and_no_number_is_cut(text, width, expected):
    assert _fitted(text, width) == expected


def test_files_that_exist_are_not_overwritten(tmp_path):
    (tmp_path / "a.html").touch()
    for paths in ([tmp_path / "a.html"], [tmp_path / "none" / "b.html"], [tmp_path / "c"] * 2):
        with pytest.raises(InputError):
            check_new(*paths)
