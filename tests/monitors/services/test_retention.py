"""Old heartbeats go."""

from __future__ import annotations

import time
from datetime import timedelta
from itertools import pairwise

import pytest
from django.db import connection

from accounts.models import StoredResponse
from core.clock import database_now
from monitors import tasks
from monitors.models import GAP_DAYS, Gap, Heartbeat, RejectedPush
from monitors.services import retention
from tests.support.factories import make_monitor
from tests.support.heartbeats import Queries

pytestmark = pytest.mark.django_db


def make_heartbeats(monitor, *, count=1, **age):
    at = database_now() - timedelta(**age)
    Heartbeat.objects.bulk_create(
        Heartbeat(monitor=monitor, received_at=at, status="up") for _ in range(count)
    )


def test_heartbeats_older_than_the_limit_go_and_younger_ones_stay(settings):
    settings.TIANJI_RETENTION_DAYS = 30
    monitor = make_monitor()
    make_heartbeats(monitor, count=3, days=31)
    make_heartbeats(monitor, days=29)
    assert retention.delete_old_heartbeats() == 3
    assert Heartbeat.objects.count() == 1


def test_the_limit_may_be_given(settings):
    settings.TIANJI_RETENTION_DAYS = 30
    make_heartbeats(make_monitor(), days=8)
    assert retention.delete_old_heartbeats(days=9) == 0
    assert retention.delete_old_heartbeats(days=7) == 1


def test_with_nothing_old_there_is_nothing_to_do():
    make_heartbeats(make_monitor(), days=1)
    assert retention.delete_old_heartbeats() == 0


def test_many_go_in_small_batches():
    make_heartbeats(make_monitor(), count=25, days=40)
    with Queries() as queries:
        assert retention.delete_old_heartbeats(batch=10) == 25
    batches = [sql for sql in queries.statements if sql.startswith("DELETE")]
    assert len(batches) >= 3
    assert all("LIMIT 10" in sql for sql in batches)
    assert not Heartbeat.objects.exists()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL locks rows, not the database")
@pytest.mark.parametrize("delete", ["old", "of a monitor"])
def test_between_two_batches_others_get_the_lock_of_sqlite(delete):
    monitor = make_monitor()
    make_heartbeats(monitor, count=25, days=40)
    times = []

    def note(execute, sql, *args):
        began = time.monotonic()
        result = execute(sql, *args)
        if sql.startswith("DELETE"):
            times.append((began, time.monotonic()))
        return result

    with connection.execute_wrapper(note):
        if delete == "old":
            retention.delete_old_heartbeats(batch=10)
        else:
            retention.delete_heartbeats_of(monitor_id=monitor.pk, batch=10)
    assert len(times) == 3
    for (_began, ended), (began, _ended) in pairwise(times):
        assert began - ended >= 0.02


def test_commits_that_overtook_each_other_leave_nothing_behind_for_long():
    monitor = make_monitor()
    make_heartbeats(monitor, count=3, days=31)
    make_heartbeats(monitor, days=29, hours=23)
    make_heartbeats(monitor, count=3, days=30, seconds=1)
    assert retention.delete_old_heartbeats(days=30) == 6
    assert Heartbeat.objects.count() == 1


def test_what_a_deleted_monitor_left_goes_however_young():
    monitor, other = make_monitor(), make_monitor()
    make_heartbeats(monitor, count=5, days=0)
    make_heartbeats(other, days=0)
    assert retention.delete_heartbeats_of(monitor_id=monitor.pk, batch=2) == 5
    assert Heartbeat.objects.get().monitor == other


def test_the_hourly_task_deletes_by_the_setting(settings):
    settings.TIANJI_RETENTION_DAYS = 1
    make_heartbeats(make_monitor(), days=2)
    tasks.retention()
    assert not Heartbeat.objects.exists()


def test_the_hourly_task_forgets_the_answers_that_need_not_be_repeated():
    now = database_now()
    for hours in (23, 25):
        StoredResponse.objects.create(
            owner="key:1", key=str(hours), request_digest="x", created_at=now - timedelta(hours=hours)
        )
    tasks.retention()
    assert StoredResponse.objects.get().key == "23"


def test_the_hourly_task_forgets_gaps_that_no_uptime_needs():
    now = database_now()
    for days in (GAP_DAYS - 1, GAP_DAYS + 1, GAP_DAYS + 2):
        ended = now - timedelta(days=days)
        Gap.objects.create(started_at=ended - timedelta(minutes=1), ended_at=ended)
    assert retention.delete_old_gaps(batch=1) == 2
    Gap.objects.update(started_at=now - timedelta(days=500), ended_at=now - timedelta(days=GAP_DAYS, hours=1))
    tasks.retention()
    assert not Gap.objects.exists()


def test_the_hourly_task_forgets_rejected_pushes_by_the_setting(settings):
    settings.TIANJI_REJECTED_DAYS = 3
    monitor, now = make_monitor(), database_now()
    for days in (2, 4):
        at = now - timedelta(days=days)
        RejectedPush.objects.create(
            monitor=monitor, reason="limit", method="GET", last_four=str(days), first_at=at, last_at=at
        )
    tasks.retention()
    assert RejectedPush.objects.get().last_four == "2"


def test_while_one_deleted_monitor_is_purged_the_next_waits_and_keeps_no_thread():
    first, second = make_monitor(), make_monitor()
    for monitor in (first, second):
        make_heartbeats(monitor, count=2, days=1)
    # As if another thread of the worker was at it.
    with retention._purging:
        tasks.purge(first.pk)
        assert Heartbeat.objects.count() == 4
    tasks.purge(second.pk)
    assert not Heartbeat.objects.exists()
