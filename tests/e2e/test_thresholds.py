"""Unconfirmed incidents and recovering monitors in a browser."""

from __future__ import annotations

import pytest
import requests
from playwright.sync_api import expect

from tests.e2e.conftest import PHONE, shoot
from tests.support.product import Created


@pytest.fixture(scope="module")
def monitors(product) -> dict[str, Created]:
    with product.person() as person:
        made = {
            name: person.create_monitor(name, timeout="3600") for name in ("Nightly backup", "Mail queue")
        }
        for monitor in made.values():
            fields = {"own-missed": "row", "own-missed_needed": "3", "own-recovery": "3"}
            fields |= {"own-reported": "row", "own-reported_needed": "3"}
            person.submit(f"/channels/rules/{monitor.path.strip('/').split('/')[-1]}/", **fields)
    for name, statuses in {"Nightly backup": ("up", "down"), "Mail queue": ("down",) * 3 + ("up",)}.items():
        for status in statuses:
            url = made[name].push_url
            assert requests.get(url, {"status": status, "msg": "disk is full"}, timeout=20).ok
    return made


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("phone", [False, True])
def test_pages_show_how_far_an_incident_is(open_page, monitors, dark, phone):
    page = open_page(dark=dark, **({"viewport": PHONE} if phone else {}))
    name = f"{'phone' if phone else 'wide'}-{'dark' if dark else 'light'}"
    page.goto("/")
    expect(page.locator("#count-recovering")).to_contain_text("1 recovering")
    expect(page.locator(".pill-recovering")).to_be_visible()
    shoot(page, f"thresholds-overview-{name}")
    page.goto(monitors["Nightly backup"].path)
    expect(page.locator("header.head")).to_contain_text("Not confirmed yet: 1 of 3 failures")
    shoot(page, f"thresholds-unconfirmed-{name}")
    page.goto(monitors["Mail queue"].path)
    expect(page.locator("header.head")).to_contain_text("Recovering: 1 of 3 good heartbeats")
    shoot(page, f"thresholds-recovering-{name}")
    page.goto("/incidents/")
    expect(page.locator("#incident-list")).to_contain_text("Unconfirmed")
    shoot(page, f"thresholds-incidents-{name}")
    page.locator("#incident-list a", has_text="Nightly backup").click()
    expect(page.locator("header.head")).to_contain_text("Unconfirmed")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shoot(page, f"thresholds-incident-{name}")
