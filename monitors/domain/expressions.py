"""What cron and OnCalendar expressions share: their error, and time zones by name; without a database."""

from __future__ import annotations

from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones


class ScheduleError(ValueError):
    """A schedule that can't be evaluated; the message tells the user why."""


@cache
def _zones() -> frozenset[str]:
    # "localtime" is the zone of the machine, whichever that is, and "Factory" none.
    return frozenset(available_timezones() - {"Factory", "localtime"})


def is_time_zone(name: str) -> bool:
    """Return whether `name` is a time zone of the IANA database, such as Asia/Jakarta."""
    return name in _zones()


def zone_named(name: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        ScheduleError: there is none with this name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ScheduleError(f"Unknown time zone {name!r}.") from error
