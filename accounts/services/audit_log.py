"""Read the audit log as files, and delete what is older than it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import StreamingHttpResponse

from accounts.models import AuditEntry, Workspace
from core.clock import database_now
from core.connections import release_connection
from core.export import MEDIA_TYPES, WRITERS
from core.pagination import beyond

COLUMNS = ("at", "action", "actor", "via", "address", "subject", "subject_name", "details")
_CHUNK = 1000
_BATCH = 500


def entries_of(
    workspace: Workspace, *, start: datetime | None = None, end: datetime | None = None
) -> QuerySet[AuditEntry]:
    """Return the entries of `workspace` from `start` to before `end`."""
    rows = AuditEntry.objects.filter(workspace=workspace)
    if start is not None:
        rows = rows.filter(at__gte=start)
    return rows if end is None else rows.filter(at__lt=end)


def chunks(rows: QuerySet[AuditEntry]) -> Iterator[list[dict[str, Any]]]:
    """Yield `rows` as `line` returns them, newest first, a chunk at a time, however many there are.

    What is recorded from now on isn't among them. Between chunks, no connection is held for a slow reader.
    """
    rows = rows.filter(at__lte=database_now()).order_by("-at", "-pk")
    chunk = list(rows[:_CHUNK])
    while chunk:
        last = chunk[-1]
        release_connection()
        yield [line(entry) for entry in chunk]
        chunk = list(beyond(rows, "at", last.at, last.pk)[:_CHUNK])


def as_file(rows: QuerySet[AuditEntry], form: str, *, whole: bool = True) -> StreamingHttpResponse:
    """Return the entries `rows` as a file, read and sent in chunks; only the first if not `whole`.

    Args:
        form: a key of WRITERS.
    """
    remaining = chunks(rows)
    # Read the first chunk now, while a database error can still be answered as one.
    first: list[dict[str, Any]] = next(remaining, [])
    written = WRITERS[form](chain([first], remaining if whole else ()), COLUMNS)
    response = StreamingHttpResponse(written, content_type=f"{MEDIA_TYPES[form]}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="audit-log.{form}"'
    return response


def line(entry: AuditEntry) -> dict[str, Any]:
    """Return `entry` as it is exported; COLUMNS are its keys."""
    return {
        "at": f"{entry.at.astimezone(UTC).replace(tzinfo=None).isoformat()}Z",
        "action": entry.action,
        "actor": entry.actor,
        "via": entry.via,
        "address": entry.address,
        "subject": str(entry.subject) if entry.subject else None,
        "subject_name": entry.subject_name,
        "details": entry.details,
    }


def delete_old(*, batch: int = _BATCH) -> int:
    """Delete the entries older than TIANJI_AUDIT_DAYS, of which 0 keeps all; return how many."""
    if not settings.TIANJI_AUDIT_DAYS:
        return 0
    before, total, last = database_now() - timedelta(days=settings.TIANJI_AUDIT_DAYS), 0, 0
    # From the oldest end of the primary key, where the oldest rows are: no index on the time alone is needed.
    while page := list(AuditEntry.objects.filter(pk__gt=last).order_by("pk").values_list("pk", "at")[:batch]):
        last = page[-1][0]
        old = [pk for pk, at in page if at < before]
        if not old:
            break
        total += AuditEntry.objects.filter(pk__in=old).delete()[0]
    return total
