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


class Job(WireValue):
    """What one crawl is to do.

    Attributes:
        crawl: its id.
        definition: of the source.
        settings: for Scrapy; JSON values only.
        post_key: ids and versions of posts are keyed with it, and due posts are sealed with it.
        limits: of the process.
        closed: the home folder; the process gives up all access to it.
        mode: `crawl`, or `check` to read one page of the listing and store nothing.
        network: how the process gives up the network: `refused`, as far as the kernel allows it, or `required` if the
            crawl must fail if the network cannot be given up.
        due: posts of earlier crawls that are not examined yet, each sealed by `crawler.pages.post_identity.seal_due`.
        revisit: known posts whose own page is to be read again, sealed as those that are due.
        settled: number of posts of the source that were seen by an earlier walk that ended.
        follow: other source -> the (host, port) pairs that it declares; links are handed to these sources.
        rules: of the source's incident.
    """

    crawl: str
    definition: DefinitionJson = Field(validation_alias="source", serialization_alias="source")
    settings: Mapping[str, Any]
    network: Literal["refused", "required"]
    post_key: Hex = Field(repr=False)
    due: tuple[Base64, ...] = Field(repr=False)
    revisit: tuple[Base64, ...] = Field(repr=False)
    mode: Literal["crawl", "check"]
    limits: JobLimits
    closed: Path
    settled: Int64
    follow: Mapping[str, HostPorts]
    rules: IncidentRules


NO_RULES = IncidentRules(words=(), expressions=(), files={})
