"""The past pushes to a sample monitor: when, from where, and with which content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from monitors.domain.schedules import IntervalSchedule
from monitors.domain.state_machine import Cause
from monitors.models import Monitor
from tianji.demo.catalogue import OUTAGES
from tianji.demo.jobs import FLAPS, Fate, Job, Mishap, Outage, Report

_DAY = timedelta(days=1)
# What is wrong with the heartbeats of monitors with these fates.
_FAULTS = {
    **dict.fromkeys((Fate.MISSED, Fate.MAINTENANCE, Fate.SNOOZED, Fate.LATE), Cause.MISSED),
    Fate.REPORTED: Cause.REPORTED,
    Fate.VALUE: Cause.VALUE,
}


@dataclass(frozen=True, slots=True)
class Pushed:
    """One past push."""

    at: datetime
    report: Report
    sender: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """A mishap and its duration; an incident that started within it belongs to it.

    `last` is when the last of its heartbeats arrived, or should have arrived.
    """

    start: datetime
    last: datetime
    end: datetime
    mishap: Mishap


@dataclass(frozen=True, slots=True)
class Past:
    """The pushes to a monitor, in order, and what went wrong."""

    pushes: list[Pushed]
    troubles: list[Trouble]


def past_of(job: Job, monitor: Monitor, *, start: datetime, now: datetime, rng: Random) -> Past:
    """Return the pushes of `job` to `monitor` from `start` to `now`."""
    if job.fate is Fate.NEW:
        return Past([], [])
    runs = list(_runs(job, start, now, rng))
    times = [at for at, _took in runs]
    faults, troubles = _mishaps(job, times, now)
    cut_off = [stretch for outage, stretch in _outages(now) if outage.tag in job.tags]
    since = _fate_since(job, monitor, now)
    fate = _FAULTS.get(job.fate)
    pushes = []
    for number, (at, took) in enumerate(runs):
        fault, message = faults.get(number, (None, ""))
        if at > since:
            fault, message = fate, ""
            if job.fate is Fate.FLAPPING and number < len(times) - 1 and rng.random() < FLAPS:
                fault = Cause.REPORTED
        if fault is Cause.MISSED or any(begins <= at < ends for begins, ends in cut_off):
            continue
        age = (now - at) / _DAY
        report = job.report(at, age, rng, took=took, fault=fault, message=message)
        pushes.append(Pushed(at, report, job.senders[number % len(job.senders)]))
    pushes += _reruns(job, troubles, now, rng)
    pushes += _after_outages(job, pushes, now, rng)
    return Past(sorted(pushes, key=lambda pushed: pushed.at), troubles)


def _runs(job: Job, start: datetime, now: datetime, rng: Random) -> Iterator[tuple[datetime, int | None]]:
    """Yield when it pushes if nothing goes wrong, and the duration of each scheduled run in seconds."""
    if schedule := job.set_times:
        for scheduled in schedule.times_after(start):
            took = job.takes(rng)
            at = _whole(scheduled + timedelta(seconds=took + rng.uniform(0.2, 1.8)))
            if at >= now:
                return
            yield at, took
        return
    # Backwards from now, so that no monitor is late; intervals vary by about 2 %.
    at, backwards = now - timedelta(seconds=rng.uniform(0.1, 0.8) * job.every), []
    while at > start:
        backwards.append(_whole(at))
        at -= timedelta(seconds=max(rng.gauss(job.every, min(job.every * 0.02, 20)), job.every * 0.8))
    yield from ((at, None) for at in reversed(backwards))


def _whole(at: datetime) -> datetime:
    """Return a time in whole milliseconds, like those of SQLite's clock."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _mishaps(
    job: Job, times: list[datetime], now: datetime
) -> tuple[dict[int, tuple[Cause, str]], list[Trouble]]:
    """Return what is wrong with pushes, by index, and the troubles."""
    faults: dict[int, tuple[Cause, str]] = {}
    troubles = []
    for mishap in job.mishaps:
        begins = now - _DAY * mishap.days_ago
        first = next((number for number, at in enumerate(times) if at >= begins), len(times))
        # It needs heartbeats before and after it, or its start and end would be unknown.
        if not 0 < first < len(times) - mishap.beats:
            continue
        last = first + mishap.beats
        faults |= dict.fromkeys(range(first, last), (mishap.cause, mishap.message))
        troubles.append(Trouble(times[first - 1], times[last - 1], times[last], mishap))
    for outage, (begins, ends) in _outages(now):
        if outage.tag in job.tags and times and begins > times[0]:
            note = outage.note if outage.noted_on == job.name else ""
            mishap = Mishap(Cause.MISSED, outage.days_ago, note=note)
            troubles.append(Trouble(begins, ends, ends, mishap))
    return faults, troubles


def _reruns(job: Job, troubles: list[Trouble], now: datetime, rng: Random) -> Iterator[Pushed]:
    for trouble in troubles:
        if trouble.mishap.rerun:
            at = _whole(trouble.last + timedelta(hours=trouble.mishap.rerun))
            yield Pushed(at, job.report(at, (now - at) / _DAY, rng), job.senders[0])


def _after_outages(job: Job, pushes: list[Pushed], now: datetime, rng: Random) -> list[Pushed]:
    """Return the first push of `job` after each outage that it was affected by."""
    found = []
    for outage, (begins, ends) in _outages(now):
        if outage.tag in job.tags and job.every and pushes and pushes[0].at < begins:
            at = _whole(ends + timedelta(seconds=rng.uniform(1, 15)))
            found.append(Pushed(at, job.report(at, outage.days_ago, rng), job.senders[0]))
    return found


def _outages(now: datetime) -> Iterator[tuple[Outage, tuple[datetime, datetime]]]:
    """Yield the outages with their start and end."""
    for outage in OUTAGES:
        begins = now - _DAY * outage.days_ago
        yield outage, (begins, begins + timedelta(minutes=outage.minutes))


def _fate_since(job: Job, monitor: Monitor, now: datetime) -> datetime:
    """Return the time from which its heartbeats follow its fate."""
    since = now - timedelta(seconds=job.down_for)
    schedule = monitor.schedule
    if _FAULTS.get(job.fate) is not Cause.MISSED or not isinstance(schedule, IntervalSchedule):
        return since if job.fate is Fate.FLAPPING or job.fate in _FAULTS else now
    silence = schedule.timeout + (0 if job.fate is Fate.LATE else schedule.effective_grace)
    return since - timedelta(seconds=silence)


def merged(pasts: Iterable[tuple[int, Past]]) -> list[tuple[datetime, int, Pushed]]:
    """Return all pushes, each with its time and its monitor's key, in the order of arrival."""
    together = [(pushed.at, key, pushed) for key, past in pasts for pushed in past.pushes]
    together.sort(key=lambda each: each[:2])
    return together
