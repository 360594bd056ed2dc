"""The largest messages in a real chat: an alert about 1,500 clients with long and hostile names."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from crawler.alerts.channels.registry import dialect
from crawler.alerts.wording import message_of
from data.settings.settings import Settings
from scheduler.delivery.delivery import http_client, send
from tests.synth.breach import client_names, events_of_every_kind


@pytest.mark.slow
def test_a_real_homeserver_accepts_the_messages_of_a_breach_with_hostile_names(synapse):
    sender = synapse.register(f"tocsin-{secrets.token_hex(4)}")
    reader = synapse.register(f"analyst-{secrets.token_hex(4)}")
    room = synapse.create_room(sender, "alarms", reader)
    channel = {"kind": "matrix", "url": synapse.url, "room": room, "token": sender.token}
    target = Settings.model_validate({"channels": {"c": channel}}).channels["c"]
    events = events_of_every_kind()
    names = client_names(1_500, hostile=True)
    hostile = "<b>@everyone</b> \U0001f600&" * 200

    async def deliver() -> list[int]:
        async with http_client() as client:
            messages = [message_of(each, clients=names, case=hostile, incident=hostile) for each in events]
            composed = [dialect(target).compose(target, secrets.token_hex(16), each, 0) for each in messages]
            return [await send(client, target, each) for each in composed]

    assert set(asyncio.run(deliver())) == {200}
    bodies = [message["content"]["body"] for message in synapse.read_messages(reader, room)]
    assert any("Further release: 89,910 people not seen before" in body for body in bodies)
