"""What all parts of the runner know about one crawl: its source, its lease and where its results go."""

from __future__ import annotations

from dataclasses import dataclass

from data.model import Incident
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
