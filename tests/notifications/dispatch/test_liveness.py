"""Whatever happens, a channel learns what is true in the end, and nothing is sent again and again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import database_now
from notifications.dispatch import enqueue, send
from notifications.models import Channel
from tests.support.factories import make_monitor
from tests.support.incidents import box_for, push

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
