"""The clients of an event in the order of harm, and their totals (pure)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crawler.alerts.phrases.catalogue import Phrases
from crawler.alerts.plain_text import sanitize

# Characters of a client's name in a message.
MAX_NAME = 60


@dataclass(frozen=True, slots=True)
class HitTotals:
    """The hits of one event.

    Attributes:
        hits: per client `client`, `canaries`, `records` and `kinds`; those with most records first, then most canaries.
        of: number of clients on the watch-list; 0 if it is not known.
        canaries, records: sums over the clients.
    """

    hits: Sequence[Mapping[str, Any]]
    of: int
    canaries: int
    records: int

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any], names: Mapping[str, str]) -> HitTotals:
        """The hits in the facts of an event; `names` are the display names of all clients by id."""
        hits = sorted(facts.get("clients", ()), key=lambda hit: (-hit["records"], -hit["canaries"], hit["client"]))
        # a client that was removed from the watch-list may still be in an old event
        of = max(len(names), len(hits)) if names else 0
        return cls(hits, of, sum(hit["canaries"] for hit in hits), sum(hit["records"] for hit in hits))

    def share_text(self, phrases: Phrases) -> str:
        """`3 of 1,500 clients`, or `3 clients` if it is not known how many there are."""
        if not self.of:
            return phrases.count("client", len(self.hits))
        return phrases("clients.share", hit=len(self.hits), clients=phrases.count("client", self.of))

    def digest(self) -> str:
        """SHA-256 of the complete list as canonical JSON: a receiver that fetches it can check it."""
        return hashlib.sha256(json.dumps(list(map(dict, self.hits)), sort_keys=True).encode()).hexdigest()


def client_text(client: str, names: Mapping[str, str]) -> str:
    """`Cabinet des Lilas (practice-1)`, or the id alone for a client without a name."""
    name = sanitize(names.get(client, ""), MAX_NAME)
    shown = sanitize(client, 2 * MAX_NAME)
    return f"{name} ({shown})" if name and name != shown else shown
