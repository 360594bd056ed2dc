"""What all parts of the runner know about one crawl: its source, its lease and where its results go."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import orjson

from data.case import evidence
from data.errors import KeyFileError, StoreError
from data.model import Event, Incident
from data.settings.home import Home
from data.settings.settings import Settings
from data.sources.definition import Definition
from data.store.events import Route
from data.store.store import Store


@dataclass(frozen=True, slots=True)
class LeasedCrawl:
    """One crawl that this process holds the lease of.

    Attributes:
        home: folder that gets its evidence.
        store: the database of this home.
        settings: of this home.
        definition: of the source.
        id: of the crawl.
        fence: number of the lease; the store refuses to write anything for a lease with an older number.
        route: names the channels that an event is sent to.
        incident: to which the source belongs; None for none.
    """

    home: Home
    store: Store
    settings: Settings
    definition: Definition
    id: str
    fence: int
    route: Route
    incident: Incident | None

    @property
    def source(self) -> str:
        """Name of the source."""
        return self.definition.name

    @property
    def incident_id(self) -> str:
        """Id of the incident, '' without one."""
        return self.incident.id if self.incident is not None else ""

    @property
    def over_tor(self) -> bool:
        """Whether the source is crawled over Tor."""
        return self.definition.via == "tor"

    @property
    def recipients(self) -> str:
        """The public keys that evidence is sealed for; '' if there are none or they cannot be read, which the self-test tells."""
        with contextlib.suppress(OSError):
            return self.home.evidence_key_path.read_text(errors="replace").strip()
        return ""

    def with_addresses(self, event: Event, posts: Sequence[Mapping[str, str]], now: datetime) -> Event:
        """The event with the sealed addresses of posts that it asks people to look at; as it is if there are none.

        Args:
            event: not stored yet.
            posts: `url`, `raw` and `title` of each.
            now: aware UTC.
        """
        recipients = self.recipients
        if not recipients or not posts:
            return event
        proof = {"source": self.source, **posts[0], "posts": list(posts)}
        try:
            return self.with_evidence(event, evidence.seal(recipients, orjson.dumps(proof)), now)
        except KeyFileError as error:
            return replace(event, facts={**event.facts, "evidence_problem": str(error)})

    def with_evidence(self, event: Event, sealed: bytes, now: datetime) -> Event:
        """The event with evidence that no finding has, kept under its own id; without it, if it cannot be kept.

        Args:
            event: not stored yet.
            sealed: for `recipients`: what shows why the event was made, or where.
            now: aware UTC.
        """
        keys, audit = self.store.chain_keys, self.store.audit
        audit.record_page_begun(event.id, hashlib.sha256(sealed).hexdigest(), now)
        try:
            entry = evidence.keep(
                self.home.evidence_dir, event.id, sealed, now, keys.evidence if keys is not None else None
            )
        except StoreError as error:
            # the alert must not wait for the disk
            return replace(event, facts={**event.facts, "evidence_problem": str(error)})
        audit.record_page(entry.id, entry.sha256, now)
        return replace(event, facts={**event.facts, "evidence": [entry.id]})
