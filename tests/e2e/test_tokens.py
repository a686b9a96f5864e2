"""Push tokens and API keys in the browser: shown, copied, rotated, imported, ended."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.conftest import DESKTOP, PHONE, shoot
from tests.e2e.test_flows import LIVE, create_monitor, push, section
from tests.support.product import Up


def tokens(page: Page) -> Locator:
    return section(page, "Push URL")


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def clipboard(page: Page) -> str:
    return str(page.evaluate("navigator.clipboard.readText()"))


def answer(url: str) -> str:
    """What a push to `url` is answered."""
    ran = subprocess.run(["curl", "-s", "-X", "POST", url], check=True, capture_output=True, text=True)
    return ran.stdout


def test_a_push_url_is_masked_until_it_is_shown_and_stays_while_the_page_lives(
    open_page: Callable[..., Page],
):
    page = open_page()
    url = create_monitor(page, "Shown")
    page.reload()
    assert url not in page.content()
    expect(tokens(page)).to_contain_text(f"tjp_...{url[-4:]}")
    tokens(page).get_by_role("button", name="Show").click()
    shown = tokens(page).get_by_label("Push URL")
    expect(shown).to_have_value(url)
    expect(tokens(page).get_by_role("button", name="Show")).to_be_hidden()
    # The page keeps itself current, and what the reader opened stays open.
    push(url)
    expect(page.locator(".head .pill")).to_contain_text("Up", timeout=LIVE)
    expect(tokens(page)).to_contain_text("last used", timeout=LIVE)
    expect(shown).to_have_value(url)
    shoot(page, "tokens-shown")
    tokens(page).get_by_role("link", name="Hide").click()
    expect(shown).to_have_count(0)
    expect(tokens(page).get_by_role("button", name="Show")).to_be_visible()


def test_copy_needs_no_showing(open_page: Callable[..., Page]):
    page = open_page()
    url = create_monitor(page, "Copied")
    page.evaluate("navigator.clipboard.writeText('')")
    page.reload()
    waiting = section(page, "Waiting for the first heartbeat")
    waiting.get_by_role("button", name="Copy").click()
    expect(waiting.get_by_role("button", name="Copied")).to_be_visible()
    assert clipboard(page) == f'curl -fsS -X POST "{url}?status=up&msg=OK"'
    tokens(page).get_by_role("button", name="Copy").click()
    expect(tokens(page).get_by_role("button", name="Copied")).to_be_visible()
    assert clipboard(page) == url
    assert url not in page.content()


def test_rotating_lets_the_old_push_url_work_for_a_while(open_page: Callable[..., Page]):
    page = open_page()
    old = create_monitor(page, "Rotated")
    push(old)
    tokens(page).get_by_role("link", name="Rotate").click()
    expect(dialog(page).get_by_label("Old token expires in")).to_have_value("24 h")
    shoot(page, "tokens-rotate")
    dialog(page).get_by_label("Old token expires in").fill("21 h")
    dialog(page).get_by_role("button", name="Rotate").click()
    new = tokens(page).get_by_label("Push URL").input_value()
    assert new != old
    expect(tokens(page)).to_contain_text("Old token last used")
    expect(tokens(page)).to_contain_text(re.compile("expires in (21 h|20 h 59 min)"))
    push(old)
    push(new)
    expect(tokens(page)).to_contain_text("Still using the old token: 127.0.0.1", timeout=LIVE)
    shoot(page, "tokens-overlap")
    # A second one asks first.
    tokens(page).get_by_role("link", name="Rotate").click()
    dialog(page).get_by_role("button", name="Rotate").click()
    expect(page.locator("main")).to_contain_text("Tick this to rotate again")
    shoot(page, "tokens-rotate-again")
    page.get_by_role("link", name="Cancel").click()
    tokens(page).get_by_role("link", name="Extend").click()
    dialog(page).get_by_label("Expires in").fill("3 d")
    dialog(page).get_by_role("button", name="Save").click()
    expect(tokens(page)).to_contain_text(re.compile("expires in (3 d|2 d 23 h)"))
    tokens(page).get_by_role("link", name="Expire now").click()
    shoot(page, "tokens-end")
    dialog(page).get_by_role("button", name="Expire now").click()
    expect(tokens(page)).not_to_contain_text("Old token")
    assert "Unknown push token." in answer(old)
    push(new)
    # All of it is on record.
    page.get_by_text("Audit log", exact=True).click()
    expect(page.locator("#changes")).to_contain_text("Expired the old push token")
    expect(page.locator("#changes")).to_contain_text("from 127.0.0.1")
    shoot(page, "tokens-changes")


def test_a_monitor_has_several_tokens_each_with_its_label(open_page: Callable[..., Page]):
    page = open_page()
    first = create_monitor(page, "Several")
    tokens(page).get_by_role("link", name="Add token").click()
    dialog(page).get_by_label("Label").fill("host-a")
    dialog(page).get_by_role("button", name="Add token").click()
    second = tokens(page).get_by_label("Push URL").input_value()
    assert second != first
    page.reload()
    row = tokens(page).locator(".token", has=page.get_by_role("heading", name="host-a"))
    row.get_by_role("link", name="Label").click()
    dialog(page).get_by_label("Label").fill("host-b")
    dialog(page).get_by_role("button", name="Save").click()
    row = tokens(page).locator(".token", has=page.get_by_role("heading", name="host-b"))
    push(second)
    expect(row).to_contain_text("from 127.0.0.1", timeout=LIVE)
    shoot(page, "tokens-several")
    row.get_by_role("link", name="Revoke").click()
    dialog(page).get_by_role("button", name="Revoke").click()
    expect(row).to_have_count(0)
    assert "Unknown push token." in answer(second)
    push(first)


def test_a_token_of_another_system_goes_on_working(open_page: Callable[..., Page], product: Up):
    page = open_page()
    create_monitor(page, "Moved here")
    tokens(page).get_by_role("link", name="Import an existing token").click()
    dialog(page).get_by_role("textbox", name="Token").fill("short")
    dialog(page).get_by_role("button", name="Import").click()
    expect(page.locator("main")).to_contain_text("A token must be 8 to 64")
    expect(page.get_by_role("textbox", name="Token")).to_have_value("short")
    shoot(page, "tokens-import-error")
    page.get_by_role("textbox", name="Token").fill(
        "https://kuma.example.com/api/push/aB3dE6gH9k?status=up&msg=OK&ping="
    )
    page.get_by_role("button", name="Import").click()
    expect(tokens(page).get_by_label("Push URL")).to_have_value(f"{product.url}/api/push/aB3dE6gH9k")
    push(f"{product.url}/api/push/aB3dE6gH9k")
    expect(page.locator(".head .pill")).to_contain_text("Up", timeout=LIVE)


def test_an_api_key_is_shown_once_and_opens_the_api_until_it_is_revoked(
    open_page: Callable[..., Page], product: Up
):
    page = open_page()
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="API keys").click()
    page.get_by_label("Name", exact=True).fill("ci")
    page.get_by_label("Read and write").check()
    page.get_by_role("button", name="Create key").click()
    page.locator("#new-key").get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    key = clipboard(page)
    assert re.fullmatch(r"tja_\w{36}", key)
    shoot(page, "api-key-made")

    def status() -> str:
        curl = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {key}"]
        ran = subprocess.run(
            [*curl, f"{product.url}/api/v1/monitors/"], check=True, capture_output=True, text=True
        )
        return ran.stdout

    assert status() == "200"
    page.get_by_role("link", name="API keys").click()
    assert key not in page.content()
    row = page.get_by_role("listitem").filter(has_text=f"tja_...{key[-4:]}")
    row.get_by_role("link", name="Revoke").click()
    dialog(page).get_by_role("button", name="Revoke").click()
    expect(row).to_contain_text("Revoked")
    assert status() == "401"


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_page_about_tokens_is_wider_than_its_screen(
    open_page: Callable[..., Page], viewport: dict[str, int], dark: bool
):
    page = open_page(viewport=viewport, dark=dark)
    create_monitor(page, "With an old token")
    detail = page.url.split("#")[0]
    mode = f"{viewport['width']}-{'dark' if dark else 'light'}"

    def look(name: str) -> None:
        page.wait_for_load_state("networkidle")
        shoot(page, f"{name}-{mode}")
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], name

    look("fresh")
    tokens(page).get_by_role("link", name="Rotate").click()
    look("rotate-dialog")
    dialog(page).get_by_role("button", name="Rotate").click()
    look("rotated")
    page.goto(detail)
    look("overlap")
    for name in ("tokens/new/", "tokens/import/", "changes/"):
        page.goto(detail + name)
        look(name.strip("/").replace("/", "-"))


def test_tokens_and_keys_work_without_javascript(browser: Browser, product: Up):
    with product.person() as person:
        monitor = person.create_monitor("Tokens without scripts")
    context = browser.new_context(base_url=product.url, java_script_enabled=False)
    context.add_cookies(product.cookies)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(monitor.path)
    assert monitor.push_url not in page.content()
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)
    tokens(page).get_by_role("button", name="Show").click()
    expect(tokens(page).get_by_label("Push URL")).to_have_value(monitor.push_url)
    tokens(page).get_by_role("link", name="Hide").click()
    assert monitor.push_url not in page.content()
    tokens(page).get_by_role("link", name="Rotate").click()
    page.get_by_role("button", name="Rotate").click()
    expect(tokens(page)).to_contain_text("Old token never used")
    assert tokens(page).get_by_label("Push URL").input_value() != monitor.push_url
    page.get_by_text("Audit log", exact=True).click()
    section(page, "Audit log").get_by_role("link", name="Show").click()
    expect(page.locator("main")).to_contain_text("Rotated the push token")
    page.goto("/settings/api-keys/")
    page.get_by_label("Name", exact=True).fill("plain")
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_label("API key", exact=True)).to_have_value(re.compile(r"tja_\w{36}"))
    context.close()
