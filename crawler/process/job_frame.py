"""The first frame on the control socket: the runner tells a crawl process what it is to do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer

from crawler.process.wire_values import Base64, Hex, Int64, WireValue
from data.sources.definition import Definition

# A definition has its own JSON form, with the names of its attributes.
DefinitionJson = Annotated[Definition, PlainSerializer(lambda definition: definition.model_dump(mode="json"))]
HostPorts = Annotated[frozenset[tuple[str, int]], PlainSerializer(sorted)]


class IncidentRules(WireValue):
    """The rules of the incident that a source belongs to, as `crawler.pages.incident_rules` compiles them.

    Attributes:
        words: searched for in folded text.
        expressions: Python regular expressions.
        files: name -> text of YARA rules.
    """

    words: tuple[str, ...]
    expressions: tuple[str, ...]
    files: Mapping[str, str]


class JobLimits(WireValue):
    """What a crawl process may use: bytes of memory, and seconds of time until its end (`wall`)."""

    memory: Int64
    wall: float


class JobCookie(WireValue):
    """A cookie of the operator's own session; attributes as of `data.sources.cookie_files.SiteCookie`."""

    name: str
    value: str = Field(repr=False)
    domain: str
    path: str
    secure: bool


class Job(WireValue):
    """What one crawl is to do.

    Attributes:
        crawl: its id.
        definition: of the source.
        settings: for Scrapy; JSON values only.
        post_key: ids and versions of posts are keyed with it, and due posts are sealed with it.
        limits: of the process.
        closed: the home folder; the process gives up all access to it.
        mode: `crawl`, or `check` to read one page of the listing and two posts, or `look` to propose how one page is read;
            neither of these stores anything.
        network: how the process gives up the network: `refused`, as far as the kernel allows it, or `required` if the
            crawl must fail if the network cannot be given up.
        due: posts of earlier crawls that are not examined yet, each sealed by `crawler.pages.post_identity.seal_due`.
        revisit: known posts whose own page is to be read again, sealed as those that are due.
        robots: robots.txt files that earlier crawls learned, sealed by `crawler.pages.post_identity.seal_rules`; b"" for
            none.
        settled: number of posts of the source that were seen by an earlier walk that ended.
        follow: other source -> the (host, port) pairs that it declares; links are handed to these sources.
        shapes: those of them that take links without a rule -> expressions for the part after the host of a post there.
        rules: of the source's incident.
        cookies: of the operator's own session on the site.
        recipient: the public key that evidence is sealed for; '' for none.
    """

    crawl: str
    definition: DefinitionJson = Field(validation_alias="source", serialization_alias="source")
    settings: Mapping[str, Any]
    network: Literal["refused", "required"]
    post_key: Hex = Field(repr=False)
    due: tuple[Base64, ...] = Field(repr=False)
    revisit: tuple[Base64, ...] = Field(repr=False)
    robots: Base64 = Field(repr=False)
    mode: Literal["crawl", "check", "look"]
    limits: JobLimits
    closed: Path
    settled: Int64
    follow: Mapping[str, HostPorts]
    shapes: Mapping[str, tuple[str, ...]]
    rules: IncidentRules
    recipient: str
    cookies: tuple[JobCookie, ...] = Field(repr=False)


NO_RULES = IncidentRules(words=(), expressions=(), files={})
