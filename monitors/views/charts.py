"""The charts of a monitor: its values and the time between its heartbeats, as pictures and as files."""

from __future__ import annotations

import csv
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from monitors import chart_pages, series
from monitors.access import get_monitor_or_404, members_only, membership_in
from monitors.series import Range
from monitors.views.detail import workspace_context
from tianji.clock import database_now

# How often, in seconds, an open page asks for a newer picture of each range.
_EVERY = {"1h": 15, "24h": 60}
_EVERY_OTHER = 300


@require_GET
@members_only
def charts(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The charts of the range `range`; asked for by htmx, only them."""
    monitor = get_monitor_or_404(request, public_id)
    membership = membership_in(request, monitor.workspace)
    wanted, now = _range(request), database_now()
    context = {
        "monitor": monitor,
        "ranges": [(slug, label, slug == wanted.slug) for slug, label in chart_pages.LABELS.items()],
        "range": wanted.slug,
        "every": _EVERY.get(wanted.slug, _EVERY_OTHER),
        "charts": chart_pages.charts_of(monitor, series.series_of(monitor, wanted, now=now)),
        "now": now,
        **workspace_context(membership),
    }
    template = "monitors/charts/page.html#charts" if request.htmx else "monitors/charts/page.html"  # type: ignore[attr-defined]
    response = render(request, template, context)
    # None where the browser knows the site by another address than this process, behind a proxy.
    shown_on = request.htmx.current_url_abs_path or ""  # type: ignore[attr-defined]
    if shown_on.split("?")[0] == request.path:
        # On the page of its own the address says what is shown; inside another page it is that page's.
        response["HX-Replace-Url"] = request.get_full_path()
    return response


@require_GET
@members_only
def charts_csv(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """What the chart `what` of the range `range` shows, as a file for spreadsheets."""
    monitor = get_monitor_or_404(request, public_id)
    wanted = _range(request)
    what = request.GET.get("what", "")
    if what not in chart_pages.WHATS:
        what = chart_pages.WHATS[0]
    shown = series.series_of(monitor, wanted, now=database_now())
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{chart_pages.filename(monitor, wanted, what)}"'
    csv.writer(response).writerows(chart_pages.records(shown, what))
    return response


def _range(request: HttpRequest) -> Range:
    return series.RANGES.get(request.GET.get("range", ""), series.RANGES[series.DEFAULT])
