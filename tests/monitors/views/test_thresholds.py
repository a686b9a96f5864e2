"""What pages and the API say of incidents that are not confirmed yet, and of monitors that recover."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from core.clock import database_now
from monitors.domain.state_machine import Shown
from monitors.domain.thresholds import Threshold
from monitors.heartbeats import missed
from monitors.models import Monitor
from monitors.pages import detail as detail_page
from monitors.pages.overview import filters
from monitors.services import monitors as monitor_service
from monitors.services import thresholds
from monitors.services.thresholds import OwnThresholds
from tests.support.factories import make_monitor
from tests.support.heartbeats import let_pass, push

pytestmark = pytest.mark.django_db

CLOSED = "Closed as unconfirmed: no notifications were sent"


def judged(workspace, *, missed=(1, 1), reported=(1, 1), recovery=1, **fields):
    monitor = make_monitor(workspace=workspace, timeout=300, grace=30, **fields)
    own = OwnThresholds(Threshold(*missed), Threshold(*reported), recovery)
    thresholds.change(monitor=monitor, own=own)
    return monitor


def text_at(client, name, *args, query=""):
    page = client.get(reverse(f"monitors:{name}", args=args) + query)
    assert page.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", page.content.decode()).split())


def incident_page(client, monitor):
    return text_at(client, "incident", monitor.incidents.order_by("-pk")[0].public_id)


def test_a_page_says_how_many_failures_an_incident_still_needs(admin, workspace):
    monitor = judged(workspace, reported=(3, 3))
    push(monitor, up=False)
    assert "Not confirmed yet: 1 of 3 failures" in text_at(admin, "detail", monitor.public_id)
    assert "Not confirmed yet: 1 of 3 failures" in incident_page(admin, monitor)
    push(monitor, up=False)
    assert "Not confirmed yet: 2 of 3 failures" in text_at(admin, "detail", monitor.public_id)
    push(monitor, up=False)
    assert "Not confirmed yet" not in text_at(admin, "detail", monitor.public_id)
    assert "Unconfirmed" not in incident_page(admin, monitor)


def test_missed_heartbeats_are_counted_by_their_own_threshold(admin, workspace):
    monitor = judged(workspace, missed=(4, 5), reported=(3, 3))
    push(monitor)
    assert "goes down at" in text_at(admin, "detail", monitor.public_id)
    let_pass(monitor, seconds=640)
    missed.declare_missed()
    assert "Not confirmed yet: 2 of 4 failures" in text_at(admin, "detail", monitor.public_id)


def test_a_page_says_how_many_good_heartbeats_a_monitor_still_needs(admin, workspace):
    monitor = judged(workspace, recovery=3)
    push(monitor, up=False)
    assert "recovers after 3 good heartbeats in a row" in text_at(admin, "detail", monitor.public_id)
    push(monitor)
    page = text_at(admin, "detail", monitor.public_id)
    assert "Recovering: 1 of 3 good heartbeats" in page
    assert "recovers after" not in page
    assert "Recovering: 1 of 3 good heartbeats" in incident_page(admin, monitor)


def test_an_incident_that_was_closed_unconfirmed_is_marked_everywhere(admin, workspace):
    monitor = judged(workspace, reported=(2, 2))
    push(monitor, up=False)
    assert "Unconfirmed · Reported down" in text_at(admin, "log", monitor.public_id)
    push(monitor)
    for page in (
        incident_page(admin, monitor),
        text_at(admin, "log", monitor.public_id),
        text_at(admin, "incidents", monitor.public_id),
        text_at(admin, "incident_list"),
        text_at(admin, "detail", monitor.public_id),
    ):
        assert CLOSED in page


def test_the_log_says_that_a_pause_closed_an_unconfirmed_incident(admin, workspace):
    monitor = judged(workspace, reported=(2, 2))
    push(monitor, up=False)
    monitor_service.pause(monitor=monitor)
    assert "closed the unconfirmed incident" in text_at(admin, "log", monitor.public_id)


def test_the_overview_counts_and_finds_recovering_monitors(admin, workspace):
    judged(workspace, name="Fine")
    failing, recovering = judged(workspace, name="Failing"), judged(workspace, name="Mending", recovery=2)
    push(failing, up=False)
    page = text_at(admin, "overview")
    assert "0 recovering" not in page
    push(recovering, up=False)
    push(recovering, message="starting up")
    page = text_at(admin, "overview")
    assert "1 down 1 recovering 0 late" in page
    assert "starting up" not in page
    assert page.index("Failing") < page.index("Mending") < page.index("Fine")
    only = text_at(admin, "overview", query="?status=recovering")
    assert "Mending" in only
    assert "Failing" not in only
    assert "Mending" not in text_at(admin, "overview", query="?status=down")


def test_a_recovering_monitor_that_is_overdue_is_counted_as_down(workspace):
    monitor = judged(workspace, recovery=2)
    push(monitor, up=False)
    push(monitor)
    let_pass(monitor, seconds=340)
    now, monitors = database_now(), Monitor.objects.filter(workspace=workspace)
    counts = filters.standing(monitors, now).counts
    assert (counts[Shown.DOWN], counts[Shown.RECOVERING]) == (1, 0)
    assert filters.by_status(monitors, [Shown.DOWN], now=now).get() == monitor
    assert not filters.by_status(monitors, [Shown.RECOVERING], now=now).exists()


@pytest.mark.parametrize("of", ["unconfirmed", "recovering"])
def test_every_outcome_that_counts_is_another_version_of_the_page(admin, workspace, of, monkeypatch):
    # The age of its bars is part of a version, which changes at every full minute of the clock.
    monkeypatch.setattr(detail_page, "_STALE_AFTER", 10**9)
    monitor = judged(workspace, missed=(5, 5), reported=(5, 5), recovery=5)
    push(monitor, up=False)
    if of == "recovering":
        push(monitor)

    def version():
        page = admin.get(reverse("monitors:detail", args=[monitor.public_id])).content.decode()
        return re.search(r'data-version="([^"]+)"', page)[1]

    before = version()
    assert version() == before
    let_pass(monitor, seconds=340)
    missed.declare_missed()
    assert version() != before


def test_a_test_heartbeat_says_that_it_is_one_of_several(admin, workspace):
    monitor = judged(workspace, recovery=3, reported=(2, 2))
    ask = text_at(admin, "test_heartbeat", monitor.public_id)
    assert "channels are notified, after 2 failures" in ask
    push(monitor, up=False)
    ask = text_at(admin, "test_heartbeat", monitor.public_id, query="?status=up")
    assert "resolved after 3 good heartbeats in a row" in ask
    address = reverse("monitors:test_heartbeat", args=[monitor.public_id])
    answer = admin.post(address, {"status": "up", "sure": "yes"}, follow=True)
    assert "The monitor recovers after more good heartbeats." in answer.content.decode()
