"""The choice of a light or dark theme."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

pytestmark = pytest.mark.django_db


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
