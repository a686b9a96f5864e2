"""Frequent statements say of which workspace their rows are, so that large tables can be distributed by it.

What reads or writes all workspaces at once is listed here, with the reason: it runs on each server.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey
from core.clock import database_now
from core.credentials import digest, new_key
from monitors import tasks
from monitors.domain.state_machine import Shown
from monitors.heartbeats import recorder
from monitors.heartbeats.missed import declare_missed
from monitors.heartbeats.parser import Push
from monitors.heartbeats.rejections import RejectionLog
from monitors.history import rollup_turn
from monitors.models import Heartbeat, MonitorState, Transition
from monitors.pages.overview import announcements, page, versions
from monitors.pages.overview.params import OverviewParams
from monitors.services import retention
from notifications import tasks as notification_tasks
from notifications.dispatch import send, turn, waiting
from notifications.dispatch.late_and_failing import enqueue_all
from notifications.integrations import kinds
from notifications.models import Delivery
from tests.support import crowd as crowd_
from tests.support.factories import make_user, make_workspace
from tests.support.heartbeats import TooFast, arrival
from tests.support.memory_integration import Memory
from tests.support.workspace_scope import captured, unscoped

MONITORS, WORKSPACES = 600, 3

# By the function that runs it, or the module. None of it is run for a push that changes no status.
ON_EVERY_SERVER = {
    "monitors/heartbeats/due.py:something_is_due": "whether any monitor is due, by an index",
    "monitors/locks.py:lock_due_states": "those that are due, by an index; all else of the sweep is scoped",
    "notifications/dispatch/waiting.py:something_is_due": "whether any message is due, by an index",
    "notifications/dispatch/waiting.py:_oldest": "the channels that have waited longest, by an index",
    "notifications/dispatch/waiting.py:neglected_since": "which channels were served lately, for /healthz",
    "notifications/dispatch/late_and_failing.py:_candidates": "whether any incident is open, every 5 s",
    "notifications/dispatch/late_and_failing.py:wake_overlooked": "the incidents of half a minute, every 5 s",
    "monitors/history/rollups.py:missing_half_hours": "the oldest heartbeat, once a minute",
    "monitors/history/rollups.py:_roll_up_from": "all monitors in turn; their heartbeats are scoped",
    "monitors/history/rollup_turn.py:_begin": "the newest row of each table, once in a lifetime",
    "monitors/history/rollup_turn.py:_look": "the newest row of each table, once a minute",
    "monitors/history/rollup_turn.py:_Turn._late_among": "heartbeats that came late, by row id",
    "monitors/history/rollup_turn.py:_Turn._roll_up_again": "the monitors of heartbeats that came late",
    "monitors/history/rollup_turn.py:_Turn._find_late_changes": "changes that came late, by row id",
    "monitors/history/daily_rollups.py:_next_monitors": "all monitors in turn; the rest is scoped",
    "monitors/history/daily_rollups.py:calculate_some": "a monitor by its id, whose past has changed",
    "monitors/services/retention.py": "the oldest rows of all, in batches",
    "notifications/services/retention.py": "the oldest rows of all, in batches",
    "monitors/pages/overview/announcements.py:newest": "the newest status change, by row id",
    "monitors/access.py:get_monitor_or_404": "a page's address says which monitor, and not which workspace",
}


@pytest.fixture(scope="module")
def crowd(django_db_setup, django_db_blocker):
    """The first of some workspaces, in a transaction around all of these tests, which is rolled back."""
    with django_db_blocker.unblock():
        if connection.vendor != "postgresql":
            pytest.skip("Only PostgreSQL can be distributed.")
        with transaction.atomic():
            workspaces = [make_workspace() for _ in range(WORKSPACES)]
            with connection.cursor() as cursor:
                crowd_.fill(cursor, MONITORS, workspaces=workspaces, incidents=2, heartbeats=5, rollups=3)
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
            yield workspaces[0]
            transaction.set_rollback(True)


_used: set[str] = set()


def assert_scoped(run: Callable[[], Any], *, no_exceptions: bool = False) -> None:
    with captured() as statements:
        run()
    assert statements
    found = {(each.caller, each.sql) for each in statements if unscoped(each.sql)}
    told = []
    for caller, sql in sorted(found):
        listed = {
            each for each in ON_EVERY_SERVER if caller == each or caller.startswith((f"{each}:", f"{each}."))
        }
        _used.update(listed)
        if no_exceptions or not listed:
            told.append(f"{caller}: {sorted(unscoped(sql))}: {sql}")
    assert not told, "\n\n".join(told)


# --- Pushes ----------------------------------------------------------------------------------------


def pushes_of(workspace, **data):
    return [arrival(secret, **data) for secret in crowd_.secrets_of(workspace)[:20]]


@pytest.mark.django_db
def test_pushes_that_change_no_status(crowd):
    up = pushes_of(crowd, source="192.0.2.7")
    assert_scoped(lambda: recorder.record(up), no_exceptions=True)
    assert Heartbeat.objects.filter(source="192.0.2.7").count() >= 15


@pytest.mark.django_db
def test_the_same_without_the_statement_for_them(crowd, monkeypatch):
    monkeypatch.setattr(recorder, "record_quiet", lambda *args, **given: None)
    assert_scoped(lambda: recorder.record(pushes_of(crowd)), no_exceptions=True)


@pytest.mark.django_db
def test_pushes_that_change_the_status(crowd):
    for up in (False, True, False):
        assert_scoped(lambda: recorder.record(pushes_of(crowd, up=up)))  # noqa: B023


@pytest.mark.django_db
def test_pushes_that_are_not_recorded(crowd):
    assert_scoped(lambda: recorder.record(pushes_of(crowd), limiter=TooFast()))
    assert_scoped(lambda: recorder.record([arrival("unknown")], wait=False))
    rejections = RejectionLog(by_itself=False)
    for each in pushes_of(crowd):
        for reason in ("parameter", "limit", None):
            rejections.note(each.digest, reason, method="GET", source="192.0.2.1", detail="no")
    assert_scoped(rejections.write)


@pytest.mark.django_db
def test_a_test_heartbeat(crowd):
    monitor = crowd.monitors.get(pk=crowd.monitors.first().pk)
    assert_scoped(lambda: recorder.record_test_heartbeat(monitor=monitor, push=Push(True, "OK", None)))


# --- What goes on by itself ------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_sweep(crowd):
    MonitorState.objects.filter(status="up").update(due_at=database_now() - timedelta(seconds=1))
    MonitorState.objects.filter(status="up", monitor_id__in=crowd.monitors.values("pk")[:50]).update(
        last_heartbeat_at=database_now() - timedelta(days=9)
    )
    assert_scoped(tasks.sweep)
    assert_scoped(declare_missed)


@pytest.mark.django_db
def test_rolling_up(crowd):
    assert_scoped(rollup_turn.take_turn)
    # One that came late, for a half hour and a day that were rolled up.
    monitor, late = crowd.monitors.first(), database_now() - timedelta(days=2)
    Heartbeat.objects.create(monitor=monitor, received_at=late, status="up", message="late")
    Transition.objects.create(monitor=monitor, at=late, source="up", target="down", reason="reported")
    assert_scoped(lambda: rollup_turn.take_turn(now=database_now() + timedelta(days=1)))


@pytest.mark.django_db
def test_deleting_what_is_old(crowd, settings):
    settings.TIANJI_HISTORY_DAYS = 1
    assert_scoped(tasks.retention)
    assert_scoped(notification_tasks.retention)
    monitor = crowd.monitors.last()
    assert_scoped(lambda: retention.purge(monitor_id=monitor.pk))


@pytest.mark.django_db
def test_looking_for_what_is_to_be_sent(crowd):
    crowd.channels.update(on_late=True)
    long_ago = database_now() - timedelta(days=1)
    MonitorState.objects.filter(monitor__workspace=crowd, status="up").update(last_heartbeat_at=long_ago)
    assert_scoped(waiting.something_is_due)
    assert_scoped(waiting.channels_with_something_due)
    assert_scoped(lambda: waiting.neglected_since(database_now() - timedelta(minutes=1)))
    assert_scoped(enqueue_all)


@pytest.fixture
def memory(monkeypatch):
    memory = Memory()
    monkeypatch.setitem(kinds(), "memory", memory.kind("memory"))
    return memory


@pytest.mark.django_db
@pytest.mark.parametrize("answer", ["taken", "failed"])
@pytest.mark.parametrize("fallen", [1, 20])
def test_sending(crowd, memory, answer, fallen):
    channel = crowd.channels.get(all_monitors=True)
    channel.kind, channel.config = "memory", {"box": "b"}
    channel.save()
    memory.answers["b"] = answer
    recorder.record(pushes_of(crowd)[:fallen])
    recorder.record(pushes_of(crowd, up=False)[:fallen])

    def deliver() -> None:
        while claim := turn.take_turn(channel.pk):
            send.attempt(claim)

    assert_scoped(deliver)
    assert bool(memory.arrived) == (answer == "taken")
    if answer == "failed":
        # What was tried is tried again, and closed if it no longer says how things are.
        Delivery.objects.filter(channel=channel, status="pending").update(next_attempt_at=database_now())
        memory.answers["b"] = "taken"
        recorder.record(pushes_of(crowd)[: fallen // 2])
        assert_scoped(deliver)
        assert memory.arrived


# --- Pages and the API -----------------------------------------------------------------------------


@pytest.fixture
def owner(crowd):
    client = Client()
    client.force_login(make_user(workspace=crowd))
    return client


def ok(answer: Any) -> None:
    assert answer.status_code == 200, answer


@pytest.mark.django_db
def test_the_overview(crowd, owner):
    assert_scoped(lambda: ok(owner.get("/")))
    assert_scoped(lambda: page.overview(crowd, OverviewParams()))
    assert_scoped(lambda: page.overview(crowd, OverviewParams(statuses=tuple(Shown), text="backup")))
    assert_scoped(lambda: versions.take_snapshot(crowd.public_id))
    assert_scoped(lambda: announcements.since(crowd, announcements.newest(), until=10**9))


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/incidents/", "/tokens/", "/maintenance/", "/channels/"])
def test_the_pages_of_a_workspace(crowd, owner, address):
    assert_scoped(lambda: ok(owner.get(address)))


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["detail", "log", "incidents", "changes", "rejected_pushes", "charts"])
def test_the_pages_of_a_monitor(crowd, owner, name):
    monitor = crowd.monitors.filter(state__status="down").first()
    assert_scoped(lambda: ok(owner.get(reverse(f"monitors:{name}", args=[monitor.public_id]))))


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    [
        *("monitors/", "monitors/?status=down", "monitors/?tag=tag-3", "monitors/{monitor}/", "incidents/"),
        *("monitors/{monitor}/heartbeats/", "monitors/{monitor}/incidents/", "monitors/{monitor}/uptime/"),
        *("monitors/{monitor}/transitions/", "monitors/{monitor}/tokens/", "deliveries/"),
    ],
)
def test_the_api(crowd, path):
    key, monitor = new_key("tja_"), crowd.monitors.filter(state__status="down").first()
    ApiKey.objects.create(
        workspace=crowd,
        name="reads",
        scope="read",
        digest=digest(key),
        last_four="abcd",
        created_at=database_now(),
    )
    client = Client(headers={"authorization": f"Bearer {key}"})
    assert_scoped(lambda: ok(client.get(f"/api/v1/{path.format(monitor=monitor.public_id)}")))


# --- The list --------------------------------------------------------------------------------------


def test_nothing_is_listed_that_is_no_longer_run(crowd, request):
    chosen = {item.originalname for item in request.session.items if item.module is request.module}
    if chosen != {name for name in globals() if name.startswith("test_")}:
        pytest.skip("Only after all of the others.")
    assert set(ON_EVERY_SERVER) == _used


BOTH = "SELECT * FROM monitors_incident i JOIN monitors_monitor m ON m.id = i.monitor_id"
JOINED = f"{BOTH} AND m.workspace_id = i.workspace_id"
BOTH_TABLES = {"monitors_incident", "monitors_monitor"}
GIVEN = "UPDATE monitors_monitorstate AS s SET status = 'up' FROM given WHERE s.monitor_id = given.id"


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("SELECT * FROM monitors_heartbeat WHERE monitor_id = 1", {"monitors_heartbeat"}),
        ("SELECT * FROM monitors_heartbeat WHERE workspace_id = %s AND monitor_id = 1", set()),
        ("DELETE FROM monitors_rollup AS r WHERE r.workspace_id IN (SELECT 1)", set()),
        ("INSERT INTO monitors_heartbeat (monitor_id) VALUES (1)", {"monitors_heartbeat"}),
        ('INSERT INTO "monitors_heartbeat" ("workspace_id", "monitor_id") VALUES (1, 1)', set()),
        # A join says nothing if neither side is known.
        (JOINED, BOTH_TABLES),
        (f"{JOINED} WHERE m.workspace_id = 5", set()),
        (f"{JOINED} JOIN accounts_workspace ON m.workspace_id = accounts_workspace.id", BOTH_TABLES),
        (f"{BOTH} WHERE m.workspace_id = 5", {"monitors_incident"}),
        (GIVEN, {"monitors_monitorstate"}),
        (f"{GIVEN} AND s.workspace_id = given.workspace_id", set()),
    ],
)
def test_what_is_found(statement, found):
    assert unscoped(statement) == found
