"""One happening is one thread, and a storm is a few messages: what the strict chats get, and what the outbox keeps."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from urllib.parse import parse_qs

import pytest

from crawler.alerts.channels.registry import dialect
from crawler.alerts.events import build_event
from data.model import EventKind, Severity, TriageState
from data.settings.settings import Settings
from data.store.outbox import STORM, alert_id
from data.store.store import Store
from data.store.triage import Decision
from scheduler.delivery.decisions import decide
from scheduler.delivery.delivery import DeliveryCounts, _compose, deliver_due, deliver_until_empty
from scheduler.delivery.lasting_states import recovery_event
from scheduler.delivery.routing import route_by
from tests.servers.strict_chats import NEEDS, STRICT, TOKEN, shown_texts, slack_bot
from tests.servers.webhook import Webhook

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)
LEAK = {
    "verdict": "superset", "people": 240, "known": 150, "new": 90, "interval": [89, 91], "complete": True,
    "release": "sighted-" + "1" * 16, "clients": [{"client": "practice-1", "canaries": 3, "records": 4, "kinds": ["email"]}],
}  # fmt: skip
SLACK_BOT = {"room": "C1", "token": TOKEN}


@pytest.fixture
def store(tmp_path):
    opened = Store.open(tmp_path / "t.db")
    yield opened
    opened.close()


def leak(place: int, at: datetime = NOW, **facts: object):
    """The event of the data of `LEAK` in the post of a place."""
    value = LEAK | facts
    return build_event(
        EventKind.FURTHER_RELEASE, at, "fingerprint", value["new"], source=f"forum-{place}", post=f"{place:032x}",
        address=f"https://forum-{place}.example/", facts=value,
    )  # fmt: skip


def repost(place: int):
    """The event that data which was registered at the first place is in the post of another place."""
    facts = LEAK | {
        "verdict": "re-post",
        "known": 240,
        "new": 0,
        "interval": [0, 0],
        "parents": [{"release": LEAK["release"], "share": 1.0}],
    }
    del facts["release"]
    return build_event(EventKind.REPOST, NOW, place, source=f"forum-{place}", post=f"{place:032x}", facts=facts)


def settings_for(kind: str, url: str, **more: object) -> Settings:
    return Settings.model_validate(
        {"case": "vendor", "channels": {"c": {"kind": kind, "url": url, **NEEDS.get(kind, {}), **more}}}
    )


def deliver(settings: Settings, store: Store, *events) -> DeliveryCounts:
    for each in events:
        store.events.add([each], route_by(settings), datetime.now(UTC))
    return asyncio.run(deliver_due(settings, store))


def in_thread(kind: str, first, second) -> bool:
    """Whether the second request stands in the thread of the first one, as the chat's interface has it."""
    if kind == "zulip":
        return parse_qs(first.body.decode())["topic"] == parse_qs(second.body.decode())["topic"]
    one, two = json.loads(first.body), json.loads(second.body)
    return {
        "slack-bot": lambda: two.get("thread_ts", "").endswith(".1") and "thread_ts" not in one,
        "matrix": lambda: two["m.relates_to"]["event_id"] == "$x" and "m.relates_to" not in one,
        "discord": lambda: second.method == "PATCH" and second.path.endswith("/messages/1"),
        "google-chat": lambda: one["thread"] == two["thread"],
        "pagerduty": lambda: one["dedup_key"] == two["dedup_key"],
        # alerts of their own, in the group of one thread
        "alertmanager": lambda: (
            one[0]["labels"]["thread"] == two[0]["labels"]["thread"] and one[0]["labels"] != two[0]["labels"]
        ),
        "generic": lambda: two["tocsin"]["thread"] == one["event"]["id"] and not one["tocsin"]["thread"],
    }.get(kind, lambda: False)()


@pytest.mark.parametrize(
    "kind",
    ["slack", "slack-bot", "matrix", "discord", "google-chat", "zulip", "pagerduty", "generic", "teams", "mattermost",
     "rocketchat", "ntfy", "alertmanager"],
)  # fmt: skip
@pytest.mark.parametrize("again", [repost, leak], ids=["as what was registered", "before it was registered"])
def test_the_same_data_at_five_places_is_one_message_with_short_follow_ups_in_its_thread(store, kind, again):
    more, script = (SLACK_BOT, slack_bot) if kind == "slack-bot" else ({}, STRICT.get(kind))
    real = kind.removesuffix("-bot")
    with Webhook([script]) as chat:
        settings = settings_for(real, f"{chat.url}/hook", **more)
        assert deliver(settings, store, *(leak(0), *(again(place) for place in range(1, 5)))).sent == 5
        first, *others = chat.received
    assert [event.kind for event in store.events.latest()].count(EventKind.FURTHER_RELEASE) == 1
    threaded = [in_thread(kind, first, each) for each in others]
    assert threaded == [kind not in {"slack", "teams", "mattermost", "rocketchat", "ntfy"}] * 4
    last = "\n".join(shown_texts(real, others[-1].body))
    if kind == "discord":
        assert "Also at" in last
        assert all(f"forum-{place}" in last for place in range(1, 5)), "the first message is changed, not repeated"
        return
    assert "Also at forum-4, 5 places now: Further release: 90 people not seen before" in last
    assert len(others[-1].body) < len(first.body)


def test_a_follow_up_names_clients_of_whom_the_first_message_did_not_speak(store):
    with Webhook([STRICT["matrix"]]) as chat:
        settings = settings_for("matrix", f"{chat.url}/hook")
        more = repost(2)
        hits = [*LEAK["clients"], {"client": "practice-9", "canaries": 2, "records": 2, "kinds": ["email"]}]
        more = replace(more, facts={**more.facts, "clients": hits})
        assert deliver(settings, store, leak(0), repost(1), more).sent == 3
    _, same, other = ("\n".join(shown_texts("matrix", each.body)) for each in chat.received)
    assert "Also at forum-1" in same
    assert "practice-9: 2 records with 2 canaries" in other
    assert "Hit worst" not in same


def test_a_post_that_is_read_again_is_told_again_only_if_it_hits_more(store):
    """It was read before as the data of its first event; since then a client may have been enrolled."""
    nowhere = route_by(Settings())
    store.events.add([leak(1)], nowhere, NOW)
    again = repost(1)
    assert store.events.is_told(again)
    assert store.events.add([again], nowhere, NOW) == 0
    for clients in (
        [{**LEAK["clients"][0], "canaries": 4}],
        [*LEAK["clients"], {"client": "practice-2", "canaries": 1, "records": 1, "kinds": ["nir"]}],
    ):
        more = replace(
            again, id=hashlib.sha256(repr(clients).encode()).hexdigest()[:32], facts=again.facts | {"clients": clients}
        )
        assert not store.events.is_told(more)
        assert store.events.add([more], nowhere, NOW) == 1
    # the same data at another place is another event
    assert store.events.add([repost(2)], nowhere, NOW) == 1


def test_a_mail_names_the_first_one_so_that_programs_show_one_conversation(store):
    settings = settings_for("email", "smtp://127.0.0.1:9")
    store.events.add([leak(0)], route_by(settings), NOW)
    store.outbox.mark_sent(alert_id(leak(0).id, "c"), 250, NOW)
    store.events.add([repost(1)], route_by(settings), NOW)
    [due] = store.outbox.due(datetime.now(UTC))
    from scheduler.delivery.delivery import NO_NAMES

    mail = message_from_bytes(_compose(settings, due.alert, NO_NAMES, store).body, policy=policy.SMTP)
    assert mail["In-Reply-To"] == mail["References"] == f"<{alert_id(leak(0).id, 'c')}@tocsin.invalid>"


@pytest.mark.parametrize("kind", ["discord", "slack-bot"])
def test_an_alert_whose_first_message_was_deleted_stands_for_itself(store, kind):
    def gone(request):
        if kind == "discord":
            return STRICT["discord"](replace(request, path=request.path.replace("/messages/1", "/messages/404")))
        if "thread_ts" in json.loads(request.body):
            return 200, {}, b'{"ok": false, "error": "thread_not_found"}'
        return slack_bot(request)

    with Webhook([gone]) as chat:
        settings = settings_for(
            kind.removesuffix("-bot"), f"{chat.url}/hook", **(SLACK_BOT if kind == "slack-bot" else {})
        )
        assert deliver(settings, store, leak(0), repost(1)) == DeliveryCounts(sent=2)
    assert "Also at forum-1" in "\n".join(shown_texts(kind.removesuffix("-bot"), chat.received[-1].body))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b'{"ok": false, "error": "invalid_auth"}', DeliveryCounts(refused=1)),
        (b'{"ok": false, "error": "ratelimited"}', DeliveryCounts(deferred=1)),
        (b"<html>", DeliveryCounts(deferred=1)),
    ],
)
def test_slack_says_with_status_200_that_it_did_not_take_a_bots_message(store, answer, expected):
    with Webhook([(200, {}, answer)]) as chat:
        assert deliver(settings_for("slack", chat.url, **SLACK_BOT), store, leak(0)) == expected
    [row] = store.outbox.alerts()
    assert "did not take the message" in row["reason"]
    assert TOKEN not in row["reason"]


def test_what_follows_is_told_where_the_first_message_was_told_and_a_critical_alert_hides_in_no_thread(store):
    with Webhook([STRICT["matrix"]]) as chat:
        settings = settings_for("matrix", chat.url + "/hook")
        changed = build_event(
            EventKind.LISTING_CHANGED, NOW, 1, post=leak(0).post, facts={"changed": ["links (2 new)"]}
        )
        unrelated = build_event(EventKind.LISTING_CHANGED, NOW, 2, post="f" * 32)
        more = replace(leak(0), id="2" * 32, thread=leak(0).id)
        assert deliver(settings, store, leak(0), changed, unrelated, more).sent == 3, "nobody asked for a notice"
    bodies = [json.loads(request.body) for request in chat.received]
    assert ["m.relates_to" in body for body in bodies] == [False, True, False]
    assert more.severity is Severity.CRITICAL
    assert "Belongs to: Further release" in bodies[2]["body"]


def two_channels(chat, names=("team", "ops"), **more) -> Settings:
    return Settings.model_validate(
        {"channels": {name: {"kind": "slack", "url": f"{chat.url}/{name}"} for name in names}, **more}
    )


def test_what_continues_an_event_of_a_channel_that_was_renamed_goes_where_that_event_would_go_now(store):
    with Webhook([STRICT["slack"]]) as chat:
        began = build_event(EventKind.TOR_DOWN, NOW, "tor", facts={"subject": "tor", "reason": "gone"})
        old = two_channels(chat, ("team",))
        store.states.begin(began, "tor", route_by(old), NOW)
        assert asyncio.run(deliver_due(old, store)).sent == 1
        renamed = two_channels(chat, ("ops",))
        store.states.end("", EventKind.TOR_DOWN, "tor", recovery_event, route_by(renamed), NOW)
        assert asyncio.run(deliver_due(renamed, store)) == DeliveryCounts(sent=1)
        assert chat.received[-1].path == "/ops"
    assert store.states.lasting() == []


def test_a_state_of_a_channel_that_is_gone_ends_once_nothing_waits_for_it(store):
    with Webhook([STRICT["slack"]]) as chat:
        failed = build_event(EventKind.DELIVERY_FAILED, NOW, "team", facts={"channel": "team", "reason": "404"})
        store.states.begin(failed, "team", route_by(two_channels(chat, ("ops",))), NOW)
        store.events.add([leak(0)], lambda _: ("team",), NOW)
        store.outbox.mark_refused(alert_id(leak(0).id, "team"), 404, "gone", NOW)
        asyncio.run(deliver_due(two_channels(chat, ("ops",)), store))
        assert [state.subject for state in store.states.lasting()] == ["team"], "its alert is still there to be retried"
        store.outbox.retry(None, datetime.now(UTC))
        asyncio.run(deliver_due(two_channels(chat, ("ops",)), store))
    assert store.states.lasting() == []


# --- storms -----------------------------------------------------------------------------------------------------------


def storm(count: int, begin: int = 0):
    kinds = (EventKind.CANARY_HIT, EventKind.FURTHER_RELEASE, EventKind.SOURCE_SILENT)
    return [
        build_event(
            kinds[number % 3], NOW + timedelta(seconds=number), number, source=f"forum-{number % 7}", incident="vendor",
            facts={"clients": [{"client": f"practice-{number % 40}", "canaries": 1, "records": 2, "kinds": ["nir"]}]},
        )
        for number in range(begin, begin + count)
    ]  # fmt: skip


def test_a_thousand_events_are_a_handful_of_messages_and_nothing_is_dropped(store):
    with Webhook([STRICT["slack"]]) as chat, Webhook([STRICT["generic"]]) as siem:
        settings = Settings.model_validate({"channels": {
            "team": {"kind": "slack", "url": f"{chat.url}/hook"},
            "siem": {"kind": "generic", "url": f"{siem.url}/hook", **NEEDS["generic"]},
        }})  # fmt: skip
        store.events.add(storm(1000), route_by(settings), NOW)
        asyncio.run(deliver_due(settings, store))
        assert len(siem.received) == 100, "a program gets every event"
        texts = ["\n".join(shown_texts("slack", request.body)) for request in chat.received]
        rows = [row for row in store.outbox.alerts(limit=-1) if row["channel"] == "team"]
        assert len(texts) == 4
        assert {row["state"] for row in rows} == {"sent"}
        assert len(rows) == 1001
        [digest] = [event for event in store.events.latest(limit=-1) if event.kind is EventKind.DIGEST]
        assert len(store.outbox.alerts(digest=digest.id, limit=-1)) == 997
        assert "997 alerts in one message, 665 critical" in texts[-1]
        assert "40 clients" in texts[-1]
        assert f"tocsin alert list --digest {digest.id[:12]}" in texts[-1]
        # whoever takes on the digest takes on what it tells, but what was closed; closing it closes nothing else
        told = [row["event"] for row in store.outbox.alerts(digest=digest.id, limit=-1)]
        decide(store, told[:2], Decision(TriageState.CLOSED, reason="true"), "ben", NOW)
        assert decide(store, [digest.id], Decision(TriageState.CLOSED, reason="test"), "ana", NOW)[0] == 1
        decide(store, [digest.id], Decision(TriageState.NEW, ""), "ana", NOW)
        assert decide(store, [digest.id], Decision(TriageState.ACKNOWLEDGED, "ana"), "ana", NOW)[0] == 1 + 995
        owners = Counter(each.owner for each in store.triage.of([*told, digest.id], NOW).values())
        assert owners == {"ana": 996, "": 2}
        # the next ones wait for the next digest, except the first critical one of another incident
        settings = settings_for("slack", f"{chat.url}/hook").model_copy(
            update={"channels": {"team": settings.channels["team"]}}
        )
        store.database.execute("delete from alert where channel = 'siem'")
        other = build_event(EventKind.CANARY_HIT, NOW, "other", incident="another")
        store.events.add([*storm(20, 1000), other], route_by(settings), NOW)
        asyncio.run(deliver_due(settings, store))
        assert len(chat.received) == 5
        held = [row for row in store.outbox.alerts(state="due", limit=-1) if row["channel"] == "team"]
        assert {row["reason"] for row in held} == {STORM}
        assert len(held) == 20
        # a foreground command leaves nothing behind that only a daemon would send
        store.outbox.retry(None, datetime.now(UTC))
        asyncio.run(deliver_until_empty(settings, store, deadline=20))
        assert len(chat.received) == 6
        assert store.outbox.depth().waiting == 0


def test_a_digest_that_is_refused_leaves_its_alerts_open_until_it_is_sent(store):
    with Webhook([(404, {}, b"")]) as chat:
        settings = settings_for("slack", f"{chat.url}/hook")
        store.events.add(storm(30), route_by(settings), NOW)
        asyncio.run(deliver_due(settings, store))
        states = [row["state"] for row in store.outbox.alerts(limit=-1)]
        assert (states.count("grouped"), states.count("refused"), states.count("sent")) == (27, 4, 0)
        chat.script = [STRICT["slack"]]
        store.outbox.retry(None, datetime.now(UTC))
        asyncio.run(deliver_due(settings, store))
    assert {
        row["state"] for row in store.outbox.alerts(limit=-1) if row["event"] in {each.id for each in storm(30)}
    } == {"sent"}


def test_what_a_digest_was_to_tell_to_a_channel_that_is_gone_is_told_by_the_one_in_its_place(store):
    with Webhook([(404, {}, b"")]) as chat:
        old = two_channels(chat, ("team",))
        store.events.add(storm(30), route_by(old), NOW)
        asyncio.run(deliver_due(old, store))
        assert len(store.outbox.alerts(state="grouped")) == 27
        chat.script = [STRICT["slack"]]
        # a digest has no kind, source or client of what it tells, so that such a route takes none
        kinds = [kind.value for kind in EventKind if kind is not EventKind.DIGEST]
        new = two_channels(chat, ("ops",), routes=[{"channels": ["ops"], "kinds": kinds}])
        asyncio.run(deliver_due(new, store))
    states = [row["state"] for row in store.outbox.alerts(limit=-1) if row["event"] in {each.id for each in storm(30)}]
    assert (states.count("sent"), states.count("grouped")) == (27, 0)
    assert states.count("refused") == 3, "what was refused one by one waits for a person"


def test_in_a_storm_a_critical_alert_is_not_held_because_a_lesser_one_of_its_kind_was_told(store):
    with Webhook([STRICT["slack"]]) as chat:
        settings = settings_for("slack", f"{chat.url}/hook")
        store.events.add([replace(each, severity=Severity.WARNING) for each in storm(30)], route_by(settings), NOW)
        asyncio.run(deliver_due(settings, store))
        before = len(chat.received)
        assert before < 5
        store.events.add([replace(storm(1)[0], id="9" * 32), *storm(20, 1001)], route_by(settings), NOW)
        asyncio.run(deliver_due(settings, store))
        texts = ["\n".join(shown_texts("slack", request.body)) for request in chat.received[before:]]
    assert len(texts) == 2, "the first critical alert of each kind; the others wait for the digest"


@pytest.mark.parametrize("kind", sorted(STRICT))
def test_every_dialect_knows_whether_its_chat_names_messages(kind):
    url = {"email": "smtp://127.0.0.1:9", "syslog": "tcp://127.0.0.1:9"}.get(kind, "http://127.0.0.1:9/hook")
    channel = settings_for(kind, url).channels["c"]
    answer = dialect(channel).answer
    assert (answer is not None) == (kind in {"matrix", "discord", "slack"})
    assert answer is None or all(
        answer(channel, body) == "" for body in (b"", b"[]", b'{"id": 5, "event_id": {}}', b"\xff")
    )
