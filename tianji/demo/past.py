"""The pushes that a sample monitor would have sent: when, from where, and what they said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from monitors.models import Monitor
from monitors.schedules import CronSchedule, IntervalSchedule
from monitors.status import Cause
from tianji.demo.catalogue import OUTAGES
from tianji.demo.jobs import Fate, Job, Mishap, Said

_DAY = timedelta(days=1)
# What is wrong with the heartbeats of a monitor that has such a fate.
_FAULTS = {
    **dict.fromkeys((Fate.MISSED, Fate.MAINTENANCE, Fate.SNOOZED, Fate.LATE), Cause.MISSED),
    Fate.REPORTED: Cause.REPORTED,
    Fate.VALUE: Cause.VALUE,
}
# How often a flapping monitor reports down, in its bad hours.
_FLAPS = 0.24


@dataclass(frozen=True, slots=True)
class Pushed:
    """One push of the past."""

    at: datetime
    said: Said
    sender: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """A mishap with the time that it took; an incident that began in it was its."""

    start: datetime
    end: datetime
    mishap: Mishap


@dataclass(frozen=True, slots=True)
class Past:
    """What a monitor was sent, in order, and what went wrong."""

    pushes: list[Pushed]
    troubles: list[Trouble]


def past_of(job: Job, monitor: Monitor, *, start: datetime, now: datetime, rng: Random) -> Past:
    """Return what `job` pushed to `monitor` from `start` to `now`."""
    if job.fate is Fate.NEW:
        return Past([], [])
    times = list(_times(job, start, now, rng))
    faults, troubles = _mishaps(job, times, now)
    since = _fate_since(job, monitor, now)
    fate = _FAULTS.get(job.fate)
    pushes = []
    for number, at in enumerate(times):
        fault, message = faults.get(number, (None, ""))
        if at > since:
            fault, message = fate, ""
            if job.fate is Fate.FLAPPING and number < len(times) - 1 and rng.random() < _FLAPS:
                fault = Cause.REPORTED
        if fault is Cause.MISSED or _cut_off(job, at, now):
            continue
        age = (now - at) / _DAY
        said = job.says(at, age, rng, fault=fault, message=message)
        pushes.append(Pushed(at, said, job.senders[number % len(job.senders)]))
    return Past(pushes, troubles)


def _times(job: Job, start: datetime, now: datetime, rng: Random) -> Iterator[datetime]:
    """Yield when it would push if nothing went wrong."""
    if job.cron:
        low, high = job.voice.took
        for scheduled in CronSchedule(job.cron, job.timezone).times_after(start):
            at = _whole(scheduled + timedelta(minutes=rng.uniform(low, high) / 4))
            if at >= now:
                return
            yield at
        return
    # Backwards from now, so that nobody is late; a sender's own clock wanders by some per cent.
    at, backwards = now - timedelta(seconds=rng.uniform(0.1, 0.8) * job.every), []
    while at > start:
        backwards.append(_whole(at))
        at -= timedelta(seconds=max(rng.gauss(job.every, min(job.every * 0.02, 20)), job.every * 0.8))
    yield from reversed(backwards)


def _whole(at: datetime) -> datetime:
    """Return a time with whole milliseconds, as SQLite's clock has them."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _mishaps(
    job: Job, times: list[datetime], now: datetime
) -> tuple[dict[int, tuple[Cause, str]], list[Trouble]]:
    """Return what is wrong with which of the pushes, by their numbers, and the troubles."""
    faults: dict[int, tuple[Cause, str]] = {}
    troubles = []
    for mishap in job.mishaps:
        begins = now - _DAY * mishap.days_ago
        first = next((number for number, at in enumerate(times) if at >= begins), len(times))
        # It needs heartbeats before and after it: else there is no telling when it began and ended.
        if not 0 < first < len(times) - mishap.beats:
            continue
        last = first + mishap.beats
        faults |= {number: (mishap.cause, mishap.message) for number in range(first, last)}
        troubles.append(Trouble(times[first - 1], times[last], mishap))
    for outage in OUTAGES:
        if outage.tag in job.tags and (begins := now - _DAY * outage.days_ago) > times[0]:
            ends = begins + timedelta(minutes=outage.minutes)
            mishap = Mishap(Cause.MISSED, outage.days_ago, note=outage.note)
            troubles.append(Trouble(begins - timedelta(hours=1), ends, mishap))
    return faults, troubles


def _cut_off(job: Job, at: datetime, now: datetime) -> bool:
    return any(
        outage.tag in job.tags
        and timedelta(0) <= at - (now - _DAY * outage.days_ago) < timedelta(minutes=outage.minutes)
        for outage in OUTAGES
    )


def _fate_since(job: Job, monitor: Monitor, now: datetime) -> datetime:
    """Return after when its heartbeats are as its fate says."""
    since = now - timedelta(seconds=job.down_for)
    schedule = monitor.schedule
    if _FAULTS.get(job.fate) is not Cause.MISSED or not isinstance(schedule, IntervalSchedule):
        return since if job.fate is Fate.FLAPPING or job.fate in _FAULTS else now
    silence = schedule.timeout + (0 if job.fate is Fate.LATE else schedule.effective_grace)
    return since - timedelta(seconds=silence)


def merged(pasts: Iterable[tuple[int, Past]]) -> list[tuple[datetime, int, Pushed]]:
    """Return all pushes with the number of their monitor, in the order in which they came."""
    together = [(pushed.at, key, pushed) for key, past in pasts for pushed in past.pushes]
    together.sort(key=lambda each: each[:2])
    return together
