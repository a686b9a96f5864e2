"""Brings rollups up to date, a bounded step at a time: half hours, what came late, and days."""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import DateTimeField, Exists, Max, Min, Model, OuterRef, Q, Subquery
from django.db.models.expressions import RawSQL

from core.clock import database_now, sql_now
from monitors.history import commits, daily_rollups, rollups
from monitors.models import (
    Gap,
    Heartbeat,
    Monitor,
    OutdatedDays,
    RolledUp,
    RollupProgress,
    Transition,
)
from monitors.services.outdated_days import DAY, day_of, first_calculated, midnight, note

# A turn whose process has died is over after this long; each step is much shorter.
_TURN = timedelta(seconds=60)
# No new step is begun after this long, so that a turn ends before the next tick.
_SECONDS = 10.0
# How many heartbeats are searched at once for late ones, and how many of these are rolled up at once.
_SEARCHED, _ROWS = 200_000, 5000
# How many of the newest rows may not have been committed when the first turn looked.
_IN_FLIGHT = 1000


# A late heartbeat: its row id, its monitor, its time and that of the next one.
_Late = tuple[int, int, datetime, datetime | None]


class _TurnLostError(Exception):
    """Another process has taken over."""


def take_turn(*, now: datetime | None = None, seconds: float = _SECONDS) -> None:
    """Do what there is to do, for about `seconds`; the next turn continues.

    If there is nothing, that is one query. One process at a time: what was calculated from earlier facts
    must not replace what was calculated from later ones.

    Args:
        now: the database's time, for tests.
    """
    found = _look()
    if found is None:
        _begin(now or database_now())
        found = _look()
        assert found is not None
    turn = _Turn(found, now or found.now, time.monotonic() + seconds)
    if turn.is_idle() or not turn.claim():
        return
    with suppress(_TurnLostError):
        turn.take()


@dataclass(frozen=True, slots=True)
class _Found:
    """The progress; the database's time; the newest row of each table; whether days are outdated."""

    progress: RollupProgress
    now: datetime
    heartbeat: int
    transition: int
    gap: int
    waiting: bool


def _look() -> _Found | None:
    row = (
        RollupProgress.objects.annotate(
            now=RawSQL(sql_now(), [], output_field=DateTimeField()),  # noqa: S611
            heartbeat=_newest(Heartbeat),
            transition=_newest(Transition),
            gap=_newest(Gap),
            waiting=Exists(OutdatedDays.objects.all()),
        )
        .filter(pk=RollupProgress.ROW)
        .first()
    )
    if row is None:
        return None
    return _Found(row, row.now, row.heartbeat or 0, row.transition or 0, row.gap or 0, row.waiting)


def _newest(model: type[Model]) -> Subquery:
    return Subquery(model._default_manager.order_by("-pk").values("pk")[:1])


def _begin(now: datetime) -> None:
    """Begin to keep days: all those that can still be calculated, from the first monitor's on."""
    oldest = Monitor.objects.aggregate(at=Min("created_at"))["at"] or now
    newest = {
        name: model._default_manager.aggregate(pk=Max("pk"))["pk"] or 0
        for name, model in (("transition", Transition), ("gap", Gap))
    }
    progress = RollupProgress(
        turn_until=now,
        days_until=max(day_of(oldest), first_calculated(now)) - DAY,
        heartbeat_done=Heartbeat.objects.aggregate(pk=Max("pk"))["pk"] or 0,
        seen_at=now,
        **{f"{name}_done": max(pk - _IN_FLIGHT, 0) for name, pk in newest.items()},
        **{f"{name}_seen": pk for name, pk in newest.items()},
    )
    RollupProgress.objects.bulk_create([progress], ignore_conflicts=True)


class _Turn:
    """One turn, of which there is one at a time; `now` is the database's time."""

    def __init__(self, found: _Found, now: datetime, until: float) -> None:
        self._found, self._progress = found, found.progress
        self._now, self._until, self._began = now, until, time.monotonic()
        self._key = secrets.randbits(62)

    def is_idle(self) -> bool:
        """Return whether there is nothing to do."""
        found, progress = self._found, self._progress
        return (
            not found.waiting
            and found.heartbeat <= progress.heartbeat_done
            and found.transition <= progress.transition_done
            and found.gap <= progress.gap_done
            and progress.half_hours_until == rollups.closed_until(self._now)
            and progress.days_until >= self._last_day()
        )

    def claim(self) -> bool:
        """Return whether it is this process's turn."""
        free = Q(turn_until__lte=self._found.now)
        mine = {"turn": self._key, "turn_until": self._found.now + _TURN}
        return RollupProgress.objects.filter(free, pk=RollupProgress.ROW).update(**mine) == 1

    def take(self) -> None:
        """Do the steps: what came late is searched for before half hours and days are added to."""
        self._find_late_heartbeats()
        self._find_late_changes()
        rollups.roll_up(now=self._now)
        if self._close_days():
            while self._has_time() and daily_rollups.calculate_some(
                until=self._progress.days_until, check=self._advance
            ):
                pass
        self._advance(turn_until=self._found.now)

    def _has_time(self) -> bool:
        return time.monotonic() < self._until

    def _advance(self, **changes: Any) -> None:
        """Change the progress, in the same transaction as what it is about.

        Raises:
            _TurnLostError: another process may have changed it.
        """
        changes.setdefault("turn_until", self._found.now + self._passed() + _TURN)
        if not RollupProgress.objects.filter(pk=RollupProgress.ROW, turn=self._key).update(**changes):
            raise _TurnLostError
        for name, value in changes.items():
            setattr(self._progress, name, value)

    def _passed(self) -> timedelta:
        return timedelta(seconds=time.monotonic() - self._began)

    # --- What came late ------------------------------------------------------------------------------

    def _find_late_heartbeats(self) -> None:
        """Roll up again the half hours whose heartbeats were stored after they had been closed.

        No transaction that began before the end of a half hour was under way when it was closed, so these
        have times that had passed when they were stored: the clock was set back, or a history was imported.
        """
        rolled_up = RolledUp.objects.order_by("-start").first()
        closed = midnight(self._progress.days_until + DAY)
        if rolled_up is not None:
            closed = max(closed, rolled_up.start + rollups.HALF_HOUR)
        while (done := self._progress.heartbeat_done) < self._found.heartbeat and self._has_time():
            through = min(done + _SEARCHED, self._found.heartbeat)
            late = self._late_among(done, through, closed)
            if len(late) == _ROWS:
                through = late[-1][0]
            self._roll_up_again(late)
            with transaction.atomic():
                self._advance(heartbeat_done=through)
                self._note_heartbeats(late)

    @staticmethod
    def _late_among(after: int, through: int, closed: datetime) -> list[_Late]:
        following = Heartbeat.objects.filter(
            monitor=OuterRef("monitor"), received_at__gt=OuterRef("received_at")
        ).order_by("received_at")
        rows = Heartbeat.objects.filter(pk__gt=after, pk__lte=through, received_at__lt=closed)
        rows = rows.annotate(following=Subquery(following.values("received_at")[:1]))
        return list(rows.order_by("pk").values_list("pk", "monitor", "received_at", "following")[:_ROWS])

    def _roll_up_again(self, late: Sequence[_Late]) -> None:
        # Half hours are complete until some of their heartbeats may have been deleted.
        kept = self._now - timedelta(days=settings.TIANJI_RETENTION_DAYS) + DAY
        starts: dict[datetime, set[int]] = defaultdict(set)
        for _pk, monitor, at, following in late:
            # The interval that ends with the next one has become shorter.
            for each in (at, following):
                if each is not None and at >= kept:
                    starts[rollups.half_hour_of(each)].add(monitor)
        done = RolledUp.objects.filter(start__in=starts).values_list("start", flat=True)
        for start in done:
            there = Monitor.objects.filter(pk__in=starts[start]).values_list("pk", "workspace_id")
            rollups.roll_up_again(dict(there), start)

    def _note_heartbeats(self, late: Sequence[_Late]) -> None:
        times: dict[int, list[datetime]] = defaultdict(list)
        for _pk, monitor, at, following in late:
            times[monitor] += [at, following or at]
        for monitor, each in times.items():
            first, last = day_of(min(each)), day_of(max(each))
            if first <= self._progress.days_until:
                note(first, last, now=self._now, monitors=[monitor])

    def _find_late_changes(self) -> None:
        """Note the days that were calculated before a change of status, or a gap, of that day was stored.

        Ids are given before a transaction commits, so rows are searched once no transaction is under way
        that began before they were seen.
        """
        progress, found = self._progress, self._found
        writing = commits.all_committed_before()
        if writing is None:
            transition, gap = found.transition, found.gap
        elif writing > progress.seen_at:
            transition, gap = progress.transition_seen, progress.gap_seen
        else:
            return
        end = midnight(progress.days_until + DAY)
        changes = Transition.objects.filter(
            pk__gt=progress.transition_done, pk__lte=transition, at__lt=end
        ).values("monitor")
        gaps = Gap.objects.filter(pk__gt=progress.gap_done, pk__lte=gap, started_at__lt=end)
        earliest = list(changes.annotate(first=Min("at")).values_list("monitor", "first"))
        with transaction.atomic():
            for monitor, first in earliest:
                note(day_of(first), progress.days_until, now=self._now, monitors=[monitor])
            for started_at, ended_at in gaps.values_list("started_at", "ended_at"):
                note(day_of(started_at), day_of(ended_at), now=self._now)
            self._advance(
                transition_done=transition,
                transition_seen=found.transition,
                gap_done=gap,
                gap_seen=found.gap,
                seen_at=found.now,
            )

    # --- Days ----------------------------------------------------------------------------------------

    def _last_day(self) -> date:
        """Return the last day whose half hours are over."""
        return day_of(rollups.closed_until(self._now)) - DAY

    def _close_days(self) -> bool:
        """Note the days that are over, once all of the half hours are there; return whether they are."""
        if next(rollups.missing_half_hours(self._now), None) is not None:
            self._advance(half_hours_until=None)
            return False
        last = self._last_day()
        with transaction.atomic():
            if self._progress.days_until < last:
                note(self._progress.days_until + DAY, last, now=self._now)
            self._advance(
                half_hours_until=rollups.closed_until(self._now),
                days_until=max(last, self._progress.days_until),
            )
        return True
