"""A real browser with the real product."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.support.product import PASSWORD, Up
from tests.support.sinks import HttpSink

SHOTS = Path(__file__).parent.parent / "shots"
# Pictures are for people: a test asserts nothing of them, and they take as long as many a test.
_WANTS_SHOTS = "TESTS_SHOTS" in os.environ
# What is promised within a time has that time in its test; the rest has the time a busy machine takes.
expect.set_options(timeout=15_000)
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def web() -> Iterator[HttpSink]:
    with HttpSink() as sink:
        yield sink


@pytest.fixture
def open_page(browser: Browser, product: Up) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a signed-in page; any error on the page fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(*, viewport: dict[str, int] = DESKTOP, dark: bool = False, signed_in: bool = True) -> Page:
        context = browser.new_context(
            base_url=product.url,
            viewport=viewport,  # type: ignore[arg-type]
            color_scheme="dark" if dark else "light",
            permissions=["clipboard-read", "clipboard-write"],
        )
        contexts.append(context)
        page = context.new_page()
        listen(page, complaints)
        if signed_in:
            context.add_cookies(product.cookies)  # type: ignore[arg-type]
            page.goto("/")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def listen(page: Page, complaints: list[str]) -> None:
    """Collect errors of the page, and of Chromium about it, in `complaints`."""
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if _complains(message) else None)


def _complains(message: ConsoleMessage) -> bool:
    # A rejected form gets a 422, which Chromium reports as an error, and htmx reports requests that were
    # aborted for another view or page.
    expected = "422" in message.text or message.text.startswith(("htmx:afterRequest", "htmx:sendAbort"))
    return message.type == "error" and not expected


def shoot(page: Page, name: str) -> None:
    """Save a screenshot of the whole page for people to look at, if they asked for it (TESTS_SHOTS=1)."""
    if not _WANTS_SHOTS:
        return
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def sign_in(page: Page, email: str) -> None:
    """Sign in as a person does, in the form."""
    page.goto("/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")
