"""Messages at the real size of a breach: every dialect fits its chat, and the first line says what a person must know."""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from crawler.alerts.channels.generic import MAX_CLIENTS, bounded_facts
from crawler.alerts.channels.registry import Outgoing, dialect, dialects
from crawler.alerts.events import build_event
from crawler.alerts.follow_up import follow_up
from crawler.alerts.message import ChatLimits, Field, Message, Thread, fit, shorten
from crawler.alerts.wording import message_of
from data.model import EventKind, Severity
from data.settings.settings import Settings
from tests.servers.strict_chats import NEEDS, STRICT, shown_texts
from tests.servers.webhook import Received
from tests.synth.breach import HOSTILE_NAMES, client_names, events_of_every_kind, hostile_strings

CLIENTS = 1_500
HOSTILE_TEXT = " ".join(HOSTILE_NAMES)


def compose(kind: str, message: Message) -> Outgoing:
    url = {"email": "smtp://127.0.0.1:9", "syslog": "tcp://127.0.0.1:9"}.get(kind, "http://127.0.0.1:9/hook")
    channel = {"kind": kind, "url": url, **NEEDS.get(kind, {})}
    target = Settings.model_validate({"channels": {"c": channel}}).channels["c"]
    return dialect(target).compose(target, "a" * 32, message, int(time.time()))


def received(outgoing: Outgoing) -> Received:
    path = outgoing.url.partition("127.0.0.1:9")[2]
    return Received(outgoing.method, path, {k.lower(): v for k, v in outgoing.headers.items()}, outgoing.body)


@pytest.fixture(scope="module")
def plain():
    names = client_names(CLIENTS)
    return [
        message_of(each, clients=names, case="vendor", incident="Vendor 2026") for each in events_of_every_kind(CLIENTS)
    ]


@pytest.fixture(scope="module")
def hostile():
    names = client_names(CLIENTS, hostile=True)
    events = events_of_every_kind(CLIENTS, source=HOSTILE_NAMES[0], text=HOSTILE_TEXT)
    return [message_of(each, clients=names, case=HOSTILE_TEXT, incident=HOSTILE_TEXT) for each in events]


@pytest.fixture(scope="module")
def french():
    """Every message in French, all of them in the thread of another one and with a link to take it on."""
    names = client_names(CLIENTS, hostile=True)
    events = events_of_every_kind(CLIENTS, source=HOSTILE_NAMES[0], text=HOSTILE_TEXT)
    first, found = events[0], []
    for each in events:
        message = message_of(each, clients=names, case=HOSTILE_TEXT, incident=HOSTILE_TEXT, language="fr")
        told = follow_up(message, replace(each, thread=first.id), first, names, 3)
        take = f"https://console.example/take?link={'x' * 43}"
        found.append(replace(told, thread=Thread("b" * 32, first.id, "$x"), take=take, head="9-" + "c" * 16))
    return found


def test_every_kind_of_event_and_every_dialect_is_tested(plain):
    assert {message.kind for message in plain} == {kind.value for kind in EventKind}
    assert STRICT.keys() == dialects().keys()
    assert all(each.LIMITS.source for each in dialects().values())


@pytest.mark.parametrize("kind", sorted(STRICT))
@pytest.mark.parametrize("names", ["plain", "hostile", "french"])
@pytest.mark.slow
def test_the_chat_accepts_every_message_and_it_says_what_happened_and_what_to_do(kind, names, request):
    for message in request.getfixturevalue(names):
        outgoing = compose(kind, message)
        status, _, answer = STRICT[kind](received(outgoing))
        assert 200 <= status < 300, (message.title, answer)
        assert len(outgoing.body) <= dialects()[kind].LIMITS.body
        for text in shown_texts(kind, outgoing.body):
            # Slack cuts a title of 145 characters if escaping makes it longer
            assert message.title[:100] in text
            assert message.advice in text
            assert message.link in text
            assert message.take in text


@pytest.mark.parametrize("kind", sorted(STRICT))
def test_nothing_in_a_name_mentions_people_makes_a_link_hides_or_breaks_a_line(kind, hostile):
    for message in hostile:
        outgoing = compose(kind, message)
        for text in shown_texts(kind, outgoing.body):
            assert not re.search(
                r"@(?:everyone|here|U123)|(?<!\[)://|<!|mailto:\w|#room|\]\(|\bevil\.ex|matrix:r", text
            )
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]", text)
            assert not re.search("[\u0300-\u036f]{3}", text)
        if kind == "slack":
            assert b"<" not in outgoing.body
            assert b'"mrkdwn"' not in outgoing.body
        if kind == "matrix":
            tags = set(re.findall(r"<[^>]*>", json.loads(outgoing.body)["formatted_body"]))
            assert tags <= {"<b>", "</b>", "<ul>", "</ul>", "<li>", "</li>", "<br>"}
        # a name cannot add a line that looks like ours
        lines = {line for line in message.text.splitlines() if line.startswith(("fourth", "fifth", "second", "third"))}
        assert not lines


@pytest.mark.parametrize("kind", sorted(STRICT))
@pytest.mark.slow
def test_each_of_225_hostile_strings_is_inert_wherever_it_stands(kind):
    for text in hostile_strings():
        hit = {"client": "practice-1", "canaries": 1, "records": 1, "kinds": ["email"]}
        facts = {
            "clients": [hit], "reason": text, "subject": text, "channel": text, "rules": [text], "changed": [text],
            "problems": [text], "format": text, "bytes": 1,
        }  # fmt: skip
        event = build_event(
            EventKind.SOURCE_CHANGED, datetime(2026, 11, 1, tzinfo=UTC), 1, source=text, address=text, facts=facts
        )
        message = message_of(event, clients={"practice-1": text}, case=text, incident=text)
        outgoing = compose(kind, message)
        assert STRICT[kind](received(outgoing))[0] in {200, 202, 250}
        for shown in shown_texts(kind, outgoing.body):
            dangerous = re.search(
                r"@[a-z0-9&]|#[a-z]|(?<!\[)://|<!|(?i:mailto|tel|javascript|matrix):[^\s\u2060]|\]\(|(?i:\bevil\.e)"
                r"|[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]",
                shown.replace("\u2060", "\u2060 "),
            )
            assert dangerous is None, (text, shown)


def test_the_first_line_says_how_many_people_whose_and_how_sure(plain):
    first, second, third, fourth, *_ = (message.text.splitlines()[0] for message in plain)
    assert first == (
        "🔴 Further release: 89,910 people not seen before (89,550 to 90,089), 1,500 of 1,500 clients; 60,000 known"
    )
    assert second == (
        "🔴 Client data published: 149,850 people not seen before (149,250 to 150,149), 1,500 of 1,500 clients; 0 known"
    )
    assert third.startswith(
        "🔴 Further release: new data about 1,690 known people (medical notes or other free text), 1,500"
    )
    assert fourth.startswith("🔵 Known data was posted again: 150,000 of 150,000 people known, 1,500 of 1,500 clients")
    assert all(len(message.headline) <= 150 for message in plain)


def test_a_message_names_the_ten_clients_hit_worst_and_no_kinds_of_keys(plain):
    field = next(field for field in plain[0].fields if field.label == "Hit worst")
    counts = [int(re.search(r": ([\d,]+) records? with", line)[1].replace(",", "")) for line in field.lines]
    hits = plain[0].facts["clients"]
    assert counts == sorted((hit["records"] for hit in hits), reverse=True)[:10]
    assert field.value.splitlines()[-1] == "and 1,490 more"
    assert "name_dob" not in plain[0].text
    assert len(plain[0].text.splitlines()) <= 40


def test_the_generic_webhook_has_totals_the_first_fifty_clients_and_a_digest_of_all(plain):
    value = json.loads(compose("generic", plain[0]).body)["tocsin"]
    facts, everyone = value["facts"], list(plain[0].facts["clients"])
    everyone.sort(key=lambda hit: (-hit["records"], -hit["canaries"], hit["client"]))
    assert facts["clients"] == everyone[:MAX_CLIENTS]
    assert facts["hits"] == {
        "clients": CLIENTS,
        "canaries": sum(hit["canaries"] for hit in everyone),
        "records": sum(hit["records"] for hit in everyone),
        "sha256": hashlib.sha256(json.dumps(everyone, sort_keys=True).encode()).hexdigest(),
        "left_out": CLIENTS - MAX_CLIENTS,
    }
    assert value["more"] == f"tocsin alert show {plain[0].event[:12]} --all"


@pytest.mark.parametrize("value", ["x" * 200_000, ["y" * 100] * 5_000, {str(n): "z" * 20 for n in range(9_000)}])
def test_facts_of_any_size_are_cut_to_the_budget_and_say_so(value):
    kept = bounded_facts({"verdict": "new", "long": value, "rows": 3})
    assert len(json.dumps(kept, separators=(",", ":"))) < 33_000
    assert (kept["verdict"], kept["rows"], kept["cut"]) == ("new", 3, ["long"])


def test_a_chat_with_tight_limits_still_gets_the_first_line_the_advice_and_the_command():
    fields = tuple(Field(f"label {n}", tuple(f"line {k} " + "é" * 30 for k in range(n + 1)), n) for n in range(30))
    message = Message("e", "gap", Severity.WARNING, "t" * 140, "", fields, "advice " * 20, "tocsin alert show e", {})
    for text, fields_allowed, field in ((800, 40, 300), (4_096, 25, 120), (700, 4, 200), (100_000, 10, 1_000)):
        limits = ChatLimits("test", title=120, field=field, fields=fields_allowed, text=text, body=text)
        fitted = fit(message, limits, lambda shown: len(shown.encode()))
        whole = [fitted.headline, *(each.text for each in (*fitted.fields, *fitted.closing))]
        assert len(fitted.text.encode()) <= text
        assert len(fitted.fields) + 2 <= fields_allowed
        assert all(len(each.text.encode()) <= field + 40 for each in fitted.fields)
        assert len(whole[0].encode()) <= 120
        assert fitted.left_out == 30 - len(fitted.fields)
        assert f"({fitted.left_out} lines are left out here): tocsin alert show e" in fitted.text
        for each in fitted.fields:
            before = next(other for other in fields if other.label == each.label)
            assert len(each.lines) + each.more == len(before.lines) + before.more, (
                "no line is lost without being counted"
            )


@pytest.mark.parametrize(
    ("limit", "expected"), [(9, "abc defgh"), (8, "abc def…"), (4, "abc…"), (5, "abc…"), (1, ""), (0, "")]
)
def test_a_shortened_text_ends_with_an_ellipsis_within_its_limit(limit, expected):
    assert shorten("abc defgh", limit) == expected
