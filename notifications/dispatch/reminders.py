"""Reminders of open outages: each one is scheduled when the notification before it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import QuerySet

from core.sql import among
from monitors.locks import keep_states
from monitors.models import Incident
from notifications.dispatch import outbox
from notifications.dispatch.outbox import NewDelivery
from notifications.locks import lock_delivery_ids
from notifications.messages.events import LABELS, Event
from notifications.models import Delivery
from notifications.rules.effective import Route, Rules, rules_in

_FIRST = 1


def first(incident: Incident, route: Route, rules: Rules, planned_at: datetime) -> NewDelivery | None:
    """Return the first reminder of `incident` for a route notified at `planned_at`, not yet saved."""
    if rules.remind_every is None or not rules.remind_most or not {"down", "reminder"} <= route.events:
        return None
    at = planned_at + rules.remind_every
    return _reminder(incident, route.channel.pk, _FIRST, at, planned_at)


def may_follow(rows: Sequence[Delivery]) -> set[int]:
    """Return the row ids of those of `rows` that may be sent now, as far as `follow` is concerned.

    A reminder needs its monitor's state locked, because the next reminder is written with it, and a monitor
    that is being deleted must not get new rows. It doesn't wait for the lock, because here the channel was
    locked before the monitor.
    """
    reminded = {row.monitor_id for row in rows if row.event == Event.REMINDER and row.monitor_id}
    there: set[int] = set()
    if reminded:
        there = set(keep_states(among(reminded), skip_locked=True))
    return {row.pk for row in rows if row.event != Event.REMINDER or row.monitor_id in there}


def follow(rows: Sequence[Delivery], now: datetime) -> None:
    """Schedule the reminders after `rows`, deliveries of one channel that are being sent now.

    The first reminder counts from the down notification, even if that was held back; each further one is
    written when the one before it is sent; after the recovery there are none. The caller has locked the rows.
    """
    of = {event: [row for row in rows if row.event == event] for event in LABELS}
    openings, reminded = of[Event.OPENED], of[Event.REMINDER]
    rules = rules_in(rows[0].channel.workspace_id)
    by_wait: dict[timedelta, list[Delivery]] = {}
    for row in openings:
        if every := rules(row.monitor_id or 0).remind_every:
            by_wait.setdefault(every, []).append(row)
    for every, opened in by_wait.items():
        waiting = lock_delivery_ids(_waiting(opened[0].channel_id, opened))
        Delivery.objects.filter(pk__in=among(waiting)).update(
            planned_at=now + every, next_attempt_at=now + every
        )
    if over := of[Event.RESOLVED]:
        waiting = lock_delivery_ids(_waiting(over[0].channel_id, over))
        Delivery.objects.filter(pk__in=among(waiting)).update(
            status=Delivery.Status.SKIPPED, note=Delivery.Note.RECOVERED, next_attempt_at=None
        )
    more: list[NewDelivery] = []
    for row in reminded:
        if row.attempt_count or row.monitor_id is None or row.incident is None:
            continue
        mine = rules(row.monitor_id)
        if mine.remind_every is not None and row.sequence < mine.remind_most:
            at = now + mine.remind_every
            more.append(_reminder(row.incident, row.channel_id, row.sequence + 1, at, now))
    outbox.write(more)


def _waiting(channel: int, rows: Sequence[Delivery]) -> QuerySet[Delivery]:
    """Return the pending reminders of the incidents of `rows`."""
    return Delivery.objects.filter(
        channel=channel,
        incident__in=among(row.incident_id for row in rows if row.incident_id is not None),
        event=Event.REMINDER,
        status=Delivery.Status.PENDING,
        attempt_count=0,
    )


def _reminder(incident: Incident, channel: int, sequence: int, at: datetime, now: datetime) -> NewDelivery:
    event = Event.REMINDER.value
    return NewDelivery(
        incident.monitor_id, incident.pk, channel, event, incident.public_id, now, at, sequence=sequence
    )
