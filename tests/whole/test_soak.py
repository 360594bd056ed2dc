"""P2 and P3: boards that post, edit, delete, break and come back are watched without loss while processes are killed.

`python -m benchmarks soak` runs the same for half an hour, with 200 boards and 500 kills.
"""

from __future__ import annotations

import pytest

from benchmarks.soak import soak

pytestmark = [pytest.mark.servers, pytest.mark.slow]


def test_a_short_soak_with_kills_loses_and_doubles_nothing_and_tells_each_trouble(tmp_path):
    result = soak(tmp_path, minutes=0.4, sources=8, kills=3, every=4, seed=7)
    assert result.faults == []
    assert result.figures["kills"] > 0
    assert result.figures["troubles"] > 0
    assert result.figures["alerts"] > 0
