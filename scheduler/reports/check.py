"""The result of one check of `tocsin doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

State = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was checked, the result, and how to repair it."""

    name: str
    state: State
    result: str
    repair: str = ""

    def to_json(self) -> dict[str, Any]:
        """The check with the keys of `doctor --json`."""
        return {"name": self.name, "state": self.state, "said": self.result, "mend": self.repair}
