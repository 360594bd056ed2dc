"""The settings that an examiner works with, as the process that starts it sends them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from data.settings.settings import ExamineSettings


@dataclass(frozen=True, slots=True)
class ExaminerLimits:
    """Limits of an examiner and its readers; each is the setting `examine.…` of the same name.

    The examiner is told them, because reading settings takes 0.15 s of processor time, and it has no environment that
    could change them.

    Attributes:
        memory, max_output, max_entries, max_depth, max_ratio, exact_rows, examiner_memory: bytes and numbers.
        cpu, wall: seconds.
        require_bubblewrap: examine nothing if readers cannot run inside bubblewrap.
    """

    memory: int
    cpu: float
    wall: float
    max_output: int
    max_entries: int
    max_depth: int
    max_ratio: float
    exact_rows: int
    examiner_memory: int
    require_bubblewrap: bool

    @classmethod
    def of(cls, settings: ExamineSettings) -> Self:
        """The limits that settings give."""
        return cls(
            memory=settings.memory,
            cpu=settings.cpu.total_seconds(),
            wall=settings.wall.total_seconds(),
            max_output=settings.max_output,
            max_entries=settings.max_entries,
            max_depth=settings.max_depth,
            max_ratio=settings.max_ratio,
            exact_rows=settings.exact_rows,
            examiner_memory=settings.examiner_memory,
            require_bubblewrap=settings.bubblewrap == "required",
        )
