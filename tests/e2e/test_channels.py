"""Choosing and describing a channel, in a browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import PHONE, shoot


def test_a_kind_is_found_by_typing_and_its_form_says_where_to_find_what_it_needs(open_page):
    page = open_page()
    page.goto("/channels/new/")
    page.get_by_role("searchbox").fill("tele")
    expect(page.get_by_role("link", name="Slack")).to_have_count(0)
    page.get_by_role("link", name="Telegram").click()
    expect(page.locator(".steps li").first).to_be_visible()
    expect(page.get_by_label("Bot token")).to_have_attribute("type", "password")


def test_the_preview_follows_what_is_typed(open_page):
    page = open_page()
    page.goto("/channels/new/webhook/")
    preview = page.locator("#preview")
    expect(preview).to_contain_text("Nightly backup")
    page.get_by_text("Title and text").click()
    page.get_by_label("Title", exact=True).fill("Alas, {monitor}: {status}")
    expect(preview).to_contain_text("Alas, Nightly backup: Down")
    page.get_by_label("Title", exact=True).fill("Alas, {pigeon}")
    expect(preview).to_contain_text("Fix the title and text to see the preview.")


def test_errors_are_shown_beside_their_fields_and_the_input_is_kept(open_page):
    page = open_page()
    page.goto("/channels/new/telegram/")
    page.get_by_label("Name", exact=True).fill("On-call")
    page.get_by_label("Bot token").fill("nonsense-and-secret")
    page.get_by_label("Chat ID").fill("-1001234567890")
    page.get_by_label("Only if still down after").fill("10 min")
    page.get_by_role("button", name="Add channel").click()
    expect(page.locator("[aria-invalid=true]")).to_have_count(1)
    expect(page.get_by_label("Chat ID")).to_have_value("-1001234567890")
    expect(page.get_by_label("Only if still down after")).to_have_value("10 min")
    expect(page.get_by_label("Bot token")).to_have_value("")
    assert "nonsense-and-secret" not in page.content()


def test_a_channel_that_is_left_as_it_is_keeps_its_secret(open_page, web):
    page = open_page()
    page.goto("/channels/new/webhook/")
    page.get_by_label("Name", exact=True).fill("Bridge")
    page.get_by_label("URL").fill(f"{web.url}?key=hidden-key")
    page.get_by_role("button", name="Add channel").click()
    page.get_by_role("link", name="Edit").click()
    assert "hidden-key" not in page.content()
    page.get_by_label("Late").check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".facts")).to_contain_text("down, recovery, late, reminders (immediately)")
    page.get_by_role("button", name="Send test").click()
    expect(page.locator("#tested")).to_contain_text("Test sent")
    assert web.requests[-1].path.endswith("?key=hidden-key")
    page.get_by_role("link", name="New secret").click()
    expect(page.locator("dialog")).to_contain_text("It is shown once")
    page.get_by_role("button", name="Create secret").click()
    secret = page.get_by_label("Secret").input_value()
    assert secret.startswith("whsec_")
    page.get_by_role("link", name="I've copied it").click()
    assert secret not in page.content()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("phone", [False, True])
def test_the_pages_fit(open_page, dark, phone):
    page = open_page(dark=dark, **({"viewport": PHONE} if phone else {}))
    name = f"{'phone' if phone else 'wide'}-{'dark' if dark else 'light'}"
    for path in ("", "telegram/", "webhook/", "email/"):
        page.goto(f"/channels/new/{path}")
        folds = page.locator("main details:not([open]) > summary")
        # Each click takes one out of the list.
        for _ in range(folds.count()):
            folds.first.click()
        shoot(page, f"channel-{path.strip('/') or 'kinds'}-{name}")
        width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert width <= 0
