"""What the programs to copy say of a monitor, without running them."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path

import pytest
from django.utils import translation

from monitors.models import Monitor
from monitors.pages.snippets import LANGUAGES, PLACEHOLDER, snippet_of

URL = "https://tianji.example.com/api/push/tjp_0123"
FOLDER = Path(__file__).parents[3] / "templates" / "monitors" / "snippets"


def interval(seconds: int, **fields: object) -> Monitor:
    return Monitor(slug="backup", timeout=seconds, **fields)


def cron(expression: str, zone: str = "UTC") -> Monitor:
    return Monitor(slug="backup", kind=Monitor.Kind.CRON, cron=expression, timezone=zone)


def on_calendar(*lines: str, zone: str = "UTC") -> Monitor:
    kind = Monitor.Kind.ON_CALENDAR
    return Monitor(slug="backup", kind=kind, calendar="\n".join(lines), timezone=zone)


def text_of(monitor: Monitor, slug: str, url: str = URL) -> str:
    return "\n".join(part.text for part in snippet_of(monitor, url, slug).parts)


def test_every_template_is_a_language():
    assert {path.name for path in FOLDER.glob("*.txt")} == {each.template for each in LANGUAGES.values()}


@pytest.mark.parametrize(
    "monitor",
    [interval(10), interval(86_400), cron("0 2 * * *"), on_calendar("daily", "Sat 10:00 UTC")],
    ids=str,
)
def test_every_snippet_has_the_push_url_and_parts_with_names(monitor: Monitor):
    snippets = [snippet_of(monitor, URL, slug) for slug in LANGUAGES]
    assert [snippet.slug for snippet in snippets] == list(LANGUAGES)
    for snippet in snippets:
        assert snippet.parts
        assert URL in "".join(part.text for part in snippet.parts)
        for part in snippet.parts:
            assert part.name
            assert part.text.strip() == part.text
            assert part.rows == len(part.text.splitlines())
            assert not re.search(r"\{%|\{\{ (?!secrets|job)", part.text)
            # Short enough to read.
            assert part.rows <= 62


@pytest.mark.parametrize("slug", LANGUAGES)
def test_the_placeholder_can_be_read(slug: str):
    assert PLACEHOLDER in text_of(interval(60), slug, PLACEHOLDER)


@pytest.mark.parametrize("slug", LANGUAGES)
def test_nothing_in_an_address_gets_out_of_its_quotes(slug: str):
    evil = "https://tïanji/'\"`$(id)${x}#{x}\\%\n/tjp_0123"
    text = text_of(interval(86_400), slug, evil)
    (written,) = set(re.findall(r"https://t.*?tjp_0123", text, re.DOTALL))
    assert not set(written) & set("'\"`$\\{}\n")
    assert written.isascii()


def test_each_language_quotes_as_it_does():
    assert shlex.split(text_of(interval(60), "github-actions").splitlines()[0])[-1] == URL
    assert ast.parse(text_of(interval(60), "python")).body[5].value.value == URL  # type: ignore[attr-defined]
    assert json.loads(text_of(interval(60), "node").splitlines()[0].split(" = ")[1].rstrip(";")) == URL


def test_a_program_waits_as_long_as_is_recommended():
    assert "time.monotonic() + 30" in text_of(interval(120, interval=30), "python")
    assert "time.monotonic() + 120" in text_of(interval(120), "python")


def test_a_rare_job_is_not_waited_for_in_a_loop():
    assert "while" not in text_of(interval(86_400), "python")
    assert "every 1 d" in text_of(interval(86_400), "python")


def test_a_job_at_set_times_names_them():
    assert "at the times of 0 2 * * 1 (Asia/Jakarta)" in text_of(cron("0 2  * * 1", "Asia/Jakarta"), "go")


def test_a_crontab_runs_as_often_as_is_recommended():
    assert "\n*/5 * * * * /path/to/job;" in text_of(interval(300), "crontab")


@pytest.mark.parametrize("slug", ["crontab", "kubernetes", "github-actions"])
def test_what_is_too_slow_for_the_monitor_says_so(slug: str):
    assert "10 s" in snippet_of(interval(10), URL, slug).note
    assert "10 s" not in snippet_of(interval(600), URL, slug).note


def test_a_schedule_that_is_none_brings_nothing_of_itself():
    for slug in LANGUAGES:
        text = text_of(cron("* * * * $(id)", "Nowhere/`id`"), slug)
        assert "id)" not in text
        assert "Nowhere" not in text


def test_times_that_systemd_cannot_express_get_a_warning():
    assert "systemd can't express" in text_of(cron("0 2 * * MON#1"), "systemd")


def test_a_timer_has_exactly_the_oncalendar_lines_of_the_monitor_in_their_time_zones():
    timer = text_of(
        on_calendar("Mon..Fri 09:00", "Sat 12:00 UTC", "*:*:0/10", zone="Asia/Jakarta"), "systemd"
    )
    assert re.findall(r"^OnCalendar=(.*)$", timer, re.MULTILINE) == [
        "Mon..Fri 09:00 Asia/Jakarta",
        "Sat 12:00 UTC",
        "*:*:0/10 Asia/Jakarta",
    ]
    assert "AccuracySec=1s" in timer
    assert "can't express" not in timer


def test_a_job_at_the_times_of_a_timer_names_them_and_does_not_loop():
    text = text_of(on_calendar("daily", "Sat 12:00 UTC", zone="Asia/Jakarta"), "python")
    assert "at the times of daily Asia/Jakarta, Sat 12:00 UTC" in text
    assert "while" not in text


@pytest.mark.parametrize("slug", ["crontab", "kubernetes", "github-actions"])
def test_what_runs_by_cron_says_that_it_has_other_times_than_a_timer(slug: str):
    assert "replace 0 2 * * *" in snippet_of(on_calendar("*-*-* 03:00"), URL, slug).note
    assert "0 2 * * *" in text_of(on_calendar("*-*-* 03:00"), slug)


def test_oncalendar_lines_that_are_none_bring_nothing_of_themselves():
    for slug in LANGUAGES:
        text = text_of(on_calendar("daily $(id)", "02:00\rExecStart=id", zone="Nowhere/`id`"), slug)
        assert "id)" not in text
        assert "ExecStart=id" not in text
        assert "Nowhere" not in text


def test_programs_are_english_in_every_language():
    with translation.override("id"):
        assert "every 5 min" in text_of(interval(300), "bash")
