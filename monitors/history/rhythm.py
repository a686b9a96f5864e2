"""The observed rhythm of a monitor's sender, and the silences of its missed incidents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from monitors.domain.recurrence import Stretch
from monitors.domain.schedules import IntervalSchedule
from monitors.domain.state_machine import Cause, Status
from monitors.domain.timeout_advice import Rhythm, rhythm
from monitors.domain.uptime import Onset
from monitors.models import Heartbeat, Incident, Monitor

MONTH = timedelta(days=30)
# Enough heartbeats to show a sender's rhythm, read in a few milliseconds.
_HEARTBEATS, _INCIDENTS = 2000, 500


def rhythm_of(monitor: Monitor, onsets: Sequence[Onset], *, now: datetime) -> Rhythm | None:
    """Return the rhythm of the newest heartbeats of the last 30 days, or None if there is no gap. One query.

    Args:
        onsets: the statuses that `monitor` had in that time, in order.
    """
    newest = Heartbeat.objects.filter(monitor=monitor, received_at__gt=now - MONTH).order_by("-received_at")
    times = list(newest.values_list("received_at", flat=True)[:_HEARTBEATS])
    times.reverse()
    schedule = monitor.schedule
    agreed = None
    if isinstance(schedule, IntervalSchedule):
        agreed = schedule.timeout + schedule.effective_grace
    return rhythm(times, unwatched=_unwatched(onsets, now), agreed=agreed)


def _unwatched(onsets: Sequence[Onset], now: datetime) -> Iterator[Stretch]:
    """Yield the times in which no heartbeat was expected, or nothing is known."""
    ends = [onset.at for onset in onsets[1:]] + [now]
    if onsets:
        yield datetime.min.replace(tzinfo=now.tzinfo), onsets[0].at
    for onset, end in zip(onsets, ends, strict=True):
        if onset.status in (Status.NEW, Status.PAUSED):
            yield onset.at, end


def silences_of(monitor: Monitor, *, now: datetime) -> Iterator[float]:
    """Yield the seconds of silence around each missed incident of the last 30 days. One query, lazily.

    Only incidents that were resolved by a heartbeat; if there are many, only the newest.
    """
    missed = Incident.objects.filter(
        monitor=monitor, cause=Cause.MISSED, started_at__gt=now - MONTH, resolved_at__isnull=False
    ).exclude(closing_message="")
    pairs = missed.order_by("-started_at").values_list("last_heartbeat_at", "resolved_at")[:_INCIDENTS]
    yield from ((ended - heard).total_seconds() for heard, ended in pairs if heard and ended)
