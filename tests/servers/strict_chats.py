"""What the real chats refuse, for a `Webhook` that plays one of them: each function is an entry of its script.

The limits are those of the products' documentation, written down here again and not imported, so that a dialect that
states a wrong limit fails.
"""

from __future__ import annotations

import json
import re
from typing import Any

from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from tests.servers.webhook import Answer, Received

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TOKEN = "secret-token"
OK: Answer = (200, {}, b"ok")


class RefusedError(Exception):
    """The chat does not take the message; the text is its answer."""


def _load(request: Received) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise RefusedError("invalid_content_type")
    try:
        value = json.loads(request.body)
    except ValueError as error:
        raise RefusedError("invalid_payload") from error
    if not isinstance(value, dict):
        raise RefusedError("invalid_payload")
    return value


def _units(text: str) -> int:
    """Characters as JavaScript counts them."""
    return len(text.encode("utf-16-le")) // 2


# --- Slack: docs.slack.dev, "Reference: blocks", "Composition objects: text", "Incoming webhooks: handling errors" ------

_SLACK_KEYS = {"text", "blocks", "unfurl_links", "unfurl_media", "attachments", "mrkdwn", "thread_ts", "parse"}
_BLOCK_KEYS = {
    "header": {"type", "text", "block_id"},
    "section": {"type", "text", "fields", "block_id"},
    "context": {"type", "elements", "block_id"},
    "divider": {"type", "block_id"},
}


def slack(request: Received) -> Answer:
    """A Slack incoming webhook: `ok`, or 400 with the error that Slack names."""
    try:
        if request.method != "POST":
            raise RefusedError("invalid_method")
        value = _load(request)
        if value.keys() - _SLACK_KEYS:
            raise RefusedError("invalid_payload")
        text = value.get("text")
        if not isinstance(text, str) or not text.strip():
            raise RefusedError("no_text")
        if _units(text) > 40_000:
            raise RefusedError("msg_too_long")
        _check_blocks(value.get("blocks", []))
    except RefusedError as refused:
        return 400, {}, str(refused).encode()
    return OK


def _check_blocks(blocks: Any) -> None:
    if not isinstance(blocks, list) or len(blocks) > 50:
        raise RefusedError("invalid_blocks: more than 50 items")
    total = 0
    for block in blocks:
        keys = _BLOCK_KEYS.get(block.get("type"))
        if keys is None or block.keys() - keys:
            raise RefusedError("invalid_blocks: unknown block or field")
        if block["type"] == "header":
            total += _check_text(block["text"], 150, {"plain_text"})
        elif block["type"] == "section":
            if not block.get("text") and not block.get("fields"):
                raise RefusedError("invalid_blocks: section without text")
            total += _check_text(block["text"], 3_000, {"plain_text", "mrkdwn"}) if "text" in block else 0
            if len(block.get("fields", ())) > 10:
                raise RefusedError("invalid_blocks: more than 10 fields")
            total += sum(_check_text(each, 2_000, {"plain_text", "mrkdwn"}) for each in block.get("fields", ()))
        elif block["type"] == "context":
            if not 1 <= len(block["elements"]) <= 10:
                raise RefusedError("invalid_blocks: elements")
            total += sum(_check_text(each, 3_000, {"plain_text", "mrkdwn"}) for each in block["elements"])
    if total > 13_000:
        raise RefusedError("msg_blocks_too_long")


def _check_text(value: Any, limit: int, types: set[str]) -> int:
    if not isinstance(value, dict) or value.get("type") not in types:
        raise RefusedError("invalid_blocks: text object")
    # emoji is for plain text alone, verbatim for mrkdwn alone
    if value.keys() - {"type", "text", "emoji" if value["type"] == "plain_text" else "verbatim"}:
        raise RefusedError("invalid_blocks: field of a text object")
    text = value.get("text")
    if not isinstance(text, str) or not 1 <= _units(text) <= limit:
        raise RefusedError(f"invalid_blocks: must be less than {limit + 1} characters")
    return _units(text)


# --- Matrix: specification of the client-server API, "Size limits", "m.room.message" -----------------------------------


def matrix(request: Received) -> Answer:
    """A Matrix homeserver: an event id, or the error that the specification names."""
    if request.headers.get("authorization") != f"Bearer {TOKEN}":
        return 401, {}, b'{"errcode": "M_UNKNOWN_TOKEN"}'
    if request.method != "PUT" or not re.fullmatch(
        r"/.*_matrix/client/v3/rooms/%21[^/]+/send/m\.room\.message/[0-9a-f]{32}", request.path
    ):
        return 404, {}, b'{"errcode": "M_UNRECOGNIZED"}'
    try:
        content = _load(request)
    except RefusedError:
        return 400, {}, b'{"errcode": "M_NOT_JSON"}'
    # what the server adds: ids of user, room (255 bytes each) and up to 20 + 10 events before, hashes and signatures
    if len(json.dumps(content, ensure_ascii=False).encode()) + 4_000 > 65_536:
        return 413, {}, b'{"errcode": "M_TOO_LARGE"}'
    known = {"msgtype", "body", "format", "formatted_body", "m.mentions"}
    if (
        content.keys() - known
        or content.get("msgtype") not in {"m.text", "m.notice"}
        or not isinstance(content.get("body"), str)
        or not content["body"]
        or content.get("format", "org.matrix.custom.html") != "org.matrix.custom.html"
        or content.get("m.mentions") != {}
    ):
        return 400, {}, b'{"errcode": "M_BAD_JSON"}'
    return 200, {}, b'{"event_id": "$x"}'


# --- Standard Webhooks, with the largest body that every receiver takes -------------------------------------------------


def generic(request: Received) -> Answer:
    """A receiver of Standard Webhooks: refuses a wrong signature and a body above 64 KiB."""
    if len(request.body) > 64 * 1024:
        return 413, {}, b"too large"
    try:
        Verifier(SECRET).verify(request.body, request.headers)
        value = _load(request)
    except (RefusedError, WebhookVerificationError):
        return 400, {}, b"invalid"
    return OK if isinstance(value.get("type"), str) else (400, {}, b"no type")


STRICT = {"slack": slack, "matrix": matrix, "generic": generic}
