"""The whole breach at a hundredth of its size: 150,000 people of 1,500 practices, played through the real commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.case import play

pytestmark = [pytest.mark.servers, pytest.mark.slow]

# what Slack takes in one request, far below the 16 KB that it documents for a whole message
LARGEST_MESSAGE = 12_000


def test_every_step_of_the_breach_is_right_and_every_message_is_brief(tmp_path: Path) -> None:
    lines: list[str] = []
    steps = play(tmp_path, people=150_000, practices=1_500, seed=1, show=lines.append)
    table = "\n".join(lines)
    assert [step.name for step in steps if step.wrong] == [], table
    assert all(step.message < LARGEST_MESSAGE for step in steps), table
