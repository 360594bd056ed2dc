"""Sizes and time spans as people write them in settings: 4MiB, 15m."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmg]i?)?b?\s*", re.IGNORECASE)
_SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_size(value: object) -> object:
    """Bytes of "8MB", "4 MiB" or a plain number; anything else is returned for pydantic to refuse."""
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        return int(float(match[1]) * _UNITS[(match[2] or "").lower()])
    return value


def parse_span(value: object) -> object:
    """The span of "15m", "90s", "1.5h" or a number of seconds; anything else is returned for pydantic to refuse."""
    if isinstance(value, str) and (match := _SPAN.fullmatch(value)):
        return timedelta(seconds=float(match[1]) * _SECONDS[match[2].lower()])
    return value


# What an editor accepts is what we read: "8MB" as well as a number, 900 as well as "15m".
Size = Annotated[int, BeforeValidator(parse_size, json_schema_input_type=int | str), Field(ge=0)]
Span = Annotated[timedelta, BeforeValidator(parse_span, json_schema_input_type=float | str), Field(ge=timedelta(0))]
