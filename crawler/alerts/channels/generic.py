"""Any receiver of JSON: field names of the Elastic Common Schema, signed as Standard Webhooks specifies."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import orjson

from crawler.alerts.channels.registry import Outgoing
from crawler.alerts.hit_totals import HitTotals
from crawler.alerts.message import ChatLimits, Message, fit
from data.errors import ConfigError
from data.settings.settings import Channel

KIND = "generic"
# Receivers commonly refuse bodies above 64 KiB to 1 MiB; the specification of Standard Webhooks recommends payloads of at
# most 20 kB and sets no limit.
LIMITS = ChatLimits(
    source="our own: what every receiver takes; Standard Webhooks specification, Payload size",
    title=1_000, field=4_000, fields=60, text=12_000, body=64 * 1024,
)  # fmt: skip
MAX_CLIENTS = 50
# Bytes of the facts: the message and its fields take at most 2 * `LIMITS.text` of the body, in JSON a little more.
MAX_FACTS = 32 * 1024
# The Elastic Common Schema takes a number; larger is more severe.
_SEVERITY = {"info": 20, "notice": 40, "warning": 60, "critical": 90}


def sign(secret: str, identity: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` of a message.

    Raises:
        ConfigError: the secret is not `whsec_` and base64.

    Source: Standard Webhooks specification, "Signature scheme", v1 (HMAC-SHA256 over id.timestamp.body).
    """
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ConfigError(
            "a channel's `secret` is not `whsec_` followed by base64", hint="copy it from the receiver"
        ) from error
    signed = f"{identity}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _size(text: str) -> int:
    """Bytes of a text in JSON."""
    return len(orjson.dumps(text))


def bounded_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of an event with totals and the clients hit worst, in at most `MAX_FACTS` bytes of JSON.

    `clients` has at most `MAX_CLIENTS` entries. `hits` has the totals over all clients: their number, `canaries`,
    `records`, the digest of the complete list, and how many are left out here. `alert show --json` prints the complete
    list. If other lists of the facts are too long, they are halved until all fits, and `cut` names them.
    """
    # half of a character that needs two code units is valid in JSON but not in UTF-8: it would keep the alert from leaving
    kept: dict[str, Any] = json.loads(json.dumps(dict(facts), ensure_ascii=False).encode(errors="replace"))
    if facts.get("clients"):
        totals = HitTotals.of_facts(facts, {})
        kept["clients"] = [dict(hit) for hit in totals.hits[:MAX_CLIENTS]]
        kept["hits"] = {
            "clients": len(totals.hits),
            "canaries": totals.canaries,
            "records": totals.records,
            "sha256": totals.digest(),
            "left_out": len(totals.hits) - len(kept["clients"]),
        }
    cut: set[str] = set()
    while len(orjson.dumps(kept)) > MAX_FACTS:
        name = max(kept, key=lambda each: len(orjson.dumps(kept[each])))
        value = kept[name]
        cut.add(name)
        # half of a list, a mapping or a text; anything else is short
        if isinstance(value, Mapping):
            kept[name] = dict(list(value.items())[: len(value) // 2])
        elif isinstance(value, list | tuple | str):
            kept[name] = value[: len(value) // 2]
        else:
            del kept[name]
        kept["cut"] = sorted(cut)
    if "clients" in cut:
        kept["hits"]["left_out"] = kept["hits"]["clients"] - len(kept["clients"])
    return kept


def ecs_event(message: Message) -> dict[str, Any]:
    """A message with the field names of the Elastic Common Schema, cut to `LIMITS`."""
    fitted = fit(message, LIMITS, _size)
    return {
        "type": f"tocsin.{message.kind}",
        "@timestamp": message.at,
        "event": {
            "kind": "alert",
            "id": message.event,
            "action": message.kind,
            "severity": _SEVERITY[message.severity.value],
            "provider": "tocsin",
        },
        "log": {"level": message.severity.value},
        "message": fitted.text,
        "tocsin": {
            "title": fitted.title,
            "fields": [[field.label, field.value] for field in fitted.fields],
            "advice": fitted.advice,
            "take": fitted.take,
            "more": fitted.link,
            "facts": bounded_facts(message.facts),
            "head": message.head,
            "thread": message.thread.event if message.thread is not None else "",
        },
    }


def compose(channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:
    """The POST request, signed if the channel has a secret; `webhook-id` is the idempotency key."""
    body = orjson.dumps(ecs_event(message))
    headers = {"content-type": "application/json", "webhook-id": alert, "webhook-timestamp": str(timestamp)}
    if channel.secret is not None:
        headers["webhook-signature"] = sign(channel.secret.get_secret_value(), alert, timestamp, body)
    return Outgoing("POST", channel.url.get_secret_value(), headers, body)


def retry_after(body: bytes) -> float | None:  # noqa: ARG001 - one shape for all
    """None: the waiting time is in the `Retry-After` header."""
    return None


answer = None
