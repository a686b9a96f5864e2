"""Whatever changes who is notified, or when, has what is open compared with it at once."""

from __future__ import annotations

from datetime import time, timedelta

import pytest

from core.clock import database_now
from monitors.services import monitors as monitor_service
from notifications.models import Belief
from notifications.rules.effective import Step
from notifications.services import channels as channel_operations
from notifications.services import rules as rule_service
from notifications.services.rules import Choice, Own, Reminders
from tests.support.factories import make_channel, make_monitor
from tests.support.incidents import make_incident

pytestmark = pytest.mark.django_db


@pytest.fixture
def monitor():
    """A monitor that is down."""
    monitor = make_monitor(urgency="low")
    make_incident(monitor)
    return monitor


@pytest.fixture
def channel(monitor):
    return make_channel(workspace=monitor.workspace, monitors=[])


def believing(channel, monitor):
    """What `channel` believes, to be compared in an hour."""
    at = database_now() + timedelta(hours=1)
    return Belief.objects.create(channel=channel, monitor=monitor, check_at=at)


def is_compared_now(channel, monitor):
    return Belief.objects.filter(channel=channel, monitor=monitor, check_at__lte=database_now()).exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"delay": 60},
        {"on_reminder": False},
        {"least_urgency": "normal"},
        {"quiet_from": time(22), "quiet_until": time(7)},
        {"all_monitors": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_edit_of_a_channel(monitor, channel, changes):
    believing(channel, monitor)
    channel_operations.edit(channel=channel, **changes)
    assert is_compared_now(channel, monitor)


def test_an_edit_that_changes_nothing_compares_nothing(monitor, channel):
    believing(channel, monitor)
    channel_operations.edit(channel=channel, delay=channel.delay)
    assert not is_compared_now(channel, monitor)


def test_a_subscription_to_a_monitor_that_is_down(monitor, channel):
    channel_operations.assign(channels=[channel], monitors=[monitor], subscribed=True)
    assert is_compared_now(channel, monitor)


def test_a_new_channel_for_all_monitors(monitor):
    config = {"url": "https://example.com/"}
    channel = channel_operations.create(
        workspace=monitor.workspace, kind="webhook", name="Chat", config=config
    )
    assert is_compared_now(channel, monitor)


def test_the_rules_of_a_monitor(monitor, channel):
    believing(channel, monitor)
    rule_service.change(monitor=monitor, own=Own(reminders=Reminders(600)))
    assert is_compared_now(channel, monitor)


def test_a_choice_for_a_monitor(monitor, channel):
    rule_service.change(monitor=monitor, channels={channel.public_id: Choice()})
    assert is_compared_now(channel, monitor)


def test_the_rules_of_a_workspace(monitor, channel):
    believing(channel, monitor)
    rule_service.change_workspace(workspace=monitor.workspace, own=Own(flap_changes=0))
    assert is_compared_now(channel, monitor)


def test_an_escalation_step_for_a_monitor_that_is_down(monitor, channel):
    steps = [Step(channel, timedelta(minutes=15))]
    rule_service.change_workspace(workspace=monitor.workspace, own=Own(), steps=steps)
    assert is_compared_now(channel, monitor)


def test_the_urgency_of_a_monitor(monitor):
    phone = make_channel(workspace=monitor.workspace, least_urgency="high")
    monitor_service.edit(monitor=monitor, urgency="high")
    assert is_compared_now(phone, monitor)


def test_the_channels_of_a_monitor(monitor, channel):
    monitor_service.edit(monitor=monitor, channels=[channel])
    assert is_compared_now(channel, monitor)
