"""The real command and a real Chromium: sign-in, triage by keys, by mouse and without JavaScript, sizes, accessibility."""

from __future__ import annotations

import contextlib
import html
import json
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from crawler.alerts.events import build_event
from data.model import EventKind
from data.store.store import Store
from scheduler.delivery.take_links import make_link
from tests.browser import chromium, dark, size
from tests.command import tocsin
from tests.corpora.fetch import AXE, files
from tests.scheduler.console.test_hostile_text import strings
from tests.servers.console import running_console
from tests.servers.webhook import Webhook
from tests.synth import console_home

pytestmark = [pytest.mark.slow, pytest.mark.servers]

SOURCES = ["board-a", "board-b", "leaks"]
CLIENTS = {f"practice-{number}": f"Cabinet {number}" for number in range(30)}
PATHS = [
    "/", "/alerts", "/alerts?state=all&severity=critical", "/alerts/{event}", "/incidents", "/incidents/the-breach", "/sources",
    "/sources/board-a", "/sources/+new", "/releases", "/delivery", "/about", "/take?link={take}", "/no-such-page",
]  # fmt: skip
WAIT = 30


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    place = tmp_path_factory.mktemp("console") / "home"
    now = datetime.now(UTC)
    console_home.make_home(place)
    console_home.put_clients(place, CLIENTS)
    console_home.put_sources(place, SOURCES, now, crawls=60)
    console_home.put_incident_of(place, "The Breach", list(CLIENTS), SOURCES)
    console_home.put_events(place, console_home.a_few(now, list(CLIENTS), SOURCES), now)
    return place


@pytest.fixture(scope="module")
def console(home):
    with running_console(home) as running:
        yield running


@pytest.fixture(scope="module")
def browser(console):
    """A browser that is signed in by the link that the command printed."""
    with chromium() as started:
        started.get(console.link)
        started.find_element(By.CSS_SELECTOR, "button.main").click()
        WebDriverWait(started, WAIT).until(lambda each: each.find_element(By.ID, "banner"))
        assert "link=" not in started.current_url
        yield started


@pytest.fixture
def at(console, browser):
    """Goes to an address of the console."""

    def go(path: str) -> None:
        size(browser, 1440)
        browser.get(console.address + path)

    return go


@contextlib.contextmanager
def opened(home):
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        yield store


def new_event(home, *parts, kind=EventKind.GAP) -> str:
    event = build_event(kind, datetime.now(UTC), *parts, source="board-b", facts={"subject": "listing"})
    console_home.put_events(home, [event], datetime.now(UTC))
    return event.id


def decided(home, event):
    with opened(home) as store:
        found = store.triage.of([event], datetime.now(UTC))
        return (found[event].state.value, found[event].owner, found[event].reason) if event in found else None


def press(browser, *keys):
    for key in keys:
        browser.switch_to.active_element.send_keys(key)


def until_said(browser, words):
    """Wait until the page says these words: the page before, which may have said others, can still be there."""
    read = "return Array.from(document.querySelectorAll('.message'), each => each.textContent).join()"
    WebDriverWait(browser, WAIT).until(lambda each: words in each.execute_script(read), f"'{words}' is not said")


def texts_of(browser, selector):
    """The texts of all elements at one moment: a live part may be replaced between two questions about its elements."""
    read = "return Array.from(document.querySelectorAll(arguments[0]), each => each.textContent)"
    return browser.execute_script(read, selector)


def click(browser, selector):
    """Click an element, found again if a live part was replaced meanwhile."""
    wait = WebDriverWait(browser, WAIT, ignored_exceptions=[StaleElementReferenceException, NoSuchElementException])
    wait.until(lambda each: each.find_element(By.CSS_SELECTOR, selector).click() is None)


def test_events_are_triaged_by_keys_alone(home, browser, at):
    first, second, third = (new_event(home, "keys", number) for number in range(3))
    at("/alerts?source=board-b")
    # the newest is the first row
    press(browser, "j", "j", "k", "a")
    until_said(browser, "1 event is acknowledged")
    state, owner, _ = decided(home, third)
    assert state == "acknowledged"
    assert owner
    press(browser, "j", "j", "c")
    # the reason is chosen by its first letters, and Enter closes
    press(browser, "false", Keys.ENTER)
    until_said(browser, "1 event is closed")
    assert decided(home, second)[0::2] == ("closed", "false-alarm")
    press(browser, "j", "j", "s", Keys.ENTER)
    until_said(browser, "1 event is snoozed")
    assert decided(home, first)[0] == "snoozed"
    press(browser, "j", Keys.ENTER)
    WebDriverWait(browser, WAIT).until(lambda each: "/alerts/" in each.current_url)
    press(browser, "a")
    until_said(browser, "1 event is acknowledged")
    press(browser, "g", "a")
    WebDriverWait(browser, WAIT).until(lambda each: each.current_url.endswith("/alerts"))
    press(browser, "/")
    assert browser.switch_to.active_element.get_attribute("name") == "q"
    press(browser, "board-b", Keys.ENTER)
    WebDriverWait(browser, WAIT).until(lambda each: "q=board-b" in each.current_url)
    with opened(home) as store:
        assert [row["action"] for row in store.audit.about(second)] == ["closed"]
        assert store.audit.verify() == []


def test_events_are_triaged_by_mouse(home, browser, at):
    events = [new_event(home, "mouse", number) for number in range(2)]
    at("/alerts?source=board-b&state=new")
    for event in events:
        click(browser, f"input[value='{event}']")
    browser.find_element(By.NAME, "note").send_keys("seen before")
    Select(browser.find_element(By.NAME, "reason")).select_by_value("re-post")
    browser.find_element(By.CSS_SELECTOR, "button[value=close]").click()
    until_said(browser, "2 events are closed")
    assert [decided(home, event)[0::2] for event in events] == [("closed", "re-post")] * 2


def test_a_note_with_a_number_of_a_person_is_refused_in_words(home, browser, at):
    event = new_event(home, "note")
    at(f"/alerts/{event}")
    browser.find_element(By.NAME, "note").send_keys("call 06 12 34 56 78")
    browser.find_element(By.CSS_SELECTOR, "button[value=ack]").click()
    until_said(browser, "must not hold an e-mail address or a long number")
    assert decided(home, event) is None


def test_filters_are_addresses(browser, at):
    at("/alerts")
    Select(browser.find_element(By.NAME, "severity")).select_by_visible_text("critical")
    browser.find_element(By.CSS_SELECTOR, ".filters button").click()
    WebDriverWait(browser, WAIT).until(lambda each: "severity=critical" in each.current_url)
    rows = texts_of(browser, "[data-row] .severity")
    assert rows
    assert {row.split()[-1] for row in rows} == {"critical"}
    # the twins have the same filters
    href = browser.find_element(By.LINK_TEXT, "JSON").get_attribute("href")
    assert "severity=critical" in href
    browser.get(href)
    found = json.loads(browser.find_element(By.TAG_NAME, "body").text)
    assert len(found["events"]) == len(rows)


def test_everything_works_without_javascript(home, console):
    event = new_event(home, "no scripts")
    done = tocsin(home, "console", "invite", "ana", "--role", "triage", "--origin", console.address)
    link = done.stdout.strip()
    with chromium(scripts=False) as browser:
        browser.get(link)
        browser.find_element(By.CSS_SELECTOR, "button.main").click()
        assert "Not looking" in browser.find_element(By.ID, "banner").text
        browser.find_element(By.LINK_TEXT, "Alerts").click()
        assert browser.find_elements(By.CSS_SELECTOR, "body.current, .fresh") == []
        click(browser, f"input[value='{event}']")
        browser.find_element(By.CSS_SELECTOR, "button[value=ack]").click()
        until_said(browser, "1 event is acknowledged")
        assert decided(home, event)[:2] == ("acknowledged", "ana")
        browser.find_element(By.LINK_TEXT, "acknowledged").click()
        assert event in browser.page_source
        # a role that may not add sources is not offered the way to it
        browser.find_element(By.LINK_TEXT, "Sources").click()
        assert browser.find_elements(By.LINK_TEXT, "Add a source") == []
        browser.find_element(By.CSS_SELECTOR, ".who button").click()
        browser.get(console.address + "/alerts")
        assert "You need a sign-in link" in browser.page_source


def until_counted(browser, count):
    """Wait until the list says how many alerts it has."""
    WebDriverWait(browser, WAIT).until(lambda each: texts_of(each, "#list .count") == [str(count)])


def test_a_live_part_changes_by_itself_but_not_under_the_pointer(home, browser, at):
    at("/alerts?source=board-b&state=new")
    before = int(texts_of(browser, "#list .count")[0])
    look = "document.dispatchEvent(new Event('visibilitychange'))"
    new_event(home, "live", 1)
    browser.execute_script(look)
    until_counted(browser, before + 1)
    WebDriverWait(browser, WAIT).until(lambda each: each.find_element(By.ID, "said").get_attribute("textContent"))
    # somebody is in the list: what is new is offered, and nothing moves
    press(browser, "j")
    row = browser.find_element(By.CSS_SELECTOR, "[data-row]")
    place = row.rect
    new_event(home, "live", 2)
    browser.execute_script(look)
    offer = WebDriverWait(browser, WAIT).until(lambda each: each.find_element(By.ID, "fresh-list"))
    assert row.rect == place
    assert texts_of(browser, "#list .count") == [str(before + 1)]
    offer.click()
    until_counted(browser, before + 2)


def test_a_source_is_added_after_a_look_at_what_it_would_read(home, browser, at):
    cards = "".join(
        f'<div class="card"><h3><a class="t" href="/v/{n}">{html.escape(title)[:300]}</a></h3><p>{"words " * 9}</p></div>'
        for n, title in enumerate(strings())
    )
    page = (200, {"Content-Type": "text/html; charset=utf-8"}, f"<body>{cards}</body>".encode("utf-8", "replace"))
    with Webhook([page]) as site:
        at("/sources/+new")
        browser.find_element(By.NAME, "url").send_keys(f"{site.url.rstrip('/')}/list")
        browser.find_element(By.CSS_SELECTOR, "button.main").click()
        text = WebDriverWait(browser, 120).until(lambda each: each.find_element(By.ID, "text"))
    assert "platform: declared" in text.get_attribute("value")
    titles = browser.find_elements(By.CSS_SELECTOR, "section.card tbody tr")
    assert len(titles) >= 150
    # the titles of the site did nothing
    assert "hacked" not in browser.title
    assert (
        browser.find_elements(By.CSS_SELECTOR, "section.card tbody :is(script, img, svg, a, form, input, iframe)") == []
    )
    text.send_keys(Keys.CONTROL, Keys.END)
    text.send_keys("\n# looked at by a person\n")
    browser.find_element(By.CSS_SELECTOR, "form.card button.main").click()
    until_said(browser, "was added")
    [file] = [each for each in (home / "sources").iterdir() if each.stem not in {*SOURCES, "example"}]
    assert "# looked at by a person" in file.read_text()
    with opened(home) as store:
        [row] = store.database.rows("select actor, detail from audit where action = 'added source'")
        assert row["detail"] == file.stem
    # the list has it as soon as files are looked at again
    WebDriverWait(browser, WAIT, 1).until(
        lambda each: (each.get(each.current_url), each.find_elements(By.LINK_TEXT, file.stem))[1]
    )
    file.unlink()


@pytest.fixture(scope="module")
def axe():
    return files(AXE)["axe.min.js"].decode()


@pytest.mark.parametrize("path", PATHS)
def test_a_page_fits_every_size_and_has_no_serious_fault_of_accessibility(home, browser, at, axe, path):
    with opened(home) as store:
        [event] = store.events.latest(kind="further_release", limit=1)
        link = make_link(store, "http://x", event, "duty", datetime.now(UTC)) if "{take}" in path else ""
        path = path.replace("{event}", event.id).replace("{take}", link.partition("=")[2])
    at(path)
    for width in (360, 720, 1440):
        # 720 pixels are a screen of 1,440 at 200 %
        size(browser, width)
        wide = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1], width
    faults = []
    for form in (True, False):
        dark(browser, on=form)
        browser.execute_script(f"{axe}; window.axe = axe;") if form else None
        # the second time for the colours alone
        rules = "{}" if form else "{runOnly: ['color-contrast']}"
        found = browser.execute_async_script(
            f"const done = arguments[0]; axe.run(document, {rules}).then(r => done(r.violations)).catch(e => done([String(e)]))"
        )
        faults += [
            (each["id"], node["html"][:200], node.get("failureSummary", "")[:200])
            for each in found
            if each["impact"] in {"serious", "critical"}
            for node in each["nodes"]
        ]
    assert faults == []


def test_no_page_asked_another_site_or_broke_its_own_policy(console, browser):
    asked = set()
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.add(urlsplit(message["params"]["request"]["url"])[:2])
    # the browser has pages of its own, whose addresses begin with chrome:
    assert {host for scheme, host in asked if scheme in {"http", "https"}} == {urlsplit(console.address).netloc}
    wrong = [each["message"] for each in browser.get_log("browser") if "Content Security Policy" in each["message"]]
    assert wrong == []


def test_the_process_that_answers_cannot_open_the_match_key(console, browser, at):
    at("/about")
    text = browser.find_element(By.TAG_NAME, "main").text
    assert "closed to this process" in text
    assert "Landlock" in text


def test_a_changed_incident_is_read_without_a_lost_request(home, browser, at):
    console_home.put_incident_of(home, "Another Breach", [], [])
    at("/incidents")
    deadline = time.monotonic() + WAIT
    while "Another Breach" not in browser.page_source and time.monotonic() < deadline:
        at("/incidents")
    assert "Another Breach" in browser.page_source
