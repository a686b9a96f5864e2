"""When an open page looks for news: at times of its own, not while nobody sees it, at once when one returns.

The page's clock is the test's, so that a minute passes at once, and nothing happens that is not waited for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import requests
from playwright.sync_api import Page, Request, expect

from tests.support.product import ROOT, Created, Up

EVERY_MS, JITTER = 2200, 0.1
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
# A tab that says of itself what the test says of it, as none does in a browser without windows.
_TAB = """
  window.isAway = false;
  Object.defineProperty(document, "hidden", { get: () => window.isAway });
  Object.defineProperty(document, "visibilityState", { get: () => window.isAway ? "hidden" : "visible" });
"""
_GO = """away => {
  window.isAway = away;
  document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
}"""


@pytest.fixture(scope="module")
def monitor(product: Up) -> Created:
    with product.person() as person:
        monitor = person.create_monitor("Watched", timeout="1 h")
    requests.post(monitor.push_url, params={"status": "down"}, timeout=20).raise_for_status()
    return monitor


def open_stopped(page: Page, path: str) -> None:
    """Open `path` with a clock that stands still."""
    page.add_init_script(_TAB)
    page.clock.install(time=START)
    page.goto(path)
    page.clock.pause_at(START + timedelta(minutes=1))


def ticks_of(page: Page, path: str, *, minutes: int) -> list[int]:
    """Return the times, in milliseconds, of all looks of a page in so many minutes."""
    open_stopped(page, path)
    page.evaluate(
        "window.ticks = []; document.body.addEventListener('tianji:tick', () => ticks.push(Date.now()));"
    )
    page.clock.run_for(minutes * 60_000)
    return list(page.evaluate("ticks"))


def is_look(request: Request) -> bool:
    return "hx-request" in request.headers


def wait_for_answers(page: Page) -> None:
    """Wait until no look is under way: until then another is not begun."""
    expect(page.locator(".htmx-request")).to_have_count(0)


def test_each_tab_looks_at_times_of_its_own(open_page: Callable[..., Page]):
    first, second = (ticks_of(open_page(), "/", minutes=2) for _ in range(2))
    for ticks in (first, second):
        gaps = [later - earlier for earlier, later in itertools.pairwise(ticks)]
        assert 120_000 / (EVERY_MS * (1 + JITTER)) - 2 <= len(gaps) <= 120_000 / (EVERY_MS * (1 - JITTER))
        assert min(gaps) >= EVERY_MS * (1 - JITTER) - 1
        assert max(gaps) <= EVERY_MS * (1 + JITTER) + 1
        # Spread over all that may be, not twice the same.
        assert max(gaps) - min(gaps) > EVERY_MS * JITTER
    assert first != second


@pytest.mark.parametrize("name", ["overview", "detail", "log", "incident"])
def test_a_hidden_page_asks_nothing_and_looks_at_once_when_one_returns(
    open_page: Callable[..., Page], monitor: Created, name: str
):
    page = open_page()
    path = {"overview": "/", "detail": monitor.path, "log": f"{monitor.path}log/"}.get(name)
    if path is None:
        page.goto("/incidents/")
        path = page.get_by_role("link", name="Watched", exact=True).get_attribute("href") or ""
    open_stopped(page, path)
    wait_for_answers(page)
    with page.expect_request(is_look):
        # Seen, it looks.
        page.clock.run_for(EVERY_MS * 2)
    wait_for_answers(page)
    looks: list[str] = []
    page.on("request", lambda request: looks.append(request.url) if is_look(request) else None)
    page.evaluate(_GO, True)
    page.clock.run_for(10 * 60_000)
    # The clock stands: what is asked now is asked because somebody is back.
    with page.expect_request(is_look):
        page.evaluate(_GO, False)
    wait_for_answers(page)
    assert [url for url in looks if page.url == url] == [page.url]


def test_the_documented_polling_interval_is_the_one_in_the_script():
    script = (ROOT / "static" / "js" / "polling.js").read_text()
    assert f"EVERY_MS = {EVERY_MS}, JITTER = {JITTER};" in script
