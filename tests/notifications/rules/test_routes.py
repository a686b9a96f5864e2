"""Which channels are notified of a monitor: urgency, and escalation beside subscriptions."""

from __future__ import annotations

from datetime import timedelta

import pytest

from notifications.models import EscalationStep
from notifications.rules.effective import is_at_least, routes_of
from notifications.services import rules as rule_service
from notifications.services.rules import Choice
from tests.support.factories import make_channel, make_monitor, make_workspace

pytestmark = pytest.mark.django_db
QUARTER = timedelta(minutes=15)


@pytest.fixture
def workspace():
    return make_workspace()


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace)


def routes(monitor):
    return {route.channel.name: route for route in routes_of([monitor])[monitor.pk]}


def step(channel, *, workspace=None, after=900, least_urgency="low"):
    return EscalationStep.objects.create(
        workspace=workspace or channel.workspace, channel=channel, after=after, least_urgency=least_urgency
    )


# --- Urgency --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("urgency", "least", "enough"),
    [
        ("low", "low", True),
        ("low", "normal", False),
        ("normal", "normal", True),
        ("normal", "high", False),
        ("high", "normal", True),
        ("high", "high", True),
    ],
)
def test_a_channel_has_a_route_only_to_monitors_that_are_urgent_enough(workspace, urgency, least, enough):
    make_channel(workspace=workspace, name="Phone", least_urgency=least)
    monitor = make_monitor(workspace=workspace, urgency=urgency)
    assert ("Phone" in routes(monitor)) is enough
    assert is_at_least(urgency, least) is enough


def test_urgency_limits_a_selected_channel_too(workspace, monitor):
    make_channel(workspace=workspace, monitors=[monitor], least_urgency="high")
    assert routes(monitor) == {}


# --- Escalation -----------------------------------------------------------------------------------


def test_a_step_notifies_a_channel_that_is_not_subscribed(workspace, monitor):
    phone = make_channel(workspace=workspace, name="Phone", monitors=[], on_reminder=False)
    step(phone)
    route = routes(monitor)["Phone"]
    assert (route.delay, route.events) == (QUARTER, {"down", "recovery"})
    assert route.unless_acknowledged


def test_a_step_brings_the_channels_reminders_but_no_lateness(workspace, monitor):
    """An outage is escalated, and being late is none yet."""
    step(make_channel(workspace=workspace, name="Phone", monitors=[], on_late=True, on_recovery=False))
    assert routes(monitor)["Phone"].events == {"down", "recovery", "reminder"}


@pytest.mark.parametrize(
    ("delay", "expected"),
    [(0, (timedelta(0), False)), (900, (QUARTER, False)), (3600, (QUARTER, True))],
)
def test_a_step_counts_for_a_subscribed_channel_only_if_it_is_sooner(workspace, monitor, delay, expected):
    step(make_channel(workspace=workspace, name="Phone", delay=delay))
    route = routes(monitor)["Phone"]
    assert (route.delay, route.unless_acknowledged) == expected


def test_a_step_counts_for_a_channel_that_is_only_subscribed_to_recoveries(workspace, monitor):
    step(make_channel(workspace=workspace, name="Phone", on_down=False, on_reminder=False))
    route = routes(monitor)["Phone"]
    assert (route.delay, route.events) == (QUARTER, {"down", "recovery"})


def test_a_step_is_for_monitors_that_are_urgent_enough(workspace):
    step(make_channel(workspace=workspace, name="Phone", monitors=[]), least_urgency="high")
    assert routes(make_monitor(workspace=workspace)) == {}
    assert "Phone" in routes(make_monitor(workspace=workspace, urgency="high"))


def test_a_step_does_not_overrule_the_urgency_that_its_channel_needs(workspace, monitor):
    step(make_channel(workspace=workspace, name="Phone", monitors=[], least_urgency="high"))
    assert routes(monitor) == {}


def test_a_step_for_a_disabled_channel_notifies_no_one(workspace, monitor):
    step(make_channel(workspace=workspace, monitors=[], enabled=False))
    assert routes(monitor) == {}


def test_steps_stay_in_their_workspace(workspace, monitor):
    step(make_channel(workspace=make_workspace(), monitors=[]))
    # Not even one whose channel is elsewhere.
    step(make_channel(workspace=make_workspace(), monitors=[]), workspace=workspace)
    assert routes(monitor) == {}


def test_a_step_applies_to_a_monitor_that_the_channel_was_unsubscribed_from(workspace, monitor):
    phone = make_channel(workspace=workspace, name="Phone")
    step(phone)
    choice = Choice(subscribed=False, events=("down",))
    rule_service.change(monitor=monitor, channels={phone.public_id: choice})
    route = routes(monitor)["Phone"]
    assert (route.delay, route.events) == (QUARTER, {"down", "recovery"})


def test_the_preview_of_a_choice_includes_escalation(workspace, monitor):
    phone = make_channel(workspace=workspace, name="Phone", monitors=[])
    chat = make_channel(workspace=workspace, name="Chat", delay=60)
    step(phone)
    meant = rule_service.routes_from(monitor, [(phone, Choice(False)), (chat, Choice())])
    assert {route.channel.name: route for route in meant} == routes(monitor)


def test_routes_cost_the_same_however_many_monitors_there_are(workspace, django_assert_num_queries):
    for _ in range(3):
        step(make_channel(workspace=workspace, monitors=[]))
    monitors = [make_monitor(workspace=workspace) for _ in range(5)]
    for some in (monitors[:1], monitors):
        with django_assert_num_queries(4):
            found = routes_of(some)
        assert [len(found[monitor.pk]) for monitor in some] == [3] * len(some)
