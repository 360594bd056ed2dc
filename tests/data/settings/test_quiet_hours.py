"""Quiet hours: within them, over midnight, and over the change to summer time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from data.errors import ConfigError
from data.settings.settings import load_settings

CHANNEL = '[channels.a]\nkind = "slack"\nurl = "http://127.0.0.1:1"\n'


def channel(tmp_path, lines):
    (tmp_path / "tocsin.toml").write_text(CHANNEL + lines)
    return load_settings(tmp_path / "tocsin.toml", {}).channels["a"]


@pytest.mark.parametrize(
    ("hours", "zone", "now", "end"),
    [
        ("22:00-07:00", "UTC", "2026-03-01T21:59", None),
        ("22:00-07:00", "UTC", "2026-03-01T22:00", "2026-03-02T07:00"),
        ("22:00-07:00", "UTC", "2026-03-02T06:59", "2026-03-02T07:00"),
        ("22:00-07:00", "UTC", "2026-03-02T07:00", None),
        ("12:30-13:00", "UTC", "2026-03-02T12:45", "2026-03-02T13:00"),
        ("12:30-13:00", "UTC", "2026-03-02T13:00", None),
        ("22:00-07:00", "Europe/Paris", "2026-07-01T20:30", "2026-07-02T05:00"),
        # the clocks go forward at 2026-03-29T01:00 UTC
        ("22:00-07:00", "Europe/Paris", "2026-03-28T22:00", "2026-03-29T05:00"),
        ("22:00-07:00", "Europe/Paris", "2026-10-24T22:00", "2026-10-25T06:00"),
    ],
)
def test_the_end_of_the_quiet_hours(tmp_path, hours, zone, now, end):
    found = channel(tmp_path, f'quiet_hours = "{hours}"\ntimezone = "{zone}"\n')
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    expected = end and datetime.fromisoformat(end).replace(tzinfo=UTC)
    assert found.quiet_hours.end_of(at, found.timezone) == expected


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('quiet_hours = "22-7"', "22:00-07:00"),
        ('quiet_hours = "22:00-25:00"', "22:00-07:00"),
        ('quiet_hours = "07:00-07:00"', "different times"),
        ('timezone = "Paris"', "Europe/Paris"),
    ],
)
def test_wrong_quiet_hours_are_refused_with_an_example(tmp_path, line, word):
    with pytest.raises(ConfigError, match=word):
        channel(tmp_path, line + "\n")
