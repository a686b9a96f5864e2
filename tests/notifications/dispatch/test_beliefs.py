"""Writing beliefs, and what a channel believes after a message arrived or failed for good."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction

from core.clock import database_now
from notifications.dispatch import beliefs, send
from notifications.dispatch.beliefs import Wake
from notifications.messages.events import Event
from notifications.models import Belief, Delivery
from notifications.services import rules as rule_service
from notifications.services.rules import Own, Reminders
from tests.support.factories import make_channel, make_monitor, make_workspace
from tests.support.incidents import age, box_for, deliver_after, make_delivery, make_incident, push

pytestmark = pytest.mark.django_db
DOWN, REMINDER = "incident.opened", "incident.reminder"


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace)


@pytest.fixture
def channel(workspace):
    return make_channel(workspace=workspace)


# --- Waking ----------------------------------------------------------------------------------------


def test_waking_writes_a_belief_where_there_is_none(monitor, channel):
    now = database_now()
    beliefs.wake([Wake(monitor.pk, channel.pk, 7)], at=now)
    belief = Belief.objects.get()
    assert (belief.monitor, belief.channel, belief.after_incident) == (monitor, channel, 7)
    assert (belief.state, belief.check_at, belief.sequence) == ("nothing", now, 0)


@pytest.mark.parametrize(("before", "expected"), [(None, 0), (-5, -5), (5, 0)])
def test_waking_brings_a_comparison_forward_and_never_puts_it_off(monitor, channel, before, expected):
    now = database_now()
    check_at = None if before is None else now + timedelta(seconds=before)
    Belief.objects.create(monitor=monitor, channel=channel, after_incident=3, check_at=check_at, state="down")
    beliefs.wake([Wake(monitor.pk, channel.pk, 7)], at=now)
    belief = Belief.objects.get()
    assert belief.check_at == now + timedelta(seconds=expected)
    assert (belief.state, belief.after_incident) == ("down", 3)


def test_waking_nobody_asks_nothing(django_assert_num_queries):
    now = database_now()
    with django_assert_num_queries(0):
        beliefs.wake([], at=now)


def test_waking_a_thousand_is_one_query(workspace, channel, django_assert_num_queries):
    monitors = [make_monitor(workspace=workspace) for _ in range(3)]
    channels = [make_channel(workspace=workspace) for _ in range(4)]
    now = database_now()
    with django_assert_num_queries(1):
        beliefs.wake([Wake(one.pk, other.pk, 0) for one in monitors for other in channels], at=now)
    assert Belief.objects.filter(check_at=now).count() == 12


# --- Believing -------------------------------------------------------------------------------------


def believed_after(channel, monitor, event, *, arrived=True, before=None, **fields):
    incident = make_incident(monitor)
    delivery = make_delivery(channel, monitor, incident=incident, event=event, status="sending", **fields)
    Belief.objects.update(state="down", **(before or {}))
    with transaction.atomic():
        beliefs.believe(delivery, arrived=arrived, now=database_now())
    return Belief.objects.get(), incident


@pytest.mark.parametrize(
    ("event", "state"), [(Event.OPENED, "down"), (Event.FLAPPING, "flapping"), (Event.REMINDER, "down")]
)
def test_bad_news_that_arrived_is_believed_and_its_outage_is_open(channel, monitor, event, state):
    belief, incident = believed_after(channel, monitor, event)
    assert belief.state == state
    assert belief.outage is not None
    assert belief.after_incident == incident.pk
    assert belief.delivery is None
    assert belief.check_at == belief.sent_at


@pytest.mark.parametrize("event", [Event.RESOLVED, Event.PASSED, Event.ENDED])
def test_an_end_that_arrived_closes_the_outage(channel, monitor, event):
    belief, incident = believed_after(channel, monitor, event, before={"reminders": 3})
    assert (belief.state, belief.outage, belief.incident, belief.reminders) == ("up", None, None, 0)
    assert belief.after_incident == incident.pk


def test_a_new_outage_begins_its_reminders_anew(channel, monitor):
    belief, incident = believed_after(channel, monitor, Event.OPENED, before={"reminders": 3})
    assert (belief.reminders, belief.incident) == (0, incident)


def test_a_reminder_is_counted(channel, monitor):
    belief, _incident = believed_after(channel, monitor, Event.REMINDER, before={"reminders": 1}, reminder=2)
    assert belief.reminders == 2


@pytest.mark.parametrize("event", [Event.OPENED, Event.RESOLVED, Event.FLAPPING])
def test_what_failed_for_good_is_not_believed_but_may_have_been_opened(channel, monitor, event):
    belief, incident = believed_after(channel, monitor, event, arrived=False)
    assert (belief.state, belief.delivery, belief.check_at) == ("down", None, None)
    assert belief.outage is not None
    assert belief.after_incident == incident.pk


def test_a_reminder_that_failed_for_good_is_followed_by_the_next_one(memory, monitor):
    rule_service.change(monitor=monitor, own=Own(reminders=Reminders(600, 3)))
    box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    memory.answers = {"a": "refused"}
    deliver_after(seconds=601)
    memory.answers = {}
    assert Delivery.objects.get(event=REMINDER).status == "failed"
    assert send.deliver_due() == 0
    deliver_after(seconds=601)
    assert memory.events("a") == [DOWN, REMINDER]
    assert memory.to("a")[-1].payload["reminder"] == {"number": 2, "of": 3}


def test_a_recovery_is_sent_though_the_outage_was_given_up(memory, monitor):
    """Its last attempt may have arrived."""
    box_for(monitor.workspace)
    memory.answers = {"a": "refused"}
    push(monitor, up=False)
    send.deliver_due()
    memory.answers = {}
    age(minutes=1)
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == ["incident.passed"]
    assert not Belief.objects.filter(outage__isnull=False).exists()


def test_each_member_of_a_digest_is_believed(memory):
    workspace = make_workspace()
    monitors = [make_monitor(workspace=workspace) for _ in range(4)]
    box_for(workspace, burst=1)
    push(*monitors, up=False)
    send.deliver_due()
    push(monitors[3])
    deliver_after(seconds=31)
    states = dict(Belief.objects.values_list("monitor", "state"))
    assert states == {monitor.pk: "down" for monitor in monitors[:3]} | {monitors[3].pk: "up"}
