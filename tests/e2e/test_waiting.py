"""A new monitor waits for its first heartbeat; what was refused is found on its page."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import requests
from playwright.sync_api import Page, expect

from monitors.heartbeats.words import ALLOWED
from tests.e2e.conftest import DESKTOP, PHONE, shoot
from tests.e2e.test_flows import LIVE, create_monitor, push
from tests.support.product import Up

RECEIVED = re.compile(r"Received, \d\d:\d\d:\d\d")


@pytest.mark.parametrize(
    ("viewport", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["desktop-light", "phone-dark"]
)
def test_the_page_turns_by_itself_when_the_first_heartbeat_comes(
    open_page: Callable[..., Page], viewport: dict[str, int], dark: bool
):
    page = open_page(viewport=viewport, dark=dark)
    url = create_monitor(page, "Weekly backup")
    name = f"{viewport['width']}-{'dark' if dark else 'light'}"
    waiting = page.locator("#waiting")
    expect(waiting).to_contain_text("Waiting for the first heartbeat")
    expect(page.get_by_label("Push URL of this monitor")).to_have_value(url)
    shoot(page, f"waiting-{name}")
    page.evaluate("window.neverReloaded = true")
    push(f"{url}?msg=Backup+done")
    received = page.locator("#received")
    expect(received.get_by_role("heading")).to_have_text(RECEIVED, timeout=LIVE)
    expect(received).to_contain_text("“Backup done” from 127.0.0.1.")
    expect(waiting).to_have_count(0)
    # Said to those who do not see it, in an element that was there before.
    expect(page.locator(".visually-hidden[role=status]").filter(has_text=RECEIVED)).to_have_count(1)
    shoot(page, f"received-{name}")
    # What comes later leaves it as it is, until it is closed.
    card = received.element_handle()
    push(f"{url}?msg=second")
    expect(page.locator("main")).to_contain_text("second", timeout=LIVE)
    assert card.is_visible()
    received.get_by_role("button", name="Close").click()
    push(f"{url}?msg=third")
    expect(page.locator("main")).to_contain_text("third", timeout=LIVE)
    expect(received).to_have_count(0)
    assert page.evaluate("window.neverReloaded") is True
    page.reload()
    expect(page.locator("#waiting, #received")).to_have_count(0)


def test_later_the_url_is_masked_and_a_test_heartbeat_ends_the_waiting(
    open_page: Callable[..., Page], product: Up
):
    page = open_page()
    url = create_monitor(page, "Masked")
    page.reload()
    waiting = page.locator("#waiting")
    expect(waiting).to_contain_text("tjp_...")
    assert url.rsplit("/", 1)[-1] not in page.content()
    waiting.get_by_role("button", name="Copy").click()
    expect(waiting.get_by_role("button", name="Copied")).to_be_visible()
    assert url in page.evaluate("navigator.clipboard.readText()")
    page.get_by_role("button", name="Send test heartbeat").click()
    expect(page.locator("#received")).to_contain_text(f"Test heartbeat from {product.email}", timeout=LIVE)


def test_programs_that_were_opened_stay_open_while_the_page_looks(open_page: Callable[..., Page]):
    page = open_page()
    create_monitor(page, "Reading")
    page.get_by_text("Python (standard library)").click()
    program = page.locator("#first-python-1")
    expect(program).to_be_visible()
    with page.expect_response(lambda answer: "hx-request" in answer.request.headers):
        pass
    expect(program).to_be_visible()


def test_without_javascript_the_page_waits_too_and_sends_a_test_heartbeat(open_page: Callable[..., Page]):
    page = open_page()
    create_monitor(page, "Plain")
    browser = page.context.browser
    assert browser
    plain = browser.new_context(
        java_script_enabled=False, storage_state=page.context.storage_state(), base_url=page.url
    )
    still = plain.new_page()
    still.goto(page.url)
    expect(still.locator("#waiting")).to_contain_text("Reload the page to check again.")
    still.get_by_role("button", name="Send test heartbeat").click()
    expect(still.get_by_text("Test heartbeat received.")).to_be_visible()
    expect(still.locator("#waiting")).to_have_count(0)
    plain.close()


def test_a_push_that_was_refused_is_found_with_its_reason(open_page: Callable[..., Page]):
    page = open_page()
    url = create_monitor(page, "Refused")
    address = page.url
    for _ in range(2):
        assert requests.get(f"{url}?status=broken", timeout=10).status_code == 400
    assert requests.put(url, timeout=10).status_code == 405

    def listed() -> str:
        page.goto(f"{address}rejected/")
        return page.locator("#rejected").inner_text()

    for _ in range(20):
        if "Method not allowed" in listed():
            break
        page.wait_for_timeout(300)
    entry = page.get_by_role("listitem").filter(has_text="Invalid parameter")
    expect(entry).to_contain_text("× 2")
    expect(entry).to_contain_text(f"Response: “Unknown status “broken”. {ALLOWED}”")
    expect(entry).to_contain_text(f"with token …{url[-4:]}")
    shoot(page, "refused")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").startswith(f'curl -sS -i -X POST "{url}')


def test_a_test_of_a_failure_asks_first_and_then_takes_the_monitor_down(open_page: Callable[..., Page]):
    page = open_page()
    push(create_monitor(page, "Drill"))
    address = page.url
    page.goto(f"{address}rejected/")
    page.get_by_role("link", name="Test the notifications").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Report “Drill” down as a test?")
    # The question says who is notified, without the heading that the page has for it.
    expect(dialog.locator(".notice")).to_contain_text(re.compile("No notifications|immediately"))
    expect(dialog.locator(".notice").get_by_role("heading")).to_have_count(0)
    shoot(page, "test-down")
    dialog.get_by_role("button", name="Report down").click()
    expect(page.get_by_text("Test heartbeat received: the monitor is down")).to_be_visible()
    expect(page.locator("header .pill")).to_have_text("Down")
