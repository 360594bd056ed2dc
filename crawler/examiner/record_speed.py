"""Ends the record pass over a member that takes too much processor time for each byte of its rows and text.

`crawler.readers.core.speed_floor` does the same for readers. What follows in the member is left to the byte pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from crawler.examiner.sample import CompareTime, SampleMember

MIN_SPEED = 50_000
"""Bytes of rows and text for each second of processor time; sound files are read at least eight times as fast."""
# A member may take this many times the seconds of its reader, and all members of a sample together so many.
_MEMBER_GRACE, _SAMPLE_GRACE = 6, 24


class RecordSpeed:
    """Counts bytes and processor time of the record pass of one sample, and gives up members that take too long.

    Args:
        grace: seconds of processor time that a reader may take for a member, whatever its speed.
        clock: tells the processor time of the calling thread in seconds.
    """

    def __init__(self, grace: float, clock: Callable[[], float] = time.thread_time) -> None:
        self._grace, self._clock = grace, clock
        self._sample = CompareTime()
        self._began = 0.0

    def begin(self) -> None:
        """Rows or text of a member that is not given up are read from now on."""
        self._began = self._clock()

    def end(self, member: SampleMember, size: int) -> None:
        """The record pass has read `size` bytes of a member. If that was too slow, the member is given up and says so."""
        seconds = self._clock() - self._began
        for each in (member.compare_time, self._sample):
            each.seconds += seconds
            each.bytes += size
        graces = (_MEMBER_GRACE * self._grace, _SAMPLE_GRACE * self._grace)
        if any(map(_is_too_slow, (member.compare_time, self._sample), graces)):
            member.given_up, member.complete = True, False
            member.problem(
                "slow",
                f"people were looked for in it at less than {MIN_SPEED} bytes per second of processor time, and that was"
                " given up; its rest was searched for single values alone",
            )


def _is_too_slow(spent: CompareTime, grace: float) -> bool:
    return spent.seconds > grace and spent.bytes < MIN_SPEED * spent.seconds
