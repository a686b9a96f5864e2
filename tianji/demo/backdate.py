"""Backdates the audit log: operations record the current time, but the sample data lies in the past."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db.models import Max

from accounts.models import AuditEntry, Workspace


@contextmanager
def as_of(workspace: Workspace, at: datetime) -> Iterator[None]:
    """Set the time of all audit log entries written in the block to `at`."""
    entries = AuditEntry.objects.filter(workspace=workspace)
    newest = entries.aggregate(pk=Max("pk"))["pk"] or 0
    yield
    entries.filter(pk__gt=newest).update(at=at)
