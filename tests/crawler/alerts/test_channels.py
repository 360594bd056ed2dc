"""Every channel against a strict server: what is sent, and what each response leads to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import socketserver
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from email import message_from_bytes

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from crawler.alerts.channels.registry import dialect, dialects, masked
from crawler.alerts.events import build_event
from crawler.alerts.plain_text import defang, sanitize
from crawler.alerts.wording import message_of
from data.errors import DeliveryDeferred, DeliveryRefused
from data.model import EventKind, Severity
from data.settings.settings import Settings
from data.store.store import Store
from scheduler.delivery.delivery import deliver_due, http_client, send
from scheduler.delivery.routing import route_by
from tests.servers.receivers import receiver
from tests.servers.strict_chats import NEEDS, SECRET, STRICT, cef_of, shown_texts
from tests.servers.webhook import Webhook

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOSTILE = "@everyone <!channel> <https://evil.example|click> & \x1b[31m\u202egnp.exe [x](http://evil.example)\n\r\0"
EVENT = build_event(
    EventKind.FURTHER_RELEASE, NOW, "x", source=HOSTILE, address="http://leaks.example/files/[2ee95c].zip",
    facts={
        "clients": [{"client": "practice-1", "canaries": 3, "records": 4, "kinds": ["email", "nir"]}],
        "verdict": "overlap", "people": 10, "known": 4, "new": 6, "interval": [5, 6], "format": "zip", "bytes": 99,
        "problems": [], "complete": True,
    },
)  # fmt: skip


def channel(kind: str, url: str, **more: object):
    needs = {**NEEDS, "matrix": {"room": "!r:x", "token": "secret-token"}}.get(kind, {})
    return Settings.model_validate(
        {"channels": {"c": {"kind": kind, "url": _address(kind, url), **needs, **more}}}
    ).channels["c"]


def _address(kind: str, url: str) -> str:
    return {"email": url.replace("http", "smtp"), "syslog": url.replace("http", "tcp")}.get(kind, url + "/hook/T0K3N")


def composed(kind: str, url: str, timestamp: int | None = None, **more: object):
    target = channel(kind, url, **more)
    message = message_of(EVENT, clients={"practice-1": "Cabinet des Lilas"}, case="case")
    return target, dialect(target).compose(target, "a" * 32, message, timestamp or int(time.time()))


def deliver(kind: str, server: Webhook, **more: object) -> int:
    target, outgoing = composed(kind, server.url, **more)

    async def go() -> int:
        async with http_client() as client:
            return (await send(client, target, outgoing)).status

    return asyncio.run(go())


KINDS = tuple(sorted(dialects()))
# mail goes to a mail server, syslog to a syslog server, and Apprise sends by itself: tests/scheduler/delivery/
HTTP_KINDS = tuple(kind for kind in KINDS if kind not in {"apprise", "email", "syslog"})


@pytest.mark.parametrize("kind", HTTP_KINDS)
def test_a_message_is_delivered_with_counts_names_and_a_defanged_address(kind):
    with Webhook() as server:
        assert deliver(kind, server) == 200
        (request,) = server.received
    text = "\n".join(shown_texts(kind, request.body))
    for expected in ("Cabinet des Lilas", "practice-1", "hxxp[://]leaks[.]example", "6"):
        assert expected in text
    assert b"http://leaks" not in request.body


@pytest.mark.parametrize("kind", KINDS)
def test_text_of_a_source_cannot_mention_people_form_links_or_hide_characters(kind):
    _, outgoing = composed(kind, "http://127.0.0.1:9")
    text = "\n".join(shown_texts(kind, outgoing.body))
    for forbidden in ("@everyone", "<!channel>", "\\u001b", "\x1b", "\u202e", "\\u0000"):
        assert forbidden not in text
    if kind == "slack":
        assert b"<" not in outgoing.body, "Slack turns angle brackets into links and mentions"
    if kind == "matrix":
        assert "<https" not in json.loads(outgoing.body)["formatted_body"]


FAULTS = {
    "500": ((500, {}, b""), DeliveryDeferred, None),
    "503 with Retry-After": ((503, {"Retry-After": "7"}, b""), DeliveryDeferred, 7.0),
    "429 with Retry-After": ((429, {"Retry-After": "3"}, b""), DeliveryDeferred, 3.0),
    "429": ((429, {}, b""), DeliveryDeferred, None),
    "404": ((404, {}, b""), DeliveryRefused, None),
    "401": ((401, {}, b""), DeliveryRefused, None),
    "redirect": ((302, {"Location": "http://127.0.0.2:1/"}, b""), DeliveryRefused, None),
    "drop": ("drop", DeliveryDeferred, None),
    "hang": ("hang", DeliveryDeferred, None),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", HTTP_KINDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_each_response_defers_or_refuses_the_alert(kind, fault):
    step, expected, wait = FAULTS[fault]
    with Webhook([step]) as server:
        with pytest.raises(expected) as caught:
            deliver(kind, server, timeout="500ms" if step == "hang" else "60s")
        assert len(server.received) == 1
    assert caught.value.retry_after == wait
    assert "T0K3N" not in str(caught.value), "the path of a webhook's address is its secret"
    assert "/…" in str(caught.value)


@contextlib.contextmanager
def half_open():
    """A server that lets clients connect and never speaks."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def dripping():
    """A server that sends its answer one byte at a time and never ends it."""

    ended = threading.Event()

    class Drip(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                while not ended.wait(0.05):
                    self.request.sendall(b"H")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Drip) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        ended.set()
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def without_tls():
    """A server that speaks no TLS, at an https:// address."""
    with Webhook() as server:
        yield server.url.replace("http://", "https://")


CONNECTIONS = {
    "half open": half_open, "dripping": dripping, "no TLS": without_tls,
    "no such name": lambda: contextlib.nullcontext("http://chat.invalid"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("fault", CONNECTIONS)
def test_a_connection_that_leads_to_no_answer_defers_the_alert_of_every_kind(fault):
    async def outcome(kind: str, url: str) -> Exception | None:
        target, outgoing = composed(kind, url, timeout="2s")
        async with http_client() as client:
            try:
                await send(client, target, outgoing)
            except (DeliveryDeferred, DeliveryRefused) as error:
                return error
        return None

    async def all_kinds(url: str) -> list[Exception | None]:
        return await asyncio.gather(*(outcome(kind, url) for kind in HTTP_KINDS))

    with CONNECTIONS[fault]() as url:
        outcomes = asyncio.run(all_kinds(url))
    for kind, error in zip(HTTP_KINDS, outcomes, strict=True):
        assert isinstance(error, DeliveryDeferred), (kind, error)
        assert "T0K3N" not in str(error), kind


def test_matrix_gives_the_waiting_time_in_the_body():
    answer = (429, {}, b'{"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 2500}')
    with Webhook([answer]) as server, pytest.raises(DeliveryDeferred) as caught:
        deliver("matrix", server)
    assert caught.value.retry_after == 2.5


def test_discord_gives_the_waiting_time_in_the_body_and_answers_after_it_has_stored_the_message():
    with Webhook([(429, {}, b'{"retry_after": 0.75, "global": false}')]) as server:
        with pytest.raises(DeliveryDeferred) as caught:
            deliver("discord", server)
        assert server.received[0].path.endswith("?wait=true")
    assert caught.value.retry_after == 0.75


def test_pagerduty_resolves_the_alert_that_a_state_began():
    def body(kind: EventKind, case: str = "", **facts: object):
        event = build_event(kind, NOW, str(facts), source="forum", facts=facts)
        target = channel("pagerduty", "http://127.0.0.1:9")
        return json.loads(dialect(target).compose(target, "a" * 32, message_of(event, clients={}, case=case), 1).body)

    began = body(EventKind.SOURCE_SILENT, subject="listing", reason="timeout")
    reminder = body(EventKind.SOURCE_SILENT, subject="listing", reminder=True, began="2026-11-01T12:00:00+00:00")
    other = body(EventKind.SOURCE_SILENT, subject="new posts")
    ended = body(EventKind.RECOVERED, of="source_silent", subject="listing", began="2026-11-01T12:00:00+00:00")
    assert began["dedup_key"] == reminder["dedup_key"] == ended["dedup_key"] != other["dedup_key"]
    assert (began["event_action"], ended["event_action"]) == ("trigger", "resolve")
    assert body(EventKind.CANARY_HIT) == body(EventKind.CANARY_HIT), "an alert that is sent twice is one"
    assert body(EventKind.CANARY_HIT)["dedup_key"] != body(EventKind.CANARY_HIT, case="other")["dedup_key"]


def test_matrix_uses_the_alerts_id_as_transaction_and_hides_its_token():
    _, outgoing = composed("matrix", "http://127.0.0.1:9")
    assert outgoing.method == "PUT"
    assert outgoing.url.endswith("/rooms/%21r%3Ax/send/m.room.message/" + "a" * 32)
    assert outgoing.headers["authorization"] == "Bearer secret-token"
    assert "secret-token" not in repr(outgoing)


def test_a_generic_message_is_signed_as_standard_webhooks_specifies():
    _, outgoing = composed("generic", "http://127.0.0.1:9")
    headers = dict(outgoing.headers)
    assert Verifier(SECRET).verify(outgoing.body, headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(SECRET).verify(outgoing.body.replace(b"practice-1", b"practice-2"), headers)


@pytest.mark.parametrize("kind", [kind for kind in EventKind])  # noqa: C416 - the ids read better
def test_every_kind_of_event_has_a_title(kind):
    message = message_of(build_event(kind, NOW, "x", facts={"subject": "listing", "reason": "why"}), clients={})
    assert message.title
    assert ("tocsin status" if kind is EventKind.HEARTBEAT else "tocsin alert show") in message.text


def test_addresses_are_masked_and_defanged():
    assert masked("https://user:pw@hooks.example:8443/services/SECRET?x=1") == "https://hooks.example:8443/…"
    # services of Apprise have their token where others have the host
    assert masked("tgram://123456789:TOKEN/-100") == "tgram://…"
    assert defang("https://a.b.example/x") == "hxxps[://]a[.]b[.]example/x"
    assert sanitize("a\x00b\u202ec\n d") == "abc d"


# --- the outbox and its channels --------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    opened = Store.open(tmp_path / "t.db")
    yield opened
    opened.close()


def settings_of(**urls: str) -> Settings:
    return Settings.model_validate(
        {"channels": {name: {"kind": "generic", "url": url + "/hook", "secret": SECRET} for name, url in urls.items()}}
    )


def add_events(store: Store, settings: Settings, count: int = 1) -> None:
    events = [build_event(EventKind.CANARY_HIT, NOW, number) for number in range(count)]
    store.events.add(events, route_by(settings), NOW)


@pytest.mark.slow
def test_a_refused_alert_stays_in_the_outbox_and_the_other_channel_is_notified(store):
    with Webhook([(404, {}, b"")]) as bad, Webhook() as good:
        settings = settings_of(bad=bad.url, good=good.url)
        add_events(store, settings)
        outcome = asyncio.run(deliver_due(settings, store))
        assert (outcome.sent, outcome.refused) == (1, 1)
        assert [row["channel"] for row in store.outbox.alerts(state="refused")] == ["bad"]
        asyncio.run(deliver_due(settings, store))
        kinds = [json.loads(request.body)["event"]["action"] for request in good.received]
        assert sorted(kinds) == ["canary_hit", "delivery_failed"]
        bad.script = [(200, {}, b"ok")]
        assert store.outbox.retry(None, datetime.now(UTC)) == 1
        assert asyncio.run(deliver_due(settings, store)).sent == 1
        asyncio.run(deliver_due(settings, store))
        kinds = [json.loads(request.body)["event"]["action"] for request in good.received]
        assert sorted(kinds)[:2] == ["canary_hit", "delivery_failed"]
    assert bad.received[0].headers["webhook-id"] == bad.received[1].headers["webhook-id"]


@pytest.mark.slow
def test_a_channel_with_any_number_of_waiting_alerts_delays_no_other_channel(store):
    with Webhook([(500, {"Retry-After": "600"}, b"")]) as bad, Webhook() as good:
        settings = settings_of(bad=bad.url, good=good.url)
        add_events(store, settings_of(bad=bad.url), 250)
        events = [build_event(EventKind.CANARY_HIT, NOW, "later", number) for number in range(150)]
        store.events.add(events, route_by(settings), NOW)
        first, second = (asyncio.run(deliver_due(settings, store)) for _ in range(2))
        # the last one says that the other channel does not take alerts for long
        assert (first.sent, second.sent) == (100, 51)
        assert json.loads(good.received[-1].body)["event"]["action"] == "delivery_failed"
        assert first.deferred == 1
        assert len(bad.received) == 1, "the others of the channel wait as long as the one that it deferred"
        assert {row["state"] for row in store.outbox.alerts(limit=-1) if row["channel"] == "good"} == {"sent"}
        bad.script = [(200, {}, b"ok")]
        assert store.outbox.retry(None, datetime.now(UTC)) == 400
        assert asyncio.run(deliver_due(settings, store)).sent == 100, (
            "a person need not wait for the pause of the channel"
        )


def test_alerts_that_arise_before_the_first_channel_wait_for_it(store):
    add_events(store, Settings(), 3)
    assert asyncio.run(deliver_due(Settings(), store)).sent == 0
    assert (store.outbox.count_without_channel(), store.outbox.depth().waiting) == (3, 3)
    assert store.outbox.next_tries() == []
    with Webhook() as chat:
        settings = settings_of(team=chat.url)
        assert asyncio.run(deliver_due(settings, store)).sent == 3
        assert asyncio.run(deliver_due(settings, store)).sent == 0
        assert len(chat.received) == 3
    assert store.outbox.count_without_channel() == store.outbox.depth().waiting == 0


def test_alerts_of_a_channel_that_was_renamed_go_to_the_new_one(store):
    with Webhook([(500, {}, b"")]) as bad, Webhook() as good:
        old = settings_of(old=bad.url, other=good.url)
        add_events(store, old, 2)
        assert asyncio.run(deliver_due(old, store)).deferred == 1
        store.outbox.retry(None, datetime.now(UTC))
        new = settings_of(new=good.url, other=good.url)
        asyncio.run(deliver_due(new, store))
        states = {(row["channel"], row["state"]) for row in store.outbox.alerts(limit=-1)}
        assert states == {("new", "sent"), ("other", "sent")}
        assert len([row for row in store.outbox.alerts(limit=-1) if row["channel"] == "new"]) == 2


def test_a_deferred_alert_is_sent_later_with_the_same_key(store):
    with Webhook([(429, {"Retry-After": "0"}, b""), (200, {}, b"")]) as server:
        settings = settings_of(c=server.url)
        add_events(store, settings)
        assert asyncio.run(deliver_due(settings, store)).deferred == 1
        assert store.outbox.depth().waiting == 1
        time.sleep(0.3)
        assert asyncio.run(deliver_due(settings, store)).sent == 1
        assert store.outbox.depth().waiting == 0
        assert len({request.headers["webhook-id"] for request in server.received}) == 1


class Clock(datetime):
    """The clock of the delivery in tests of a day."""

    at = NOW

    @classmethod
    def now(cls, tz=None):
        return cls.at


DOWN = [(503, {}, b""), (500, {"Retry-After": "7200"}, b""), (429, {"Retry-After": "10800"}, b""), (502, {}, b"")]


@pytest.mark.slow
def test_a_chat_that_is_down_for_a_day_is_asked_now_and_then(store, monkeypatch):
    """The clock is simulated: whenever nothing is due, it is set to the next try."""
    monkeypatch.setattr("scheduler.delivery.delivery.datetime", Clock)
    monkeypatch.setattr(Clock, "at", NOW)
    with Webhook(DOWN * 100) as server:
        add_events(store, settings := settings_of(c=server.url))
        while Clock.at < NOW + timedelta(days=1):
            asyncio.run(deliver_due(settings, store))
            waiting = [each for each in store.outbox.next_tries() if each > Clock.at]
            Clock.at = min(waiting, default=Clock.at + timedelta(minutes=1))
        assert 24 <= len(server.received) < 60


@pytest.mark.slow
def test_after_a_day_without_its_receiver_every_kind_shows_every_alert_once_and_in_order(store, monkeypatch):
    """The clock is simulated: it goes on by an hour whenever nothing is due."""
    monkeypatch.setattr("scheduler.delivery.delivery.datetime", Clock)
    monkeypatch.setattr(Clock, "at", NOW)
    # what Apprise is tried costs a process each time
    monkeypatch.setattr("scheduler.delivery.delivery.MAX_RETRY_AFTER", 8 * 3600.0)
    down = {"email": [(421, {}, b""), (451, {}, b"")], "apprise": [(503, {"Retry-After": "28800"}, b"")]}
    back, number = NOW + timedelta(days=1), 3
    tried: dict[str, int] = dict.fromkeys(KINDS, 0)
    shown: dict[str, list[str]] = {kind: [] for kind in KINDS}

    def take_of(kind):
        def take(request):
            tried[kind] += 1
            if Clock.at < back:
                answers = down.get(kind, DOWN)
                return answers[tried[kind] % len(answers)]
            shown[kind].append(_text_of(kind, request))
            # Apprise has a form of its own for each service
            return (200, {}, b"") if kind == "apprise" else STRICT[kind](request)

        return take

    with contextlib.ExitStack() as stack:
        # a busy machine makes no second copies: no answer is given up
        channels = {kind: {**stack.enter_context(receiver(kind, take_of(kind))), "timeout": "10m"} for kind in KINDS}
        settings = Settings.model_validate({"channels": channels})
        events = [build_event(EventKind.CANARY_HIT, NOW, each, source=f"s{each}") for each in range(number)]
        store.events.add(events, lambda _: KINDS, NOW)
        while store.outbox.depth().waiting and Clock.at < back + timedelta(hours=9):
            asyncio.run(deliver_due(settings, store))
            Clock.at += timedelta(hours=1)
    assert {row["state"] for row in store.outbox.alerts(limit=-1)} == {"sent"}
    for kind, texts in shown.items():
        places = [[at for at, text in enumerate(texts) if f"s{each}" in text] for each in range(number)]
        assert all(len(each) == 1 for each in places), (kind, places)
        assert places == sorted(places), kind
        assert tried[kind] > len(texts), kind


def _text_of(kind: str, request) -> str:
    return "\n".join(shown_texts(kind, request.body)) if kind in {"email", "syslog"} else request.body.decode()


# What the receiver tells two copies of a message by; docs/alerts.md names these kinds. The others show both.
KEYS = {
    "alertmanager": lambda each: json.loads(each.body)[0]["labels"],
    "email": lambda each: message_from_bytes(each.body)["Message-ID"],
    "generic": lambda each: each.headers["webhook-id"],
    "matrix": lambda each: each.path,
    "pagerduty": lambda each: json.loads(each.body)["dedup_key"],
    "syslog": lambda each: cef_of(each.body)[1]["externalId"],
}
# Delivers what is due; the arguments are the database and the settings.
DELIVERER = """
import asyncio, json, pathlib, sys
from data.settings.settings import Settings
from data.store.store import Store
from scheduler.delivery.delivery import deliver_due
asyncio.run(deliver_due(Settings.model_validate(json.loads(sys.argv[2])), Store.open(pathlib.Path(sys.argv[1]))))
"""


@pytest.mark.slow
def test_after_a_kill_between_the_message_and_the_note_of_it_every_kind_sends_it_again_with_its_key(store, tmp_path):
    """All receivers have the whole message and have not answered when the process that delivers is killed."""
    arrived: dict[str, list] = {kind: [] for kind in KINDS}
    all_there, killed = threading.Event(), threading.Event()

    def take_of(kind):
        def take(request):
            arrived[kind].append(request)
            if all(arrived.values()):
                all_there.set()
            killed.wait(300)
            return (200, {}, b"") if kind == "apprise" else STRICT[kind](request)

        return take

    event = build_event(EventKind.CANARY_HIT, NOW, "killed", source="board")
    with contextlib.ExitStack() as stack:
        stack.callback(killed.set)
        channels = {kind: {**stack.enter_context(receiver(kind, take_of(kind))), "timeout": "10m"} for kind in KINDS}
        settings = Settings.model_validate({"channels": channels})
        store.events.add([event], route_by(settings), NOW)
        process = subprocess.Popen(
            [sys.executable, "-c", DELIVERER, tmp_path / "t.db", json.dumps({"channels": channels})]
        )
        try:
            assert all_there.wait(300), [kind for kind in KINDS if not arrived[kind]]
        finally:
            process.kill()
            process.wait()
        killed.set()
        assert {row["state"] for row in store.outbox.alerts()} == {"due"}
        assert asyncio.run(deliver_due(settings, store)).sent == len(KINDS)
        assert asyncio.run(deliver_due(settings, store)).sent == 0
    for kind, copies in arrived.items():
        assert len(copies) == 2, kind
        if kind in KEYS:
            first, second = map(KEYS[kind], copies)
            assert first == second, kind
            assert first, kind


def test_a_channel_that_hangs_does_not_hold_up_another(store):
    with Webhook(["drop"]) as bad, Webhook() as good:
        settings = settings_of(bad=bad.url, good=good.url)
        add_events(store, settings, 3)
        outcome = asyncio.run(deliver_due(settings, store))
        assert (outcome.sent, outcome.deferred) == (3, 1)
        assert len(bad.received) == 1, "the other alerts of a failing channel wait"


def test_routes_narrow_by_severity_kind_and_source():
    value = {
        "channels": {"a": {"kind": "slack", "url": "http://x/"}, "b": {"kind": "slack", "url": "http://x/"}},
        "routes": [
            {"channels": ["a"], "min_severity": "critical"},
            {"channels": ["b"], "min_severity": "info", "sources": ["s"]},
        ],
    }
    route = route_by(Settings.model_validate(value))
    assert route(build_event(EventKind.CANARY_HIT, NOW, 1)) == ("a",)
    assert route(build_event(EventKind.REPOST, NOW, 1, source="s")) == ("b",)
    assert route(build_event(EventKind.GAP, NOW, 1)) == ()
    everything = route_by(Settings.model_validate({"channels": value["channels"]}))
    assert everything(build_event(EventKind.GAP, NOW, 1)) == ("a", "b")
    assert everything(build_event(EventKind.LISTING_CHANGED, NOW, 1)) == ()
    assert Severity.CRITICAL.rank > Severity.WARNING.rank


HOSTILE_ANSWERS = {
    "a year without end": (503, {"Retry-After": "Mon, 01 Jan " + "9" * 40 + " 00:00:00 GMT"}, b""),
    "an offset of forty digits": (503, {"Retry-After": "Mon, 01 Jan 2026 00:00:00 +" + "9" * 40}, b""),
    "a number of four hundred digits": (503, {"Retry-After": "9" * 400}, b""),
    "a negative number": (503, {"Retry-After": "-5"}, b""),
    "digits that are no ASCII": (503, {"Retry-After": "\u0663"}, b""),
    "a redirect to no host": (302, {"Location": "http://[::1"}, b""),
    "a body that is no JSON": (429, {}, b"\xff\xfe{"),
    "an endless wait in the body": (429, {}, b'{"retry_after_ms": 1e999}'),
    "a wait that is no number": (429, {}, b'{"retry_after_ms": {"a": []}}'),
}


@pytest.mark.parametrize("kind", HTTP_KINDS)
@pytest.mark.parametrize("answer", HOSTILE_ANSWERS)
@pytest.mark.slow
def test_no_answer_of_a_receiver_ends_delivery_to_the_others(store, kind, answer):
    status, headers, body = HOSTILE_ANSWERS[answer]
    needs = {**NEEDS, "matrix": {"room": "!r:x", "token": "secret-token"}}.get(kind, {})
    # as Python's server writes headers: bytes as they are
    sent = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    with Webhook([(status, sent, body)]) as hostile, Webhook() as good:
        settings = Settings.model_validate({"channels": {
            "bad": {"kind": kind, "url": f"{hostile.url}/x", **needs}, "good": {"kind": "slack", "url": f"{good.url}/x"},
        }})  # fmt: skip
        add_events(store, settings)
        counts = asyncio.run(deliver_due(settings, store))
    assert (counts.sent, counts.deferred + counts.refused, len(good.received)) == (1, 1, 1)


@pytest.mark.parametrize("kind", ["generic", "matrix"])
def test_a_receiver_that_accepts_and_never_ends_has_accepted(store, kind, monkeypatch):
    monkeypatch.setattr("scheduler.delivery.delivery.ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
                done.wait(30)

        done = threading.Event()
        threading.Thread(target=answer, daemon=True).start()
        value = {"kind": kind, "url": f"http://127.0.0.1:{server.getsockname()[1]}", **NEEDS[kind]}
        settings = Settings.model_validate({"channels": {"c": value}})
        add_events(store, settings)
        counts = asyncio.run(deliver_due(settings, store))
        done.set()
    assert counts.sent == 1
