"""What happened to a monitor, newest first: its activity, incidents and audit log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from itertools import islice
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone, translation
from django.views.decorators.http import require_GET

from accounts.models import AuditEntry
from core import replica
from core.clock import database_now
from core.connections import release_connection
from core.export import MEDIA_TYPES, WRITERS
from core.pagination import PAGE, Page, page_of
from monitors.access import get_monitor_or_404, members_only, membership_in
from monitors.forms.log import LogForm
from monitors.models import Incident, Monitor
from monitors.pages.log import feed
from monitors.pages.log.entries import BadCursor, Cursor, Entry, Filter, Kind
from monitors.views.responses import shows

NEWEST_INCIDENTS = 10
_COLUMNS = ("at", "kind", "what", "text", "value", "from", "by")


def newest_incidents(monitor: Monitor) -> Page[Incident]:
    return _incidents(monitor, size=NEWEST_INCIDENTS)


@require_GET
@members_only
def log(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A page of the activity that matches the filters, older than the cursor `before`.

    With `format`, everything that matches, as a file. For htmx, only the live part, or 204 if nothing has
    changed.
    """
    monitor = get_monitor_or_404(request, public_id)
    form = LogForm(request.GET)
    if not form.is_valid():
        return _log_page(request, monitor, form, feed.Page([]), status=422)
    try:
        if file_format := request.GET.get("format"):
            return cast(HttpResponse, _export(monitor, form.criteria, file_format))
        before = request.GET.get("before")
        page = feed.page(monitor, form.criteria, before=Cursor.read(before) if before else None)
    except BadCursor as error:
        raise Http404 from error
    except feed.TooSlow:
        return _log_page(request, monitor, form, feed.Page([]), status=422, too_slow=True)
    version = feed.version(page)
    if shows(request, version):
        return HttpResponse(status=204)
    # A search is expensive, and older pages don't change: neither is polled.
    live = not before and not form.criteria.text
    return _log_page(request, monitor, form, page, version=version, live=live)


def _log_page(
    request: HttpRequest,
    monitor: Monitor,
    form: LogForm,
    page: feed.Page,
    *,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    criteria = form.criteria if form.is_valid() else Filter()
    said = [
        (name, value)
        for name, values in request.GET.lists()
        if name in ("kind", "status", "q", "from", "to")
        for value in values
        if value
    ]
    context = {
        **_context(request, monitor),
        "form": form,
        "page": page,
        "query": urlencode(said),
        "filtered": bool(said),
        "narrows": criteria.narrows,
        **more,
    }
    part = request.headers.get("HX-Request") == "true"
    template = "monitors/log/page.html#live" if part else "monitors/log/page.html"
    return render(request, template, context, status=status)


def _export(monitor: Monitor, criteria: Filter, file_format: str) -> StreamingHttpResponse:
    """Return everything that matches as a file, read and sent in chunks."""
    if file_format not in WRITERS:
        raise Http404
    rows = feed.entries(monitor, criteria)
    # Read the first chunk now, while a database error can still be answered as one. Times in its sentences
    # are in UTC, as those in its first column.
    with feed.patience(), timezone.override(UTC):
        first = list(islice(rows, feed.CHUNK))
    language = translation.get_language() or "en"
    response = StreamingHttpResponse(
        WRITERS[file_format](_written(first, rows, language), _COLUMNS),
        content_type=f"{MEDIA_TYPES[file_format]}; charset=utf-8",
    )
    response["Content-Disposition"] = f'attachment; filename="log-{monitor.slug}.{file_format}"'
    return response


def _written(first: list[Entry], rows: Iterator[Entry], language: str) -> Iterator[list[dict[str, Any]]]:
    chunk = first
    while chunk:
        oldest = chunk[-1].at
        # A slow reader must not hold a pooled connection.
        release_connection()
        yield [_line(entry) for entry in chunk]
        # This runs after the response has started, when the reader's language is no longer active.
        with (
            translation.override(language),
            timezone.override(UTC),
            # What was written lately is in the first chunk.
            replica.reading(complete_until=oldest),
        ):
            chunk = list(islice(rows, feed.CHUNK))


def _line(entry: Entry) -> dict[str, Any]:
    return {
        "at": f"{entry.at.isoformat().removesuffix('+00:00')}Z",
        "kind": entry.kind.value,
        "what": entry.code,
        "text": entry.text,
        "value": entry.value,
        "from": entry.source or None,
        "by": entry.by or None,
    }


@require_GET
@members_only
def heartbeats(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The former URL of the activity, when it only had heartbeats."""
    monitor = get_monitor_or_404(request, public_id)
    return redirect(f"{reverse('monitors:log', args=[monitor.public_id])}?kind={Kind.HEARTBEATS}")


@require_GET
@members_only
def incidents(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A page of incidents, older than the cursor `before`."""
    monitor = get_monitor_or_404(request, public_id)
    page = _incidents(monitor, cursor=request.GET.get("before", ""))
    return render(request, "monitors/incidents/of_monitor.html", {**_context(request, monitor), "page": page})


@require_GET
@members_only
def changes(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The audit log of the monitor and its tokens; for htmx, only the rows."""
    monitor = get_monitor_or_404(request, public_id)
    entries = AuditEntry.objects.filter(workspace=monitor.workspace, subject=monitor.public_id)
    page = page_of(entries, "at", cursor=request.GET.get("before", ""))
    template = "monitors/detail/changes.html#rows" if request.htmx else "monitors/detail/changes.html"  # type: ignore[attr-defined]
    return render(request, template, {**_context(request, monitor), "page": page})


def _context(request: HttpRequest, monitor: Monitor) -> dict[str, Any]:
    membership = membership_in(request, monitor.workspace)
    return {
        "monitor": monitor,
        "now": database_now(),
        "membership": membership,
        "workspace": membership.workspace,
        "may_change": membership.may_change,
    }


def _incidents(monitor: Monitor, *, cursor: str = "", size: int = PAGE) -> Page[Incident]:
    # Through the monitor, so that its rows don't have to load it.
    rows = monitor.incidents.select_related("acknowledged_by")
    return page_of(rows, "started_at", cursor=cursor, size=size)
