"""What is said of a sample before its bytes come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.errors import WireError


@dataclass(frozen=True, slots=True)
class Request:
    """What is said of a sample before its bytes come (frame `S`); all but the name may be empty.

    Attributes:
        exact: every row is compared, whatever memory that takes.
        sighted: where something ties it to what is known and it holds more, its records are kept for a release.
    """

    name: str
    source: str = ""
    post: str = ""
    url: str = ""
    title: str = ""
    release: str = ""
    exact: bool = False
    sighted: bool = False

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Request:
        """From the payload of an `S` frame; unknown keys are a broken peer."""
        try:
            return cls(**value)
        except TypeError as error:
            raise WireError("a start frame has unknown or missing keys") from error
