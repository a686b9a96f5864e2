"""Monitors by the status that is shown: the database has to see what `presenting.read` sees."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import database_now
from monitors.domain.state_machine import Shown
from monitors.history import current
from monitors.models import Monitor, MonitorState
from monitors.pages.overview import filters
from tests.support.factories import make_monitor, make_workspace

pytestmark = pytest.mark.django_db
SCHEDULES = [
    *(
        {"timeout": timeout, "grace": grace}
        for timeout in (1, 9, 60, 109, 5000, 31_536_000)
        for grace in (None, 0, 7)
    ),
    {"kind": "cron", "cron": "*/5 * * * *", "grace": 60},
    {"kind": "oncalendar", "calendar": "*:0/5", "grace": 60},
    {"kind": "oncalendar", "calendar": "*:*:0/10", "early": 0},
    # They never come, so nothing is due by them.
    {"kind": "cron", "cron": "0 0 31 2 *"},
    {"kind": "oncalendar", "calendar": "2020-01-01"},
]


def silent_since(monitor, at):
    MonitorState.objects.filter(monitor=monitor).update(
        status="up", last_heartbeat_at=at, due_at=at, status_changed_at=at
    )


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 1.5, 2.5, 10, 60, 66, 67.5, 115, 120, 5007, 5301, 31_536_301])
def test_each_status_has_exactly_the_monitors_that_are_shown_so(seconds):
    workspace = make_workspace()
    now = database_now()
    for schedule in SCHEDULES:
        silent_since(make_monitor(workspace=workspace, **schedule), now - timedelta(seconds=seconds))
    monitors = Monitor.objects.in_workspace(workspace).select_related("state")
    shown = {monitor.pk: current.read(monitor, now).shown for monitor in monitors}
    for status in Shown:
        found = set(filters.by_status(monitors, [status], now=now).values_list("pk", flat=True))
        assert found == {pk for pk, seen in shown.items() if seen is status}, status
    both = filters.by_status(monitors, [Shown.LATE, Shown.UP], now=now)
    assert both.count() == sum(seen in (Shown.LATE, Shown.UP) for seen in shown.values())


def test_overdue_monitors_are_not_read_to_find_them(django_assert_num_queries):
    workspace = make_workspace()
    for _ in range(3):
        silent_since(make_monitor(workspace=workspace, timeout=60), database_now() - timedelta(hours=1))
    monitors = Monitor.objects.in_workspace(workspace)
    now = database_now()
    # One for those with cron, of which there are none, and one for the answer.
    with django_assert_num_queries(2):
        assert len(filters.by_status(monitors, [Shown.DOWN], now=now)) == 3
