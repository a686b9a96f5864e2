"""Silence counts only while Tianji was listening.

Each web process checks once a second whether pushes can be committed, and moves the watermark: until then
every heartbeat sent was received. Monitors are only declared down for deadlines before it. Time that no
process covers is a gap: it is stored, and each monitor has its full timeout and grace period after it.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import structlog
from django.db import Error, OperationalError, transaction
from django.db.models import F

from core.clock import database_now, steady_seconds
from monitors import signals
from monitors.domain.listening import (
    GAP_LEAST,
    ClockSetBack,
    Failing,
    GapEnded,
    Listening,
    Look,
    Pushes,
    Verdict,
    judge,
)
from monitors.domain.state_machine import Status
from monitors.heartbeats import missed
from monitors.heartbeats.connection import OwnConnection
from monitors.locks import lock_awaited_states, lock_watermark
from monitors.models import Gap, MonitorState, PushTally, Watermark

log = structlog.get_logger(__name__)

EVERY_SECONDS = 1.0
# Pushes fail until the database is found to be back.
_AWAY_SECONDS = 0.2
# A push that the database has not answered by then is answered 503. A look may have to excuse all monitors,
# but none of its statements may run longer (tianji/settings.py).
_PUSH_HANGS_SECONDS, _STATEMENT_HANGS_SECONDS = 10.0, 16.0
# What still hangs then was not ended by cutting its connection, so no pushes are recorded.
_STUCK_SECONDS = 15.0
_TALLY_SECONDS = 2
# An outage of half a minute is a small share of a minute, but many monitors are due within that.
_TALLIED, _LATELY = timedelta(minutes=1), timedelta(seconds=10)


class Listener:
    """Looks once a second whether this process receives and commits pushes. One per process.

    Args:
        tolerated: the share of the pushes of a minute that may fail, 0 to 1.
    """

    def __init__(self, *, tolerated: float) -> None:
        self._tolerated = tolerated
        self._connection = OwnConnection()
        self._watched: list[OwnConnection] = []
        self._mutex = threading.Lock()
        self._answered = self._failed = 0
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        # What the last look that succeeded found, and when it was by a clock that is never set.
        self._found: tuple[datetime, float] | None = None
        self._started: float | None = None
        self._until: datetime | None = None
        self.database_is_away = False

    # --- From the pushes -------------------------------------------------------------------------

    def note(self, *, answered: bool) -> None:
        """Note a push that was answered, or that failed with 503."""
        with self._mutex:
            if answered:
                self._answered += 1
            else:
                self._failed += 1

    def watch(self, connection: OwnConnection) -> None:
        """Abandon `connection`, on which pushes are recorded, whenever it hangs."""
        self._watched.append(connection)

    # --- For pages and health --------------------------------------------------------------------

    @property
    def silent_seconds(self) -> float | None:
        """Return for how long no look has succeeded in this process; None if it does not look."""
        last = self._started if self._found is None else self._found[1]
        return None if last is None else steady_seconds() - last

    def settled(self, now: datetime) -> datetime:
        """Return until when silence is known to be the senders': `now`, unless this is a gap."""
        if self._until is None or now - self._until <= GAP_LEAST:
            return now
        return self._until

    # --- The looks -------------------------------------------------------------------------------

    def start(self) -> None:
        """Look from now on, in a thread that ends with the process."""
        if self._thread is None:
            self._started = steady_seconds()
            self._thread = threading.Thread(target=self._look_forever, name="listen", daemon=True)
            self._thread.start()
            threading.Thread(target=self._watch_forever, name="watch-connections", daemon=True).start()

    def stop(self) -> None:
        """Stop looking, and close the connection."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._connection.close()

    def _look_forever(self) -> None:
        failed = False
        while not self._stopping.is_set():
            try:
                self.look()
                failed = False
            except Exception as error:  # the next look may succeed; until then the watermark stands still
                if not failed:
                    log.error("not listening", error=str(error).strip())
                failed = True
            self._stopping.wait(_AWAY_SECONDS if self.database_is_away else EVERY_SECONDS)

    def _watch_forever(self) -> None:
        # A thread of its own: the one that looks may hang itself.
        while not self._stopping.wait(EVERY_SECONDS):
            self._connection.abandon_after(_STATEMENT_HANGS_SECONDS, each_statement=True)
            for connection in self._watched:
                connection.abandon_after(_PUSH_HANGS_SECONDS)

    def look(self) -> Verdict:
        """Look once, and write what follows from it.

        Raises:
            django.db.Error: nothing could be committed.
        """
        if any(connection.busy_seconds > _STUCK_SECONDS for connection in self._watched):
            raise OperationalError("Pushes are not being recorded.")
        try:
            self._connection.open()
        except Error:
            self.database_is_away = True
            raise
        try:
            with self._connection.used():
                verdict, now = self._look()
        finally:
            # It can be reached. If this look fails, for a state that someone holds, pushes to others don't.
            self.database_is_away = False
        self._found = now, steady_seconds()
        return verdict

    def _look(self) -> tuple[Verdict, datetime]:
        with transaction.atomic():
            watermark = lock_watermark()
            now = database_now()
            if watermark is None:
                # Another process may be the first, too.
                Watermark.objects.get_or_create(pk=Watermark.ROW, defaults={"until": now})
                self._until = now
                return Listening(), now
            self._tally(now)
            verdict = judge(self._describe(watermark, now))
            _apply(verdict, watermark, now)
        self._until = watermark.until
        return verdict, now

    def _describe(self, watermark: Watermark, now: datetime) -> Look:
        tallies = list(PushTally.objects.filter(at__gt=now - _TALLIED, at__lte=now).order_by("at"))
        lately = [tally for tally in tallies if tally.at > now - _LATELY]
        stepped = timedelta(0)
        if self._found is not None:
            before, at = self._found
            stepped = (now - before) - timedelta(seconds=steady_seconds() - at)
        return Look(
            until=watermark.until,
            held=watermark.held,
            now=now,
            stepped=stepped,
            pushes=(_sum(tallies), _sum(lately)),
            tolerated=self._tolerated,
        )

    def _tally(self, now: datetime) -> None:
        """Add this process's pushes since its last look to those of all."""
        with self._mutex:
            answered, failed = self._answered, self._failed
            self._answered = self._failed = 0
        silent = self.silent_seconds
        if silent is not None and silent > GAP_LEAST.total_seconds():
            # They are part of the gap that ends now, or that another process has ended a moment ago.
            return
        if answered or failed:
            slot = datetime.fromtimestamp(now.timestamp() // _TALLY_SECONDS * _TALLY_SECONDS, UTC)
            PushTally.objects.get_or_create(at=slot)
            PushTally.objects.filter(at=slot).update(
                answered=F("answered") + answered, failed=F("failed") + failed
            )


def _sum(tallies: list[PushTally]) -> Pushes:
    return Pushes(
        answered=sum(tally.answered for tally in tallies),
        failed=sum(tally.failed for tally in tallies),
        failing_since=next((tally.at for tally in tallies if tally.failed), None),
    )


def _apply(verdict: Verdict, watermark: Watermark, now: datetime) -> None:
    """Write what follows from a look, in its transaction, with the watermark locked."""
    match verdict:
        case Listening():
            watermark.until = now
        case Failing(until=until):
            if not watermark.held:
                log.error("too many pushes fail", since=until.isoformat())
            watermark.until, watermark.held = until, True
        case GapEnded(started_at=started_at, clock_step=step):
            _end_gap(started_at, now, step)
            watermark.until, watermark.held = now, False
        case ClockSetBack(clock_step=step):
            _set_back(now, step)
            watermark.until = now
    watermark.save(update_fields=["until", "held"])
    PushTally.objects.exclude(at__gt=now - _TALLIED, at__lte=now).delete()


def _end_gap(started_at: datetime, now: datetime, step: timedelta | None) -> None:
    log.warning("was not listening", since=started_at.isoformat(), until=now.isoformat())
    # Deadlines before the gap were missed: those heartbeats could have been received.
    missed.declare_missed(until=started_at)
    Gap.objects.create(started_at=started_at, ended_at=now, clock_step=_seconds(step))
    PushTally.objects.all().delete()
    lock_awaited_states()
    MonitorState.objects.awaited().update(excused_until=now)


def _set_back(now: datetime, step: timedelta) -> None:
    log.error("the database's clock was set back", seconds=_seconds(step))
    Gap.objects.create(started_at=now, ended_at=now, clock_step=_seconds(step))
    lock_awaited_states()
    awaited = MonitorState.objects.awaited()
    # Silence counts from now, by the clock as it is now.
    awaited.filter(last_heartbeat_at__gt=now).update(last_heartbeat_at=now)
    awaited.filter(excused_until__gt=now).update(excused_until=now)
    # Of a monitor that is down, an early `due_at` is no longer than the silence before it.
    awaited.filter(due_at__gt=now, status=Status.DOWN.value).update(excused_until=now)
    awaited.filter(due_at__gt=now).update(due_at=now)
    signals.clock_set_back.send(sender=Watermark, by=-step)


def _seconds(step: timedelta | None) -> int | None:
    return None if step is None else round(step.total_seconds())
