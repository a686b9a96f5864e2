"""From the monitors' signals to delivery rows, in the transaction that makes the event true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Q

from core.wakeups import wake_on_commit
from monitors import signals
from monitors.models import Incident
from notifications.dispatch import outbox, reminders, reschedule
from notifications.dispatch.outbox import NewDelivery
from notifications.locks import keep_channels
from notifications.messages.events import Event
from notifications.models import Delivery
from notifications.rules.effective import DEFAULT, Route, routes_of, rules_of_loaded


def connect() -> None:
    """Connect to the monitors' signals; called once, when the app is ready."""
    signals.incidents_opened.connect(_opened, dispatch_uid="notifications.opened")
    signals.incidents_resolved.connect(_resolved, dispatch_uid="notifications.resolved")
    signals.incidents_passed.connect(_passed, dispatch_uid="notifications.passed")
    signals.maintenance_moved.connect(_moved, dispatch_uid="notifications.moved")


def _opened(incidents: list[Incident], at: datetime, **kwargs: Any) -> None:
    rules = rules_of_loaded(incident.monitor for incident in incidents)
    rows: list[NewDelivery] = []
    for incident, route in _routes(incidents, "down"):
        planned_at = max(at, incident.started_at + route.delay)
        rows.append(_delivery(Event.OPENED, incident, route.channel.pk, at, planned_at))
        mine = rules.get(incident.monitor_id, DEFAULT)
        if reminder := reminders.first(incident, route, mine, planned_at):
            rows.append(reminder)
    _enqueue(rows)


def _resolved(incidents: list[Incident], at: datetime, **kwargs: Any) -> None:
    # A channel that was notified of an outage is notified of the recovery, even if it is no longer subscribed
    # to that monitor: its last notification must not be wrong.
    notified = _notified_down(incidents)
    routes = list(_routes(incidents))
    pairs = {
        (incident.pk, route.channel.pk)
        for incident, route in routes
        if "recovery" in route.events
        # A channel that is subscribed to outages, but has no delivery of this one, was subscribed later.
        and ("down" not in route.events or (incident.pk, route.channel.pk) in notified)
    }
    named = {(incident.pk, route.channel.pk) for incident, route in routes}
    pairs |= {pair for pair, wants in notified.items() if wants and pair not in named}
    by_pk = {incident.pk: incident for incident in incidents}
    event = Event.RESOLVED
    _enqueue([_delivery(event, by_pk[incident], channel, at, at) for incident, channel in sorted(pairs)])


def _passed(incidents: list[Incident], at: datetime, **kwargs: Any) -> None:
    _enqueue(
        [
            _delivery(Event.PASSED, incident, route.channel.pk, at, at)
            for incident, route in _routes(incidents, "down")
            if at - incident.started_at >= route.delay
        ]
    )


def _moved(held: Mapping[int, datetime], until: Mapping[int, datetime], **kwargs: Any) -> None:
    """Reschedule what waits for the end of maintenance, now that the end has moved."""
    together: dict[tuple[datetime, datetime], list[int]] = {}
    for monitor, before in held.items():
        together.setdefault((before, until[monitor]), []).append(monitor)
    for (before, then), monitors in together.items():
        reschedule.reschedule_held(monitors, held_until=before, at=then)
    wake_on_commit("notifications.tasks.deliver")


def _delivery(
    event: Event, incident: Incident, channel: int, at: datetime, planned_at: datetime
) -> NewDelivery:
    return NewDelivery(
        incident.monitor_id, incident.pk, channel, event.value, incident.public_id, at, planned_at
    )


def _enqueue(rows: list[NewDelivery]) -> None:
    """Write deliveries, and wake a worker after the commit."""
    there = keep_channels({row.channel_id for row in rows})
    rows = [row for row in rows if row.channel_id in there]
    if not rows:
        return
    outbox.write(rows)
    wake_on_commit("notifications.tasks.deliver")


def _routes(incidents: list[Incident], event: str = "") -> Iterator[tuple[Incident, Route]]:
    """Yield each incident with each route of its monitor that is subscribed to `event`, or with all."""
    routes = routes_of({incident.monitor_id: incident.monitor for incident in incidents}.values())
    for incident in incidents:
        for route in routes.get(incident.monitor_id, ()):
            if not event or event in route.events:
                yield incident, route


def _notified_down(incidents: list[Incident]) -> dict[tuple[int, int], bool]:
    """Return (incident, channel) of down deliveries that were or may be sent, and if recovery is wanted."""
    rows = Delivery.objects.filter(
        incident__in=[incident.pk for incident in incidents], event=Event.OPENED
    ).exclude(Q(status=Delivery.Status.SKIPPED) & ~Q(note=Delivery.Note.CONTINUES))
    return {
        (incident, channel): enabled and wants
        for incident, channel, enabled, wants in rows.values_list(
            "incident_id", "channel_id", "channel__enabled", "channel__on_recovery"
        )
    }
