"""The request that precedes the bytes of a sample: its name, its origin, and how to examine it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from data.errors import WireError

# Characters of one text of a request; a title or an address of a site may be long.
MAX_TEXT = 2**20
_RELEASE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """The payload of the start frame (`S`) of a sample; everything but the name may be empty.

    Attributes:
        name: of the file or post.
        source: from which it came; a reader may be reused for samples of one source.
        post: id of its post.
        url: address of the post, only for sealed evidence.
        title: of the post, only for sealed evidence.
        receipt: JSON, how the sample was received, only for sealed evidence.
        release: id of the release for which its records are collected.
        exact: whether every row is compared, whatever memory that takes.
        passwords: that are tried on locked archives in it, one a line; they are given to the reader and kept nowhere.
        sighted: whether its records are kept for a release if it is tied to known data and holds more than that.
        explain: whether the finding tells what the columns of each table were understood as.
        task: JSON, what is asked instead of a finding (`crawler.examiner.chunk_results`); '' for a finding.
    """

    name: str
    source: str = ""
    post: str = ""
    url: str = ""
    title: str = ""
    receipt: str = field(default="", repr=False)
    release: str = ""
    passwords: str = field(default="", repr=False)
    exact: bool = False
    sighted: bool = False
    explain: bool = False
    task: str = field(default="", repr=False)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SampleRequest:
        """A request from the payload of an `S` frame.

        Raises:
            WireError: a key is unknown, the name is missing, or a value has the wrong type or is too long.
        """
        try:
            request = cls(**value)
        except TypeError as error:
            raise WireError("a start frame has unknown or missing keys") from error
        for each in fields(cls):
            given = getattr(request, each.name)
            sound = isinstance(given, str) and len(given) <= MAX_TEXT
            if not (isinstance(given, bool) if isinstance(each.default, bool) else sound):
                raise WireError("a start frame has a value of the wrong type, or one that is too long")
        if request.release and not _RELEASE.fullmatch(request.release):
            raise WireError("a start frame names a release by something that is no id")
        return request
