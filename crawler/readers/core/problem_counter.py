"""Counts problems that may occur very often in one container, so that each is reported once."""

from __future__ import annotations

from collections import Counter

from crawler.readers.core.output import Output


class ProblemCounter:
    """Collects the problems of one container, so that each is reported once with its count.

    A million members with the same problem make one report, not a million.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, bool]] = Counter()

    def add(self, code: str, sentence: str, *, incomplete: bool = True) -> None:
        """Count one occurrence of a problem."""
        self._counts[code, sentence, incomplete] += 1

    def __bool__(self) -> bool:
        return bool(self._counts)

    def report(self, out: Output) -> None:
        """Report all of them as problems of the open member, and forget them."""
        for (code, sentence, incomplete), count in self._counts.items():
            out.problem(code, sentence if count == 1 else f"{sentence} ({count} times)", incomplete=incomplete)
        self._counts.clear()
