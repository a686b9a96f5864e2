"""What people do in the browser, done in one."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.conftest import DESKTOP, PHONE, shoot, sign_in
from tests.support.product import Process, Up, environment_of, manage, migrated, wait_for
from tests.support.servers import free_port
from tests.support.sinks import HttpSink, SmtpSink

# A page asks every two seconds, so that people see a change within three; the rest is the machine's.
LIVE = 6_000


def create_monitor(page: Page, name: str, *, timeout: str = "1 h", grace: str = "") -> str:
    """Create a monitor in the form and return its push URL, as the page then shows it to be copied."""
    page.goto("/")
    page.get_by_role("link", name="New monitor").or_(
        page.get_by_role("link", name=re.compile("All options"))
    ).first.click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Timeout").fill(timeout)
    page.get_by_label("Grace period").fill(grace)
    page.get_by_role("button", name="Create monitor").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    return copied_push_url(page)


def copied_push_url(page: Page) -> str:
    """Copy the push URL of a new monitor from its page."""
    section(page, "Push URL").get_by_role("button", name="Copy").first.click()
    expect(section(page, "Push URL").get_by_role("button", name="Copied")).to_be_visible()
    url = page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/api/push/tjp_\w{36}", url)
    return str(url)


def push(url: str) -> None:
    ran = subprocess.run(["curl", "-fsS", "-X", "POST", url], check=True, capture_output=True, text=True)
    assert ran.stdout == '{"ok":true}'


def row_of(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has_text=name)


def section(page: Page, title: str) -> Locator:
    return page.locator("section", has=page.get_by_role("heading", name=title))


def test_the_first_owner_is_made_on_the_printed_link(browser: Browser):
    with tempfile.TemporaryDirectory() as folder:
        process = Process(manage("up"), environment_of(migrated(Path(folder)), free_port()), fork=True)
        try:
            link = re.search(r"http://\S+", process.line_with("/setup/"))
            assert link
            context = browser.new_context()
            page = context.new_page()
            page.goto(link[0])
            page.get_by_label("Email").fill("first@example.com")
            page.get_by_label(re.compile("^Password")).first.fill("short")
            shoot(page, "setup")
            page.get_by_role("button").last.click()
            # Refused in words, and what was typed is still there.
            expect(page.get_by_text(re.compile("too short"))).to_be_visible()
            expect(page.get_by_label("Email")).to_have_value("first@example.com")
            page.get_by_label(re.compile("^Password")).first.fill("a long enough secret")
            page.get_by_role("button").last.click()
            expect(page).to_have_url(re.compile(r":\d+/$"))
            shoot(page, "overview-empty")
            context.close()
        finally:
            process.stop()


def test_the_form_previews_when_alerts_are_sent(open_page: Callable[..., Page]):
    page = open_page()
    page.goto("/monitors/new/")
    page.get_by_label("Timeout").fill("60")
    expect(page.locator("#preview")).to_contain_text("66 s after the last heartbeat")
    page.get_by_label("Grace period").fill("0")
    expect(page.locator("#preview")).to_contain_text("60 s after the last heartbeat")
    page.get_by_label("At set times (cron)").check()
    page.get_by_label("Cron expression").fill("0 2 * * *")
    page.get_by_label("Time zone").fill("Asia/Jakarta")
    expect(page.locator("#preview li")).to_have_count(3)
    page.get_by_label("Cron expression").fill("99 2 * * *")
    expect(page.locator("#preview")).to_contain_text("minute field must be 0-59")


def test_a_monitor_with_the_lines_of_a_timer_is_created_and_shows_its_times(open_page: Callable[..., Page]):
    page = open_page()
    page.goto("/monitors/new/")
    page.get_by_label("Name", exact=True).fill("Stock report")
    expect(page.get_by_label("May be early by")).to_be_hidden()
    page.get_by_label("At set times (systemd)").check()
    expect(page.get_by_label("Cron expression")).to_be_hidden()
    expect(page.get_by_label("Timeout")).to_be_hidden()
    lines = page.get_by_label("OnCalendar expressions")
    lines.fill("OnCalendar=Mon..Fri 25:00")
    expect(page.locator("#preview")).to_contain_text("The hour must be 0-23")
    page.get_by_role("button", name="Create monitor").click()
    expect(page.locator(".field", has=lines)).to_contain_text("The hour must be 0-23")
    expect(lines).to_have_value("OnCalendar=Mon..Fri 25:00")
    shoot(page, "form-oncalendar-error")
    lines.fill("OnCalendar=Mon..Fri 09:00\nOnCalendar=Sat 12:00 UTC")
    page.get_by_label("Time zone").fill("Asia/Jakarta")
    page.get_by_label("May be early by").fill("30 s")
    expect(page.locator("#preview li")).to_have_count(3)
    shoot(page, "form-oncalendar")
    page.get_by_role("button", name="Create monitor").click()
    expect(page.locator("#schedule")).to_contain_text("Mon..Fri 09:00")
    expect(page.locator("#schedule")).to_contain_text("30 s")
    push(copied_push_url(page))
    expect(page.locator(".window-times li")).to_have_count(3, timeout=LIVE)
    shoot(page, "detail-oncalendar")
    phone = open_page(viewport=PHONE, dark=True)
    phone.goto(f"{page.url.partition('#')[0]}edit/")
    expect(phone.get_by_label("OnCalendar expressions")).to_have_value("Mon..Fri 09:00\nSat 12:00 UTC")
    shoot(phone, "form-oncalendar-phone")


def test_a_broken_form_keeps_what_was_typed_and_says_what_is_allowed(open_page: Callable[..., Page]):
    page = open_page()
    page.goto("/monitors/new/")
    page.get_by_label("Name", exact=True).fill("Kept name")
    page.get_by_label("Timeout").fill("400 d")
    page.get_by_role("button", name="Create monitor").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Kept name")
    expect(page.get_by_label("Timeout")).to_have_value("400 d")
    expect(page.locator(".field", has=page.get_by_label("Timeout"))).to_contain_text("365 d")
    shoot(page, "form-error")


def test_the_overview_follows_up_down_and_recovery_without_a_reload(open_page: Callable[..., Page]):
    page = open_page()
    url = create_monitor(page, "Live row")
    page.goto("/")
    row = row_of(page, "Live row")
    expect(row).to_contain_text("New")
    page.evaluate("window.neverReloaded = true")
    push(url)
    expect(row).to_contain_text("Up", timeout=LIVE)
    push(f"{url}?status=down&msg=disk+full")
    expect(row).to_contain_text("Down", timeout=LIVE)
    shoot(page, "overview-down")
    push(url)
    expect(row).to_contain_text("Up", timeout=LIVE)
    assert page.evaluate("window.neverReloaded") is True


def test_the_page_of_a_monitor_shows_heartbeats_as_they_come(open_page: Callable[..., Page]):
    page = open_page()
    url = create_monitor(page, "Live log")
    expect(page.locator("main")).to_contain_text("Waiting for the first heartbeat")
    shoot(page, "detail-waiting")
    push(f"{url}?msg=batch+881+done&value=98.5")
    expect(page.locator("main")).to_contain_text("batch 881 done", timeout=LIVE)
    expect(page.locator("main")).to_contain_text("98.5")
    push(f"{url}?status=down&msg=disk+full")
    expect(page.locator("main")).to_contain_text("Down for", timeout=LIVE)
    expect(page.locator("section", has=page.get_by_role("heading", name="Incidents"))).to_contain_text(
        "disk full"
    )


def test_silence_shows_as_late_and_then_down_by_itself(open_page: Callable[..., Page]):
    page = open_page()
    url = create_monitor(page, "Falls silent", timeout="5", grace="6")
    push(url)
    expect(page.locator(".head .pill")).to_contain_text("Up", timeout=LIVE)
    expect(page.locator(".head .pill")).to_contain_text("Late", timeout=5_000 + LIVE)
    expect(page.locator(".head .pill")).to_contain_text("Down", timeout=6_000 + LIVE)


def test_the_push_url_is_text_and_no_link(open_page: Callable[..., Page]):
    page = open_page()
    create_monitor(page, "No link")
    hrefs = page.eval_on_selector_all("a", "links => links.map(link => link.href)")
    assert hrefs
    assert not [href for href in hrefs if "/api/push/" in href]


def test_pause_resume_and_delete(open_page: Callable[..., Page]):
    page = open_page()
    url = create_monitor(page, "To be deleted")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused for")).to_be_visible()
    push(url)
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("Waiting for the first heartbeat; no alerts until then")).to_be_visible()
    page.get_by_role("link", name="Delete").click()
    page.locator("dialog").get_by_role("button", name=re.compile("Delete")).click()
    expect(page).to_have_url(re.compile(r":\d+/$"))
    expect(page.get_by_role("link", name="To be deleted")).to_have_count(0)
    gone = subprocess.run(["curl", "-s", "-X", "POST", url], check=True, capture_output=True, text=True)
    assert "Unknown push token." in gone.stdout


def test_channels_are_created_tested_and_notified(
    open_page: Callable[..., Page], mail: SmtpSink, web: HttpSink
):
    page = open_page()
    page.goto("/channels/")
    shoot(page, "channels-empty")
    page.goto("/channels/new/webhook/")
    page.get_by_label("Name", exact=True).fill("Ops webhook")
    page.get_by_label(re.compile("URL")).fill(web.url)
    shoot(page, "channel-form")
    page.locator("main").get_by_role("button").last.click()
    page.goto("/channels/")
    page.get_by_role("link", name="Ops webhook").click()
    page.get_by_role("button", name=re.compile("test", re.IGNORECASE)).click()
    # The new channel may be notified of what is down already, too.
    wait_for(lambda: "test" in {each.json["event"] for each in list(web.requests)}, seconds=10)
    expect(page.locator("main")).to_contain_text("200")
    page.goto("/channels/new/email/")
    page.get_by_label("Name", exact=True).fill("Team mail")
    page.get_by_label("Email addresses").fill("team@example.com, not-an-address")
    page.locator("main").get_by_role("button").last.click()
    expect(page.locator("main")).to_contain_text("not-an-address")
    page.get_by_label("Email addresses").fill("team@example.com")
    page.locator("main").get_by_role("button").last.click()
    url = create_monitor(page, "Told about")
    expect(page.locator("#notification-rules")).to_contain_text("Ops webhook")
    push(url)
    push(f"{url}?status=down&msg=disk+full")
    wait_for(lambda: [each for each in list(web.requests) if "Told about" in str(each.json)], seconds=10)
    wait_for(lambda: [each for each in mail.mails if "Told about" in each.subject], seconds=10)
    page.reload()
    shoot(page, "detail-down")
    page.goto("/channels/")
    shoot(page, "channels")


def test_signing_out_closes_the_pages(open_page: Callable[..., Page], product: Up):
    page = open_page(signed_in=False)
    # In a session of its own: the other tests go on in theirs.
    sign_in(page, product.email)
    page.locator("header details summary, header [aria-haspopup]").first.click()
    page.get_by_role("button", name="Sign out").click()
    page.goto("/")
    expect(page).to_have_url(re.compile("/accounts/login/"))


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_page_is_wider_than_its_screen(
    open_page: Callable[..., Page], viewport: dict[str, int], dark: bool
):
    page = open_page(viewport=viewport, dark=dark)
    create = create_monitor(page, "A rather long name for a monitor that must still fit on a small screen")
    push(f"{create}?msg=a+message+of+some+length+that+wraps+on+a+phone&value=12.5")
    detail = page.url
    mode = f"{viewport['width']}-{'dark' if dark else 'light'}"
    for name, path in {
        "overview": "/",
        "detail": detail,
        "new": "/monitors/new/",
        "channels": "/channels/",
        "channel-new": "/channels/new/",
        "tokens": "/tokens/",
        "settings": "/settings/",
        "members": "/settings/members/",
        "api-keys": "/settings/api-keys/",
        "audit": "/settings/audit/",
    }.items():
        page.goto(path)
        page.wait_for_load_state("networkidle")
        width = page.evaluate("document.documentElement.scrollWidth")
        shoot(page, f"{name}-{mode}")
        assert width <= viewport["width"], f"{name} is {width} px wide on {viewport['width']} px"


def test_everything_works_without_javascript(browser: Browser, product: Up):
    with product.person() as person:
        monitor = person.create_monitor("Without scripts", timeout="1 h")
    context = browser.new_context(base_url=product.url, java_script_enabled=False)
    context.add_cookies(product.cookies)  # type: ignore[arg-type]
    page = context.new_page()
    push(monitor.push_url)
    page.goto(monitor.path)
    expect(page.locator("main")).to_contain_text("Up for")
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name=re.compile("Delete")).click()
    expect(page).to_have_url(re.compile(r":\d+/$"))
    context.close()
