"""A monitor's page in a real browser: its current window, its ranges, its sections, on a desk and a phone."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import DESKTOP, PHONE, shoot
from tests.support.product import Created, Up

# What people are promised, and what a busy machine may add to it.
LIVE = 6_000


@pytest.fixture
def make(product: Up) -> Callable[..., Created]:
    def make(name: str, **fields: str) -> Created:
        with product.person() as person:
            return person.create_monitor(name, **fields)

    return make


def push(monitor: Created, query: str = "") -> None:
    requests.post(f"{monitor.push_url}{query}", timeout=10).raise_for_status()


def now_of(page: Page) -> float:
    return float(page.locator("[data-now-line]").get_attribute("x1").removesuffix("%"))


def test_now_moves_through_the_window_by_itself(open_page: Callable[..., Page], make: Callable[..., Created]):
    monitor = make("Moves", timeout="60")
    push(monitor)
    page = open_page()
    page.goto(monitor.path)
    before = now_of(page)
    page.wait_for_function(
        "before => parseFloat(document.querySelector('[data-now-line]').getAttribute('x1')) > before + 1",
        arg=before,
        timeout=LIVE,
    )
    # A heartbeat opens the next window.
    push(monitor)
    expect(page.locator("#log")).to_be_visible()
    page.wait_for_function(
        "before => parseFloat(document.querySelector('[data-now-line]').getAttribute('x1')) < before + 6",
        arg=before,
        timeout=LIVE,
    )


def test_now_keeps_still_between_polls_for_those_who_want_no_motion(
    open_page: Callable[..., Page], make: Callable[..., Created]
):
    monitor = make("Keeps still", timeout="20")
    push(monitor)
    page = open_page()
    page.emulate_media(reduced_motion="reduce")
    page.goto(monitor.path)
    moves = page.evaluate(
        """() => new Promise((done) => {
            const seen = [];
            const line = document.querySelector("[data-now-line]");
            const look = () => seen.push(line.getAttribute("x1"));
            new MutationObserver(look).observe(line, { attributes: true });
            setTimeout(() => done(new Set(seen).size), 4000);
        })"""
    )
    assert 1 <= moves <= 3


def test_another_range_comes_without_a_reload_and_can_be_bookmarked(
    open_page: Callable[..., Page], make: Callable[..., Created]
):
    monitor = make("Ranges")
    push(monitor)
    page = open_page()
    page.goto(monitor.path)
    page.evaluate("window.neverReloaded = true")
    ranges = page.get_by_role("navigation", name="Time range")
    ranges.get_by_role("link", name="7 d").click()
    expect(page.get_by_role("heading", name="Last 7 d")).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?range=7d$"))
    expect(ranges.get_by_role("link", name="7 d")).to_have_attribute("aria-current", "true")
    page.wait_for_timeout(2_700)
    expect(page.get_by_role("heading", name="Last 7 d")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Last 24 h")).to_be_visible()
    assert page.evaluate("window.neverReloaded") is True
    page.goto(f"{monitor.path}?range=90d")
    expect(page.get_by_role("heading", name="Last 90 d")).to_be_visible()


def test_sections_load_when_they_are_opened_and_stay_open(
    open_page: Callable[..., Page], make: Callable[..., Created]
):
    monitor = make("Sections")
    push(monitor)
    page = open_page()
    page.goto(monitor.path)
    expect(page.locator("#notification-rules")).to_contain_text("No notifications")
    expect(page.locator("#changes")).to_be_hidden()
    page.locator("#history summary").click()
    expect(page.locator("#changes")).to_contain_text("Created the monitor")
    push(monitor, "?msg=another+one")
    expect(page.locator("#log")).to_contain_text("another one", timeout=LIVE)
    expect(page.locator("#changes")).to_contain_text("Created the monitor")


def test_nothing_is_sent_again_while_nothing_changes(
    open_page: Callable[..., Page], make: Callable[..., Created]
):
    monitor = make("Quiet", timeout="1 h")
    push(monitor)
    page = open_page()
    page.goto(monitor.path)
    with page.expect_response(lambda answer: answer.status == 204, timeout=3 * LIVE):
        pass


def test_a_timeout_is_changed_only_after_a_question(
    open_page: Callable[..., Page], make: Callable[..., Created]
):
    monitor = make("Patience", timeout="60")
    page = open_page()
    page.goto(f"{monitor.path}timeout/?timeout=95")
    expect(page.locator("main")).to_contain_text("From 60 s to 95 s.")
    expect(page.get_by_role("textbox", name="Timeout")).to_have_value("95 s")
    page.get_by_role("button", name="Change timeout").click()
    expect(page.get_by_text("Changed the timeout from 60 s to 95 s.")).to_be_visible()


def test_on_a_phone_the_push_url_comes_before_the_log(
    open_page: Callable[..., Page], make: Callable[..., Created]
):
    monitor = make("On a phone")
    push(monitor)
    page = open_page(viewport=PHONE)
    page.goto(monitor.path)
    tops = [page.locator(part).bounding_box()["y"] for part in ("#standing", "#tokens", "#log")]
    assert tops == sorted(tops)


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_fits_its_screen(
    open_page: Callable[..., Page], make: Callable[..., Created], viewport: dict[str, int], dark: bool
):
    mode = f"{viewport['width']}-{'dark' if dark else 'light'}"
    monitor = make(f"Fits {mode}", timeout="60", interval="30", tags="production, nightly")
    cron = make(f"Cron {mode}", kind="cron", cron="0 2 * * *", timezone="Asia/Jakarta")
    for one in (monitor, cron):
        push(one, "?value=1234567.25&msg=batch+881+done")
    page = open_page(viewport=viewport, dark=dark)
    for name, one in (("detail-up", monitor), ("detail-cron", cron)):
        page.goto(one.path)
        page.wait_for_timeout(1_500)
        shoot(page, f"{name}-{mode}")
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def test_without_javascript_ranges_and_sections_are_links(
    browser: Browser, product: Up, make: Callable[..., Created]
):
    monitor = make("Scriptless detail")
    push(monitor)
    context = browser.new_context(base_url=product.url, java_script_enabled=False)
    context.add_cookies(product.cookies)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(monitor.path)
    page.get_by_role("link", name="30 d").click()
    expect(page.get_by_role("heading", name="Last 30 d")).to_be_visible()
    page.locator("#history summary").click()
    page.locator("#changes").get_by_role("link", name="Show").click()
    expect(page.locator("main")).to_contain_text("Created the monitor")
    context.close()
