"""Old deliveries and incidents go, and nothing that is still needed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import database_now
from monitors.history import uptimes
from monitors.models import ROLLUP_DAYS, Incident, Monitor, Transition
from notifications import tasks
from notifications.models import Belief, Delivery, DeliveryAttempt
from notifications.services import retention
from tests.support.factories import make_channel, make_monitor
from tests.support.heartbeats import Queries
from tests.support.incidents import make_incident

pytestmark = pytest.mark.django_db
YEAR = timedelta(days=365)


@pytest.fixture
def monitor():
    return make_monitor()


@pytest.fixture
def channel(monitor):
    return make_channel(workspace=monitor.workspace)


@pytest.fixture
def limit():
    return database_now() - YEAR


def incident(monitor, *, at, resolved_at=None):
    return make_incident(monitor, started_at=at, detected_at=at, confirmed_at=at, resolved_at=resolved_at)


def over(monitor, at):
    """An incident that was resolved right away, so that there may be several of one monitor."""
    return incident(monitor, at=at, resolved_at=at + timedelta(minutes=1))


def delivery(channel, monitor=None, *, at, status="sent", digest=None, of=None, tried=True):
    made = Delivery.objects.create(
        channel=channel,
        monitor=monitor,
        incident=of,
        event="digest" if monitor is None else "incident.opened",
        status=status,
        digest=digest,
        created_at=at,
        next_attempt_at=at if status in ("pending", "sending") else None,
    )
    if tried:
        DeliveryAttempt.objects.create(delivery=made, number=1, started_at=at, finished_at=at, ok=True)
    return made


# --- Deliveries -----------------------------------------------------------------------------------


def test_old_deliveries_go_with_their_attempts_and_younger_ones_stay(channel, monitor, limit):
    for status in ("sent", "failed", "skipped"):
        delivery(channel, monitor, at=limit - timedelta(days=1), status=status)
    young = delivery(channel, monitor, at=limit + timedelta(days=1))
    assert retention.delete_old_deliveries(before=limit) == 3
    assert list(Delivery.objects.all()) == [young]
    assert DeliveryAttempt.objects.get().delivery == young


@pytest.mark.parametrize("status", ["pending", "sending"])
def test_a_delivery_that_is_not_finished_stays(channel, monitor, limit, status):
    delivery(channel, monitor, at=limit - timedelta(days=1), status=status)
    assert retention.delete_old_deliveries(before=limit) == 0
    assert Delivery.objects.count() == 1


def test_a_digest_goes_with_its_members(channel, monitor, limit):
    digest = delivery(channel, at=limit - timedelta(seconds=1))
    for _ in range(3):
        # They were written after the digest was planned, and are as old as it.
        delivery(channel, monitor, at=limit + timedelta(seconds=1), digest=digest, tried=False)
    assert retention.delete_old_deliveries(before=limit) == 4
    assert not Delivery.objects.exists()


def test_a_member_that_is_old_stays_with_its_digest(channel, monitor, limit):
    digest = delivery(channel, at=limit + timedelta(seconds=1))
    member = delivery(channel, monitor, at=limit - timedelta(seconds=1), digest=digest)
    assert retention.delete_old_deliveries(before=limit) == 0
    member.refresh_from_db()
    assert member.digest == digest


def test_what_a_belief_refers_to_stays_with_its_digest(channel, monitor, limit):
    old = limit - timedelta(days=1)
    alone = delivery(channel, monitor, at=old)
    digest = delivery(channel, at=old)
    member = delivery(channel, monitor, at=old, digest=digest)
    others = [make_monitor(workspace=monitor.workspace) for _ in range(2)]
    for one, referred in zip(others, (alone, member), strict=True):
        Belief.objects.create(channel=channel, monitor=one, delivery=referred)
    delivery(channel, monitor, at=old)
    assert retention.delete_old_deliveries(before=limit) == 1
    assert set(Delivery.objects.all()) == {alone, digest, member}


def test_many_go_in_small_batches_past_those_that_stay(channel, monitor, limit):
    old = limit - timedelta(days=1)
    for _ in range(12):
        delivery(channel, monitor, at=old, status="pending", tried=False)
    for _ in range(25):
        delivery(channel, monitor, at=old, tried=False)
    with Queries() as queries:
        assert retention.delete_old_deliveries(before=limit, batch=10) == 25
    of_deliveries = 'DELETE FROM "notifications_delivery" '
    assert len([sql for sql in queries.statements if sql.startswith(of_deliveries)]) == 3
    assert Delivery.objects.count() == 12


# --- Incidents ------------------------------------------------------------------------------------


def test_incidents_that_were_resolved_long_ago_go(monitor, limit):
    over(monitor, limit - timedelta(days=2))
    young = over(monitor, limit + timedelta(days=1))
    assert retention.delete_old_incidents(before=limit) == 1
    assert list(Incident.objects.all()) == [young]


def test_an_incident_that_is_open_or_was_resolved_lately_stays(monitor, limit):
    old = limit - timedelta(days=100)
    lately = incident(monitor, at=old, resolved_at=limit + timedelta(days=1))
    still = incident(make_monitor(), at=old)
    assert retention.delete_old_incidents(before=limit) == 0
    assert set(Incident.objects.all()) == {lately, still}


def test_an_incident_that_a_channel_was_notified_of_last_stays(channel, monitor, limit):
    known = over(monitor, limit - timedelta(days=2))
    over(monitor, limit - timedelta(days=3))
    Belief.objects.create(channel=channel, monitor=monitor, incident=known, state="up")
    assert retention.delete_old_incidents(before=limit) == 1
    assert Belief.objects.get().incident == known


def test_an_incident_stays_as_long_as_its_deliveries(channel, monitor, limit):
    of = over(monitor, limit - timedelta(days=2))
    delivery(channel, monitor, at=limit + timedelta(days=1), of=of)
    assert retention.delete_old_incidents(before=limit) == 0


def test_status_changes_stay_so_that_uptimes_do(monitor, limit):
    old = limit - timedelta(days=2)
    Transition.objects.create(
        monitor=monitor, at=old, source="up", target="down", reason="reported", incident=over(monitor, old)
    )
    assert retention.delete_old_incidents(before=limit) == 1
    assert Transition.objects.get().incident is None


def change(monitor, at, target="up"):
    return Transition.objects.create(
        monitor=monitor, at=at, source="new", target=target, reason="heartbeat", incident=None
    )


def test_old_status_changes_go_and_the_last_of_each_monitor_stays(monitor, limit):
    silent = make_monitor()
    day = timedelta(days=1)
    kept = [
        change(monitor, limit - day, "down"),
        change(monitor, limit + day),
        change(silent, limit - 9 * day),
    ]
    for number in range(2, 9):
        change(monitor, limit - number * day)
    assert retention.delete_old_transitions(before=limit, batch=3) == 7
    assert set(Transition.objects.all()) == set(kept)


def test_uptimes_are_the_same_without_the_old_status_changes(monitor, limit):
    day = timedelta(days=1)
    for number, target in [(5, "up"), (4, "down"), (3, "up"), (2, "down"), (-2, "up"), (-3, "down")]:
        change(monitor, limit - number * day, target)
    now = database_now()

    def since_the_limit():
        monitors = list(Monitor.objects.select_related("state"))
        return uptimes.uptimes(monitors, start=limit, end=now, now=now)[monitor.pk]

    before = since_the_limit()
    assert retention.delete_old_transitions(before=limit) == 3
    assert since_the_limit() == before


# --- The task -------------------------------------------------------------------------------------


def test_the_hourly_task_deletes_by_the_setting(channel, monitor, settings):
    at = database_now() - timedelta(days=31)
    delivery(channel, monitor, at=at, of=over(monitor, at))
    settings.TIANJI_HISTORY_DAYS = 32
    tasks.retention()
    assert Delivery.objects.count() == Incident.objects.count() == 1
    settings.TIANJI_HISTORY_DAYS = 30
    tasks.retention()
    assert not Delivery.objects.exists()
    assert not Incident.objects.exists()


@pytest.mark.parametrize(("days", "kept"), [(30, ROLLUP_DAYS), (500, 500)])
def test_status_changes_are_kept_as_long_as_uptimes_are_shown(monitor, settings, days, kept):
    settings.TIANJI_HISTORY_DAYS = days
    now = database_now()
    oldest, old, young = (
        change(monitor, now - timedelta(days=ago)) for ago in (kept + 2, kept + 1, kept - 1)
    )
    tasks.retention()
    assert list(Transition.objects.order_by("at")) == [old, young]
    assert oldest.pk < old.pk


def test_zero_keeps_everything(channel, monitor, settings):
    settings.TIANJI_HISTORY_DAYS = 0
    delivery(channel, monitor, at=database_now() - 9 * YEAR)
    for years in (9, 8):
        change(monitor, database_now() - years * YEAR)
    tasks.retention()
    assert Delivery.objects.exists()
    assert Transition.objects.count() == 2
