"""Monitors that keep going down and recovering."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from core.clock import database_now
from monitors.models import Incident
from notifications.services import rules as rule_service
from notifications.services.flapping import is_flapping
from notifications.services.rules import Own
from tests.support.factories import make_monitor

pytestmark = pytest.mark.django_db


def incidents(monitor, *, number, now, minutes=9):
    """So many incidents that were confirmed and resolved, the first `minutes` ago; each is two changes."""
    first = now - timedelta(minutes=minutes)
    for count in range(number):
        at = first + timedelta(seconds=20 * count)
        Incident.objects.create(
            monitor=monitor,
            cause="reported",
            started_at=at,
            detected_at=at,
            confirmed_at=at,
            resolved_at=at + timedelta(seconds=10),
        )


def test_more_than_six_changes_in_ten_minutes_are_flapping():
    now = database_now()
    calm, restless = make_monitor(), make_monitor()
    incidents(calm, number=3, now=now)
    incidents(restless, number=4, now=now)
    assert is_flapping([calm, restless], now) == {restless.pk}
    assert is_flapping([calm], now) == set()


def test_what_is_longer_ago_does_not_count():
    now, monitor = database_now(), make_monitor()
    incidents(monitor, number=10, now=now, minutes=30)
    assert is_flapping([monitor], now) == set()


def test_its_own_rules_come_before_those_of_the_workspace():
    now, monitor = database_now(), make_monitor()
    incidents(monitor, number=2, now=now)
    assert is_flapping([monitor], now) == set()
    rule_service.change_workspace(workspace=monitor.workspace, own=Own(flap_changes=3))
    assert is_flapping([monitor], now) == {monitor.pk}
    rule_service.change(monitor=monitor, own=Own(flap_changes=0))
    assert is_flapping([monitor], now) == set()


def test_it_is_one_query(django_assert_num_queries):
    now, monitors = database_now(), [make_monitor() for _ in range(3)]
    for monitor in monitors:
        incidents(monitor, number=4, now=now)
    with django_assert_num_queries(1):
        assert len(is_flapping(monitors, now)) == 3


def test_the_monitors_page_says_so(admin, workspace):
    now, monitor = database_now(), make_monitor(workspace=workspace)
    page = reverse("monitors:detail", args=[monitor.public_id])
    assert 'id="flapping"' not in admin.get(page).content.decode()
    incidents(monitor, number=4, now=now)
    assert 'id="flapping"' in admin.get(page).content.decode()
