"""One-time links in messages: from the chat that gets one to the decision in the record, and everything that must not decide."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from pydantic import ValidationError

from crawler.alerts.events import build_event
from data.model import EventKind, TriageState
from data.settings.settings import Settings
from data.store.triage import Decision
from scheduler.delivery.delivery import deliver_due
from scheduler.delivery.routing import route_by
from scheduler.delivery.take_links import LASTS, link_of, make_link
from tests.inside import refused, run
from tests.scheduler.console.conftest import ADDRESS, Site
from tests.servers.strict_chats import SECRET
from tests.servers.webhook import Webhook

SAME = {"origin": ADDRESS, "sec-fetch-site": "same-origin"}


def event_of(*parts: object):
    return build_event(EventKind.GAP, datetime.now(UTC), "take", *parts, source="board-a", facts={"subject": "listing"})


def sent_links(site: Site, event) -> list[str]:
    """The paths of the links that two channels got with a message, by the real delivery."""
    with Webhook() as first, Webhook() as second, site.store() as store:
        channels = {
            name: {"kind": "generic", "url": chat.url, "secret": SECRET, "take_links": True}
            for name, chat in (("duty", first), ("soc", second))
        }
        settings = Settings.model_validate({"console": ADDRESS, "channels": channels})
        store.events.add([event], route_by(settings), datetime.now(UTC))
        asyncio.run(deliver_due(settings, store))
        # alerts of other tests have no channel of that name
        texts = [json.loads(each.received[-1].body)["message"] for each in (first, second)]
    links = [re.search(r"Take it on .*: (\S+)$", text, re.MULTILINE)[1] for text in texts]
    assert all(link.startswith(ADDRESS + "/take?link=") for link in links)
    return [link.removeprefix(ADDRESS) for link in links]


def state_of(site: Site, event: str):
    with site.store() as store:
        return store.triage.of([event], datetime.now(UTC)).get(event)


def secret_in(path: str) -> str:
    return urlsplit(path).query.removeprefix("link=")


@pytest.mark.slow
def test_a_link_takes_an_alert_on_once_by_its_form_alone_and_the_record_says_by_whom_and_how(site: Site):
    event = event_of("once")
    path, other = sent_links(site, event)
    assert path != other
    client = site.client()
    # what a chat does that shows a preview of every address
    for _ in range(2):
        assert client.get(path, headers={"sec-fetch-site": "none"}).status_code == 200
        assert client.head(path).status_code in {200, 405}
    assert state_of(site, event.id) is None
    page = client.get(path)
    assert event.id[:12] in page.text
    assert "board-a" not in page.text, "nobody is signed in"
    done = client.post("/take", data={"link": secret_in(path), "name": "Ana"}, headers=SAME)
    assert (done.status_code, "Ana works on" in done.text) == (200, True)
    assert (state_of(site, event.id).state.value, state_of(site, event.id).owner) == ("acknowledged", "Ana")
    with site.store() as store:
        [row] = store.audit.about(event.id)
        assert (row["actor"], row["action"]) == ("Ana (a link in duty)", "acknowledged")
        assert store.audit.verify() == []
    for used in (path, other):
        assert client.get(used).status_code == 403
        again = client.post("/take", data={"link": secret_in(used), "name": "Eve"}, headers=SAME)
        assert (again.status_code, "was used" in again.text) == (403, True)
    assert state_of(site, event.id).owner == "Ana"
    stored = b"".join(file.read_bytes() for file in site.home.glob("tocsin.db*"))
    assert secret_in(path).encode() not in stored


@pytest.mark.slow
def test_a_link_to_what_was_decided_elsewhere_shows_no_form_until_it_is_open_again(site: Site):
    event = event_of("elsewhere")
    path, _ = sent_links(site, event)
    client = site.client()
    for state, reason in ((TriageState.ACKNOWLEDGED, ""), (TriageState.CLOSED, "test")):
        with site.store() as store:
            store.triage.decide([event.id], Decision(state, reason=reason), "eve", datetime.now(UTC))
        page = client.get(path)
        assert (page.status_code, '<form method="post" action="/take"' in page.text) == (200, False)
        assert "Somebody has taken" in page.text
        assert "eve" not in page.text, "nobody is signed in"
    with site.store() as store:
        store.triage.decide([event.id], Decision(TriageState.NEW), "eve", datetime.now(UTC))
    assert '<form method="post" action="/take"' in client.get(path).text


@pytest.mark.slow
def test_what_no_form_of_ours_sends_takes_nothing_on(site: Site):
    event = event_of("refused")
    path, _ = sent_links(site, event)
    client, good = site.client(), {"link": secret_in(path), "name": "Eve"}
    for data, headers in (
        (good, {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}),
        (good, {"origin": "null"}),
        (good, {**SAME, "host": "evil.example"}),
        ({**good, "name": ""}, SAME),
        ({**good, "name": "<script>"}, SAME),
        ({**good, "link": "aaaa"}, SAME),
        ({"name": "Eve"}, SAME),
    ):
        assert client.post("/take", data=data, headers=headers).status_code in {400, 403, 421}, (data, headers)
    assert client.get("/take?link=aaaa").status_code == client.get("/take").status_code == 403
    assert client.put(path, headers=SAME).status_code == 405
    assert state_of(site, event.id) is None


def test_a_link_ends_after_a_day_and_there_is_none_for_what_nobody_can_take_on(site: Site):
    now, event = datetime.now(UTC), event_of("ends")
    with site.store() as store:
        store.events.add([event], lambda _: (), now)
        secret = secret_in(make_link(store, ADDRESS, event, "duty", now))
        assert link_of(store, secret, now + LASTS - timedelta(seconds=1)) is not None
        assert link_of(store, secret, now + LASTS) is None
        ended = build_event(EventKind.RECOVERED, now, "ends", facts={"of": "gap", "subject": "listing"})
        assert make_link(store, ADDRESS, ended, "duty", now) == ""
        store.triage.decide([event.id], Decision(TriageState.CLOSED, reason="test"), "ana", now)
        assert make_link(store, ADDRESS, event, "duty", now) == ""


@pytest.mark.parametrize("port", ["0", "99999", "x"])
def test_an_address_of_the_console_with_no_port_that_there_is_is_refused(site: Site, port):
    refused(
        run(site.home, "console", "invite", "ana", "--origin", f"https://console.example:{port}"), "no address", "hint:"
    )
    refused(
        run(site.home, "console", "--listen", "127.0.0.1:0", "--origin", f"https://h:{port}"), "no address", "hint:"
    )


@pytest.mark.parametrize(
    "console",
    [
        "",
        "console.example",
        "https://console.example/path",
        "https://a@console.example",
        "https://console.example:0",
        "https://console.example:99999",
    ],
)
def test_links_need_the_address_of_the_console(console):
    value = {"console": console, "channels": {"c": {"kind": "slack", "url": "http://x/", "take_links": True}}}
    with pytest.raises(ValidationError, match="console"):
        Settings.model_validate(value)
