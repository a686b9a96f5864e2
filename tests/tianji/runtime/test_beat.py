"""Celery Beat's scheduler goes by the database's clock, and adds to no queue that nobody works off."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta

import kombu
import pytest
from django.db import connection
from django.db.models import Model
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from core import wakeups
from core.clock import database_now
from tests.support.beat_schedule import install_schedule
from tianji.celery import app
from tianji.runtime import beat_gate
from tianji.runtime.beat import Scheduler

# The scheduler gives its connection back, which ends a test's transaction.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def scheduler():
    install_schedule()
    made = []

    def make():
        made.append(Scheduler(app=app))
        return made[-1]

    yield make
    for one in made:
        # At the end of the process there is no database to note runs in.
        one._finalize.cancel()


def test_the_database_says_what_time_it_is(scheduler, time_machine):
    time_machine.move_to(database_now() - timedelta(hours=5))
    entry = scheduler().schedule["sweep"]
    assert abs(entry.default_now() - database_now()) < timedelta(seconds=1)
    assert abs(next(entry).last_run_at - database_now()) < timedelta(seconds=1)


@pytest.mark.parametrize("hours", [-3, 3])
def test_every_entry_has_the_same_clock(scheduler, time_machine, hours):
    """One whose clock is behind would be waited for by all others."""
    install_schedule()
    PeriodicTask.objects.create(
        name="theirs", task="some.task", crontab=CrontabSchedule.objects.create(hour="*", minute="*")
    )
    time_machine.move_to(database_now() + timedelta(hours=hours))
    for entry in scheduler().schedule.values():
        assert abs(entry.schedule.now() - database_now()) < timedelta(seconds=1)


def test_a_last_run_in_the_future_is_not_waited_for(scheduler):
    install_schedule()
    PeriodicTask.objects.update(last_run_at=database_now() + timedelta(days=1))
    due, seconds = scheduler().schedule["sweep"].is_due()
    assert not due
    assert 0 < seconds <= 1


def test_no_tick_is_added_to_a_queue_that_nobody_works_off(scheduler, monkeypatch):
    monkeypatch.setattr(wakeups, "_WAITING_MOST", 3)
    beat = scheduler()
    with kombu.Connection("memory://") as connection:
        producer = connection.Producer()
        queue = connection.SimpleQueue("sweep")
        monkeypatch.setattr(beat_gate, "SENT_EVERY_SECONDS", 0)
        for _ in range(5):
            beat.apply_async(beat.schedule["sweep"], producer=producer)
        assert queue.qsize() == 3
        queue.get().ack()
        beat.apply_async(beat.schedule["sweep"], producer=producer)
        assert queue.qsize() == 3


def test_no_tick_is_sent_while_nothing_is_due_though_the_run_is_noted(scheduler, monkeypatch):
    monkeypatch.setattr(beat_gate, "SENT_EVERY_SECONDS", 1000)
    PeriodicTask.objects.update(last_run_at=database_now() - timedelta(minutes=5))
    beat = scheduler()
    with kombu.Connection("memory://") as connection:
        producer = connection.Producer()
        queue = connection.SimpleQueue("sweep")
        queue.clear()
        for _ in range(61):
            beat.apply_async(beat.reserve(beat.schedule["sweep"]), producer=producer, advance=False)
        assert queue.qsize() == 1
    ran = PeriodicTask.objects.get(name="sweep").last_run_at
    assert abs(ran - database_now()) < timedelta(seconds=5)


def test_it_looks_only_every_few_seconds_whether_its_schedule_was_changed(
    scheduler, django_assert_num_queries
):
    beat = scheduler()
    assert "sweep" in beat.schedule
    with django_assert_num_queries(0):
        assert "notice" in beat.schedule
    PeriodicTask.objects.get(name="notice").delete()
    beat._looked_at -= 60
    assert "notice" not in beat.schedule


def test_runs_are_noted_though_nobody_works_the_queue_off(scheduler, monkeypatch):
    monkeypatch.setattr(wakeups, "_WAITING_MOST", 0)
    PeriodicTask.objects.update(last_run_at=database_now() - timedelta(minutes=5))
    beat = scheduler()
    with kombu.Connection("memory://") as connection:
        producer = connection.Producer()
        for _ in range(61):
            beat.apply_async(beat.reserve(beat.schedule["sweep"]), producer=producer, advance=False)
    ran = PeriodicTask.objects.get(name="sweep").last_run_at
    assert abs(ran - database_now()) < timedelta(seconds=5)


def test_the_schedule_is_kept_while_it_cannot_be_read(scheduler):
    beat = scheduler()
    known = set(beat.schedule)
    # It is read again every five minutes.
    beat._last_full_sync -= timedelta(hours=1)
    with renamed(PeriodicTask):
        assert set(beat.schedule) == known
    PeriodicTask.objects.filter(name="notice").update(enabled=False)
    assert set(beat.schedule) == known - {"notice"}


@contextlib.contextmanager
def renamed(model: type[Model]) -> Iterator[None]:
    """Queries of `model` fail, as while the database is away."""
    name = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {name} RENAME TO elsewhere")
        try:
            yield
        finally:
            cursor.execute(f"ALTER TABLE elsewhere RENAME TO {name}")
