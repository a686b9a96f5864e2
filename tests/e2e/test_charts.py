"""The charts of a monitor in a real browser: read by pointing, by touch and by keys, or without a script."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import requests
from playwright.sync_api import Browser, Page, Route, expect

from tests.e2e.conftest import DESKTOP, PHONE, shoot
from tests.support.product import Created, Up


@pytest.fixture(scope="module")
def monitor(product: Up) -> Created:
    """A monitor with three values of this moment."""
    with product.person() as person:
        made = person.create_monitor("Charted", timeout="1 h")
    for value in (98, 140, 131):
        push(made, value)
    return made


def push(monitor: Created, value: float) -> None:
    requests.post(f"{monitor.push_url}?value={value}", timeout=10).raise_for_status()


def chart(page: Page, what: str = "value"):
    return page.locator(f"#chart-{what}")


def test_the_arrow_keys_read_the_chart(open_page: Callable[..., Page], monitor: Created):
    page = open_page()
    page.goto(f"{monitor.path}charts/?range=1h")
    slider = chart(page).get_by_role("slider")
    readout = chart(page).locator(".chart-readout")
    summary = readout.text_content()
    slider.focus()
    page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuenow", "1")
    expect(readout).to_contain_text("no value")
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuenow", "2")
    page.keyboard.press("End")
    expect(slider).to_have_attribute("aria-valuenow", "60")
    texts = set()
    for _ in range(4):
        texts.add(readout.text_content())
        expect(slider).to_have_attribute("aria-valuetext", readout.text_content() or "")
        page.keyboard.press("ArrowLeft")
    assert any(re.search(r"\d\d:\d\d–\d\d:\d\d UTC · mean [\d.]+, min", text or "") for text in texts)
    page.keyboard.press("Escape")
    expect(readout).to_have_text(summary or "")


def test_pointing_reads_the_chart_until_one_leaves(open_page: Callable[..., Page], monitor: Created):
    page = open_page()
    page.goto(f"{monitor.path}charts/")
    readout = chart(page).locator(".chart-readout")
    summary = readout.text_content() or ""
    page.locator("#chart-value .chart-box").hover(position={"x": 30, "y": 60})
    expect(readout).to_contain_text("no value")
    expect(page.locator("#chart-value .chart-cursor")).to_have_css("display", "block")
    page.mouse.move(5, 5)
    expect(readout).to_have_text(summary)


def test_a_finger_reads_the_chart(browser: Browser, product: Up, monitor: Created):
    context = browser.new_context(base_url=product.url, viewport=PHONE, has_touch=True)  # type: ignore[arg-type]
    context.add_cookies(product.cookies)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{monitor.path}charts/")
    page.locator("#chart-value .chart-box").tap(position={"x": 40, "y": 60})
    expect(chart(page).locator(".chart-readout")).to_contain_text("no value")
    context.close()


def test_another_range_comes_without_a_reload_and_stays_in_the_address(
    open_page: Callable[..., Page], monitor: Created
):
    page = open_page()
    page.goto(f"{monitor.path}charts/")
    page.evaluate("window.neverReloaded = true")
    page.get_by_role("link", name="7 days").click()
    expect(page).to_have_url(re.compile(r"charts/\?range=7d$"))
    expect(page.get_by_role("link", name="7 days")).to_have_attribute("aria-current", "true")
    expect(chart(page, "value").get_by_role("slider")).to_have_attribute("aria-valuemax", "168")
    assert page.evaluate("window.neverReloaded") is True
    page.reload()
    expect(page.get_by_role("link", name="7 days")).to_have_attribute("aria-current", "true")


def test_an_open_page_is_kept_current_and_keeps_what_is_read(
    open_page: Callable[..., Page], monitor: Created
):
    page = open_page()
    page.goto(f"{monitor.path}charts/?range=1h")
    slider = chart(page).get_by_role("slider")
    slider.focus()
    page.keyboard.press("Home")
    chart(page).get_by_text("Show as a table").click()
    slider.focus()
    page.keyboard.press("Home")
    push(monitor, 1000)
    page.evaluate("document.querySelector('#charts [data-charts]').dataset.every = 0")
    expect(chart(page).locator("tbody")).to_contain_text("1,000", timeout=8_000)
    expect(slider).to_be_focused()
    expect(slider).to_have_attribute("aria-valuenow", "1")
    expect(chart(page).locator("details")).to_have_attribute("open", "")
    expect(chart(page).locator(".chart-readout")).to_contain_text("no value")


def test_a_range_chosen_before_any_chart_came_is_the_one_that_comes(
    open_page: Callable[..., Page], monitor: Created
):
    page = open_page()
    held: list[Route] = []
    first = re.compile(r"/charts/\?range=24h")

    def hold(route: Route) -> None:
        held.append(route)

    page.route(first, hold)
    with page.expect_request(first):
        page.goto(monitor.path)
    page.locator("a[data-range='7d']").click()
    expect(chart(page).get_by_role("slider")).to_have_attribute("aria-valuemax", "168")
    assert len(held) == 1


def test_the_table_and_the_file_say_the_same(open_page: Callable[..., Page], monitor: Created):
    page = open_page()
    page.goto(f"{monitor.path}charts/")
    chart(page).get_by_text("Show as a table").click()
    expect(chart(page).get_by_role("row").nth(1)).to_contain_text("98")
    with page.expect_download() as download:
        chart(page).get_by_role("link", name="Download as CSV").click()
    assert download.value.suggested_filename == "charted-value-24h.csv"


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_charts_fit_their_screen(
    open_page: Callable[..., Page], monitor: Created, viewport: dict[str, int], dark: bool
):
    page = open_page(viewport=viewport, dark=dark)
    for name in ("1h", "24h", "7d", "30d", "90d"):
        page.goto(f"{monitor.path}charts/?range={name}")
        assert page.locator("#charts").evaluate("charts => charts.scrollWidth - charts.clientWidth") <= 0
        assert (
            page.locator(".chart-box").first.evaluate("box => box.getBoundingClientRect().right")
            < viewport["width"]
        )
        for text in page.locator("#charts .chart text").all():
            size = text.evaluate("text => text.getBoundingClientRect().height")
            # Not shown, or large enough to read.
            assert size == 0 or size >= 10
    shoot(page, f"charts-{viewport['width']}-{'dark' if dark else 'light'}")


def test_without_javascript_ranges_tables_and_tooltips_remain(
    browser: Browser, product: Up, monitor: Created
):
    context = browser.new_context(base_url=product.url, java_script_enabled=False)
    context.add_cookies(product.cookies)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{monitor.path}charts/")
    page.get_by_role("link", name="1 hour").click()
    expect(page).to_have_url(re.compile(r"range=1h$"))
    expect(page.locator("#chart-value .chart-target title")).to_have_count(60)
    page.locator("#chart-value summary").click()
    expect(page.locator("#chart-value tbody tr").first).to_be_visible()
    context.close()
