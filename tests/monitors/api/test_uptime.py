"""Uptime over HTTP: of what the database knows of a monitor."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import database_now
from monitors.history import uptimes
from monitors.models import DailyRollup, Incident, Monitor, MonitorState, Rollup, Transition
from monitors.services import monitors as monitor_service
from monitors.services.outdated_days import DAY, day_of, midnight
from tests.support.factories import make_monitor, make_workspace
from tests.support.heartbeats import push

pytestmark = pytest.mark.django_db


def changed(monitor, *changes):
    """Give `monitor` a history of (hours ago, from, to); it was created ten hours before the first."""
    now = database_now()
    for hours, source, target in changes:
        at = now - timedelta(hours=hours)
        Transition.objects.create(monitor=monitor, at=at, source=source, target=target, reason="heartbeat")
    created = now - timedelta(hours=changes[0][0] + 10)
    Monitor.objects.filter(pk=monitor.pk).update(created_at=created)
    MonitorState.objects.filter(monitor=monitor).update(
        status=changes[-1][2], status_changed_at=now - timedelta(hours=changes[-1][0])
    )
    return now


def uptime_of(caller, monitor, **parameters):
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    answer = caller.get(f"monitors/{monitor.public_id}/uptime/?{query}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def iso(at):
    return at.isoformat().replace("+00:00", "Z")


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace, timeout=3600)


def test_down_time_counts_by_its_length(reader, monitor):
    now = changed(monitor, (20, "new", "up"), (10, "up", "down"), (5, "down", "up"), (1, "up", "paused"))
    data = uptime_of(reader, monitor, **{"from": iso(now - timedelta(days=2)), "to": iso(now)})
    assert data["watched_seconds"] == 19 * 3600
    assert data["down_seconds"] == 5 * 3600
    assert data["uptime"] == pytest.approx(14 / 19)
    assert data["incidents"] == 1


def test_the_status_before_the_range_is_known(reader, monitor):
    now = changed(monitor, (20, "new", "up"), (10, "up", "down"), (5, "down", "paused"))
    start, end = now - timedelta(hours=8), now - timedelta(hours=7)
    data = uptime_of(reader, monitor, **{"from": iso(start), "to": iso(end)})
    assert data == {
        "from": iso(start),
        "to": iso(end),
        "uptime": 0,
        "down_seconds": 3600,
        "watched_seconds": 3600,
        "incidents": 1,
        "interval_median_seconds": None,
        "interval_p99_seconds": None,
    }


def intervals_of(caller, monitor, start, end):
    data = uptime_of(caller, monitor, **{"from": iso(start), "to": iso(end)})
    return data["interval_median_seconds"], data["interval_p99_seconds"]


def test_the_intervals_are_those_of_the_days_and_half_hours_in_the_range(reader, monitor):
    today = midnight(day_of(database_now()))
    for hours, text in ((-30, "94:30"), (-20, "110:30"), (-1, "126:30")):
        start = today + timedelta(hours=hours)
        Rollup.objects.create(monitor=monitor, start=start, ups=30, downs=0, value_count=0, intervals=text)
    # In the day before are 300 others, which it was added up from.
    totals = dict.fromkeys(("watched", "down", "gap", "maintenance", "paused", "incidents"), 0)
    totals |= {"ups": 300, "downs": 0, "value_count": 0, "began_down": False}
    DailyRollup.objects.create(monitor=monitor, day=day_of(today) - DAY, intervals="78:300", **totals)

    def expected(*shares):
        return pytest.approx(shares, rel=0.022)

    assert intervals_of(reader, monitor, today - timedelta(hours=31), today) == expected(30, 60)
    # Part of a day is read from its half hours.
    assert intervals_of(reader, monitor, today - timedelta(hours=20), today) == expected(120, 240)
    assert intervals_of(
        reader, monitor, today - timedelta(hours=31), today - timedelta(hours=20)
    ) == expected(60, 60)
    # Half of a half hour is left out.
    end = today - timedelta(minutes=45)
    assert intervals_of(reader, monitor, today - timedelta(hours=20), end) == expected(120, 120)


def test_an_outage_is_no_interval_in_the_uptime(reader, monitor):
    start = midnight(day_of(database_now())) - timedelta(hours=2)
    # 60 s, and more than twice the timeout.
    Rollup.objects.create(monitor=monitor, start=start, ups=9, downs=0, value_count=0, intervals="94:8 207:5")
    found = intervals_of(reader, monitor, start, start + timedelta(hours=1))
    assert found == pytest.approx((60, 60), rel=0.022)


def test_the_last_thirty_days_are_the_default(reader, monitor):
    changed(monitor, (24 * 40, "new", "up"), (24 * 35, "up", "down"), (24 * 15, "down", "paused"))
    data = uptime_of(reader, monitor)
    assert data["down_seconds"] == pytest.approx(15 * 86400, abs=5)
    assert data["from"][-1] == data["to"][-1] == "Z"


def test_an_incident_that_is_open_counts_until_now(reader, monitor):
    now = changed(monitor, (4, "new", "up"), (1, "up", "down"))
    data = uptime_of(reader, monitor, to=iso(now + timedelta(days=1)))
    assert data["down_seconds"] == pytest.approx(3600, abs=5)
    assert data["watched_seconds"] == pytest.approx(4 * 3600, abs=5)


def test_a_deadline_that_no_sweep_has_seen_counts(reader, monitor):
    now = changed(monitor, (5, "new", "up"))
    MonitorState.objects.filter(monitor=monitor).update(last_heartbeat_at=now - timedelta(hours=3))
    data = uptime_of(reader, monitor)
    # An hour of timeout and its grace of 300 s have passed since the heartbeat.
    assert data["down_seconds"] == pytest.approx(2 * 3600 - 300, abs=5)
    assert data["incidents"] == 1


def test_a_new_monitor_has_no_uptime(reader, monitor):
    data = uptime_of(reader, monitor)
    assert (data["uptime"], data["watched_seconds"], data["incidents"]) == (None, 0, 0)


def test_before_it_was_created_nothing_is_watched(reader, monitor):
    now = changed(monitor, (5, "up", "down"))
    data = uptime_of(reader, monitor, **{"from": iso(now - timedelta(days=300))})
    assert data["watched_seconds"] == pytest.approx(15 * 3600, abs=5)


def test_what_really_happened_adds_up(reader, monitor):
    push(monitor)
    push(monitor, up=False)
    push(monitor)
    monitor_service.pause(monitor=monitor)
    incident = Incident.objects.get()
    data = uptime_of(reader, monitor)
    assert data["incidents"] == 1
    assert data["down_seconds"] == (incident.resolved_at - incident.started_at).total_seconds()


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("from=yesterday", 400, "from"),
        ("from=2026-11-22T10:00:00", 400, "from"),
        ("to=", 400, "to"),
        ("since=2026-11-22T10:00:00Z", 400, "since"),
        ("from=2026-11-22T10:00:00Z&to=2026-11-22T10:00:00Z", 422, "from"),
        ("from=2999-01-01T00:00:00Z", 422, "from"),
        ("to=2026-11-22T10:00:00%00Z", 400, "to"),
    ],
)
def test_a_range_that_is_none_is_explained(reader, monitor, query, status, field):
    answer = reader.get(f"monitors/{monitor.public_id}/uptime/?{query}")
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("to", ["0001-01-01T00:00:00Z", "0001-01-20T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_the_ends_of_time_are_no_fault(reader, monitor, to):
    assert reader.get(f"monitors/{monitor.public_id}/uptime/?to={to}").status_code in (200, 422)


def test_another_workspace_is_not_found(reader):
    other = make_monitor(workspace=make_workspace())
    assert reader.get(f"monitors/{other.public_id}/uptime/").status_code == 404


def test_many_monitors_cost_as_many_queries_as_one(workspace, django_assert_num_queries):
    monitors = [make_monitor(workspace=workspace) for _ in range(12)]
    for monitor in monitors[:6]:
        push(monitor)
        push(monitor, up=False)
    now = database_now()
    loaded = list(Monitor.objects.in_workspace(workspace).select_related("state"))
    with django_assert_num_queries(4):
        found = uptimes.uptimes(loaded, start=now - timedelta(days=1), end=now, now=now)
    assert {pk for pk, uptime in found.items() if uptime.incidents} == {m.pk for m in monitors[:6]}
