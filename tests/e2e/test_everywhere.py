"""What holds on every page: readable by everybody, in both languages, light and dark, on a phone."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import requests
from axe_playwright_python.base import AXE_SCRIPT
from django.conf import settings
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.e2e.conftest import DESKTOP, PHONE, shoot
from tests.support.product import (
    EMAIL,
    PASSWORD,
    Created,
    Person,
    Process,
    environment_of,
    manage,
    migrated,
    wait_for,
)
from tests.support.servers import free_port
from tests.support.sinks import HttpSink

# WCAG 2.2 AA, and what axe-core holds to be good practice.
_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_AXE = """tags => axe.run({
  runOnly: {type: "tag", values: tags}, resultTypes: ["violations"], preload: false, iframes: false,
}).then(
  ({violations}) => violations.map(v => `${v.id}: ${v.nodes.map(n => n.target.join(" ")).join(", ")}`)
)"""
LANGUAGES = tuple(code for code, _name in settings.LANGUAGES)
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
JAKARTA = "Asia/Jakarta"

# What people see before there is anything.
FIRST = {"overview-empty": "/", "channels-empty": "/channels/", "tokens-empty": "/tokens/"}
PAGES = {
    "overview": "/",
    "overview-filtered": "/?q=no+such+monitor",
    "form": "/monitors/new/",
    "tokens": "/tokens/",
    "incidents": "/incidents/",
    "channels": "/channels/",
    "channel-new": "/channels/new/",
    "channel-email": "/channels/new/email/",
    "channel-webhook": "/channels/new/webhook/",
    "channel-telegram": "/channels/new/telegram/",
    "channel-twilio": "/channels/new/twilio/",
    "rules-of-the-workspace": "/channels/rules/",
    "maintenance": "/maintenance/",
    "maintenance-plan": "/maintenance/new/",
    "settings": "/settings/",
    "members": "/settings/members/",
    "api-keys": "/settings/api-keys/",
    "audit": "/settings/audit/",
    "no-invitations": "/invitations/",
    "password": "/accounts/password/change/",
    "password-again": "/accounts/email/change/",
    "two-factor": "/accounts/2fa/",
    "sign-out": "/accounts/logout/",
    "not-found": "/nowhere/",
}
OF_A_MONITOR = (
    *("", "edit/", "delete/", "log/", "incidents/", "usage/", "charts/", "rejected/"),
    *("test-heartbeat/", "tokens/new/"),
)


class Site:
    """A product that starts with nobody, gets its owner and then something of everything."""

    def __init__(self, process: Process, url: str) -> None:
        self.process, self.url = process, url
        found = re.search(r"http://\S+", process.line_with("/setup/"))
        assert found
        self.setup = found[0].removeprefix(url)
        self.cookies: dict[str, str] = {}
        self.pages: dict[str, str] = {}

    def create_owner(self) -> None:
        """Have its owner made."""
        if self.cookies:
            return
        with requests.Session() as session:
            person = Person(self.url)
            person.session = session
            person.submit(self.setup, email=EMAIL, password=PASSWORD, workspace_name="Dapur")
            self.cookies = session.cookies.get_dict()

    def populate(self) -> None:
        """Have one of everything made: monitors in each status, channels, a key, members, refusals."""
        self.create_owner()
        if self.pages:
            return
        with Person(self.url) as person:
            person.submit(
                "/channels/new/webhook/", name="Bridge", url="http://127.0.0.1:9/", scope="all", enabled="on"
            )
            person.submit("/settings/api-keys/", name="ci", scope="read")
            person.submit("/settings/members/", email="second@example.com", role="viewer")
            names = ("Backup of the warehouse", "Down", "Paused", "New")
            up, down, paused, new = (
                person.create_monitor(name, tags="erp, nightly", timeout="1 h") for name in names
            )
            cron = person.create_monitor("Cron", kind="cron", cron="0 2 * * *", timezone=JAKARTA)
            timer = person.create_monitor("Timer", kind="oncalendar", calendar="daily\n*:*:0/30", early="5")
            for value in (12, 14, 13):
                push(up, msg=f"batch {value} done", value=str(value))
            push(down, status="down", msg="disk full")
            push(cron)
            push(timer)
            push(down, status="sideways")
            person.submit_to(f"{paused.path}pause/")
            wanted = {"incident": "/incidents/", "channel": "/channels/"}
            found = {
                name: re.search(rf'href="({path}[0-9a-f-]{{36}}/)', person.read(path))
                for name, path in wanted.items()
            }
        self.pages = PAGES | {name: address[1] for name, address in found.items() if address}
        assert self.pages.keys() > wanted.keys()
        for tail in OF_A_MONITOR:
            self.pages[f"monitor-{tail.strip('/').replace('/', '-') or 'up'}"] = up.path + tail
        others = {"down": down, "paused": paused, "new": new, "cron": cron, "timer": timer}
        self.pages |= {f"monitor-{name}": it.path for name, it in others.items()}
        self.pages["monitor-cron-edit"] = f"{cron.path}edit/"
        self.pages["monitor-timer-edit"] = f"{timer.path}edit/"
        for name in ("rules", "snooze"):
            self.pages[name] = f"/channels/{name}/{down.path.strip('/').split('/')[-1]}/"

    def open(self, browser: Browser, language: str, *, signed_in: bool = True) -> tuple[BrowserContext, Page]:
        context = browser.new_context(
            base_url=self.url, viewport=DESKTOP, locale=language, timezone_id=JAKARTA, reduced_motion="reduce"
        )
        cookies = self.cookies if signed_in else {}
        context.add_cookies([{"name": n, "value": v, "url": self.url} for n, v in cookies.items()])
        return context, context.new_page()


def push(monitor: Created, **parameters: str) -> None:
    requests.post(monitor.push_url, params=parameters, timeout=20)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="tianji-everywhere-") as folder:
        port = free_port()
        process = Process(manage("up"), environment_of(migrated(Path(folder)), port))
        try:
            yield Site(process, f"http://127.0.0.1:{port}")
        finally:
            process.stop()


def faults(page: Page, name: str, path: str, language: str) -> list[str]:
    """Open a page and return what is wrong with it."""
    page.goto(path)
    if page.locator("[hx-trigger*=load]").count():
        page.wait_for_load_state("networkidle")
    return faults_here(page, name, language)


def faults_here(page: Page, name: str, language: str) -> list[str]:
    """Return what is wrong with the page that is open, wide and narrow, in light and dark."""
    found = [] if page.locator("html").get_attribute("lang") == language else [f"{name}: not in {language}"]
    page.evaluate(AXE_SCRIPT)
    for viewport in (DESKTOP, PHONE):
        # Each page in both languages, both schemes and both sizes, though not in all eight mixtures.
        scheme = SCHEMES[(viewport is PHONE) ^ (language == "id")]
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size(viewport)  # type: ignore[arg-type]
        where = f"{name}-{language}-{scheme}-{viewport['width']}"
        shoot(page, where)
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > viewport["width"]:
            found.append(f"{where}: {width} px wide")
        # axe-core is slow, and what it found in the other language on a phone it would find again.
        if language == "en" or viewport is DESKTOP:
            found += [f"{where}: {fault}" for fault in page.evaluate(_AXE, _TAGS)]
    return found


def test_the_sign_in_pages_are_accessible(site: Site, browser: Browser):
    found = []
    for language in LANGUAGES:
        context, page = site.open(browser, language, signed_in=False)
        found += faults(page, "sign-in", "/accounts/login/", language)
        if not site.cookies:
            found += faults(page, "set-up", site.setup, language)
        context.close()
    assert not found, "\n".join(found)


def test_the_first_pages_are_accessible(site: Site, browser: Browser):
    site.create_owner()
    found = []
    for language in LANGUAGES:
        context, page = site.open(browser, language)
        for name, path in FIRST.items():
            found += faults(page, name, path, language)
        context.close()
    assert not found, "\n".join(found)


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_pages_are_accessible(site: Site, browser: Browser, language: str):
    site.populate()
    context, page = site.open(browser, language)
    found = [fault for name, path in site.pages.items() for fault in faults(page, name, path, language)]
    context.close()
    assert not found, "\n".join(found)


def test_the_acknowledge_page_is_accessible(site: Site, browser: Browser):
    site.create_owner()
    with HttpSink() as sink, Person(site.url) as person:
        person.submit("/channels/new/webhook/", name="Sink", url=sink.url, scope="all", enabled="on")
        push(person.create_monitor("Ice house"), status="down", msg="warm")
        # A new channel is also notified of what other tests left down.
        notification = wait_for(
            lambda: next((one for one in sink.requests if "Ice house" in one.json["title"]), None),
            seconds=60,
        )
    found = []
    for language in LANGUAGES:
        context, page = site.open(browser, language, signed_in=False)
        found += faults(page, "acknowledge", notification.json["acknowledge_url"], language)
        context.close()
    assert not found, "\n".join(found)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_form_with_errors_is_accessible(site: Site, browser: Browser, language: str):
    site.create_owner()
    context, page = site.open(browser, language)
    page.goto("/monitors/new/")
    page.locator("[name=timeout]").fill("soon")
    page.locator("main button.btn-primary").click()
    # The first that has to be corrected is where one goes on typing.
    name = page.locator("[name=name]")
    expect(name).to_be_focused()
    expect(name).to_have_attribute("aria-describedby", re.compile("id_name_error"))
    expect(page.locator("[name=timeout]")).to_have_value("soon")
    found = faults_here(page, "form-refused", language)
    context.close()
    assert not found, "\n".join(found)


def test_language_and_theme_are_chosen_without_javascript(site: Site, browser: Browser):
    site.create_owner()
    context = browser.new_context(base_url=site.url, java_script_enabled=False, color_scheme="light")
    page = context.new_page()
    page.goto("/accounts/login/?next=/tokens/")
    page.locator("header summary").click()
    page.get_by_role("button", name="Bahasa Indonesia").click()
    expect(page.locator("html")).to_have_attribute("lang", "id")
    expect(page.locator("input[type=hidden][name=next]").last).to_have_value("/tokens/")
    light = page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    page.locator("header summary").click()
    page.get_by_role("button", name="Gelap").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor") != light
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Kata sandi").fill(PASSWORD)
    page.locator("main").get_by_role("button").click()
    expect(page).to_have_url(f"{site.url}/tokens/")
    page.locator("header summary").click()
    page.get_by_role("button", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page).to_have_url(f"{site.url}/tokens/")
    context.close()


def test_the_server_writes_times_in_the_browsers_zone_from_the_next_page_on(site: Site, browser: Browser):
    site.populate()
    context, page = site.open(browser, "en")
    page.goto("/")
    assert {"zone": JAKARTA}.items() <= {c["name"]: c["value"] for c in context.cookies()}.items()  # type: ignore[typeddict-item]
    served = page.request.get("/").text()
    assert re.search(r'title="[-0-9]+ [0-9:]+ WIB · [-0-9]+ [0-9:]+ UTC"', served)
    time = page.locator("time[data-past]").first
    expect(time).to_have_attribute("title", re.compile(r"GMT\+7 · [-0-9]+ [0-9:]+ UTC$"))
    context.close()


def test_no_script_holds_up_the_first_paint(site: Site):
    site.populate()
    found = []
    with requests.Session() as session:
        for name, path in (site.pages | {"sign-in": "/accounts/login/", "api": "/api/docs"}).items():
            # Who is signed in is sent away from the page that signs in.
            session.cookies.update({} if name == "sign-in" else site.cookies)
            page = session.get(site.url + path, timeout=20).text
            scripts = re.findall(r"<script\b([^>]*)>", page)
            assert scripts, name
            late = re.compile(r"\s(defer|async|type=\"(module|application/json)\")(?=\s|=|$)")
            found += [f"{name}: <script{script}>" for script in scripts if not late.search(script)]
            session.cookies.clear()
    assert not found, "\n".join(found)
