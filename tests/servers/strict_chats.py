"""What the real chats refuse, for a `Webhook` that plays one of them: each function is an entry of its script.

The limits are those of the products' documentation, written down here again and not imported, so that a dialect that
states a wrong limit fails.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from datetime import datetime
from email import message_from_bytes, policy
from typing import Any
from urllib.parse import parse_qs, urlsplit

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

_SLACK_KEYS = {"text", "blocks", "unfurl_links", "unfurl_media", "attachments", "mrkdwn", "parse"}
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


def slack_bot(request: Received) -> Answer:
    """Slack's chat.postMessage: status 200 always; `ok` with a time stamp, or the error that Slack names."""
    stamp = f"{hashlib.sha256(request.body).hexdigest()[:4]}.1"
    try:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            raise RefusedError("invalid_auth")
        if not request.path.endswith("/chat.postMessage"):
            raise RefusedError("unknown_method")
        value = _load(request)
        if value.keys() - (_SLACK_KEYS | {"channel", "thread_ts", "reply_broadcast"}):
            raise RefusedError("invalid_arguments")
        if value.get("channel") != "C1":
            raise RefusedError("channel_not_found")
        if "reply_broadcast" in value and "thread_ts" not in value:
            raise RefusedError("invalid_arguments")
        _check_blocks(value.get("blocks", []))
    except RefusedError as refused:
        return 200, {}, json.dumps({"ok": False, "error": str(refused)}).encode()
    return 200, {}, json.dumps({"ok": True, "ts": stamp}).encode()


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
    relation = content.get("m.relates_to", {"rel_type": "m.thread", "event_id": "$x", "m.in_reply_to": {}})
    if (
        relation["rel_type"] != "m.thread"
        or not relation["event_id"].startswith("$")
        or "m.in_reply_to" not in relation
    ):
        return 400, {}, b'{"errcode": "M_BAD_JSON"}'
    known = {"msgtype", "body", "format", "formatted_body", "m.mentions", "m.relates_to"}
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


# --- Discord: docs.discord.com, "Webhook Resource: Execute Webhook", "Message Resource: Embed Limits" -------------------

_EMBED_KEYS = {"title", "description", "url", "timestamp", "color", "footer", "image", "thumbnail", "author", "fields"}


def discord(request: Received) -> Answer:
    """A Discord webhook with `wait`, or 400 with the code of an invalid form body; anything that could ping is refused."""
    if request.method == "PATCH" and request.path.endswith("/messages/404"):
        return 404, {}, b'{"code": 10008, "message": "Unknown Message"}'
    changes = request.method == "PATCH" and re.search(r"/messages/\d+$", request.path)
    if not changes and (request.method != "POST" or not request.path.endswith("?wait=true")):
        return 405, {}, b""
    try:
        value = _load(request)
        if value.keys() - {"content", "embeds", "allowed_mentions", "username"}:
            raise RefusedError("unknown field")
        if value.get("allowed_mentions") != {"parse": []}:
            raise RefusedError("this message could ping everyone")
        if not 1 <= len(value["embeds"]) <= 10:
            raise RefusedError("embeds")
        total = 0
        for embed in value["embeds"]:
            if embed.keys() - _EMBED_KEYS or not isinstance(embed.get("color", 0), int):
                raise RefusedError("unknown field of an embed")
            if not 1 <= _units(embed["title"]) <= 256 or len(embed["fields"]) > 25:
                raise RefusedError("title or fields")
            total += _units(embed["title"])
            for each in embed["fields"]:
                if not 1 <= _units(each["name"]) <= 256 or not 1 <= _units(each["value"]) <= 1024:
                    raise RefusedError("BASE_TYPE_BAD_LENGTH")
                total += _units(each["name"]) + _units(each["value"])
        if total > 6_000:
            raise RefusedError("MAX_EMBED_SIZE_EXCEEDED")
    except (RefusedError, KeyError, TypeError) as refused:
        return 400, {}, json.dumps({"code": 50035, "message": str(refused)}).encode()
    return 200, {}, b'{"id": "1"}'


# --- Mattermost and Rocket.Chat: message attachments in Slack's older form ----------------------------------------------

_ATTACHMENT_KEYS = {"fallback", "color", "pretext", "text", "title", "title_link", "fields", "footer"}


def _check_attachments(value: dict[str, Any], text_limit: int, attachments_limit: int) -> None:
    if not isinstance(value.get("text"), str) or not 1 <= len(value["text"]) <= text_limit:
        raise RefusedError("text")
    for each in value["attachments"]:
        if (
            each.keys() - _ATTACHMENT_KEYS
            or not each.get("fallback")
            or not re.fullmatch("#[0-9a-f]{6}", each["color"])
        ):
            raise RefusedError("attachment")
        if not all(field.keys() == {"title", "value", "short"} and field["value"] for field in each["fields"]):
            raise RefusedError("field")
    if len(json.dumps(value["attachments"], ensure_ascii=False)) > attachments_limit:
        raise RefusedError("Maximum attachments length")


def mattermost(request: Received) -> Answer:
    """A Mattermost incoming webhook; old servers allow 7,900 characters of attachments."""
    try:
        value = _load(request)
        if value.keys() - {"text", "attachments", "channel", "username", "props"}:
            raise RefusedError("unknown field")
        _check_attachments(value, 16_383, 7_900)
    except (RefusedError, KeyError) as refused:
        return 400, {}, str(refused).encode()
    return OK


def rocketchat(request: Received) -> Answer:
    """A Rocket.Chat incoming webhook with the default limit of 5,000 characters."""
    try:
        value = _load(request)
        if (
            value.keys() - {"text", "attachments", "channel", "alias", "parseUrls"}
            or value.get("parseUrls") is not False
        ):
            raise RefusedError("unknown field, or a preview of addresses")
        _check_attachments(value, 5_000, 60_000)
        if sum(len(each["title"] + each["value"]) for each in value["attachments"][0]["fields"]) > 5_000:
            raise RefusedError("error-message-size-exceeded")
    except (RefusedError, KeyError) as refused:
        return 400, {}, json.dumps({"success": False, "error": str(refused)}).encode()
    return 200, {}, b'{"success": true}'


# --- Teams: learn.microsoft.com, adaptivecards.io/schemas/adaptive-card.json (1.4) --------------------------------------

_CARD_KEYS = {"type", "$schema", "version", "fallbackText", "msteams", "body", "actions"}
_ELEMENT_KEYS = {
    "Container": {"type", "style", "bleed", "items"},
    "RichTextBlock": {"type", "inlines"},
    "TextRun": {"type", "text", "weight"},
}


def teams(request: Received) -> Answer:
    """A flow of Workflows: 202 for any card that Teams can post, 413 above 28 KB once the body is UTF-16."""
    if 2 * len(request.body) > 28 * 1024:
        return 413, {}, b""
    try:
        value = _load(request)
        (attached,) = value["attachments"]
        card = attached["content"]
        if value["type"] != "message" or attached["contentType"] != "application/vnd.microsoft.card.adaptive":
            raise RefusedError("not an adaptive card")
        if card.keys() - _CARD_KEYS or card["type"] != "AdaptiveCard" or card["version"] != "1.4":
            raise RefusedError("card")
        if not card.get("fallbackText"):
            raise RefusedError("no fallback")
        _check_elements(card["body"])
    except (RefusedError, KeyError, ValueError) as refused:
        return 400, {}, str(refused).encode()
    return 202, {}, b""


def _check_elements(elements: list[dict[str, Any]]) -> None:
    for each in elements:
        # a text block would read Markdown
        if each["type"] not in _ELEMENT_KEYS or each.keys() - _ELEMENT_KEYS[each["type"]]:
            raise RefusedError(f"element {each['type']}")
        if each["type"] == "TextRun" and not each["text"]:
            raise RefusedError("empty text")
        _check_elements(each.get("items", []) + each.get("inlines", []))


# --- Google Chat: developers.google.com, Chat API reference ------------------------------------------------------------


def google_chat(request: Received) -> Answer:
    """An incoming webhook of Google Chat: cards of at most 32 KB, 100 widgets, and only tags that it knows."""
    try:
        value = _load(request)
        if value.keys() - {"text", "cardsV2", "fallbackText", "thread"}:
            raise RefusedError("unknown field")
        if "messageReplyOption=REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD" not in request.path:
            raise RefusedError("a thread key is ignored without that option")
        if not 1 <= len(value["thread"]["threadKey"]) <= 4_000:
            raise RefusedError("threadKey")
        (with_id,) = value["cardsV2"]
        if len(json.dumps(with_id["card"], ensure_ascii=False).encode()) > 32_000 or not with_id["cardId"]:
            raise RefusedError("card")
        (section,) = with_id["card"]["sections"]
        if not 1 <= len(section["widgets"]) <= 100:
            raise RefusedError("widgets")
        for widget in section["widgets"]:
            ((kind, content),) = widget.items()
            if content.keys() != {"textParagraph": {"text"}, "decoratedText": {"topLabel", "text", "wrapText"}}[kind]:
                raise RefusedError(kind)
            if set(re.findall("<[^>]*>", content["text"])) - {"<b>", "</b>", "<br>"}:
                raise RefusedError("tag")
    except (RefusedError, KeyError, ValueError) as refused:
        return 400, {}, json.dumps({"error": {"status": "INVALID_ARGUMENT", "message": str(refused)}}).encode()
    return 200, {}, b'{"name": "spaces/a/messages/b"}'


# --- Zulip, ntfy, PagerDuty: zulip.com/api/send-message, docs.ntfy.sh/publish, developer.pagerduty.com ------------------


def zulip(request: Received) -> Answer:
    """A Zulip server: the login of a bot, a channel, a topic of 60 characters, 10,000 characters in a block of code."""
    if (
        request.headers.get("authorization")
        != "Basic " + base64.b64encode(f"bot@chat.example:{TOKEN}".encode()).decode()
    ):
        return 401, {}, b'{"code": "UNAUTHORIZED"}'
    form = {name: values[0] for name, values in parse_qs(request.body.decode(), strict_parsing=True).items()}
    if request.path != "/hook/api/v1/messages" or form.keys() != {"type", "to", "topic", "content"}:
        return 400, {}, b'{"code": "BAD_REQUEST"}'
    inner = re.fullmatch("```text\n(.*)\n```", form["content"], re.DOTALL)
    if len(form["content"]) > 10_000 or not 1 <= len(form["topic"]) <= 60 or not inner or "```" in inner[1]:
        return 400, {}, b'{"code": "BAD_REQUEST"}'
    return 200, {}, b'{"result": "success", "id": 1}'


def ntfy(request: Received) -> Answer:
    """An ntfy server that refuses what it would turn into an attachment."""
    try:
        value = _load(request)
    except RefusedError:
        return 400, {}, b'{"code": 40024}'
    if (
        value.keys() - {"topic", "title", "message", "priority", "tags", "click"}
        or len(value["message"].encode()) > 4_096
    ):
        return 400, {}, b'{"code": 40024}'
    if not re.fullmatch("[-_A-Za-z0-9]{1,64}", value["topic"]) or value["priority"] not in range(1, 6):
        return 400, {}, b'{"code": 40009}'
    return 200, {}, b'{"id": "x"}'


def pagerduty(request: Received) -> Answer:
    """The Events API v2: 202, or 400 with what is invalid."""
    try:
        value = _load(request)
        if len(request.body) > 512 * 1024 or value["routing_key"] != TOKEN or not 1 <= len(value["dedup_key"]) <= 255:
            raise RefusedError("routing_key or dedup_key")
        if value["event_action"] == "trigger":
            if value.keys() - {"routing_key", "dedup_key", "event_action", "payload", "client", "client_url", "links"}:
                raise RefusedError("unknown field")
            payload = value["payload"]
            if not 1 <= len(payload["summary"]) <= 1_024 or not payload["source"]:
                raise RefusedError("payload")
            if payload["severity"] not in {"critical", "error", "warning", "info"}:
                raise RefusedError("severity")
        elif value["event_action"] not in {"acknowledge", "resolve"} or "payload" in value:
            raise RefusedError("event_action")
    except (RefusedError, KeyError) as refused:
        return 400, {}, json.dumps({"status": "invalid event", "errors": [str(refused)]}).encode()
    return 202, {}, b'{"status": "success"}'


# --- Alertmanager: api/v2/openapi.yaml and types.Alert.Validate (prometheus/alertmanager 0.25) ----------------------------


def alertmanager(request: Received) -> Answer:
    """Alertmanager's API v2: 200 with an empty body, 400 for what its validation refuses, 404 for other addresses."""
    if request.method != "POST" or not request.path.endswith("/api/v2/alerts"):
        return 404, {}, b""
    if request.headers.get("content-type") != "application/json":
        return 415, {}, b'{"code": 415}'
    try:
        alerts = json.loads(request.body)
        if not isinstance(alerts, list) or not alerts:
            raise RefusedError("an array of alerts")
        for alert in alerts:
            if alert.keys() - {"labels", "annotations", "startsAt", "endsAt", "generatorURL"}:
                raise RefusedError("unknown field")
            for name, text in {**alert["labels"], **alert["annotations"]}.items():
                if not re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", name) or not isinstance(text, str):
                    raise RefusedError("invalid name or value")
                text.encode()
            if not all(alert["labels"].values()) or not alert["labels"]:
                # it drops empty labels, which changes what the alert is told apart by
                raise RefusedError("empty label")
            begins, ends = (datetime.fromisoformat(alert[name]) for name in ("startsAt", "endsAt"))
            if begins.tzinfo is None or ends.tzinfo is None or ends < begins:
                raise RefusedError("start time must be before end time")
            if "generatorURL" in alert and not urlsplit(alert["generatorURL"]).hostname:
                raise RefusedError("generatorURL")
    except (RefusedError, KeyError, ValueError) as refused:
        return 400, {}, json.dumps(str(refused)).encode()
    return 200, {}, b""


# --- Apprise: `NotifyBase.notify`, and `NOTIFY_TYPES`; real services are tried in tests/scheduler/delivery/test_apprise.py --


def apprise(request: Received) -> Answer:
    """An order for Apprise: a title of one line, a text that twelve text messages hold, and a type that it knows."""
    value = json.loads(request.body)
    if request.method != "APPRISE" or value.keys() != {"title", "body", "type"}:
        return 400, {}, b"form"
    if value["type"] not in {"info", "success", "warning", "failure"} or "\n" in value["title"]:
        return 400, {}, b"title or type"
    if not 1 <= len(value["title"].encode()) <= 250 or not 1 <= len(value["body"].encode()) <= 12 * 153:
        return 400, {}, b"size"
    return 200, {}, b""


# --- E-mail: RFC 5321, RFC 5322, RFC 2045 -------------------------------------------------------------------------------


def email(request: Received) -> Answer:
    """A mail server that takes nothing but seven bits, lines of 998 characters and complete headers."""
    mail = message_from_bytes(request.body, policy=policy.SMTP)
    defects = [*mail.defects, *(each for part in mail.walk() for each in part.defects)]
    if defects or not request.body.isascii() or max(map(len, request.body.split(b"\r\n"))) > 998:
        return 554, {}, repr(defects).encode()
    if b"\n" in request.body.replace(b"\r\n", b"") or mail.get_content_type() != "multipart/alternative":
        return 554, {}, b"line ends or content type"
    if [part.get_content_type() for part in mail.iter_parts()] != ["text/plain", "text/html"]:
        return 554, {}, b"parts"
    if not all(mail[name] for name in ("From", "To", "Subject", "Date", "Message-ID")):
        return 554, {}, b"headers"
    return 250, {}, b"queued"


# --- Syslog: RFC 5424, RFC 6587 (octet counting), ArcSight CEF 0 ---------------------------------------------------------

_SYSLOG = re.compile(
    r"<(\d{1,3})>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ [\x21-\x7e]{1,255} [\x21-\x7e]{1,48} \d{1,128} [\x21-\x7e]{1,32} - \ufeff(.*)"
)


def cef_of(body: bytes) -> tuple[list[str], dict[str, str]]:
    """The seven header fields and the extension of one framed message; raises ValueError for any other form."""
    size, _, frame = body.partition(b" ")
    if int(size) != len(frame) or len(frame) > 8192:
        raise ValueError("length")
    match = _SYSLOG.fullmatch(frame.decode())
    if match is None or int(match[1]) > 191:
        raise ValueError("header")
    *header, rest = re.split(r"(?<!\\)\|", match[2], maxsplit=7)
    if header[0] != "CEF:0" or not 0 <= int(header[6]) <= 10:
        raise ValueError("CEF")
    keys = list(re.finditer(r"(?:^| )([A-Za-z0-9]+)=", re.sub(r"\\.", "xx", rest)))
    ends = [*(each.start() for each in keys[1:]), len(rest)]
    extension = {
        key[1]: re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], rest[key.end() : end])
        for key, end in zip(keys, ends, strict=True)
    }
    if len(extension) != len(keys):
        raise ValueError("a key stands twice")
    return header, extension


def syslog(request: Received) -> Answer:
    """A syslog server that takes one message of at most 8 KiB with a CEF event, of known keys."""
    try:
        _, extension = cef_of(request.body)
        if extension.keys() - {"rt", "externalId", "cs1Label", "cs1", "cs2Label", "cs2", "cs3Label", "cs3", "msg"}:
            raise ValueError(f"keys: {sorted(extension)}")
    except ValueError as error:
        return 400, {}, str(error).encode()
    return 200, {}, b""


STRICT = {
    "alertmanager": alertmanager,
    "apprise": apprise,
    "discord": discord,
    "email": email,
    "generic": generic,
    "google-chat": google_chat,
    "matrix": matrix,
    "mattermost": mattermost,
    "ntfy": ntfy,
    "pagerduty": pagerduty,
    "rocketchat": rocketchat,
    "slack": slack,
    "syslog": syslog,
    "teams": teams,
    "zulip": zulip,
}
"""A strict chat for each kind of channel."""
NEEDS = {
    "email": {"sender": "tocsin@monitor.example", "recipients": ["soc@team.example", "duty@team.example"]},
    "generic": {"secret": SECRET},
    "matrix": {"room": "!room:chat.example", "token": TOKEN},
    "ntfy": {"topic": "tocsin"},
    "pagerduty": {"token": TOKEN},
    "zulip": {"room": "security", "user": "bot@chat.example", "token": TOKEN},
}
"""What a channel of each kind needs besides its address, for these chats."""


def shown_texts(kind: str, body: bytes) -> list[str]:
    """Each text that a person sees of a message, as the chat shows it."""
    if kind == "zulip":
        return [parse_qs(body.decode())["content"][0].removeprefix("```text\n").removesuffix("\n```")]
    if kind == "email":
        mail = message_from_bytes(body, policy=policy.SMTP)
        plain, formatted = (str(part.get_content()) for part in mail.iter_parts())
        inner = formatted.removeprefix("<html><body>").removesuffix("</body></html>\n")
        return [
            plain.replace("\r\n", "\n"),
            html.unescape(re.sub("</?(p|b|ul|li|br)>", "\n", inner)).replace("\r\n", "\n"),
        ]
    if kind == "syslog":
        return [cef_of(body)[1]["msg"]]
    value = json.loads(body)
    if kind == "alertmanager":
        return ["\n".join([each["annotations"]["summary"], each["annotations"]["description"]]) for each in value]
    if kind == "apprise":
        return [f"{value['title']}\n{value['body']}"]
    if kind == "slack":
        texts = [value["text"], "\n".join(block["text"]["text"] for block in value["blocks"])]
        return [html.unescape(text) for text in texts]
    if kind == "matrix":
        return [value["body"], html.unescape(re.sub(r"</?(b|ul|li|br)>", "\n", value["formatted_body"]))]
    if kind == "discord":
        (embed,) = value["embeds"]
        return [_without_backslashes("\n".join([embed["title"], *_named(embed["fields"], "name")]))]
    if kind in {"mattermost", "rocketchat"}:
        (attached,) = value["attachments"]
        return [_without_backslashes("\n".join([value["text"], *_named(attached["fields"], "title")]))]
    if kind == "teams":
        return ["\n".join(_runs(value["attachments"][0]["content"]["body"]))]
    if kind == "google-chat":
        contents = [next(iter(widget.values())) for widget in value["cardsV2"][0]["card"]["sections"][0]["widgets"]]
        texts = [f"{each.get('topLabel', '')}\n{each['text']}" for each in contents]
        return [html.unescape(re.sub("</?(b|br)>", "\n", "\n".join(texts)))]
    if kind == "ntfy":
        return [f"{value['title']}\n{value['message']}"]
    if kind == "pagerduty":
        payload = value.get("payload")
        return [] if payload is None else [
            "\n".join([payload["summary"], *(f"{k}:\n{v}" for k, v in payload["custom_details"].items())])
        ]  # fmt: skip
    lines = [f"{label}:\n{text}" for label, text in value["tocsin"]["fields"]]
    return [
        value["message"],
        "\n".join([value["tocsin"]["title"], *lines, *(value["tocsin"][k] for k in ("advice", "take", "more"))]),
    ]


def _named(fields: list[dict[str, Any]], name: str) -> list[str]:
    return [f"{field[name]}:\n{field['value']}" for field in fields]


def _without_backslashes(text: str) -> str:
    """The text as Markdown shows it, in which nothing may form that Markdown reads.

    Raises:
        AssertionError: a character that Markdown reads is not escaped.
    """
    assert not re.search(r"[*_`\[\]()<>#~|&!{}]", re.sub(r"\\.", "", text, flags=re.DOTALL)), text
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)


def _runs(elements: list[dict[str, Any]]) -> list[str]:
    found = []
    for each in elements:
        if each["type"] == "RichTextBlock":
            found.append("".join(run["text"] for run in each["inlines"]))
        found += _runs(each.get("items", []))
    return found
