"""Celery Beat's scheduler, by the database's clock: the one of its own server may be wrong, or be set."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from celery import Celery
from celery.beat import ScheduleEntry
from django.core.exceptions import ValidationError
from django.db import Error
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from core import wakeups
from core.clock import database_now, steady_seconds
from tianji.runtime.alive import alive
from tianji.runtime.beat_gate import Gate

log = structlog.get_logger(__name__)

# A clock that is read again differs a little; this much means that it was set.
_STEP = timedelta(seconds=2)
# Celery Beat would ask several times a second whether someone has changed its schedule.
_LOOK_FOR_CHANGES_EVERY_SECONDS = 5.0


class _Clock:
    """The database's time when it was last read, moved on by a clock that is never set."""

    def __init__(self) -> None:
        self._read: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        if self._read is None:
            return datetime.now(UTC)
        at, steady = self._read
        return at + timedelta(seconds=steady_seconds() - steady)

    def read(self) -> timedelta:
        """Read the database's time, and return how far it is from where it was expected.

        Raises:
            django.db.Error: the database is not responding; the clock goes on.
        """
        expected, at = self.now(), database_now()
        self._read = at, steady_seconds()
        return at - expected


_clock = _Clock()


class Entry(ModelEntry):
    """A task of the schedule, which runs and notes its runs by the database's clock."""

    def __init__(self, model: PeriodicTask, app: Celery | None = None) -> None:
        super().__init__(model, app=app)
        if self.schedule is not None:
            zone = getattr(self.schedule, "tz", None) or UTC
            schedule: Any = self.schedule
            schedule.nowfun = lambda: _clock.now().astimezone(zone)

    @classmethod
    def from_entry(cls, name: str, app: Celery | None = None, **entry: Any) -> Any:
        try:
            return super().from_entry(name, app=app, **entry)
        except ValidationError:  # another Celery Beat that starts as well has just added it
            return super().from_entry(name, app=app, **entry)

    def is_due(self) -> Any:
        # A last run in the future, by a clock that was wrong then, would be waited for.
        now = _clock.now()
        self.last_run_at = min(self.last_run_at or now, now)
        return super().is_due()

    def default_now(self) -> datetime:
        return self._default_now()

    def _default_now(self) -> datetime:
        return _clock.now()


class Scheduler(DatabaseScheduler):
    """Celery Beat's schedule in the database.

    No tick is sent while nothing is due, nor added to a queue that no worker works off.
    """

    Entry = Entry
    _heap: Any
    _schedule: Any
    _last_full_sync: datetime
    _tasks_since_sync: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._gate = Gate()
        self._looked_at = -_LOOK_FOR_CHANGES_EVERY_SECONDS
        self._read_clock()
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        alive.touch()
        return super().tick(*args, **kwargs)

    def schedule_changed(self) -> bool:
        now = time.monotonic()
        if now - self._looked_at < _LOOK_FOR_CHANGES_EVERY_SECONDS:
            return False
        self._looked_at = now
        return bool(super().schedule_changed())

    def sync(self) -> None:
        super().sync()
        self._read_clock()

    def apply_async(
        self, entry: ScheduleEntry, producer: Any = None, advance: bool = True, **kwargs: Any
    ) -> Any:
        queue = (entry.options or {}).get("queue") or self.app.conf.task_default_queue
        if self._gate.lets_through(str(entry.task)) and not self._is_full(producer, queue):
            return super().apply_async(entry, producer=producer, advance=advance, **kwargs)
        # As after a tick that was sent: Celery Beat runs, whether or not a worker does.
        self._tasks_since_sync += 1
        if self.should_sync():
            self._do_sync()  # type: ignore[attr-defined]  # Celery's own
        return None

    def _is_full(self, producer: Any, queue: str) -> bool:
        try:
            return wakeups.is_full(producer, queue)
        except Exception:  # kombu, redis and the operating system each raise their own
            # Sending the tick fails too, and says so.
            return False

    def all_as_schedule(self) -> Any:
        """Return the schedule in the database, or the one that was read last: Celery would exit otherwise."""
        try:
            return super().all_as_schedule()
        except Error as error:
            if self._schedule is None:
                raise
            log.warning("the schedule could not be read", error=str(error).strip())
            # It is read again at the next tick.
            self._last_full_sync = datetime.min  # noqa: DTZ901  (compared with one without a zone)
            return self._schedule

    def _ensure_connected(self) -> Any:
        # Celery would wait longer each time, for up to half a minute.
        def failed(error: Exception, seconds: float) -> None:
            log.error("the broker can't be reached", error=str(error))

        return self.connection.ensure_connection(failed, interval_start=2, interval_step=0)

    def _read_clock(self) -> None:
        try:
            step = _clock.read()
        except Error as error:
            log.warning("the database's clock could not be read", error=str(error).strip())
            return
        if abs(step) > _STEP:
            # Times in it are by the clock as it was: one that is far ahead would keep the others waiting.
            self._heap = None
