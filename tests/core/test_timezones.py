"""Pages are rendered in the time zone of the browser."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.utils import timezone

from core.timezones import TimezoneMiddleware

pytestmark = pytest.mark.django_db


def zone_for(cookie: str | None) -> str:
    """Return the zone that a page is rendered in."""
    seen = []

    def page(request: HttpRequest) -> HttpResponse:
        seen.append(str(timezone.get_current_timezone()))
        return HttpResponse()

    request = HttpRequest()
    if cookie is not None:
        request.COOKIES["zone"] = cookie
    TimezoneMiddleware(page)(request)
    return seen[0]


@pytest.mark.parametrize("zone", ["Asia/Jakarta", "America/Argentina/Ushuaia", "Etc/GMT+7"])
def test_pages_are_rendered_in_the_zone_that_the_browser_names(zone):
    assert zone_for(zone) == zone


@pytest.mark.parametrize("cookie", [None, "", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "a\0b"])
def test_what_is_no_zone_is_the_servers(cookie, settings):
    settings.TIME_ZONE = "Europe/Berlin"
    assert zone_for(cookie) == "Europe/Berlin"


def test_a_zone_ends_with_its_request():
    zone_for("Asia/Jakarta")
    assert timezone.get_current_timezone_name() == "UTC"


def test_a_time_is_shown_in_the_readers_zone_with_utc_on_hover():
    when = datetime(2026, 11, 22, 20, 5, 12, tzinfo=UTC)
    template = Template("{% load tianji %}{% clock when %}")
    with timezone.override("Asia/Jakarta"):
        shown = template.render(Context({"when": when, "now": when}))
    assert ">03:05:12 WIB<" in shown
    assert 'title="2026-11-23 03:05:12 WIB · 2026-11-22 20:05:12 UTC"' in shown
