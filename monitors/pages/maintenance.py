"""The maintenance pages: active, upcoming and past windows as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, OuterRef, Prefetch, Subquery
from django.db.models.functions import Coalesce
from django.utils.dates import WEEKDAYS
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Workspace
from monitors.domain.durations import exactly
from monitors.domain.recurrence import Once, Plan, Stretch, Weekly, current, occurrences
from monitors.models import MaintenanceWindow, Monitor
from monitors.services.maintenance import plan_of

_PREVIEWED, _PAST_MOST = 3, 50
_NAMED_MOST = 5


@dataclass(frozen=True, slots=True)
class Line:
    """A window in the list: when it takes place and which monitors it applies to, as text.

    `here` is the active occurrence, `next` the upcoming one; None if there is none.
    """

    window: MaintenanceWindow
    when: str
    about: str
    here: Stretch | None
    next: Stretch | None


@dataclass(frozen=True, slots=True)
class Lists:
    """The windows of a workspace: active ones, upcoming ones (soonest first), and the latest past ones."""

    now: list[Line]
    coming: list[Line]
    past: list[Line]


@dataclass(frozen=True, slots=True)
class Preview:
    """A form's schedule as text, and the next times; `over` if there are no more."""

    when: str
    times: tuple[str, ...]
    over: bool


def lists_of(workspace: Workspace, now: datetime) -> Lists:
    """Return the maintenance windows of `workspace`. Two queries."""
    first = Monitor.objects.only("name").order_by("name", "pk")[:_NAMED_MOST]
    named: Any = MaintenanceWindow.monitors.through.objects.filter(maintenancewindow=OuterRef("pk"))
    number = named.order_by().values("maintenancewindow").annotate(number=Count("pk")).values("number")
    windows = (
        MaintenanceWindow.objects.filter(workspace=workspace)
        .annotate(monitor_count=Coalesce(Subquery(number), 0))
        .prefetch_related(Prefetch("monitors", first, to_attr="first_monitors"))
    )
    lines = [_line(window, now) for window in windows]
    coming = sorted((line.next[0], line.window.pk, line) for line in lines if not line.here and line.next)
    past = sorted(
        (line.window.ends_at, line.window.pk, line)
        for line in lines
        if not line.here and not line.next and line.window.ends_at is not None
    )
    return Lists(
        now=[line for line in lines if line.here],
        coming=[line for *_key, line in coming],
        past=[line for *_key, line in reversed(past[-_PAST_MOST:])],
    )


def _line(window: Any, now: datetime) -> Line:
    plan = plan_of(window)
    here = current(plan, now)
    following = next((stretch for stretch in occurrences(plan, now) if stretch[0] > now), None)
    return Line(window, in_words(plan, window.timezone), _about(window), here, following)


def preview(plan: Plan, zone: str, now: datetime) -> Preview:
    """Return what `plan` means to people in the time zone `zone`."""
    times = tuple(_stretch(stretch, zone) for stretch in islice(occurrences(plan, now), _PREVIEWED))
    return Preview(in_words(plan, zone), times, over=not times)


def in_words(plan: Plan, zone: str) -> str:
    """Return when it takes place: "Every Saturday and Sunday at 22:00 for 4 h (Asia/Jakarta)"."""
    match plan:
        case Once(start, end):
            return _("Once, %(times)s (%(zone)s)") % {"times": _stretch((start, end), zone), "zone": zone}
        case Weekly():
            words = {
                "days": _days(plan.weekdays),
                "time": f"{plan.at:%H:%M}",
                "length": exactly(int(plan.length.total_seconds())),
                "zone": zone,
            }
            text = _("%(days)s at %(time)s for %(length)s (%(zone)s)") % words
            if plan.begins is not None:
                text += _(", from %(time)s") % {"time": _moment(plan.begins, zone)}
            if plan.until is not None:
                text += _(", until %(time)s") % {"time": _moment(plan.until, zone)}
            return text


def _days(weekdays: Iterable[int]) -> str:
    days = sorted(weekdays)
    match days:
        case [0, 1, 2, 3, 4, 5, 6]:
            return _("Every day")
        case [0, 1, 2, 3, 4]:
            return _("Every weekday, Monday to Friday")
    names = [str(WEEKDAYS[day]) for day in days]
    return _("Every %(days)s") % {"days": _listed(names)}


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return _("%(first)s and %(last)s") % {"first": ", ".join(names[:-1]), "last": names[-1]}


def _stretch(stretch: Stretch, zone: str) -> str:
    """Return "Sat 28 Nov 2026, 22:00 – 02:00", with the end date if it lasts longer than a night."""
    first, last = (at.astimezone(ZoneInfo(zone)) for at in stretch)
    if (last.date() - first.date()).days == 0 and first.utcoffset() == last.utcoffset():
        return f"{date_format(first, 'D j M Y, H:i')} – {last:%H:%M}"
    return f"{date_format(first, 'D j M Y, H:i')} – {date_format(last, 'D j M Y, H:i')}"


def _moment(at: datetime, zone: str) -> str:
    return date_format(at.astimezone(ZoneInfo(zone)), "j M Y, H:i")


def _about(window: Any) -> str:
    """Return what it applies to: "All monitors", or "Tags: db · Shop, Payments and 3 more"."""
    if window.all_monitors:
        return _("All monitors")
    parts = []
    if window.tags:
        parts.append(_("Tags: %(tags)s") % {"tags": ", ".join(window.tags)})
    if window.first_monitors:
        more = window.monitor_count - len(window.first_monitors)
        shown = ", ".join(monitor.name for monitor in window.first_monitors)
        if more > 0:
            shown = ngettext("%(names)s and %(number)d more", "%(names)s and %(number)d more", more) % {
                "names": shown,
                "number": more,
            }
        parts.append(shown)
    # Its monitors were deleted.
    return " · ".join(parts) or _("No monitors left")
