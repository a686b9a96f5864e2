"""What the tests of the sample data share."""

from __future__ import annotations

import io

from django.core.management import call_command

from accounts.models import AuditEntry, User, Workspace
from monitors.models import Heartbeat, Incident, Monitor, RejectedPush, Rollup, Transition
from notifications.models import Channel, Delivery, DeliveryAttempt

DAYS, PASSWORD = 2, "a demo password"
_MONITORS = (Monitor, Heartbeat, Incident, Transition, Rollup, RejectedPush)
_OTHERS = (Channel, Delivery, DeliveryAttempt, AuditEntry, User, Workspace)


def demo(*arguments: str) -> str:
    output = io.StringIO()
    call_command("demo", "--days", str(DAYS), "--password", PASSWORD, *arguments, stdout=output)
    return output.getvalue()


def rows() -> dict[str, int]:
    return {model.__name__: model.objects.count() for model in (*_MONITORS, *_OTHERS)}


def monitors_of(workspace: Workspace) -> list[Monitor]:
    return list(Monitor.objects.filter(workspace=workspace).select_related("state").order_by("pk"))
