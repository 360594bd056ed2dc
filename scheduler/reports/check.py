"""One line of `tocsin doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is, what to do."""

    name: str
    state: State
    said: str
    mend: str = ""
