"""Whatever happens, a channel learns what is true in the end, and nothing is sent again and again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import database_now
from notifications.dispatch import enqueue, send
from notifications.models import Channel
from tests.support.factories import make_monitor
from tests.support.incidents import age, box_for, deliver_after, push

pytestmark = pytest.mark.django_db

OPENED, RESOLVED, PASSED = "incident.opened", "incident.resolved", "incident.passed"
ENDED, REMINDER, LATE, FLAPPING = "incident.ended", "incident.reminder", "monitor.late", "monitor.flapping"


# --- Subscribed to some events ---------------------------------------------------------------------


def test_a_channel_only_for_recoveries_is_notified_of_each(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, on_down=False)
    push(monitor, up=False)
    send.deliver_due()
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == [RESOLVED]


def test_quiet_hours_hold_back_a_recovery_too(memory):
    now = database_now()
    monitor = make_monitor()
    times = [(now + timedelta(hours=n)).time().replace(second=0, microsecond=0) for n in (-1, 1)]
    box_for(monitor.workspace, on_down=False, quiet_from=times[0], quiet_until=times[1])
    push(monitor, up=False)
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == []
    Channel.objects.update(quiet_from=None, quiet_until=None)
    enqueue.recheck(workspace=monitor.workspace)
    send.deliver_due()
    assert memory.events("a") == [RESOLVED]


def test_a_channel_without_recoveries_is_not_sent_an_old_outage_much_later(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, on_recovery=False)
    push(monitor, up=False)
    send.deliver_due()
    push(monitor)
    push(monitor, up=False)
    push(monitor)
    send.deliver_due()
    age(days=7)
    enqueue.recheck(workspace=monitor.workspace)
    send.deliver_due()
    assert memory.events("a") == [OPENED]


def test_a_channel_without_recoveries_is_notified_of_an_outage_that_it_could_not_be_sent(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, on_recovery=False)
    memory.answers = {"a": "failed"}
    push(monitor, up=False)
    send.deliver_due()
    memory.answers = {}
    push(monitor)
    send.deliver_due()
    deliver_after(seconds=10)
    assert memory.events("a") == [PASSED]


# --- Flapping --------------------------------------------------------------------------------------


def test_a_flapping_monitor_is_flapping_until_it_is_steady_even_if_it_slows_down(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, burst=20)
    for _ in range(4):
        push(monitor, up=False)
        push(monitor)
    send.deliver_due()
    assert memory.events("a") == [FLAPPING]
    # Six changes in ten minutes, and it is never steady.
    for _ in range(10):
        for up in (False, True):
            age(seconds=110)
            push(monitor, up=up)
            send.deliver_due()
    assert memory.events("a") == [FLAPPING]
    deliver_after(minutes=5, seconds=1)
    assert memory.events("a") == [FLAPPING, RESOLVED]
