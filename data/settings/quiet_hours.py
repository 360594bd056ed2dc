"""The daily time in which a channel gets only critical alerts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

_FORM = re.compile(r"\s*([01]?\d|2[0-3]):([0-5]\d)\s*[-–]\s*([01]?\d|2[0-3]):([0-5]\d)\s*")


@dataclass(frozen=True, slots=True)
class DailyTime:
    """From one time of the day to another, which may be on the next day."""

    begin: time
    end: time

    def end_of(self, now: datetime, zone: str) -> datetime | None:
        """When the time that contains `now` ends, in UTC; None if it does not contain it.

        Args:
            now: aware.
            zone: name of the time zone of `begin` and `end`.
        """
        here = now.astimezone(ZoneInfo(zone))
        clock = here.time().replace(tzinfo=None)
        inside = self.begin <= clock < self.end if self.begin < self.end else clock >= self.begin or clock < self.end
        if not inside:
            return None
        day = here.date() + timedelta(days=int(clock >= self.end))
        return datetime.combine(day, self.end, ZoneInfo(zone)).astimezone(UTC)

    def __str__(self) -> str:
        """As in the settings."""
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"


def _parse(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _FORM.fullmatch(value)
    if match is None:
        raise ValueError("write quiet hours as two times of the day: 22:00-07:00")
    hours, minutes, end_hours, end_minutes = map(int, match.groups())
    parsed = DailyTime(time(hours, minutes), time(end_hours, end_minutes))
    if parsed.begin == parsed.end:
        raise ValueError("quiet hours must begin and end at different times")
    return parsed


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"there is no time zone '{name[:40]}'; write one such as Europe/Paris or UTC")
    return name


QuietHours = Annotated[DailyTime, BeforeValidator(_parse), WithJsonSchema({"type": "string"})]
Timezone = Annotated[str, AfterValidator(_known_zone)]
