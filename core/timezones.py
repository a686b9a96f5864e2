"""The user's time zone, in which pages show times."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from functools import cache

from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

# The browser's time zone, set by static/js/page.js; it does not identify anyone.
COOKIE = "zone"
# Of a column or field for the name of a zone; the longest names have about half of it.
ZONE_LENGTH = 64


@cache
def known_zones() -> frozenset[str]:
    """Return the names of all time zones; cached, because reading them takes some milliseconds."""
    return frozenset(zoneinfo.available_timezones())


@cache
def offered_zones() -> tuple[str, ...]:
    """Return the names to offer: UTC, and those of places."""
    named = (zone for zone in known_zones() if "/" in zone and not zone.startswith("Etc/"))
    return ("UTC", *sorted(named))


class TimezoneMiddleware:
    """Shows times in the browser's time zone, or else in TIANJI_TIME_ZONE."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        name = request.COOKIES.get(COOKIE, "")
        # Only known names: zoneinfo would look for anything else among the files of this machine.
        zone = zoneinfo.ZoneInfo(name) if name in known_zones() else timezone.get_default_timezone()
        with timezone.override(zone):
            return self.get_response(request)
