"""Which sources and events of a home belong to one incident; the reports about it read the store through this."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from data.case.incidents import find_incident, read_incidents
from data.model import Incident


@dataclass(frozen=True, slots=True)
class IncidentScope:
    """What belongs to an incident.

    Attributes:
        incident: itself.
        sources: names of its sources; None for all sources, because it is the only incident.
        shared: those of its sources that another incident names as well.
    """

    incident: Incident
    sources: tuple[str, ...] | None
    shared: tuple[str, ...] = ()

    @property
    def sources_json(self) -> str:
        """The sources as a JSON list, for the clauses below; `null` for all of them."""
        return json.dumps(self.sources)

    @classmethod
    def of_home(cls, home: Path, name: str) -> IncidentScope:
        """The scope of the incident with this id or name.

        Raises:
            InputError: there is no such incident.
        """
        every = read_incidents(home)
        incident = find_incident(every, name)
        others = {source for each in every if each.id != incident.id for source in each.sources}
        shared = tuple(source for source in incident.sources if source in others)
        return cls(incident, None if len(every) == 1 else incident.sources, shared)


def of_sources(column: str, sources: str = "?") -> str:
    """SQL that is true for a source of the scope.

    Args:
        column: that holds the name of a source.
        sources: a parameter that is `IncidentScope.sources_json`; `?` stands in the text twice.
    """
    return f"({sources} = 'null' or {column} in (select value from json_each({sources})))"  # noqa: S608 - fixed text
