"""What the browser knows about the user: the time zone, and the choice of a light or dark theme."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.urls import reverse
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


# --- Light or dark -------------------------------------------------------------------------------


def theme_of(response) -> str:
    found = re.search(r'<html [^>]*data-theme="([^"]*)"', response.content.decode())
    assert found
    return found[1]


def test_the_system_decides_between_light_and_dark_until_the_reader_does(client):
    page = reverse("account_login")
    assert theme_of(client.get(page)) == "auto"
    for theme in ("dark", "light", "auto"):
        response = client.post(reverse("set_theme"), {"theme": theme, "next": page})
        assert (response.status_code, response["Location"]) == (303, page)
        assert theme_of(client.get(page)) == theme


def test_a_theme_that_does_not_exist_changes_nothing(client):
    assert client.post(reverse("set_theme"), {"theme": "pink"}).status_code == 400
    client.cookies["theme"] = '"><script>'
    assert theme_of(client.get(reverse("account_login"))) == "auto"


def test_choosing_a_theme_leads_to_no_other_site(client):
    response = client.post(reverse("set_theme"), {"theme": "dark", "next": "//example.com/"})
    assert response["Location"] == "/"
    assert client.get(reverse("set_theme")).status_code == 405
