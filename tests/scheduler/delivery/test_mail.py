"""Mails against a real mail server (aiosmtpd): TLS, login, refusals of every kind, and a server that is silent."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from aiosmtpd.smtp import AuthResult

from crawler.alerts.channels.registry import dialect
from crawler.alerts.events import build_event
from crawler.alerts.wording import message_of
from data.errors import DeliveryDeferred, DeliveryRefused
from data.model import EventKind
from data.settings.settings import Settings
from data.store.store import Store
from scheduler.delivery.delivery import deliver_due, http_client, send
from tests.servers.mail import mail_server
from tests.servers.tls_site import Authority, write_certificate

pytestmark = [pytest.mark.servers, pytest.mark.slow]

EVENT = build_event(EventKind.TOR_DOWN, datetime(2026, 11, 1, 12, tzinfo=UTC), "x", facts={"reason": "é & <b>"})


def deliver(url: str, **more: object) -> int:
    settings = Settings.model_validate(
        {
            "channels": {
                "c": {
                    "kind": "email", "url": url, "sender": "tocsin@monitor.example",
                    "recipients": ["soc@team.example", "duty@team.example"], **more,
                }
            }
        }
    )  # fmt: skip
    target = settings.channels["c"]
    outgoing = dialect(target).compose(target, "a" * 32, message_of(EVENT, clients={}), 1)

    async def go() -> int:
        async with http_client() as client:
            return (await send(client, target, outgoing)).status

    return asyncio.run(go())


def test_a_mail_arrives_at_all_recipients_as_text_and_html():
    with mail_server() as (inbox, port):
        assert deliver(f"smtp://127.0.0.1:{port}") == 250
    ((recipients, content),) = inbox.mails
    assert recipients == ["soc@team.example", "duty@team.example"]
    mail = message_from_bytes(content, policy=policy.SMTP)
    assert mail["Subject"].endswith(" Tor is down: the sources that need it are not watched")
    assert mail["Message-ID"] == f"<{'a' * 32}@tocsin.invalid>"
    plain, formatted = (part.get_content() for part in mail.iter_parts())
    assert "Reason: é & <b>" in plain
    assert "é &amp; &lt;b&gt;" in formatted


@pytest.mark.parametrize(
    ("address", "answer", "expected", "status"),
    [
        ("", "451 try again later", DeliveryDeferred, 451),
        ("", "554 no", DeliveryRefused, 554),
        ("both", "450 greylisted", DeliveryDeferred, 450),
        ("both", "550 unknown", DeliveryRefused, 550),
    ],
)
def test_a_refusal_for_now_is_tried_again_and_another_is_not(address, answer, expected, status):
    with mail_server() as (inbox, port):
        if address:
            inbox.refused = {"soc@team.example": answer, "duty@team.example": answer}
        else:
            inbox.answer = answer
        with pytest.raises(expected) as caught:
            deliver(f"smtp://127.0.0.1:{port}")
    assert caught.value.status == status


def test_a_recipient_who_is_refused_is_told_and_the_others_have_the_mail():
    with mail_server() as (inbox, port):
        inbox.refused = {"duty@team.example": "550 unknown"}
        with pytest.raises(DeliveryRefused, match="refused 1 recipient") as caught:
            deliver(f"smtp://127.0.0.1:{port}")
    assert [recipients for recipients, _ in inbox.mails] == [["soc@team.example"]]
    assert "team.example" not in str(caught.value)


def test_the_outbox_sends_a_mail_that_one_recipient_refuses_to_the_others_once(tmp_path):
    with mail_server() as (inbox, port), contextlib.closing(Store.open(tmp_path / "t.db")) as store:
        inbox.refused = {"duty@team.example": "550 unknown"}
        channel = {"kind": "email", "url": f"smtp://127.0.0.1:{port}", "sender": "tocsin@monitor.example"}
        channel["recipients"] = ["soc@team.example", "duty@team.example"]
        settings = Settings.model_validate({"channels": {"c": channel}})
        store.events.add([EVENT], lambda _: ("c",), EVENT.at)
        assert asyncio.run(deliver_due(settings, store)).refused == 1
    assert len(inbox.mails) == 1


def test_a_server_that_is_silent_or_gone_defers_the_mail():
    with mail_server() as (inbox, port):
        inbox.silent = True
        with pytest.raises(DeliveryDeferred, match="did not respond within"):
            deliver(f"smtp://127.0.0.1:{port}", timeout="500ms")
    with pytest.raises(DeliveryDeferred, match="cannot be reached"):
        deliver(f"smtp://127.0.0.1:{port}")


def test_another_machine_must_offer_tls_and_its_certificate_is_verified(tmp_path, monkeypatch):
    authority = Authority()
    _, file = write_certificate(tmp_path, "mail.team.example", authority)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    # names of other machines lead to this one
    resolve = asyncio.BaseEventLoop.getaddrinfo

    async def getaddrinfo(loop, host, port, **options):
        return await resolve(loop, "127.0.0.1" if host == "mail.team.example" else host, port, **options)

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    with mail_server() as (inbox, port), pytest.raises(DeliveryRefused, match="offers no TLS"):
        deliver(f"smtp://mail.team.example:{port}")
    assert not inbox.mails

    logins = []

    def authenticate(server, session, envelope, mechanism, data) -> AuthResult:
        logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"right", handled=False)

    options = {"tls_context": context, "authenticator": authenticate, "auth_required": True}
    with mail_server(**options) as (inbox, port):
        url = f"smtp://mail.team.example:{port}"
        with pytest.raises(DeliveryDeferred, match="cannot be reached"):
            deliver(url, user="tocsin", token="right")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.write(tmp_path / "authority.pem")))
        with pytest.raises(DeliveryRefused, match="535") as caught:
            deliver(url, user="tocsin", token="wr0ng")
        assert "wr0ng" not in str(caught.value)
        assert deliver(url, user="tocsin", token="right") == 250
    assert len(inbox.mails) == 1
    assert logins[-1] == (b"tocsin", b"right")
    with mail_server(ssl_context=context) as (inbox, port):
        assert deliver(f"smtps://mail.team.example:{port}") == 250
