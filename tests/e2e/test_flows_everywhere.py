"""What people do in the browser, done by readers who differ: in language, colours and screen (modes.py)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Download, Locator, Page, expect

from monitors.heartbeats.words import ALLOWED
from tests.e2e.conftest import listen, shoot
from tests.e2e.modes import MODES, Mode, Words
from tests.support.product import Created, Up, wait_for

# What people are promised, and what a busy machine may add to it.
LIVE = 3_000
SLACK = 3_000
CLOCK = r"\d\d:\d\d:\d\d"


@dataclass(frozen=True, slots=True)
class Environment:
    """A workspace for one kind of reader, who finds it without monitors; in tests it is `here`."""

    mode: Mode
    product: Up
    say: Words

    def make(self, name: str, **fields: str) -> Created:
        with self.product.person() as person:
            return person.create_monitor(name, **{"timeout": "1 h", **fields})

    def empty(self) -> None:
        """Delete all monitors."""
        with self.product.person() as person:
            found = re.findall(r'name="monitor" value="([0-9a-f-]+)"', person.read("/"))
            person.submit_to("/monitors/bulk/", action="delete", sure="yes", monitor=found)


@pytest.fixture(scope="module", params=MODES, ids=str)
def here(request: pytest.FixtureRequest, product: Up) -> Iterator[Environment]:
    mode: Mode = request.param
    environment = Environment(mode, product, Words(mode.language))
    yield environment
    environment.empty()


@pytest.fixture
def page(here: Environment, browser: Browser) -> Iterator[Page]:
    """A signed-in page of this reader's; complaints, another language and what does not fit fail the test."""
    context = browser.new_context(
        base_url=here.product.url, permissions=["clipboard-read", "clipboard-write"], **here.mode.context
    )
    context.add_cookies(here.product.cookies)  # type: ignore[arg-type]
    complaints: list[str] = []
    page = context.new_page()
    listen(page, complaints)
    yield page
    expect(page.locator("html")).to_have_attribute("lang", here.mode.language)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    is_dark = max(int(number) for number in re.findall(r"\d+", ground)[:3]) < 128
    assert is_dark is (here.mode.scheme == "dark"), ground
    assert page.evaluate("document.documentElement.scrollWidth") <= here.mode.viewport["width"]
    context.close()
    assert complaints == []


def push(monitor: Created | str, **parameters: str) -> None:
    url = monitor if isinstance(monitor, str) else monitor.push_url
    requests.post(url, params=parameters, timeout=20).raise_for_status()


def row_of(page: Page, name: str) -> Locator:
    return page.locator("tbody").get_by_role("row").filter(has_text=name)


def names(page: Page) -> list[str]:
    return page.locator("tbody .monitor-name > a").all_text_contents()


def button(where: Page | Locator, words: str) -> Locator:
    return where.get_by_role("button", name=words, exact=True)


def at_some_time(words: str) -> re.Pattern[str]:
    """Return a pattern of `words`, in which "@" stands for the time of day."""
    return re.compile(re.escape(words).replace("@", CLOCK))


def stays(page: Page) -> None:
    """Mark the page that is open; `stayed` says whether it still is."""
    page.evaluate("window.neverReloaded = true")


def stayed(page: Page) -> bool:
    return page.evaluate("window.neverReloaded") is True


def saved(download: Download) -> str:
    return Path(download.path()).read_text()


# --- A new monitor ---------------------------------------------------------------------------------------


def test_the_first_monitor_is_made_in_one_form_and_waits_for_its_first_push(here: Environment, page: Page):
    say = here.say
    page.goto("/")
    expect(page.get_by_role("heading", name=say("No monitors yet"))).to_be_visible()
    page.get_by_label(say("Name"), exact=True).fill("The first")
    page.get_by_label(say("Timeout"), exact=True).fill("")
    button(page, say("Create monitor")).click()
    # Refused in words, in the form with everything in it.
    refused = page.locator("#id_timeout_error")
    expect(refused).to_have_text(say("Enter a timeout, such as 60 s or 5 min."))
    expect(page.get_by_label(say("Name"), exact=True)).to_have_value("The first")
    page.get_by_label(say("Timeout"), exact=True).fill("300")
    button(page, say("Create monitor")).click()
    expect(page.get_by_role("heading", name="The first", exact=True)).to_be_visible()
    waiting = page.locator("#waiting")
    expect(waiting).to_contain_text(say("Waiting for the first heartbeat…"))
    url = waiting.get_by_label(say("Push URL of this monitor")).input_value()
    assert url.startswith(f"{here.product.url}/api/push/tjp_")
    shoot(page, f"flow-waiting-{here.mode}")
    stays(page)
    push(url, msg="Backup done")
    received = page.locator("#received")
    heading = at_some_time(say("Received, %(time)s", time="@"))
    expect(received.get_by_role("heading")).to_have_text(heading, timeout=LIVE + SLACK)
    expect(received).to_contain_text(
        say("“%(message)s” from %(source)s.", message="Backup done", source="127.0.0.1")
    )
    expect(waiting).to_have_count(0)
    shoot(page, f"flow-received-{here.mode}")
    button(received, say("Close")).click()
    expect(received).to_have_count(0)
    assert stayed(page)


def test_a_test_heartbeat_ends_the_waiting_too(here: Environment, page: Page):
    say = here.say
    page.goto(here.make("Tested by hand").path)
    stays(page)
    button(page.locator("#waiting"), say("Send test heartbeat")).click()
    expect(page.locator("#received")).to_contain_text(say("Test heartbeat from %(name)s", name="owner@"))
    expect(page.locator("header .pill")).to_have_text(say("Up"))
    assert stayed(page)


# --- The overview ----------------------------------------------------------------------------------------


def test_a_row_follows_a_push_a_failure_and_the_recovery_without_a_reload(here: Environment, page: Page):
    say = here.say
    monitor = here.make("Followed")
    page.goto("/")
    row = row_of(page, "Followed")
    expect(row.locator(".pill")).to_have_text(say("New"))
    stays(page)
    for parameters, word, news in (
        ({}, say("Up"), say("%(name)s is up", name="Followed")),
        ({"status": "down", "msg": "disk full"}, say("Down"), say("%(name)s is down", name="Followed")),
        ({}, say("Up"), say("%(name)s has recovered", name="Followed")),
    ):
        push(monitor, **parameters)
        expect(row.locator(".pill")).to_have_text(word, timeout=LIVE + SLACK)
        expect(page.get_by_role("link", name=news, exact=True)).to_be_visible()
        if parameters:
            expect(row).to_contain_text("disk full")
            expect(page).to_have_title(re.compile(r"^\(\d+\) Tianji$"))
            shoot(page, f"flow-news-{here.mode}")
    expect(page).to_have_title(f"{say('Monitors')} · Tianji")
    assert stayed(page)


def test_count_search_tag_and_order_are_chosen_and_stand_in_the_address(here: Environment, page: Page):
    say = here.say
    push(here.make("Mail in", tags="mail, night"), status="down")
    here.make("Mail out", tags="mail")
    here.make("Mailing list")

    def found(number: int) -> re.Pattern[str]:
        of_all = ("%(number)s of %(total)s monitors", "%(number)s of %(total)s monitors")
        return re.compile(say.many(*of_all, number, number=number, total=r"\d+"))

    page.goto("/")
    stays(page)
    page.get_by_label(say("Search monitors")).fill("Mail")
    expect(page).to_have_url(re.compile(r"/\?q=Mail$"))
    expect(page.locator("#matching")).to_have_text(found(3))
    heading = page.get_by_role("columnheader", name=say("Monitor"), exact=True)
    for direction, order in (
        ("ascending", ["Mail in", "Mail out", "Mailing list"]),
        ("descending", ["Mailing list", "Mail out", "Mail in"]),
    ):
        heading.get_by_role("link").click()
        expect(heading).to_have_attribute("aria-sort", direction)
        assert names(page) == order
    expect(page).to_have_url(re.compile(r"q=Mail&sort=-name$"))
    shoot(page, f"flow-sorted-{here.mode}")
    page.get_by_role("link", name=re.compile(rf"^1 {say.many('down', 'down', 1)}$")).click()
    expect(page).to_have_url(re.compile("status=down"))
    expect(row_of(page, "Mail out")).to_have_count(0)
    expect(page.locator("#matching")).to_have_text(found(1))
    page.go_back()
    expect(row_of(page, "Mail out")).to_be_visible()
    row_of(page, "Mail out").get_by_role("link", name="mail", exact=True).click()
    expect(page).to_have_url(re.compile("tag=mail"))
    expect(row_of(page, "Mailing list")).to_have_count(0)
    assert stayed(page)
    # The address is the view: what was chosen is there after a reload, in the fields too.
    page.goto("/?q=Mail&status=down&sort=-name")
    assert names(page) == ["Mail in"]
    expect(page.get_by_label(say("Search monitors"))).to_have_value("Mail")
    page.get_by_role("link", name=say("Clear filters"), exact=True).click()
    expect(page).to_have_url(f"{here.product.url}/")
    expect(row_of(page, "Mailing list")).to_be_visible()


def test_several_are_paused_tagged_given_a_channel_and_deleted(here: Environment, page: Page):
    say = here.say
    many = [here.make(f"Bulk {number}") for number in (1, 2, 3)]
    night_shift = f"Night shift {here.mode}"
    with here.product.person() as person:
        of_the_first = many[0].path.strip("/").split("/")[-1]
        person.submit(
            "/channels/new/webhook/",
            **{"name": night_shift, "url": "http://127.0.0.1:9/", "enabled": "on"},
            **{"scope": "some", "monitors": of_the_first},
        )
    page.goto("/?q=Bulk&sort=name")

    def choose(*numbers: int) -> None:
        for number in numbers:
            row_of(page, f"Bulk {number}").get_by_role("checkbox").check()
        expect(page.locator("#bulk-count")).to_have_text(say("{} selected").format(len(numbers)))

    choose(1, 2)
    bar = page.locator("#bulk").bounding_box()
    assert bar
    for each in page.locator("#bulk").get_by_role("button").all():
        box = each.bounding_box()
        assert box
        assert bar["x"] <= box["x"], each
        assert box["x"] + box["width"] <= bar["x"] + bar["width"], each
    shoot(page, f"flow-bulk-{here.mode}")
    button(page, say("Pause")).click()
    paused = say.many("%(number)d monitor paused.", "%(number)d monitors paused.", 2, number=2)
    expect(page.get_by_text(paused)).to_be_visible()
    expect(row_of(page, "Bulk 2").locator(".pill")).to_have_text(say("Paused"))
    expect(row_of(page, "Bulk 3").locator(".pill")).to_have_text(say("New"))

    page.get_by_label(say("Select all monitors on this page")).check()
    page.get_by_label(say("Tag"), exact=True).fill("nightly")
    button(page, say("Add tag")).click()
    tagged = ("%(number)d monitor tagged “%(tag)s”.", "%(number)d monitors tagged “%(tag)s”.")
    expect(page.get_by_text(say.many(*tagged, 3, number=3, tag="nightly"))).to_be_visible()
    expect(row_of(page, "Bulk 3").get_by_role("link", name="nightly")).to_be_visible()

    choose(2, 3)
    button(page, say("Channels…")).click()
    title = ("Notifications for %(number)s monitor", "Notifications for %(number)s monitors")
    expect(page.get_by_role("heading", name=say.many(*title, 2, number=2))).to_be_visible()
    page.get_by_label(night_shift).check()
    shoot(page, f"flow-assign-{here.mode}")
    button(page, say("Subscribe")).click()
    expect(page.get_by_text(say("Saved."))).to_be_visible()

    choose(1, 2)
    button(page, say("Delete")).click()
    title = ("Delete %(number)d monitor?", "Delete %(number)d monitors?")
    expect(page.get_by_role("heading", name=say.many(*title, 2, number=2))).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= here.mode.viewport["width"]
    sure = ("Delete %(number)s monitor", "Delete %(number)s monitors")
    button(page, say.many(*sure, 2, number=2)).click()
    gone = ("%(number)d monitor deleted.", "%(number)d monitors deleted.")
    expect(page.get_by_text(say.many(*gone, 2, number=2))).to_be_visible()
    assert names(page) == ["Bulk 3"]
    page.goto(many[2].path)
    expect(page.locator("#notification-rules")).to_contain_text(night_shift)


def test_the_keys_find_choose_and_open_a_monitor(here: Environment, page: Page):
    say = here.say
    key_one = here.make("Key one")
    here.make("Key two")
    page.goto("/?q=Key&sort=name")
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name=say("Keyboard shortcuts"))).to_be_visible()
    shoot(page, f"flow-keys-{here.mode}")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_label(say("Search monitors"))).to_be_focused()
    page.keyboard.press("Escape")
    for key, focused in (("j", "Key one"), ("j", "Key two"), ("k", "Key one")):
        page.keyboard.press(key)
        expect(page.get_by_role("link", name=focused, exact=True)).to_be_focused()
    page.keyboard.press("x")
    expect(page.locator("#bulk-count")).to_have_text(say("{} selected").format(1))
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{here.product.url}{key_one.path}")


# --- A monitor's pages -----------------------------------------------------------------------------------


def test_a_range_is_chosen_a_chart_is_read_and_a_suggestion_is_taken(here: Environment, page: Page):
    say = here.say
    # Often enough for a rhythm, and then silent for longer than agreed.
    monitor = here.make("Advised", timeout="5", grace="1")
    for number in range(51):
        push(monitor, value=str(90 + number))
    page.goto(monitor.path)
    stays(page)
    ranges = page.get_by_role("navigation", name=say("Time range"))
    ranges.locator("[data-range='7d']").click()
    week = f"7 {say.units()[0]}"
    expect(page.get_by_role("heading", name=say("Last %(span)s", span=week))).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?range=7d$"))
    expect(page.locator("#chart-value").get_by_role("slider")).to_have_attribute("aria-valuemax", "168")

    box, readout = page.locator("#chart-value .chart-box"), page.locator("#chart-value .chart-readout")
    if here.mode.phone:
        box.tap(position={"x": 40, "y": 60})
    else:
        box.focus()
        page.keyboard.press("Home")
    expect(readout).to_contain_text(say("no value"))
    shoot(page, f"flow-chart-{here.mode}")

    expect(page.locator("header .pill")).to_have_text(say("Down"), timeout=6_000 + LIVE + SLACK)
    push(monitor)
    advice = page.locator("#advice")
    expect(advice).to_be_visible(timeout=LIVE + SLACK)
    shoot(page, f"flow-advice-{here.mode}")
    assert stayed(page)
    advice.get_by_role("link", name=say("Change timeout")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(say("Change the timeout of “%(name)s”?", name="Advised"))
    after = dialog.get_by_label(say("Timeout")).input_value()
    # Never silently: only now.
    button(dialog, say("Change timeout")).click()
    before = f"5 {say.units()[3]}"
    changed = say("Changed the timeout from %(before)s to %(after)s.", before=before, after=after)
    expect(page.get_by_text(changed)).to_be_visible()


def test_the_log_is_filtered_searched_opened_and_saved(here: Environment, page: Page):
    say = here.say
    long = "The needle: " + "disk full on the third volume, " * 12 + "and that is the end of it."
    monitor = here.make("Logged")
    push(monitor, msg="hay")
    push(monitor, msg=long, value="98.5")
    push(monitor, status="down", msg="hay again")
    page.goto(f"{monitor.path}log/")
    expect(page.locator(".entry").nth(3)).to_be_visible()
    page.get_by_label(say("Heartbeats"), exact=True).check()
    button(page.locator(".log-filters"), say("Show")).click()
    expect(page.locator(".entry")).to_have_count(3)
    page.get_by_label(say("Search"), exact=True).fill("NEEDLE")
    button(page.locator(".log-filters"), say("Show")).click()
    expect(page.locator(".entry")).to_have_count(1)
    assert "kind=heartbeats" in page.url
    assert "q=NEEDLE" in page.url
    entry = page.locator(".entry")
    entry.locator("summary").click()
    expect(entry.get_by_text(say("Time"), exact=True)).to_be_visible()
    expect(entry).to_contain_text("and that is the end of it.")
    shoot(page, f"flow-log-{here.mode}")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV", exact=True).click()
    header, *lines = saved(download.value).splitlines()
    assert header == "at,kind,what,text,value,from,by"
    assert [long in line for line in lines] == [True]
    with page.expect_download() as download:
        page.get_by_role("link", name="NDJSON").click()
    (response,) = [json.loads(line) for line in saved(download.value).splitlines()]
    assert (response["text"], response["value"]) == (long, 98.5)
    page.get_by_role("link", name=say("Clear"), exact=True).click()
    expect(page.locator(".entry").nth(3)).to_be_visible()


def test_an_incident_is_acknowledged_and_noted(here: Environment, page: Page):
    say = here.say
    monitor = here.make("Broken")
    push(monitor)
    push(monitor, status="down", msg="disk full")
    page.goto("/")
    page.get_by_role("link", name=say("Incidents")).click()
    page.get_by_role("link", name="Broken", exact=True).click()
    expect(page.locator(".head .pill")).to_have_text(say("Open"))
    button(page, say("Acknowledge")).click()
    expect(button(page, say("Acknowledge"))).to_have_count(0)
    note = page.get_by_role("textbox", name=say("Note"))
    note.fill("Deleted the old dumps.\nOrdered a larger disk.")
    button(page, say("Save note")).click()
    expect(page.get_by_text(say("Saved."))).to_be_visible()
    expect(note).to_have_value("Deleted the old dumps.\nOrdered a larger disk.")
    stays(page)
    push(monitor)
    expect(page.locator(".head .pill")).to_have_text(say("Resolved"), timeout=LIVE + SLACK)
    shoot(page, f"flow-incident-{here.mode}")
    assert stayed(page)


def test_a_program_is_chosen_and_copied_with_the_real_address(here: Environment, page: Page):
    say = here.say
    monitor = here.make("Used")
    page.goto(f"{monitor.path}usage/")
    languages = page.get_by_role("navigation", name=say("Languages"))
    languages.get_by_role("link", name="Python (requests)").click()
    chosen = languages.get_by_role("link", name="Python (requests)")
    expect(chosen).to_have_attribute("aria-current", "true")
    program = page.locator(".copy-block").first
    button(program, say("Copy")).click()
    expect(button(program, say("Copied"))).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.rstrip() == program.get_by_role("textbox").input_value().rstrip()
    assert "import requests" in copied
    assert monitor.push_url in copied
    shoot(page, f"flow-usage-{here.mode}")


def test_a_push_that_was_refused_is_found_with_its_reason(here: Environment, page: Page):
    say = here.say
    monitor = here.make("Misused")
    push(monitor)
    answer = requests.get(monitor.push_url, params={"status": "broken"}, timeout=20)
    assert answer.status_code == 400

    def is_listed() -> bool:
        page.goto(f"{monitor.path}rejected/")
        return page.get_by_text(say("Invalid parameter")).is_visible()

    # What was refused is written down a moment later.
    wait_for(is_listed, seconds=15, every=0.3)
    page.goto(monitor.path)
    page.locator("#troubleshooting").get_by_text(say("Troubleshooting")).click()
    entry = page.get_by_role("listitem").filter(has_text=say("Invalid parameter"))
    response = say("Response: “%(detail)s”", detail=f"Unknown status “broken”. {ALLOWED}")
    expect(entry).to_contain_text(response)
    expect(entry).to_contain_text(monitor.push_url[-4:])
    shoot(page, f"flow-refused-{here.mode}")
