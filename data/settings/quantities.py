"""Sizes and time spans as operators write them, such as 4MiB and 15m."""

from __future__ import annotations

import contextlib
import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmg]i?)?b?\s*", re.IGNORECASE)
_SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_size(value: object) -> object:
    """The number of bytes in "8MB" or "4 MiB"; any other value is returned unchanged, for pydantic to check."""
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        with contextlib.suppress(OverflowError):
            return int(float(match[1]) * _UNITS[(match[2] or "").lower()])
    return value


def parse_span(value: object) -> object:
    """The time span of "15m", "90s" or "1.5h"; any other value is returned unchanged, for pydantic to check."""
    if isinstance(value, str) and (match := _SPAN.fullmatch(value)):
        with contextlib.suppress(OverflowError):
            return timedelta(seconds=float(match[1]) * _SECONDS[match[2].lower()])
    return value


# The JSON schema for editors accepts what the parsers accept: "8MB" or a number, "15m" or a number of seconds.
Size = Annotated[int, BeforeValidator(parse_size, json_schema_input_type=int | str), Field(ge=0)]
Span = Annotated[timedelta, BeforeValidator(parse_span, json_schema_input_type=float | str), Field(ge=timedelta(0))]
