"""What an idle second of the sweep costs: one query, which sees just what the sweep would."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from core.clock import database_now
from monitors import tasks
from monitors.heartbeats import due
from monitors.models import MonitorState, Watermark
from tests.support.factories import make_monitor
from tests.support.incidents import age, push

pytestmark = pytest.mark.django_db


@pytest.fixture
def monitor():
    made = make_monitor(timeout=60, grace=0)
    push(made)
    return made


def test_nothing_is_due_without_monitors_or_before_a_deadline(monitor):
    assert not due.something_is_due()
    monitor.delete()
    assert not due.something_is_due()


def test_a_deadline_that_has_passed_is_due(monitor):
    age(seconds=61)
    assert due.something_is_due()


def test_a_deadline_after_the_watermark_is_not_due_yet(monitor):
    now = database_now()
    MonitorState.objects.update(due_at=now - timedelta(seconds=5))
    Watermark.objects.update_or_create(pk=Watermark.ROW, defaults={"until": now - timedelta(seconds=10)})
    assert not due.something_is_due()
    Watermark.objects.update(until=now - timedelta(seconds=1))
    assert due.something_is_due()


def test_an_idle_sweep_is_one_query(monitor, django_assert_num_queries):
    with django_assert_num_queries(1):
        tasks.sweep()


def test_a_sweep_with_something_due_opens_an_incident(monitor):
    age(seconds=61)
    tasks.sweep()
    assert monitor.incidents.filter(cause="missed").count() == 1


@pytest.mark.skipif(connection.vendor != "postgresql", reason="EXPLAIN of PostgreSQL")
def test_it_searches_the_index_for_a_time_that_is_computed_once(monitor):
    with connection.cursor() as cursor:
        # The table is so small that reading all of it is cheaper.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {due._statement('postgresql')}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "monitor_state_due" in plan
    assert "Index Cond: (due_at <= " in plan
