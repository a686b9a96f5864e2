"""Snoozing: no down notifications of a monitor until a given time. It always ends automatically."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import transaction

from accounts.actors import COMMAND, Actor
from accounts.models import AuditEntry
from core.clock import database_now
from monitors.locks import keep_state
from monitors.models import Monitor
from monitors.services.monitors import record_change
from notifications.dispatch import enqueue
from notifications.models import MonitorRules
from notifications.services.rules import forget_if_empty

LONGEST = timedelta(days=30)


class NoSuchTime(ValueError):
    """A snooze must end in the future, within LONGEST."""


def snooze(*, monitor: Monitor, until: datetime, by: Actor = COMMAND) -> None:
    """Send no down notifications of `monitor` before `until`; if it is still down then, they are sent then.

    It replaces a running snooze. Pushes, incidents and the log are not affected.

    Raises:
        NoSuchTime: `until` is in the past, or more than LONGEST away.
        MonitorState.DoesNotExist: the monitor was deleted.
    """
    with transaction.atomic():
        keep_state(monitor)
        now = database_now()
        if not now < until <= now + LONGEST:
            raise NoSuchTime
        if snoozed_until(monitor, now=now) == until:
            return
        MonitorRules.objects.update_or_create(monitor=monitor, defaults={"snoozed_until": until})
        enqueue.recheck(monitors=[monitor.pk])
        record_change(monitor, by, AuditEntry.Action.MONITOR_SNOOZED, until=until.isoformat())


def unsnooze(*, monitor: Monitor, by: Actor = COMMAND) -> bool:
    """End the snooze of `monitor`, and send what it held back; return whether there was one.

    Raises:
        MonitorState.DoesNotExist: the monitor was deleted.
    """
    with transaction.atomic():
        keep_state(monitor)
        now = database_now()
        if snoozed_until(monitor, now=now) is None:
            return False
        MonitorRules.objects.filter(pk=monitor.pk).update(snoozed_until=None)
        forget_if_empty(monitor, now=now)
        enqueue.recheck(monitors=[monitor.pk])
        record_change(monitor, by, AuditEntry.Action.MONITOR_UNSNOOZED)
    return True


def snoozed_until(monitor: Monitor, *, now: datetime) -> datetime | None:
    """Return when the snooze of `monitor` ends, None if there is none at `now`. One query."""
    return snoozed_among([monitor.pk], now=now).get(monitor.pk)


def snoozed_among(monitors: Collection[int], *, now: datetime) -> dict[int, datetime]:
    """Return when the snoozes end of those of `monitors`, row ids, that are snoozed at `now`. One query."""
    rows = MonitorRules.objects.filter(pk__in=monitors, snoozed_until__gt=now)
    return {row.pk: row.snoozed_until for row in rows if row.snoozed_until is not None}
