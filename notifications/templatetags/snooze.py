"""Tags for the pages of monitors, which know nothing else of this app."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django import template

from monitors.models import Monitor
from monitors.pages.overview.page import Row
from notifications.services import flapping, snooze

register = template.Library()


@register.simple_tag
def snoozed_until(monitor: Monitor, now: datetime) -> datetime | None:
    """When the snooze of `monitor` ends; None if there is none. One query."""
    return snooze.snoozed_until(monitor, now=now)


@register.simple_tag
def is_flapping(monitor: Monitor, now: datetime) -> bool:
    """Whether `monitor` keeps going down and recovering. One query."""
    return monitor.pk in flapping.is_flapping([monitor], now)


@register.simple_tag
def snoozed_among(rows: Iterable[Row], now: datetime) -> set[int]:
    """The row ids of the snoozed monitors in an overview's `rows`. One query."""
    return set(snooze.snoozed_among([row.reading.monitor.pk for row in rows], now=now))
