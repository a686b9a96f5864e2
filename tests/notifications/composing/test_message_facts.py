"""What messages say: the present state, and what happened before. Nothing over is titled "Down"."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.actors import COMMAND
from core.clock import database_now
from monitors.models import Monitor
from monitors.services import incidents
from monitors.services import monitors as monitor_service
from notifications.composing import compose, message_facts
from notifications.dispatch import late_and_failing, send
from notifications.messages.events import Event
from notifications.models import Delivery
from tests.support.factories import make_monitor
from tests.support.incidents import age, box_for, deliver_after, make_delivery, make_incident, push

pytestmark = pytest.mark.django_db


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace, name="Oven")


def went_down(monitor, message="cold"):
    push(monitor, up=False, message=message)
    send.deliver_due()


def last(memory, box="a"):
    return memory.to(box)[-1]


# --- The present state -----------------------------------------------------------------------------


def test_a_message_that_waited_has_the_present_reason(memory, monitor):
    box_for(monitor.workspace)
    memory.answers = {"a": "lost"}
    went_down(monitor, "cold")
    memory.answers = {}
    push(monitor, up=False, message="on fire")
    deliver_after(seconds=10)
    first, second = memory.to("a")
    assert first.id == second.id
    assert "on fire" in second.message.text


def test_a_relapse_says_that_it_is_down_again_and_when_it_began(memory, monitor):
    box_for(monitor.workspace)
    went_down(monitor)
    push(monitor)
    went_down(monitor, "no gas")
    payload = last(memory).payload
    assert payload["event"] == "incident.opened"
    assert "again" in last(memory).message.title.lower()
    assert payload["incident"]["id"] == str(monitor.incidents.get(resolved_at=None).public_id)
    assert payload["sequence"] == 2


def test_what_happened_meanwhile_is_counted(memory, monitor):
    box_for(monitor.workspace)
    went_down(monitor)
    for up in (True, False, True, False, True):
        age(seconds=30)
        push(monitor, up=up)
    send.deliver_due()
    facts = message_facts.of_one(Delivery.objects.latest("pk"), database_now())
    assert facts.event is Event.RESOLVED
    text = last(memory).message.text
    assert last(memory).message.title.startswith("Recovered: Oven")
    # The two it was not notified of, besides the last one.
    assert "2 " in text


def test_facts_count_the_outages_that_the_channel_does_not_know(monitor):
    channel = box_for(monitor.workspace)
    start = database_now() - timedelta(hours=1)
    spans = [(0, 10), (20, 25), (30, None)]
    rows = [
        make_incident(
            monitor,
            started_at=start + timedelta(minutes=begins),
            resolved_at=None if ends is None else start + timedelta(minutes=ends),
        )
        for begins, ends in spans
    ]
    delivery = make_delivery(channel, monitor, incident=rows[-1])
    meanwhile = message_facts.of_one(delivery, database_now()).meanwhile
    assert (meanwhile.times, meanwhile.since) == (2, rows[0].started_at)
    assert meanwhile.longest == timedelta(minutes=10)


def test_without_other_outages_nothing_is_said_about_them(monitor):
    delivery = make_delivery(box_for(monitor.workspace), monitor)
    assert message_facts.of_one(delivery, database_now()).meanwhile is None


def test_the_link_to_acknowledge_is_there_while_nobody_did(memory, monitor):
    box_for(monitor.workspace)
    went_down(monitor)
    assert last(memory).payload["acknowledge_url"]
    incidents.acknowledge(incident=monitor.incidents.get(), by=COMMAND)
    push(monitor)
    went_down(monitor)
    assert last(memory).payload["acknowledge_url"]
    push(monitor)
    send.deliver_due()
    assert not last(memory).payload["acknowledge_url"]


# --- Nothing that is over is titled "Down" ---------------------------------------------------------


def recovered(monitor):
    push(monitor)


def paused(monitor):
    monitor_service.pause(monitor=monitor)


def deleted(monitor):
    monitor_service.delete(monitor=monitor)


@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.parametrize(
    ("end", "title"), [(recovered, ("Recovered", "Was down")), (paused, "Paused"), (deleted, "Deleted")]
)
def test_the_end_of_an_outage_is_not_titled_down(memory, monitor, end, title, arrived):
    box_for(monitor.workspace)
    memory.answers = {} if arrived else {"a": "failed"}
    went_down(monitor)
    memory.answers = {}
    end(monitor)
    deliver_after(seconds=10)
    message = last(memory).message
    assert message.title.startswith(title)
    assert "Oven" in message.title
    assert last(memory).tone == ("up" if end is recovered else "closed")


def test_a_deleted_monitor_is_named_and_leads_to_the_overview(memory, monitor):
    Monitor.objects.update(urgency="high")
    box_for(monitor.workspace)
    monitor.refresh_from_db()
    went_down(monitor)
    public_id, incident = monitor.public_id, monitor.incidents.get()
    deleted(monitor)
    send.deliver_due()
    payload = last(memory).payload
    assert (payload["event"], payload["reason"]) == ("incident.ended", "deleted")
    assert (payload["monitor"]["name"], payload["monitor"]["id"]) == ("Oven", str(public_id))
    assert payload["incident"]["id"] == str(incident.public_id)
    assert payload["monitor"]["urgency"] == "high"
    assert payload["monitor"]["url"].endswith("/")


def test_flapping_says_how_often_and_how_it_is_now(memory, monitor):
    box_for(monitor.workspace)
    for number in range(9):
        push(monitor, up=bool(number % 2))
        age(seconds=10)
    send.deliver_due()
    flapping = last(memory).payload["flapping"]
    assert flapping["changes"] == 9
    assert flapping["is_down"] is True
    assert not last(memory).message.title.startswith("Down")


# --- Late ------------------------------------------------------------------------------------------


def test_what_was_late_is_on_time_again(memory, workspace):
    monitor = make_monitor(workspace=workspace, name="Oven", timeout=60, grace=120)
    push(monitor)
    age(seconds=120)
    box_for(workspace, kind="single", on_late=True)
    late_and_failing.enqueue_late()
    send.deliver_due()
    assert last(memory).message.title == "Late: Oven"
    push(monitor)
    deliver_after(seconds=6)
    assert last(memory).payload["reason"] == "arrived"
    assert "Down" not in last(memory).message.title


# --- Digests ---------------------------------------------------------------------------------------


def test_a_digest_counts_each_section_and_shows_how_each_monitor_is_now(memory, workspace):
    monitors = [make_monitor(workspace=workspace, name=name) for name in ("A", "B", "C", "D")]
    box_for(workspace, burst=1)
    push(*monitors, up=False)
    send.deliver_due()
    push(monitors[0], monitors[1])
    deliver_after(seconds=31)
    payload = last(memory).payload
    assert payload["digest"]["counts"]["down"] == 2
    assert payload["digest"]["counts"]["recovered"] == 2
    events = {each["name"]: each["event"] for each in payload["digest"]["monitors"]}
    assert events == {
        "A": "incident.resolved",
        "B": "incident.passed",
        "C": "incident.opened",
        "D": "incident.opened",
    }
    assert len({each["outage"] for each in payload["digest"]["monitors"]}) == 4
    assert "/acknowledge/" in payload["acknowledge_url"]


def test_a_digest_without_anything_down_has_nothing_to_acknowledge(memory, workspace):
    monitors = [make_monitor(workspace=workspace) for _ in range(3)]
    box_for(workspace, burst=3)
    push(*monitors, up=False)
    send.deliver_due()
    push(*monitors)
    send.deliver_due()
    deliver_after(seconds=31)
    assert last(memory).payload["event"] == "digest"
    assert not last(memory).payload["acknowledge_url"]
    assert "down" not in last(memory).message.title.lower()


@pytest.mark.parametrize("event", [Event.OPENED, Event.RESOLVED, Event.FLAPPING, Event.REMINDER])
def test_a_message_takes_few_queries(monitor, event, django_assert_max_num_queries):
    channel = box_for(monitor.workspace)
    delivery = make_delivery(channel, monitor, event=event)
    loaded = Delivery.objects.select_related("channel__workspace", "monitor", "incident__monitor").get(
        pk=delivery.pk
    )
    with django_assert_max_num_queries(9):
        compose.write(loaded)
