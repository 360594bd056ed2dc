"""`tocsin alert`: lists which alerts were sent to which channel, and retries the others."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crawler.alerts.events import build_event
from data.model import EventKind
from data.settings.home import Home
from data.store.store import Store
from scheduler.delivery.routing import route_by
from tests.command import tocsin
from tests.inside import fine, refused, run
from tests.servers.webhook import Webhook

pytestmark = [pytest.mark.slow, pytest.mark.servers]

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
AGAIN = (500, {"Retry-After": "0"}, b"later")
LATER = (503, {"Retry-After": "600"}, b"later")
NO = (410, {}, b"gone")
YES = (200, {}, b"ok")


@pytest.fixture
def home(tmp_path) -> Path:
    path = tmp_path / "home"
    fine(None, "init", path)
    return path


def channels(home: Path, **urls: str) -> None:
    (home / "tocsin.toml").write_text(
        "".join(f'[channels.{name}]\nkind = "slack"\nurl = "{url}/T0/SECRET"\n' for name, url in urls.items())
    )


def add_events(home: Path, *subjects: str) -> list[str]:
    """Store events that cause alerts, as the runner does; returns their ids."""
    events = [
        build_event(
            EventKind.ANNOUNCEMENT, AT + timedelta(minutes=at), subject, source="board", facts={"subject": subject}
        )
        for at, subject in enumerate(subjects)
    ]
    store = Store.open(home / "tocsin.db")
    store.events.add(events, route_by(Home(home, {}).settings()), AT)
    store.close()
    return [event.id for event in events]


def listed(home: Path, *more: str) -> list[dict]:
    return fine(home, "alert", "list", "--json", *more).json["alerts"]


def states(home: Path) -> list[tuple]:
    return [(each["channel"], each["state"], each["attempts"], each["last_status"]) for each in listed(home)]


def test_an_empty_outbox_says_so(home):
    assert fine(home, "alert", "list").stdout == "no alerts\n"
    assert listed(home) == []


def test_an_alert_is_listed_for_each_channel_newest_first(home):
    channels(home, a="http://127.0.0.1:1", b="http://127.0.0.1:1")
    first, second = add_events(home, "one", "two")
    found = listed(home)
    assert [(each["event"], each["channel"]) for each in found] == [
        (second, "b"), (second, "a"), (first, "b"), (first, "a"),
    ]  # fmt: skip
    assert {(each["kind"], each["severity"], each["source"], each["state"], each["attempts"]) for each in found} == {
        ("announcement", "warning", "board", "due", 0)
    }
    assert len({each["id"] for each in found}) == 4
    table = fine(home, "alert", "list").stdout
    assert table.count("announcement") == 4
    assert second[:12] in table


def test_after_a_server_error_the_alert_is_retried_and_sent(home):
    with Webhook([AGAIN, YES]) as chat:
        channels(home, team=chat.url)
        add_events(home, "one")
        done = run(home, "alert", "retry", "--all")
        # no alert was deferred before: this one was due, and `retry` delivers it too, at the second attempt
        assert done.returncode == 0, done.said
        assert "1 sent, 0 deferred, 0 refused" in done.stdout
        assert len(chat.received) == 2
        assert chat.received[0].body == chat.received[1].body
    assert states(home) == [("team", "sent", 2, 200)]
    assert listed(home)[0]["sent"]


def test_a_deferred_alert_is_listed_and_can_be_retried_by_hand(home):
    with Webhook([LATER, YES]) as chat:
        channels(home, team=chat.url)
        [event] = add_events(home, "one")
        done = run(home, "alert", "retry", "--all")
        refused(done, "0 sent, 1 deferred, 0 refused")
        [waiting] = listed(home, "--state", "deferred")
        assert (waiting["attempts"], waiting["last_status"]) == (1, 503)
        assert "responded with 503" in waiting["reason"]
        wait = datetime.fromisoformat(waiting["next_try"]) - datetime.now(UTC)
        assert timedelta(minutes=8) < wait < timedelta(minutes=11), "the channel asked for ten minutes"
        assert waiting["next_try"][:19] in fine(home, "alert", "list").stdout
        assert fine(home, "alert", "retry", event[:10]).stdout.startswith("1 retried: 1 sent")
    assert states(home) == [("team", "sent", 2, 200)]


def test_a_refused_alert_stays_listed_until_it_is_retried_by_hand(home):
    with Webhook([NO, YES]) as chat:
        channels(home, team=chat.url)
        [event] = add_events(home, "one")
        refused(run(home, "alert", "retry", "--all"), "0 sent, 0 deferred, 1 refused")
        assert states(home) == [("team", "refused", 1, 410)]
        status = run(home, "status", "--json")
        refused(status)
        assert status.json["outbox"]["refused"] == 1
        table = fine(home, "alert", "list", "--state", "refused").stdout
        assert "responded with 410" in table
        assert "SECRET" not in table
        assert len(chat.received) == 1
        assert fine(home, "alert", "retry", event).stdout == "1 retried: 1 sent, 0 deferred, 0 refused\n"
        assert listed(home, "--state", "refused") == []
    assert states(home) == [("team", "sent", 2, 200)]


def test_only_the_named_alerts_are_retried(home):
    with Webhook([NO, NO, YES]) as chat:
        channels(home, team=chat.url)
        first, second = add_events(home, "one", "two")
        run(home, "alert", "retry", "--all")
        assert fine(home, "alert", "retry", second).stdout.startswith("1 retried: 1 sent")
        assert {each["event"]: each["state"] for each in listed(home)} == {first: "refused", second: "sent"}


@pytest.mark.parametrize("arguments", [(), ("--all", "abc"), ("nonsense",), ("",)])
def test_a_retry_that_names_no_alert_is_an_error(home, arguments):
    with Webhook([NO]) as chat:
        channels(home, team=chat.url)
        add_events(home, "one")
        run(home, "alert", "retry", "--all")
        refused(run(home, "alert", "retry", *arguments), "hint:")
        assert len(chat.received) == 1


def test_if_one_id_is_wrong_no_alert_is_retried(home):
    with Webhook([NO, YES]) as chat:
        channels(home, team=chat.url)
        [event] = add_events(home, "one")
        run(home, "alert", "retry", "--all")
        refused(run(home, "alert", "retry", event, "nonsense"), "'nonsense'", "no alert was retried")
        assert len(chat.received) == 1


def test_a_channel_that_fails_does_not_stop_the_other_which_gets_an_alert_about_it(home):
    with Webhook([NO]) as down, Webhook() as up:
        channels(home, down=down.url, up=up.url)
        [event] = add_events(home, "one")
        refused(run(home, "alert", "retry", "--all"), "1 refused")
        found = {(each["channel"], each["kind"]): each["state"] for each in listed(home)}
    assert found["down", "announcement"] == "refused"
    assert found["up", "announcement"] == "sent"
    assert ("up", "delivery_failed") in found
    assert ("down", "delivery_failed") not in found
    assert event


def test_one_event_is_shown_with_all_its_deliveries(home):
    with Webhook([NO]) as chat:
        channels(home, team=chat.url)
        [event] = add_events(home, "deadline moved")
        run(home, "alert", "retry", "--all")
    shown = fine(home, "alert", "show", event[:12], "--json").json
    assert (shown["id"], shown["kind"], shown["severity"], shown["source"]) == (
        event, "announcement", "warning", "board",
    )  # fmt: skip
    assert shown["facts"] == {"subject": "deadline moved"}
    assert shown["at"] == "2026-03-01T12:00:00Z"
    assert [(each["channel"], each["state"]) for each in shown["deliveries"]] == [("team", "refused")]
    text = fine(home, "alert", "show", event[:12]).stdout
    assert "deadline moved" in text
    assert "team: refused after 1 attempt" in text
    assert "acknowledged: no" in text
    assert "SECRET" not in text


@pytest.mark.parametrize("command", ["show", "ack"])
def test_an_unknown_or_ambiguous_event_id_gives_one_sentence(home, command):
    channels(home, team="http://127.0.0.1:1")
    add_events(home, "one", "two")
    refused(run(home, "alert", command, "nonsense"), "no event, or more than one", "hint:")
    refused(run(home, "alert", command, ""), "no event, or more than one")


def test_an_acknowledged_event_says_so_everywhere_and_in_the_audit_chain(home):
    channels(home, team="http://127.0.0.1:1")
    [event] = add_events(home, "one")
    assert not listed(home)[0]["acked"]
    assert fine(home, "alert", "ack", event[:10]).stdout == f"{event[:12]} is acknowledged\n"
    assert listed(home)[0]["acked"]
    assert "(acknowledged)" in fine(home, "alert", "list").stdout.replace("\n", " ")
    assert "acknowledged: no" not in fine(home, "alert", "show", event).stdout
    store = Store.open(home / "tocsin.db")
    assert store.audit.verify() == []
    assert ("acknowledged", event) in {
        (row["action"], row["detail"]) for row in store.database.rows("select * from audit")
    }
    store.close()


# --- alert test ------------------------------------------------------------------------------------------------------


def test_a_test_message_is_harmless_and_signed_and_not_stored(home):
    from standardwebhooks import Webhook as Verifier

    with Webhook() as hook:
        (home / "tocsin.toml").write_text(
            f'[channels.soc]\nkind = "generic"\nurl = "{hook.url}/SECRET"\nsecret = "{SECRET}"\n'
        )
        done = tocsin(home, "alert", "test", "soc")
        assert done.returncode == 0, done.stderr
        assert "accepted the message (200)" in done.stdout
        assert "SECRET" not in done.stdout + done.stderr
        [sent] = hook.received
    body = Verifier(SECRET).verify(sent.body.decode(), sent.headers)
    assert "nothing happened" in json.dumps(body)
    assert not (home / "tocsin.db").exists()


@pytest.mark.parametrize(
    ("answer", "word"),
    [(AGAIN, "responded with 500"), (NO, "responded with 410"), ((302, {"Location": "/x"}, b""), "redirects")],
)
def test_if_a_test_message_is_not_accepted_the_answer_of_the_channel_is_printed(home, answer, word):
    with Webhook([answer]) as hook:
        channels(home, team=hook.url)
        done = run(home, "alert", "test", "team")
    refused(done, "error:", word)
    assert "SECRET" not in done.said
    assert len(hook.received) == 1


def test_a_test_message_to_an_unreachable_or_unknown_channel_gives_one_sentence(home):
    channels(home, team="http://127.0.0.1:1")
    refused(run(home, "alert", "test", "team"), "cannot be reached")
    refused(run(home, "alert", "test", "teem"), "no channel is called 'teem'", "the channels are: team")
