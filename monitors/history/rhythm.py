"""The observed rhythm of a monitor's sender, and the silences of its missed incidents."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from django.db.models import Q

from monitors.domain import intervals
from monitors.domain.recurrence import Stretch
from monitors.domain.schedules import IntervalSchedule
from monitors.domain.state_machine import Cause, Status
from monitors.domain.timeout_advice import Rhythm, longest_of_rhythm, rhythm
from monitors.domain.uptime import Onset
from monitors.history.rollups import HALF_HOUR
from monitors.history.status_bars import Bar
from monitors.models import DailyRollup, Heartbeat, Incident, Monitor, Rollup
from monitors.services.outdated_days import DAY, day_of, midnight

MONTH = timedelta(days=30)
# Enough heartbeats to show a sender's rhythm, read in a few milliseconds.
_HEARTBEATS, _INCIDENTS = 2000, 500
# Fewer gaps than this don't show how often heartbeats arrive.
_GAPS_LEAST = 5


@dataclass(frozen=True, slots=True)
class Usual:
    """How far apart heartbeats are, in seconds: at the median, and 99 % of them at most.

    Unless `exact`, either may be wrong by `monitors.domain.intervals.ERROR`.
    """

    median: float
    p99: float
    exact: bool


def newest_times(monitor: Monitor, *, now: datetime) -> list[datetime]:
    """Return when the newest heartbeats of the last 30 days arrived, in order. One query."""
    newest = Heartbeat.objects.filter(monitor=monitor, received_at__gt=now - MONTH).order_by("-received_at")
    times = list(newest.values_list("received_at", flat=True)[:_HEARTBEATS])
    times.reverse()
    return times


def rhythm_of(
    monitor: Monitor, times: Sequence[datetime], onsets: Sequence[Onset], *, now: datetime
) -> Rhythm | None:
    """Return the rhythm of heartbeats that arrived at `times`, or None if there is no gap.

    Args:
        onsets: the statuses that `monitor` had in that time, in order.
    """
    return rhythm(times, unwatched=_unwatched(onsets, now), agreed=_agreed(monitor))


def usual(seen: Rhythm | None) -> Usual | None:
    """Return what is usual in a rhythm; None if there are too few gaps."""
    if seen is None or len(seen.gaps) < _GAPS_LEAST:
        return None
    return Usual(seen.median, seen.p99, exact=True)


def usual_in(
    monitor: Monitor, bar: Bar, times: Sequence[datetime], onsets: Sequence[Onset], *, now: datetime
) -> Usual | None:
    """Return what was usual in the time of `bar`, without outages; None if there were too few heartbeats.

    Exact if the `newest_times` reach that far back.
    """
    start = bar.slots[0].start
    first = bisect_right(times, start)
    # The gap before the first heartbeat ended in that time.
    if first > 0 or (len(times) < _HEARTBEATS and start >= now - MONTH):
        return usual(rhythm_of(monitor, times[max(first - 1, 0) :], onsets, now=now))
    counts = bar.intervals.copy()
    for begin, end in bar.uncounted:
        ended = pairwise(times[max(bisect_right(times, begin) - 1, 0) : bisect_right(times, end)])
        counts.update(intervals.bucket_of((later - before).total_seconds()) for before, later in ended)
    return usual_of(monitor, counts)


def usual_of(monitor: Monitor, counts: Counter[int]) -> Usual | None:
    """Return what is usual among intervals by bucket, without outages; None if there are too few."""
    median, agreed = intervals.quantile(counts, 0.5), _agreed(monitor)
    if median is not None and agreed is not None:
        longest = intervals.bucket_of(longest_of_rhythm(median, agreed))
        counts = Counter({bucket: number for bucket, number in counts.items() if bucket <= longest})
    median, p99 = intervals.quantile(counts, 0.5), intervals.quantile(counts, 0.99)
    if median is None or p99 is None or counts.total() < _GAPS_LEAST:
        return None
    return Usual(median, p99, exact=False)


def usual_between(monitor: Monitor, *, start: datetime, end: datetime) -> Usual | None:
    """Return what was usual from `start` to `end`, None if too few heartbeats are known. Two queries.

    From whole days and half hours that are rolled up.
    """
    days = DailyRollup.objects.filter(monitor=monitor, day__lt=day_of(end))
    whole = days.filter(day__gte=day_of(start + DAY - timedelta.resolution))
    found = list(whole.order_by("day").values_list("day", "intervals"))
    rest = Rollup.objects.filter(monitor=monitor, start__gte=start, start__lte=end - HALF_HOUR)
    if found:
        rest = rest.filter(Q(start__lt=midnight(found[0][0])) | Q(start__gte=midnight(found[-1][0] + DAY)))
    # Null in rows of earlier versions.
    written = [text for _day, text in found] + [
        text or "" for text in rest.values_list("intervals", flat=True)
    ]
    return usual_of(monitor, intervals.read(" ".join(written)))


def _agreed(monitor: Monitor) -> float | None:
    schedule = monitor.schedule
    if isinstance(schedule, IntervalSchedule):
        return schedule.timeout + schedule.effective_grace
    return None


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
