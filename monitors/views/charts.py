"""The charts of a monitor: its values and the time between its heartbeats, as pictures and CSV files."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from core import replica
from core.clock import database_now
from monitors.access import get_monitor_or_404, members_only, membership_in
from monitors.domain.time_slots import DEFAULT_SPAN
from monitors.history import buckets
from monitors.history.buckets import Range, Series
from monitors.models import Monitor
from monitors.pages.charts import page as chart_page
from monitors.views.detail import workspace_context

# How often, in seconds, an open page reloads the charts of each range.
_EVERY = {"1h": 15, "24h": 60}
_EVERY_OTHER = 300
# How old the charts of days may be that are read from a replica.
_BEHIND = timedelta(minutes=1)


@require_GET
@members_only
def charts(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The charts of the range `range`; for htmx, only the charts."""
    monitor = get_monitor_or_404(request, public_id)
    membership = membership_in(request, monitor.workspace)
    wanted, now = _range(request), database_now()
    context = {
        "monitor": monitor,
        "ranges": [(slug, label, slug == wanted.slug) for slug, label in chart_page.LABELS.items()],
        "range": wanted.slug,
        "every": _EVERY.get(wanted.slug, _EVERY_OTHER),
        "charts": chart_page.charts_of(monitor, _series(monitor, wanted, now)),
        "now": now,
        **workspace_context(membership),
    }
    template = "monitors/charts/page.html#charts" if request.htmx else "monitors/charts/page.html"  # type: ignore[attr-defined]
    response = render(request, template, context)
    # None if a proxy gives the site another host than this process sees.
    shown_on = request.htmx.current_url_abs_path or ""  # type: ignore[attr-defined]
    if shown_on.split("?")[0] == request.path:
        # On its own page the URL follows what is shown; inside another page the URL is that page's.
        response["HX-Replace-Url"] = request.get_full_path()
    return response


@require_GET
@members_only
def charts_csv(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The data of the chart `what` of the range `range`, as a CSV file."""
    monitor = get_monitor_or_404(request, public_id)
    wanted = _range(request)
    what = request.GET.get("what", "")
    if what not in chart_page.WHATS:
        what = chart_page.WHATS[0]
    shown = _series(monitor, wanted, database_now())
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{chart_page.filename(monitor, wanted, what)}"'
    csv.writer(response).writerows(chart_page.records(shown, what))
    return response


def _series(monitor: Monitor, wanted: Range, now: datetime) -> Series:
    if wanted.counted:
        return buckets.series_of(monitor, wanted, now=now)
    with replica.reading(complete_until=now - _BEHIND):
        return buckets.series_of(monitor, wanted, now=now)


def _range(request: HttpRequest) -> Range:
    return buckets.RANGES.get(request.GET.get("range", ""), buckets.RANGES[DEFAULT_SPAN])
