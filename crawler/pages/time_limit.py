"""A time limit for regular expressions and selectors, which operators write and hostile pages are searched with.

A backtracking engine takes exponential or high polynomial time for some expressions, and no check of an expression
recognises all of them (`data.sources.expression_checks` refuses the most common shape). Python's engine looks for
signals while it searches, so that a timer can end any search.
"""

from __future__ import annotations

import contextlib
import re
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from data.errors import SourceError

# Processor time of one search. Usual expressions take microseconds for a row and milliseconds for a page.
SEARCH_SECONDS = 1.0


class SearchTimeout(SourceError):
    """Raised if a search takes too long; the caller reports it and goes on without a match, or the crawl fails."""

    def __init__(self) -> None:
        super().__init__(
            "a regular expression of the source takes too long to search its page",
            hint="write it without repeats inside repeats and without alternatives that match the same text",
        )


class _Timer:
    """The timer of this process. It counts the processor time of the process, so that a busy machine changes nothing.

    Attributes:
        armed: a search is running; a signal that arrives after its end is ignored.
        slow: expressions that have taken too long once. They are not searched for again in this process.
    """

    def __init__(self) -> None:
        self.armed = False
        self.slow: set[str] = set()
        self._installed = False

    def install(self) -> None:
        if not self._installed:
            signal.signal(signal.SIGVTALRM, self._expire)
            self._installed = True

    def _expire(self, _number: int, _frame: FrameType | None) -> None:
        if self.armed:
            raise SearchTimeout


_timer = _Timer()


@contextlib.contextmanager
def time_limit(expression: str, seconds: float = SEARCH_SECONDS) -> Iterator[None]:
    """End what is done inside after a time limit, if it is done by Python or its regular expressions.

    Signals reach the main thread only, in which a crawl process reads its pages; in other threads there is no limit.

    Args:
        expression: that is applied inside.
        seconds: of processor time.

    Raises:
        SearchTimeout: the limit was reached now, or earlier in this process with the same expression.
    """
    if expression in _timer.slow:
        raise SearchTimeout
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _timer.install()
    try:
        _timer.armed = True
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        try:
            yield
        finally:
            _timer.armed = False
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    except SearchTimeout:
        _timer.slow.add(expression)
        raise


def search(pattern: re.Pattern[str], text: str, seconds: float = SEARCH_SECONDS) -> re.Match[str] | None:
    """The first match of a pattern in a text; arguments and errors as `time_limit`."""
    with time_limit(pattern.pattern, seconds):
        return pattern.search(text)
