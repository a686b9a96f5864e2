"""Which ticks Celery Beat sends: those that are of use, and a few so that a missing worker is noticed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError

from core.clock import database_now
from monitors.models import MonitorState
from tests.support.factories import make_channel, make_monitor
from tests.support.incidents import make_delivery, push
from tianji.runtime import beat_gate
from tianji.runtime.beat_gate import Gate

pytestmark = pytest.mark.django_db
SWEEP, DELIVER = "monitors.tasks.sweep", "notifications.tasks.deliver"


@pytest.fixture
def gate(monkeypatch):
    """One that has just sent both ticks, and sends no others for the time being without a need."""
    monkeypatch.setattr(beat_gate, "SENT_EVERY_SECONDS", 1000)
    made = Gate()
    assert made.lets_through(SWEEP)
    assert made.lets_through(DELIVER)
    return made


def test_an_idle_tick_is_one_query_and_is_not_sent(gate, django_assert_num_queries):
    for task in (SWEEP, DELIVER):
        with django_assert_num_queries(1):
            assert not gate.lets_through(task)


def test_a_tick_is_sent_as_soon_as_something_is_due(gate):
    monitor = make_monitor()
    push(monitor)
    assert not gate.lets_through(SWEEP)
    MonitorState.objects.update(due_at=database_now() - timedelta(seconds=1))
    assert gate.lets_through(SWEEP)
    assert not gate.lets_through(DELIVER)
    make_delivery(make_channel(workspace=monitor.workspace), monitor, next_attempt_at=database_now())
    assert gate.lets_through(DELIVER)


def test_without_any_need_one_is_sent_every_few_seconds(gate, django_assert_num_queries):
    gate._sent_at[SWEEP] -= 1000
    with django_assert_num_queries(0):
        assert gate.lets_through(SWEEP)
    assert not gate.lets_through(SWEEP)


def test_what_ticks_more_rarely_is_always_sent(gate, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert all(gate.lets_through("monitors.tasks.roll_up") for _ in range(3))


def test_while_the_database_is_away_ticks_are_sent(gate, monkeypatch):
    def away() -> bool:
        raise DatabaseError

    monkeypatch.setitem(beat_gate._QUESTIONS, SWEEP, away)
    assert gate.lets_through(SWEEP)
