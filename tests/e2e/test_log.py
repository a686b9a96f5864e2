"""The log and the incidents in a real browser: live, filtered, as a file, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.e2e.conftest import DESKTOP, PHONE, shoot
from tests.support.product import Created, Up
from tests.support.sinks import HttpSink

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


def log_of(monitor: Created) -> str:
    return f"{monitor.path}log/"


def fits(page: Page) -> bool:
    # A page that a link leads to may not have begun.
    page.wait_for_load_state()
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_an_entry_slides_in_and_leaves_the_open_ones_open(
    open_page: Callable[..., Page], make: Callable[..., Created], viewport: dict[str, int], dark: bool
):
    name = f"Log {viewport['width']} {'dark' if dark else 'light'}"
    monitor = make(name, timeout="1 h")
    push(monitor, "?msg=batch+881+done&value=98")
    push(monitor, "?msg=OK&value=121")
    push(monitor, "?status=down&msg=" + "disk full on /var/lib, " * 6)
    page = open_page(viewport=viewport, dark=dark)
    page.goto(log_of(monitor))
    reported = page.locator(".entry").first
    expect(reported).to_contain_text("Reported down: “disk full")
    reported.locator("summary").click()
    expect(reported.get_by_role("link", name="View incident")).to_be_visible()
    page.evaluate("window.neverReloaded = true")
    push(monitor, "?msg=room+again&value=123")
    newest = page.locator(".entry").first
    expect(newest).to_contain_text("Recovered after", timeout=LIVE)
    expect(newest).to_contain_text("“room again”")
    # What was open stays open, in the same place of the document, and only the new row moved.
    expect(page.locator(".entry").nth(1).get_by_role("link", name="View incident")).to_be_visible()
    assert page.evaluate("window.neverReloaded")
    assert fits(page)
    shoot(page, f"log-{viewport['width']}-{'dark' if dark else 'light'}")


def test_filters_stand_in_the_address_and_what_was_typed_stays(
    open_page: Callable[..., Page], make: Callable[..., Created]
):
    monitor = make("Filtered", timeout="1 h")
    push(monitor, "?msg=needle")
    push(monitor, "?msg=hay")
    push(monitor, "?msg=needle+again")
    page = open_page()
    page.goto(log_of(monitor))
    page.get_by_label("Heartbeats").check()
    page.get_by_label("Search").fill("NEEDLE")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".entry")).to_have_count(2)
    assert "kind=heartbeats" in page.url
    assert "q=NEEDLE" in page.url
    page.get_by_label("From").fill("2026-03-02T00:00")
    page.get_by_label("Until").fill("2026-03-01T00:00")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("alert")).to_contain_text("Must be after “From”.")
    expect(page.get_by_label("Search")).to_have_value("NEEDLE")
    expect(page.get_by_label("Until")).to_have_value("2026-03-01T00:00")
    shoot(page, "log-error")
    page.get_by_role("link", name="Clear").click()
    expect(page.locator(".entry").first).to_contain_text("needle again")


def test_the_log_is_saved_as_a_file(open_page: Callable[..., Page], make: Callable[..., Created]):
    monitor = make("Saved", timeout="1 h")
    push(monitor, "?msg=kept")
    page = open_page()
    page.goto(f"{log_of(monitor)}?kind=heartbeats")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    text = download.value.path().read_text()
    assert text.startswith("at,kind,what,text,value,from,by")
    assert "heartbeats,up,kept" in text


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_an_incident_is_acknowledged_noted_and_resolved_on_its_page(
    open_page: Callable[..., Page], make: Callable[..., Created], viewport: dict[str, int], dark: bool
):
    look = f"{viewport['width']}-{'dark' if dark else 'light'}"
    monitor = make(f"Incident {look}", timeout="1 h")
    push(monitor)
    push(monitor, "?status=down&msg=disk+full")
    page = open_page(viewport=viewport, dark=dark)
    page.get_by_role("link", name="Incidents").click()
    assert fits(page)
    shoot(page, f"incidents-{look}")
    page.get_by_role("link", name=f"Incident {look}").click()
    expect(page.locator("#notifications")).to_contain_text("No notifications were sent for this incident.")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    page.get_by_role("textbox", name="Note").fill("Deleted the old dumps.\nOrdered a larger disk.")
    page.get_by_role("button", name="Save note").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    page.get_by_role("textbox", name="Note").fill("Half typed")
    page.evaluate("window.neverReloaded = true")
    push(monitor, "?msg=room+again")
    expect(page.locator("#incident")).to_contain_text("Was down for", timeout=LIVE)
    expect(page.locator("#incident")).to_contain_text("Recovered after")
    expect(page.get_by_role("textbox", name="Note")).to_have_value("Half typed")
    assert page.evaluate("window.neverReloaded")
    assert fits(page)
    shoot(page, f"incident-{look}")


def test_an_incident_page_updates_with_its_deliveries(
    open_page: Callable[..., Page], make: Callable[..., Created], product: Up, web: HttpSink
):
    monitor = make("Told", timeout="1 h")
    with product.person() as person:
        person.submit("/channels/new/webhook/", name="Ops room", url=web.url, scope="all", enabled="on")
    push(monitor, "?status=down&msg=disk+full")
    page = open_page()
    page.goto("/incidents/")
    page.get_by_role("link", name="Told", exact=True).click()
    page.evaluate("window.neverReloaded = true")
    expect(page.locator("#notifications")).to_contain_text("Attempt 1 succeeded", timeout=LIVE)
    push(monitor)
    expect(page.locator("#notifications")).to_contain_text("Recovered: Ops room", timeout=LIVE)
    expect(page.locator(".timeline")).to_contain_text("recovered")
    assert page.evaluate("window.neverReloaded")
    page.goto(log_of(monitor))
    expect(page.locator(".entry").first).to_contain_text("notified Ops room", timeout=LIVE)
    shoot(page, "log-notifications")
