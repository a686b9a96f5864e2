"""What the product's operations record as done now, at the time at which the sample data says it was done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db.models import Max

from accounts.models import AuditEntry, Workspace


@contextmanager
def as_of(workspace: Workspace, at: datetime) -> Iterator[None]:
    """Have what is written to the audit log meanwhile say `at`."""
    entries = AuditEntry.objects.filter(workspace=workspace)
    newest = entries.aggregate(pk=Max("pk"))["pk"] or 0
    yield
    entries.filter(pk__gt=newest).update(at=at)
