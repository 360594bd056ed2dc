"""How a row of table `event` is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from data.model import Event, EventKind, Severity


def event_of_row(row: Mapping[str, Any]) -> Event:
    """The event that a row holds; columns of other tables in the row are ignored."""
    return Event(
        id=row["id"],
        kind=EventKind(row["kind"]),
        severity=Severity(row["severity"]),
        at=datetime.fromisoformat(row["at"]),
        source=row["source"],
        incident=row["incident"],
        post=row["post"],
        address=row["address"],
        facts=json.loads(row["facts"]),
    )
