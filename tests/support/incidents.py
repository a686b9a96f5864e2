"""Incidents and deliveries for the tests, without waiting for time to pass."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.db.models import F

from accounts.models import Workspace
from core.clock import database_now
from monitors.heartbeats import recorder
from monitors.heartbeats.parser import Push
from monitors.models import Heartbeat, Incident, MaintenanceWindow, Monitor, MonitorState, Transition
from monitors.services import tokens
from notifications.dispatch import send
from notifications.messages.events import Event
from notifications.models import Belief, Channel, Delivery, DeliveryAttempt, MonitorRules
from tests.support.factories import make_channel, secret_of


def push(*monitors: Monitor, up: bool = True, message: str = "OK", value: float | None = None) -> None:
    """Record a heartbeat of each monitor, all in one transaction."""
    recorder.record(
        [
            recorder.Arrival(tokens.digest_of(secret_of(monitor)) or "", Push(up, message, value))
            for monitor in monitors
        ]
    )


def make_incident(monitor: Monitor, **fields: Any) -> Incident:
    """An incident without notifications."""
    now = database_now()
    fields = {"cause": "reported", "started_at": now, "detected_at": now, "confirmed_at": now, **fields}
    return Incident.objects.create(monitor=monitor, **fields)


def make_delivery(
    channel: Channel, monitor: Monitor | None, *, incident: Incident | None = None, **fields: Any
) -> Delivery:
    """A delivery of an incident's opening that was tried once, and is due again."""
    now = database_now()
    fields = {"event": Event.OPENED, "created_at": now, "next_attempt_at": now, "attempt_count": 1, **fields}
    fields.setdefault("planned_at", fields["next_attempt_at"] or now)
    incident = incident or make_incident(monitor)
    fields.setdefault("outage", uuid.uuid4())
    fields.setdefault("sequence", 1)
    delivery = Delivery.objects.create(
        incident=incident, monitor_id=incident.monitor_id, channel=channel, **fields
    )
    if fields["next_attempt_at"] is not None:
        Belief.objects.update_or_create(
            channel=channel,
            monitor_id=incident.monitor_id,
            defaults={"outage": delivery.outage, "sequence": 1, "delivery": delivery},
        )
    return delivery


def let_time_pass(**length: float) -> None:
    """Make every open delivery as much older; the clock is the database's and cannot be turned."""
    age(**length)


# The columns that hold a time which means something to who is told when.
_TIMES = (
    (Heartbeat, ("received_at",)),
    (MonitorState, ("status_changed_at", "last_heartbeat_at", "due_at")),
    (
        Incident,
        ("started_at", "detected_at", "confirmed_at", "resolved_at", "last_heartbeat_at", "acknowledged_at"),
    ),
    (Transition, ("at",)),
    (MaintenanceWindow, ("starts_at", "ends_at")),
    (Belief, ("late_after", "sent_at", "check_at")),
    (Delivery, ("occasion", "created_at", "planned_at", "next_attempt_at", "sent_at")),
    (DeliveryAttempt, ("started_at", "finished_at")),
    (Channel, ("failing_since", "paused_until", "digest_at")),
    (MonitorRules, ("snoozed_until",)),
)


def age(**length: float) -> None:
    """Let time pass for monitors, rules and deliveries alike; windows that repeat stay where they are."""
    by = timedelta(**length)
    for model, columns in _TIMES:
        model._default_manager.update(**{name: F(name) - by for name in columns})


def deliver_with_retries(*, rounds: int = 3) -> None:
    """Deliver, and again after each wait of the retries."""
    for _ in range(rounds):
        send.deliver_due()
        let_time_pass(hours=1, minutes=10)


def deliver_after(**length: float) -> int:
    """Let time pass for everything, deliver, and return the number of attempts."""
    age(**length)
    return send.deliver_due()


def box_for(workspace: Workspace, box: str = "a", kind: str = "memory", **fields: Any) -> Channel:
    """A channel that sends to a box of the `memory` fixture."""
    return make_channel(workspace=workspace, kind=kind, config={"box": box}, **fields)
