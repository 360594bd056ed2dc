"""Any receiver of JSON: field names of the Elastic Common Schema, signed as Standard Webhooks specifies."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import orjson

from crawler.alerts.channels.registry import Outgoing
from crawler.alerts.wording import Message
from data.errors import ConfigError
from data.settings.settings import Channel

KIND = "generic"
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


def compose(channel: Channel, alert: str, message: Message, timestamp: int) -> Outgoing:
    """The POST request, signed if the channel has a secret; `webhook-id` is the idempotency key."""
    body = orjson.dumps(
        {
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
            "message": message.text,
            "tocsin": {
                "title": message.title,
                "fields": [list(field) for field in message.fields],
                "facts": dict(message.facts),
            },
        }
    )
    headers = {"content-type": "application/json", "webhook-id": alert, "webhook-timestamp": str(timestamp)}
    if channel.secret is not None:
        headers["webhook-signature"] = sign(channel.secret.get_secret_value(), alert, timestamp, body)
    return Outgoing("POST", channel.url.get_secret_value(), headers, body)


def retry_after(body: bytes) -> float | None:  # noqa: ARG001 - one shape for all
    """None: the waiting time is in the `Retry-After` header."""
    return None
