"""The request that precedes the bytes of a sample: its name, its origin, and how to examine it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.errors import WireError


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """The payload of the start frame (`S`) of a sample; everything but the name may be empty.

    Attributes:
        name: of the file or post.
        source: from which it came; a reader may be reused for samples of one source.
        post: id of its post.
        url: address of the post, only for sealed evidence.
        title: of the post, only for sealed evidence.
        release: id of the release for which its records are collected.
        exact: whether every row is compared, whatever memory that takes.
        sighted: whether its records are kept for a release if it is tied to known data and holds more than that.
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
    def from_json(cls, value: Mapping[str, Any]) -> SampleRequest:
        """A request from the payload of an `S` frame.

        Raises:
            WireError: a key is unknown, or the name is missing.
        """
        try:
            return cls(**value)
        except TypeError as error:
            raise WireError("a start frame has unknown or missing keys") from error
