"""Notification rules in a browser: the form shows a summary while typing, and collapses defaults."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import PHONE, shoot
from tests.support.product import Created


@pytest.fixture(scope="module")
def monitor(product) -> Created:
    with product.person() as person:
        for name in ("Ops Slack", "On-call phone"):
            person.submit(
                "/channels/new/webhook/", name=name, url="http://127.0.0.1:9/", scope="all", enabled="on"
            )
        return person.create_monitor("Backup")


def open_rules(page: Any, monitor: Created) -> None:
    page.goto(f"/channels/rules/{monitor.path.strip('/').split('/')[-1]}/")


def test_the_summary_follows_what_is_typed(open_page, monitor):
    page = open_page()
    open_rules(page, monitor)
    summary = page.locator("#summary")
    expect(summary).to_contain_text("On-call phone and Ops Slack: immediately.")
    row = page.locator("li", has=page.get_by_label("On-call phone", exact=True))
    row.locator("summary").click()
    row.get_by_label("Only if still down after").fill("10 min")
    expect(summary).to_contain_text("Ops Slack: immediately; On-call phone: if still down after 10 min.")
    page.locator("summary", has_text="Reminders").click()
    expect(page.get_by_label("Maximum reminders")).to_be_hidden()
    page.get_by_label("Reminders while it is down").select_option("every")
    expect(summary).to_contain_text("reminders every hour until acknowledged, at most 24 times")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#notification-rules")).to_contain_text("On-call phone: if still down after 10 min")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("phone", [False, True])
def test_the_pages_fit(open_page, monitor, dark, phone):
    page = open_page(dark=dark, **({"viewport": PHONE} if phone else {}))
    name = f"{'phone' if phone else 'wide'}-{'dark' if dark else 'light'}"
    open_rules(page, monitor)
    for summary in page.locator("summary:not(.menu summary)").all():
        if not summary.evaluate("element => element.parentElement.open"):
            summary.click()
    for kind in ("missed", "reported"):
        page.locator(f"[name=own-{kind}]").select_option("of")
    page.locator("[name=own-missed_needed]").fill("3")
    page.locator("[name=own-missed_of]").fill("2")
    shoot(page, f"rules-{name}")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("[aria-invalid=true]").first).to_be_visible()
    assert page.locator("[name=own-missed_of]").input_value() == "2"
    shoot(page, f"rules-errors-{name}")
    page.goto("/channels/rules/")
    shoot(page, f"rules-workspace-{name}")
    page.goto(monitor.path)
    page.locator("#notification-rules").get_by_role("link", name="Snooze").click()
    expect(page.locator("dialog")).to_contain_text("Snooze “Backup”?")
    shoot(page, f"snooze-{name}")
    page.get_by_role("button", name="For 1 hour").click()
    expect(page.locator("#snoozed")).to_be_visible()
    shoot(page, f"snoozed-{name}")
    width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0
    page.get_by_role("button", name="End snooze").click()
    expect(page.locator("#snoozed")).to_have_count(0)
