"""The API's documentation in a real browser: under the site's policy, and from this server alone."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.e2e.conftest import PHONE, shoot
from tests.support.product import Up


def operations(page: Page) -> int:
    expect(page.locator(".opblock").first).to_be_visible()
    return page.locator(".opblock").count()


def test_the_documentation_is_shown_without_anything_from_elsewhere(
    open_page: Callable[..., Page], product: Up
):
    page = open_page(signed_in=False)
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto("/api/docs/")
    assert operations(page) > 20
    expect(page.get_by_role("heading", name="Tianji")).to_be_visible()
    shoot(page, "api-docs")
    page.get_by_text("Create a monitor", exact=True).click()
    expect(page.get_by_role("button", name="Try it out")).to_be_visible()
    expect(page.get_by_text("Nightly backup").first).to_be_visible()
    shoot(page, "api-docs-operation")
    assert [url for url in requested if not url.startswith((product.url, "data:"))] == []


def test_a_signed_in_user_can_try_it_out(open_page: Callable[..., Page]):
    page = open_page()
    page.goto("/api/docs/")
    page.get_by_text("Create a monitor", exact=True).click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table tbody .response-col_status")).to_contain_text("201")
    page.goto("/")
    expect(page.get_by_role("link", name="Nightly backup")).to_be_visible()


def test_it_can_be_read_on_a_phone(open_page: Callable[..., Page]):
    page = open_page(viewport=PHONE, signed_in=False)
    page.goto("/api/docs/")
    operations(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    shoot(page, "api-docs-360")


def test_it_stays_readable_where_dark_is_preferred(open_page: Callable[..., Page]):
    page = open_page(dark=True, signed_in=False)
    page.goto("/api/docs/")
    operations(page)
    shoot(page, "api-docs-dark")


def test_a_problem_has_a_page_that_leads_back_to_it(open_page: Callable[..., Page]):
    page = open_page(signed_in=False)
    page.goto("/api/problems/precondition-failed/")
    expect(page.get_by_role("heading", name="Changed since it was read")).to_be_visible()
    shoot(page, "api-problem")
    page.get_by_role("link", name="documentation").click()
    operations(page)
