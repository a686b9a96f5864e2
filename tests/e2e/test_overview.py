"""The overview in a real browser: live, filtered, by keys, for many at once, on a desk and on a phone."""

from __future__ import annotations

import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.conftest import DESKTOP, PHONE, shoot
from tests.support.product import Created, Up, wait_for

# What people are promised, and what a busy machine may add to it.
LIVE = 3_000
SLACK = 3_000


@pytest.fixture
def make(product: Up) -> Callable[..., Created]:
    def make(name: str, **fields: str) -> Created:
        with product.person() as person:
            return person.create_monitor(name, **fields)

    return make


def push(monitor: Created, query: str = "") -> None:
    url = f"{monitor.push_url}{query}"
    ran = subprocess.run(["curl", "-fsS", "-X", "POST", url], check=True, capture_output=True, text=True)
    assert ran.stdout == '{"ok":true}'


def signed_in(browser: Browser, product: Up, **options: Any) -> Page:
    """A page whose complaints do not count."""
    context = browser.new_context(base_url=product.url, **options)
    context.add_cookies(product.cookies)  # type: ignore[arg-type]
    return context.new_page()


def row_of(page: Page, name: str) -> Locator:
    return page.locator("tbody").get_by_role("row").filter(has_text=name)


def names(page: Page) -> list[str]:
    return page.locator("tbody .monitor-name > a").all_text_contents()


def test_an_empty_workspace_creates_its_first_monitor_in_one_form(open_page: Callable[..., Page]):
    page = open_page()
    expect(page.get_by_role("heading", name="No monitors yet")).to_be_visible()
    shoot(page, "overview-first")
    page.get_by_label("Name", exact=True).fill("The first")
    page.get_by_label("Timeout").fill("")
    page.get_by_role("button", name="Create monitor").click()
    # Refused in words, in the form with everything in it.
    expect(page.get_by_label("Name", exact=True)).to_have_value("The first")
    page.get_by_label("Timeout").fill("5 min")
    page.get_by_role("button", name="Create monitor").click()
    expect(page.get_by_role("heading", name="The first", exact=True)).to_be_visible()
    page.goto("/")
    expect(row_of(page, "The first")).to_contain_text("New")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_push_shows_within_three_seconds_without_a_reload(
    open_page: Callable[..., Page], make: Callable[..., Created], viewport: dict[str, int], dark: bool
):
    name = f"Live {viewport['width']} {'dark' if dark else 'light'}"
    monitor = make(name, timeout="1 h")
    page = open_page(viewport=viewport, dark=dark)
    row = row_of(page, name)
    expect(row).to_contain_text("New")
    page.evaluate("window.neverReloaded = true")
    for query, word, expected in (
        ("", "Up", f"{name} is up"),
        ("?status=down&msg=disk+full", "Down", f"{name} is down"),
        ("", "Up", f"{name} has recovered"),
    ):
        push(monitor, query)
        expect(row.locator(".pill")).to_have_text(word, timeout=LIVE + SLACK)
        expect(page.locator("#toasts")).to_contain_text(expected)
        if word == "Down":
            expect(row).to_contain_text("disk full")
            expect(page).to_have_title(re.compile(r"^\(\d+\) Tianji$"))
            icon = page.locator('link[rel="icon"]').get_attribute("href") or ""
            assert icon.startswith("data:image/svg+xml")
            shoot(page, f"overview-toast-{viewport['width']}-{'dark' if dark else 'light'}")
    expect(page).to_have_title("Monitors · Tianji")
    assert page.evaluate("window.neverReloaded") is True


def test_nothing_is_sent_while_nothing_changes(open_page: Callable[..., Page], make: Callable[..., Created]):
    make("Quiet", timeout="1 h")
    page = open_page()
    seen: list[int] = []
    page.on("response", lambda response: seen.append(response.status) if response.url.endswith("/") else None)
    page.wait_for_timeout(7_000)
    assert seen.count(204) >= 2
    # Once a minute the bars are sent anew.
    assert seen.count(200) <= 1


def test_filters_search_and_sorting_are_in_the_address(
    open_page: Callable[..., Page], make: Callable[..., Created]
):
    down = make("Filter mail in", tags="mail, night", timeout="1 h")
    make("Filter mail out", tags="mail")
    make("Filter backup")
    push(down, "?status=down")
    page = open_page()
    page.evaluate("window.neverReloaded = true")
    page.get_by_label("Search monitors").fill("Filter mail")
    expect(page).to_have_url(re.compile(r"/\?q=Filter\+mail$"))
    expect(page.get_by_text(re.compile("^2 of "))).to_be_visible()
    expect(row_of(page, "Filter backup")).to_have_count(0)
    assert names(page) == ["Filter mail in", "Filter mail out"]
    heading = page.get_by_role("columnheader", name="Monitor", exact=True)
    heading.get_by_role("link").click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    heading.get_by_role("link").click()
    expect(page).to_have_url(re.compile("sort=-name"))
    expect(page.locator("tbody .monitor-name > a").first).to_have_text("Filter mail out")
    page.get_by_role("link", name=re.compile(r"^1 down")).click()
    expect(page).to_have_url(re.compile("status=down"))
    expect(row_of(page, "Filter mail out")).to_have_count(0)
    # A poll keeps the view, and what was typed.
    page.wait_for_timeout(3_000)
    assert names(page) == ["Filter mail in"]
    shoot(page, "overview-filtered")
    page.go_back()
    expect(row_of(page, "Filter mail out")).to_be_visible()
    row_of(page, "Filter mail in").get_by_role("link", name="night").click()
    expect(page).to_have_url(re.compile(r"/\?tag=night$"))
    expect(page.get_by_label("Search monitors")).to_have_value("")
    page.get_by_role("link", name=re.compile("Tag: night")).click()
    page.get_by_label("Search monitors").fill("nothing like it")
    expect(page.get_by_text("No monitors match")).to_be_visible()
    shoot(page, "overview-nothing")
    page.locator("#nothing").get_by_role("link", name="Clear filters").click()
    expect(page).to_have_url(re.compile(r":\d+/$"))
    expect(row_of(page, "Filter backup")).to_be_visible()
    assert page.evaluate("window.neverReloaded") is True


def test_the_keys_do_what_the_help_says(open_page: Callable[..., Page], make: Callable[..., Created]):
    for name in ("Key one", "Key two", "Key three"):
        make(name)
    page = open_page()
    page.goto("/?q=Key&sort=name")
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keyboard shortcuts")).to_be_visible()
    shoot(page, "overview-keys")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_label("Search monitors")).to_be_focused()
    # In a field, keys are letters.
    page.keyboard.press("j")
    expect(page).to_have_url(re.compile("q=j"))
    expect(page.locator("tbody .monitor")).to_have_count(0)
    expect(page.get_by_label("Search monitors")).to_be_focused()
    page.get_by_label("Search monitors").fill("Key")
    page.keyboard.press("Escape")
    expect(page.get_by_label("Search monitors")).not_to_be_focused()
    expect(page).to_have_url(re.compile("q=Key"))
    expect(page.locator("tbody .monitor")).to_have_count(3)
    for key, focused in (
        ("j", "Key one"),
        ("j", "Key three"),
        ("j", "Key two"),
        ("j", "Key two"),
        ("k", "Key three"),
    ):
        page.keyboard.press(key)
        expect(page.get_by_role("link", name=focused, exact=True)).to_be_focused()
    page.keyboard.press("x")
    expect(page.locator("#bulk-count")).to_have_text("1 selected")
    page.keyboard.press("Escape")
    expect(page.locator("#bulk")).to_be_hidden()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Key one")).to_be_visible()


def test_going_back_restores_the_search(open_page: Callable[..., Page], make: Callable[..., Created]):
    for name in ("Back one", "Back two"):
        make(name, tags="back")
    page = open_page()
    page.goto("/?tag=back")
    field = page.get_by_label("Search monitors")
    field.fill("one")
    expect(page).to_have_url(re.compile("q=one"))
    expect(page.locator("tbody .monitor")).to_have_count(1)
    # The cursor is still in the field.
    page.go_back()
    expect(page.locator("tbody .monitor")).to_have_count(2)
    expect(field).to_have_value("")
    page.go_forward()
    expect(page.locator("tbody .monitor")).to_have_count(1)
    expect(field).to_have_value("one")


def test_selected_rows_are_still_selected_after_going_back(
    open_page: Callable[..., Page], make: Callable[..., Created]
):
    for name in ("Chosen one", "Chosen two"):
        make(name)
    page = open_page()
    page.goto("/?q=Chosen&sort=name")
    row_of(page, "Chosen one").get_by_role("checkbox").check()
    row_of(page, "Chosen two").get_by_role("link", name="Chosen two").click()
    expect(page.get_by_role("heading", name="Chosen two")).to_be_visible()
    page.go_back()
    expect(row_of(page, "Chosen one").get_by_role("checkbox")).to_be_checked()
    expect(page.locator("#bulk-count")).to_have_text("1 selected")
    expect(page.locator("#bulk")).to_be_visible()


@pytest.mark.parametrize("part", ["", "edit/", "log/", "incidents/", "usage/", "rejected/", "charts/"])
def test_a_long_name_without_a_space_fits_a_phone(
    open_page: Callable[..., Page], make: Callable[..., Created], part: str
):
    monitor = make("W" * 100)
    page = open_page(viewport=PHONE)
    answer = page.goto(monitor.path + part)
    assert answer is not None
    assert answer.status == 200
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_several_monitors_are_paused_tagged_and_deleted(
    open_page: Callable[..., Page], make: Callable[..., Created]
):
    for number in range(1, 4):
        make(f"Bulk {number}")
    page = open_page()
    page.goto("/?q=Bulk&sort=name")
    row_of(page, "Bulk 1").get_by_role("checkbox").check()
    row_of(page, "Bulk 2").get_by_role("checkbox").check()
    expect(page.locator("#bulk-count")).to_have_text("2 selected")
    shoot(page, "overview-bulk")
    # What is chosen stays chosen while the page keeps itself current.
    page.wait_for_timeout(2_700)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("2 monitors paused.")).to_be_visible()
    expect(page).to_have_url(re.compile(r"q=Bulk&sort=name$"))
    expect(row_of(page, "Bulk 2")).to_contain_text("Paused")
    expect(row_of(page, "Bulk 3")).to_contain_text("New")
    page.get_by_label("Select all monitors on this page").check()
    expect(page.locator("#bulk-count")).to_have_text("3 selected")
    page.get_by_label("Tag", exact=True).fill("nightly")
    page.keyboard.press("Enter")
    expect(page.get_by_text("3 monitors tagged “nightly”.")).to_be_visible()
    expect(row_of(page, "Bulk 3").get_by_role("link", name="nightly")).to_be_visible()
    page.get_by_label("Select all monitors on this page").check()
    row_of(page, "Bulk 1").get_by_role("checkbox").uncheck()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Delete 2 monitors?")).to_be_visible()
    shoot(page, "overview-bulk-delete")
    page.get_by_role("button", name="Delete 2 monitors").click()
    expect(page.get_by_text("2 monitors deleted.")).to_be_visible()
    assert names(page) == ["Bulk 1"]


def test_a_lost_connection_is_shown_with_its_time_and_recovers(
    browser: Browser, product: Up, make: Callable[..., Created]
):
    make("Offline")
    # Chromium itself complains of answers that fail.
    page = signed_in(browser, product)
    page.goto("/")
    strip = page.locator("#offline")
    expect(strip).to_be_hidden()
    page.route("**/*", lambda route: route.fulfill(status=503, body="busy"))
    expect(strip).to_be_visible(timeout=LIVE + SLACK)
    expect(strip).to_have_text(re.compile(r"^Connection lost, last update \d\d:\d\d$"))
    shoot(page, "overview-offline")
    page.unroute("**/*")
    expect(strip).to_be_hidden(timeout=LIVE + SLACK)
    page.context.close()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_fits_its_screen(
    open_page: Callable[..., Page], make: Callable[..., Created], viewport: dict[str, int], dark: bool
):
    page = open_page(viewport=viewport, dark=dark)
    mode = f"{viewport['width']}-{'dark' if dark else 'light'}"
    down = make(f"A rather long name for a monitor that must fit on a phone {mode}", tags="production, night")
    push(down, "?value=1234567.25")
    push(down, "?status=down&msg=disk+full+on+the+third+volume+of+the+second+machine")
    page.goto("/")
    row_of(page, mode).get_by_role("checkbox").check()
    page.wait_for_timeout(300)
    shoot(page, f"overview-rows-{mode}")
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def test_without_javascript_filters_and_the_choice_of_many_still_work(
    browser: Browser, product: Up, make: Callable[..., Created]
):
    make("Scriptless one")
    make("Scriptless two")
    page = signed_in(browser, product, java_script_enabled=False)
    page.goto("/?sort=name")
    page.get_by_label("Search monitors").fill("Scriptless")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("q=Scriptless"))
    assert names(page) == ["Scriptless one", "Scriptless two"]
    page.get_by_role("link", name=re.compile("2 new")).click()
    expect(page).to_have_url(re.compile("status=new"))
    row_of(page, "Scriptless two").get_by_role("checkbox").check()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("1 monitor paused.")).to_be_visible()
    assert names(page) == ["Scriptless one"]
    page.context.close()


def test_the_browser_can_notify_while_the_tab_is_hidden(
    browser: Browser, product: Up, make: Callable[..., Created]
) -> None:
    monitor = make("Told in the browser")
    push(monitor)
    page = signed_in(browser, product, viewport=DESKTOP, permissions=["notifications"])
    # What the system would show, written down; and a tab that says it is hidden.
    page.add_init_script(
        "window.shown = [];"
        "window.Notification = class { constructor(text) { shown.push(text); }"
        " static permission = 'granted'; static requestPermission = async () => 'granted'; };"
    )
    page.goto("/")
    button = page.locator("#notify")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => true, configurable: true })")
    push(monitor, "?status=down")
    wait_for(lambda: page.evaluate("shown.length"), seconds=60)
    assert page.evaluate("shown") == ["Told in the browser is down"]
    page.evaluate("delete document.hidden")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    page.context.close()


def test_values_of_a_day_are_a_line_beside_the_last_one(
    browser: Browser, product: Up, make: Callable[..., Created]
) -> None:
    monitor = make("With values")
    push(monitor, "?value=12.5")
    page = signed_in(browser, product, viewport=DESKTOP)
    page.goto("/")
    expect(row_of(page, "With values")).to_contain_text("value 12.5")
    page.context.close()


@pytest.fixture
def gap(product: Up) -> Iterator[Callable[..., None]]:
    """Return a function that stores a gap which ends now, as if all processes had been away."""

    def gap(**length: float) -> None:
        ended = datetime.now(UTC)
        write(
            "INSERT INTO monitors_gap (started_at, ended_at) VALUES (?, ?)",
            *(f"{at:%Y-%m-%d %H:%M:%S.%f}" for at in (ended - timedelta(**length), ended)),
        )

    def write(statement: str, *values: str) -> None:
        with closing(sqlite3.connect(product.data / "tianji.sqlite3", timeout=30)) as database, database:
            database.execute(statement, values)

    yield gap
    # Other tests share the product.
    write("DELETE FROM monitors_gap")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_gap_appears_on_an_open_page_without_a_reload(
    open_page: Callable[..., Page],
    make: Callable[..., Created],
    gap: Callable[..., None],
    viewport: dict[str, int],
    dark: bool,
):
    name = f"Gap {viewport['width']} {'dark' if dark else 'light'}"
    monitor = make(name, timeout="1 d")
    push(monitor, "?value=12")
    page = open_page(viewport=viewport, dark=dark)
    expect(row_of(page, name)).to_contain_text("Up")
    notice = page.locator("#listening")
    expect(notice).to_have_text("")
    page.evaluate("window.neverReloaded = true")
    gap(minutes=32, seconds=5)
    expect(notice).to_contain_text("Tianji was not listening from ", timeout=LIVE + SLACK)
    expect(notice).to_contain_text("; no monitor was blamed.")
    assert page.evaluate("window.neverReloaded") is True
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= viewport["width"]
    shoot(page, f"overview-gap-{viewport['width']}-{'dark' if dark else 'light'}")
