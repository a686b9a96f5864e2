"""With many monitors, no hot statement reads a whole table: what PostgreSQL plans for each.

There are enough rows, in enough workspaces, for the planner to have the choice: nothing is forced.
"""

from __future__ import annotations

import json
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
from monitors.domain.state_machine import Shown
from monitors.heartbeats.missed import declare_missed
from monitors.history import rollups
from monitors.locks import lock_due_states
from monitors.pages.overview import announcements, order, page, versions
from monitors.pages.overview.params import OverviewParams
from monitors.services import maintenance, retention
from notifications.dispatch import enqueue, turn, waiting
from notifications.dispatch.late_and_failing import enqueue_all
from notifications.services.retention import delete_old_deliveries, delete_old_incidents
from tests.support import crowd as crowd_
from tests.support.factories import make_user, make_workspace

pytestmark = pytest.mark.django_db
MONITORS, WORKSPACES = 20_000, 200
LARGE = {
    *("monitors_monitor", "monitors_monitorstate", "monitors_pushtoken", "monitors_incident"),
    *("monitors_transition", "monitors_heartbeat", "monitors_rollup", "monitors_rejectedpush"),
    *("notifications_delivery", "notifications_deliveryattempt", "notifications_belief"),
    *("notifications_channel_monitors", "accounts_auditentry"),
}
# A page that needs more has something in it that grows.
MOST_QUERIES = 32


@pytest.fixture(scope="module")
def crowd(django_db_setup, django_db_blocker):
    """The first of many workspaces, in a transaction around all of these tests, which is rolled back."""
    with django_db_blocker.unblock():
        if connection.vendor != "postgresql":
            pytest.skip("About the plans of PostgreSQL.")
        with transaction.atomic():
            workspaces = [make_workspace() for _ in range(WORKSPACES)]
            with connection.cursor() as cursor:
                # As on an SSD, where other places of a table cost little more than the next one.
                cursor.execute("SET LOCAL random_page_cost = 1.1")
                crowd_.fill(cursor, MONITORS, workspaces=workspaces, incidents=2, heartbeats=2, rollups=2)
                # Else each test would check the references of all these rows.
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
            yield workspaces[0]
            transaction.set_rollback(True)


def tables_read_whole(run: Callable[[], Any]) -> tuple[list[str], int]:
    """Return the statements of `run` that read a large table whole, and how many statements it runs."""
    statements: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        run()
    found = []
    for sql, params in statements:
        if sql.lstrip().startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
                (plan,) = cursor.fetchone()
            plan = json.loads(plan) if isinstance(plan, str) else plan
            found += [f"{table}: {sql}" for table in _scanned(plan[0]["Plan"]) if table in LARGE]
    return found, len(statements)


def _scanned(node: dict[str, Any]) -> list[str]:
    own = [node["Relation Name"]] if node["Node Type"] == "Seq Scan" else []
    return own + [table for below in node.get("Plans", ()) for table in _scanned(below)]


def assert_by_index(run: Callable[[], Any], most: int = MOST_QUERIES) -> None:
    found, number = tables_read_whole(run)
    assert not found, found[0]
    assert 0 < number <= most


def test_a_table_that_is_read_whole_is_found(crowd):
    from monitors.models import Monitor

    found, number = tables_read_whole(lambda: list(Monitor.objects.filter(description="x")))
    assert number == 1
    assert found[0].startswith("monitors_monitor: SELECT")


def test_the_claim_of_the_sweep(crowd):
    assert_by_index(lambda: lock_due_states(database_now(), limit=500), most=2)
    assert_by_index(declare_missed, most=6)


def test_the_snapshot_behind_each_poll(crowd):
    assert_by_index(lambda: versions.take_snapshot(crowd.public_id), most=6)
    assert_by_index(lambda: announcements.since(crowd, announcements.newest(), until=10**9), most=2)


@pytest.mark.parametrize("sort", order.SORTS)
def test_the_overview_in_each_order(crowd, sort):
    assert_by_index(lambda: page.overview(crowd, OverviewParams(sort=sort)))


@pytest.mark.parametrize("shown", list(Shown))
def test_the_overview_with_each_status(crowd, shown):
    assert_by_index(lambda: page.overview(crowd, OverviewParams(statuses=(shown,))))


@pytest.mark.parametrize(
    "params", [{"tag": "tag-3"}, {"text": "backup"}, {"text": "nothing like it"}, {"page": 9}]
)
def test_the_overview_with_each_search(crowd, params):
    assert_by_index(lambda: page.overview(crowd, OverviewParams(**params)))


@pytest.fixture
def owner(crowd):
    client = Client()
    client.force_login(make_user(workspace=crowd))
    return client


@pytest.mark.parametrize(
    "address",
    [
        *("/incidents/", "/incidents/?show=open", "/maintenance/", "/maintenance/new/", "/tokens/"),
        *("/channels/", "/channels/new/webhook/", "/settings/audit/"),
    ],
)
def test_the_pages_of_a_workspace(owner, address):
    assert_by_index(lambda: ok(owner.get(address)))


@pytest.mark.parametrize(
    "name", ["detail", "log", "incidents", "changes", "rejected_pushes", "charts", "edit"]
)
def test_the_pages_of_a_monitor(crowd, owner, name):
    monitor = crowd.monitors.filter(state__status="down").first()
    assert_by_index(lambda: ok(owner.get(reverse(f"monitors:{name}", args=[monitor.public_id]))))


@pytest.mark.parametrize("all_monitors", [True, False])
@pytest.mark.parametrize("name", ["detail", "edit"])
def test_the_pages_of_a_channel(crowd, owner, name, all_monitors):
    channel = crowd.channels.filter(all_monitors=all_monitors).first()
    assert_by_index(lambda: ok(owner.get(reverse(f"notifications:{name}", args=[channel.public_id]))))


@pytest.mark.parametrize(
    "path",
    [
        *("monitors/", "monitors/?status=down", "monitors/?status=up", "monitors/?status=late"),
        *("monitors/?tag=tag-3", "monitors/?q=backup", "monitors/?limit=500", "monitors/{monitor}/"),
        *("incidents/", "incidents/?open=true", "incidents/?from=2026-01-01T00:00:00Z"),
        *(
            "monitors/{monitor}/heartbeats/",
            "monitors/{monitor}/incidents/",
            "monitors/{monitor}/transitions/",
        ),
        *("monitors/{monitor}/uptime/", "monitors/{monitor}/tokens/", "maintenance/", "channels/"),
        *("deliveries/", "deliveries/?status=pending", "deliveries/?monitor={monitor}"),
    ],
)
def test_the_lists_of_the_api(crowd, path):
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
    assert_by_index(lambda: ok(client.get(f"/api/v1/{path.format(monitor=monitor.public_id)}")))


@pytest.mark.parametrize(
    "path",
    [
        *("monitors/incident/", "monitors/incident/?resolved_at__isempty=1", "notifications/delivery/"),
        *("accounts/auditentry/", "monitors/pushtoken/", "monitors/monitor/"),
        "monitors/monitor/?state__status__exact=down",
    ],
)
def test_the_first_page_of_the_admin_site(crowd, path):
    root = make_user()
    root.is_staff = root.is_superuser = True
    root.save()
    client = Client()
    client.force_login(root)
    found, number = tables_read_whole(lambda: ok(client.get(f"/admin/{path}")))
    # How many there are in all is counted, up to a limit where a table keeps growing.
    assert not [each for each in found if "COUNT(*)" not in each], found
    assert number <= MOST_QUERIES


def test_what_waits_to_be_sent(crowd):
    channel = crowd.channels.get(all_monitors=True)
    now = database_now()
    assert_by_index(waiting.channels_with_something_due, most=3)
    assert_by_index(lambda: waiting.neglected_since(now - timedelta(minutes=1)), most=6)
    assert_by_index(lambda: turn._due(channel, now + timedelta(hours=2), 20), most=5)
    assert_by_index(lambda: turn._is_busy(channel, now), most=2)
    assert_by_index(lambda: turn._try_again(channel, now), most=3)


def test_what_is_looked_for_every_few_seconds(crowd):
    assert_by_index(enqueue_all)
    assert_by_index(enqueue.wake_overlooked)


def test_maintenance_of_the_monitors_of_a_page(crowd):
    monitors = list(crowd.monitors.all()[:40])
    assert_by_index(lambda: maintenance.of_monitors(monitors).held_until(monitors, database_now()))


def test_rolling_up(crowd):
    monitors = rollups.with_workspaces(crowd.monitors.all())
    now = database_now()
    assert_by_index(lambda: next(rollups.missing_half_hours(now), None), most=4)
    assert_by_index(lambda: rollups.sums(monitors, [(now - rollups.HALF_HOUR, now)]), most=1)


def test_deleting_what_is_old(crowd):
    before = database_now() - timedelta(days=3650)
    for delete in (
        retention.delete_old_heartbeats,
        retention.delete_old_rollups,
        retention.delete_old_gaps,
        retention.delete_old_rejected_pushes,
        lambda: delete_old_deliveries(before=before),
        lambda: delete_old_incidents(before=before),
    ):
        assert_by_index(delete, most=12)
    monitor = crowd.monitors.last()
    assert_by_index(lambda: retention.purge(monitor_id=monitor.pk), most=20)


def test_the_dashboards_are_cached_no_longer_than_they_cost():
    def cached(cost: float) -> float:
        return versions.Snapshot(None, None, None, None, 0.0, cost).keeps

    assert cached(0.02) == versions.CACHE_SECONDS
    assert cached(0.3) == pytest.approx(2.0)
    assert cached(30.0) == 5.0


def ok(answer: Any) -> None:
    assert answer.status_code == 200, answer
