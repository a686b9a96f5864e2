"""Times, durations and statuses in templates. `now` is taken from the context if the view provides it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from monitors.domain import durations
from monitors.domain.state_machine import Shown
from monitors.domain.time_slots import Slot
from monitors.history import current, progress
from monitors.history.current import SHOWN_LABELS, schedule_in_short
from monitors.models import Incident, Monitor
from monitors.pages.charts import status_bar
from monitors.pages.log import audit_text

register = template.Library()
register.filter("duration", durations.exactly)
register.filter("schedule_in_short", schedule_in_short)
register.filter("fault_text", current.fault_text)
register.filter("recovery_text", progress.recovery_text)
register.filter("progress_text", progress.progress_text)
register.filter("cron_in_words", durations.cron_in_words)
register.filter("deed_in_words", audit_text.in_words)


@register.filter
def status_word(status: str, number: int) -> str:
    """The word for `number` monitors with `status` in a sentence: "3 up"."""
    words_of = {
        Shown.DOWN: ngettext("down", "down", number),
        Shown.RECOVERING: ngettext("recovering", "recovering", number),
        Shown.LATE: ngettext("late", "late", number),
        Shown.UP: ngettext("up", "up", number),
        Shown.NEW: ngettext("new", "new", number),
        Shown.PAUSED: ngettext("paused", "paused", number),
    }
    return words_of[Shown(status)]


@register.filter
def figure(value: float | None) -> str:
    """A heartbeat's value in its shortest form: 123, 0.1, 1.5e+16; "" for None."""
    return "" if value is None else f"{value:.12g}"


@register.filter
def value_text(incident: Incident, monitor: Monitor) -> str:
    """What was wrong with the value that opened an incident of `monitor`."""
    return current.value_text(incident.opening_value, monitor.value_rules)


@register.filter
def good_values(monitor: Monitor) -> str:
    """Which values are allowed: "0 to 10"; "" if all are."""
    return current.good_values(monitor.value_rules)


@register.filter
def in_zone(when: datetime, zone: str) -> str:
    """A date and time in `zone`: the schedule's time zone, not the reader's."""
    return _to_the_minute(when.astimezone(ZoneInfo(zone)))


@register.filter
def in_own_zone(when: datetime) -> str:
    """A date and time in the reader's time zone, in the form of `in_zone`."""
    return _to_the_minute(timezone.localtime(when))


def _to_the_minute(local: datetime) -> str:
    return date_format(local, "D j M Y, H:i:s" if local.second else "D j M Y, H:i")


@register.simple_tag(takes_context=True)
def ago(context: template.Context, when: datetime | None) -> str:
    """How long ago `when` was ("32 s ago"); a dash for None."""
    return _relative(context, when, past=_("{} ago"), future=_("in {}"))


@register.simple_tag(takes_context=True)
def until(context: template.Context, when: datetime | None) -> str:
    """The time until `when` ("in 28 s"), or how overdue it is ("late by 9 s")."""
    return _relative(context, when, past=_("late by {}"), future=_("in {}"))


@register.simple_tag(takes_context=True)
def remaining(context: template.Context, when: datetime) -> str:
    """The time left until `when` ("21 h")."""
    return _relative(context, when, past=durations.about(0), future="{}")


@register.simple_tag(takes_context=True)
def elapsed(context: template.Context, since: datetime, pattern: str = "{}") -> str:
    """The time since `since`, in place of {} in `pattern`: "Up for {}"."""
    return _relative(context, since, past=pattern, future="")


@register.simple_tag(takes_context=True)
def clock(context: template.Context, when: datetime | None) -> str:
    """The time of day of `when`, with the date if it is not today; in the browser, in the local time zone."""
    if when is None:
        return "–"
    local, today = timezone.localtime(when), timezone.localtime(_now(context)).date()
    text = f"{local:%H:%M:%S} {local.tzname()}"
    if local.date() != today:
        text = f"{date_format(local, 'j M Y')}, {text}"
    return format_html('<time datetime="{}" title="{}" data-clock>{}</time>', _iso(when), _exact(when), text)


@register.simple_tag
def iso(when: datetime) -> str:
    """`when` for a data attribute."""
    return _iso(when)


@register.simple_tag
def lasted(start: datetime, end: datetime) -> str:
    """The time from `start` to `end`."""
    return durations.about(max((end - start).total_seconds(), 0))


@register.simple_tag
def pill(status: str, modifier: str = "") -> SafeString:
    """A status as shape, word and colour. `modifier` is "large" or "plain"."""
    label = SHOWN_LABELS[Shown(status)]
    extra = f" pill-{modifier}" if modifier else ""
    return format_html('<span class="pill pill-{}{}">{}</span>', status, extra, label)


@register.simple_tag
def bar(slots: Sequence[Slot] | None, size: str = "") -> SafeString:
    """The heartbeat bar of `slots` (history.status_bars). `size` is "" for a row, "large" for a heading."""
    return status_bar.bar_svg(slots or (), size=size)


@register.simple_tag
def spark(slots: Sequence[Slot] | None) -> SafeString:
    """A sparkline of the mean values of `slots`."""
    return status_bar.spark_svg(slots or ())


def _relative(context: template.Context, when: datetime | None, *, past: str, future: str) -> str:
    if when is None:
        return "–"
    passed = (_now(context) - when).total_seconds()
    pattern = future if passed < 0 and future else past
    return format_html(
        '<time datetime="{}" title="{}" data-past="{}" data-future="{}">{}</time>',
        _iso(when),
        _exact(when),
        past,
        future,
        pattern.replace("{}", durations.about(abs(passed) if future else max(passed, 0))),
    )


def _now(context: template.Context) -> datetime:
    now: Any = context.get("now")
    return now if isinstance(now, datetime) else timezone.now()


def _iso(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _exact(when: datetime) -> str:
    """The local time and UTC, in the same form as static/js/time.js."""
    local = timezone.localtime(when)
    utc = f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return utc if local.tzname() == "UTC" else f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()} · {utc}"
