"""The log of all processes: events with fields, redacted before anything is written."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

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


class _RedactingFormatter(logging.Formatter):
    """Formats the log records of libraries: the message is redacted, of an exception only its class is shown."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        ending = f" ({type(error).__name__})" if error is not None else ""
        message = redact(record.getMessage())
        return f"{self.formatTime(record)} [{record.levelname.lower()}] {record.name}: {message}{ending}"


def set_up(level: int = logging.INFO) -> None:
    """Log to standard error, redacted and without the values of traces; libraries only from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_RedactingFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _redacting,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
            if sys.stderr.isatty()
            else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
