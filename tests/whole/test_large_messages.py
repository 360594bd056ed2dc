"""Messages in a real chat: alerts about 1,500 clients with long and hostile names, and the thread of one happening."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import replace

import pytest

from crawler.alerts.channels.registry import dialect
from crawler.alerts.wording import message_of
from data.model import EventKind
from data.settings.settings import Settings
from data.store.store import Store
from scheduler.delivery.delivery import deliver_due, http_client, send
from scheduler.delivery.routing import route_by
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
            return [(await send(client, target, each)).status for each in composed]

    assert set(asyncio.run(deliver())) == {200}
    bodies = [message["content"]["body"] for message in synapse.read_messages(reader, room)]
    assert any("Further release: 89,910 people not seen before" in body for body in bodies)


@pytest.mark.slow
def test_a_real_homeserver_shows_the_same_data_at_another_place_in_the_thread_of_the_first_message(synapse, tmp_path):
    sender = synapse.register(f"tocsin-{secrets.token_hex(4)}")
    reader = synapse.register(f"analyst-{secrets.token_hex(4)}")
    room = synapse.create_room(sender, "alarms", reader)
    channel = {"kind": "matrix", "url": synapse.url, "room": room, "token": sender.token, "language": "fr"}
    settings = Settings.model_validate({"channels": {"room": channel}})
    first = next(event for event in events_of_every_kind() if event.kind is EventKind.FURTHER_RELEASE)
    with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
        for place in ("forum-a", "forum-b"):
            event = replace(first, source=place, post=place)
            store.events.add([event], route_by(settings), event.at)
            assert asyncio.run(deliver_due(settings, store)).sent == 1
    one, two = synapse.read_messages(reader, room)
    assert two["content"]["m.relates_to"]["event_id"] == one["event_id"]
    assert "Aussi sur forum-b, déjà 2 endroits : Nouvelle diffusion" in two["content"]["body"]
