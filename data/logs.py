"""The log of all processes: events with fields, redacted before anything is written."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal

import structlog

# The last line of defence: what a caller forgot to mask (paths of addresses, keys, signing secrets) is masked here.
_SECRETS = (
    (re.compile(r"(https?://)[^/\s@]+@", re.IGNORECASE), r"\1***@"),
    (re.compile(r"(https?://[^/\s]+/)\S+", re.IGNORECASE), r"\1…"),
    (re.compile(r"whsec_\S+"), "whsec_***"),
    (re.compile(r"tocsin-(match|enrol)-key-1\s*\S*"), r"tocsin-\1-key-***"),
    (re.compile(r"AGE-SECRET-KEY-\S+"), "AGE-SECRET-KEY-***"),
    (re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"), "***@***"),
    (re.compile(r"\d(?:[\s./-]?\d){8,}"), "***"),
)


def redact(text: str) -> str:
    """The text without paths of web addresses, credentials, keys, e-mail addresses and long numbers."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _redacting(_logger: Any, _name: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in fields.items():
        if name == "timestamp" or isinstance(value, (int, float, bool)) or value is None:
            continue
        fields[name] = redact(value if isinstance(value, str) else repr(value))
    return fields


# 8.11 is the version whose field names are used.
ECS_VERSION = "8.11"
# What our fields are called in the Elastic Common Schema; all others stand below `tocsin.`.
_ECS = {"event": "message", "level": "log.level", "timestamp": "@timestamp", "logger": "log.logger"}


def _ecs(_logger: Any, _name: str, fields: MutableMapping[str, Any]) -> str:
    """The fields, which are redacted, as one line of JSON."""
    line: dict[str, Any] = {
        "@timestamp": fields.get("timestamp"),
        "log.level": fields.get("level"),
        "message": fields.get("event"),
        "ecs.version": ECS_VERSION,
        "service.name": "tocsin",
        "process.pid": os.getpid(),
    }
    line |= {_ECS.get(name, f"tocsin.{name}"): value for name, value in fields.items()}
    return json.dumps(line, ensure_ascii=False, default=str)


class _RedactingFormatter(logging.Formatter):
    """Formats the log records of libraries: the message is redacted, of an exception only its class is shown."""

    def __init__(self, *, ecs: bool) -> None:
        super().__init__()
        self._ecs = ecs

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        ending = f" ({type(error).__name__})" if error is not None else ""
        message = redact(record.getMessage())
        if self._ecs:
            at = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
            level = record.levelname.lower()
            return _ecs(
                None, "", {"timestamp": at, "level": level, "event": f"{message}{ending}", "logger": record.name}
            )
        return f"{self.formatTime(record)} [{record.levelname.lower()}] {record.name}: {message}{ending}"


def set_up(form: Literal["auto", "json"] = "auto", level: int = logging.INFO) -> None:
    """Log to standard error, redacted and without the values of traces; libraries only from WARNING on.

    Args:
        form: `json` for lines in the Elastic Common Schema; `auto` for columns on a terminal, else key=value.
        level: the lowest level of our own lines.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_RedactingFormatter(ecs=form == "json"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    renderer: Any
    if form == "json":
        renderer = _ecs
    elif sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer(colors=True, exception_formatter=structlog.dev.plain_traceback)
    else:
        renderer = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"])
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _redacting,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
