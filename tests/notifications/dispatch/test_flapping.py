"""A monitor that goes down and recovers again and again: one message says so, the next when it is steady."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import database_now
from monitors.services import monitors as monitor_service
from notifications.dispatch import send
from notifications.models import MonitorRules, WorkspaceRules
from notifications.services import snooze
from tests.support.factories import make_monitor
from tests.support.incidents import age, box_for, deliver_after, push

pytestmark = pytest.mark.django_db
DOWN, UP, FLAPPING = "incident.opened", "incident.resolved", "monitor.flapping"
STEP = 15


class Watch:
    """Flap and look every few seconds, and note how many seconds after the last change each message came."""

    def __init__(self, memory, box="a") -> None:
        self.memory, self.box, self.seconds = memory, box, 0
        self.messages: list[tuple[int, str]] = []

    def wait(self, seconds) -> None:
        for _ in range(round(seconds / STEP)):
            deliver_after(seconds=STEP)
            self.seconds += STEP
            self._note()

    def change(self, monitor, *, up) -> None:
        push(monitor, up=up)
        self.seconds = 0
        send.deliver_due()
        self._note()

    def _note(self) -> None:
        events = self.memory.events(self.box)[len(self.messages) :]
        self.messages += [(self.seconds, event) for event in events]

    def flap(self, monitor, changes, *, apart=STEP) -> None:
        """Change `changes` times, first to down."""
        for number in range(changes):
            self.change(monitor, up=bool(number % 2))
            if number + 1 < changes:
                self.wait(apart)


@pytest.fixture
def watch(memory):
    return Watch(memory)


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace, name="Oven", timeout=86_400)


def test_six_changes_in_ten_minutes_are_sent_each(watch, monitor):
    box_for(monitor.workspace)
    watch.flap(monitor, 6)
    assert watch.messages == [(0, DOWN), (0, UP)] * 3


def test_the_seventh_is_called_flapping_and_nothing_is_sent_until_it_is_steady(watch, monitor, memory):
    box_for(monitor.workspace)
    watch.flap(monitor, 20)
    assert watch.messages[6:] == [(0, FLAPPING)]
    watch.wait(285)
    assert watch.messages[7:] == []
    watch.wait(30)
    assert watch.messages[7:] == [(300, UP)]
    watch.wait(900)
    assert len(watch.messages) == 8
    assert "flapping" in memory.to("a")[6].message.title.lower()


def test_ten_flaps_then_up_for_good_are_no_outage_a_minute_later(watch, monitor):
    box_for(monitor.workspace)
    watch.flap(monitor, 20)
    watch.wait(900)
    assert watch.messages[-1][1] == UP
    late = [event for seconds, event in watch.messages if seconds > 60]
    assert late == [UP]


def test_what_stays_down_is_sent_after_two_minutes(watch, monitor):
    box_for(monitor.workspace)
    watch.flap(monitor, 17)
    watch.wait(105)
    assert watch.messages[6:] == [(0, FLAPPING)]
    watch.wait(30)
    assert watch.messages[7:] == [(120, DOWN)]
    watch.wait(300)
    watch.change(monitor, up=True)
    assert watch.messages[8:] == [(0, UP)]


def test_an_unrelated_outage_meanwhile_is_sent_at_once(watch, monitor, memory):
    box_for(monitor.workspace)
    watch.flap(monitor, 9)
    other = make_monitor(workspace=monitor.workspace, name="Grill")
    push(other, up=False)
    send.deliver_due()
    assert memory.to("a")[-1].payload["monitor"]["name"] == "Grill"


def test_changes_that_are_quicker_than_messages_are_held_up_no_longer_than_a_storm(watch, monitor, memory):
    box_for(monitor.workspace, burst=1)
    other = make_monitor(workspace=monitor.workspace, name="Grill")
    for number in range(12):
        push(monitor, up=bool(number % 2))
        deliver_after(seconds=1)
    push(other, up=False)
    send.deliver_due()
    for _ in range(2):
        deliver_after(seconds=STEP)
    payloads = [outgoing.payload for outgoing in memory.to("a")]
    listed = [each["name"] for each in payloads[-1]["digest"]["monitors"]] if payloads[-1]["digest"] else []
    assert "Grill" in listed or payloads[-1]["monitor"]["name"] == "Grill"


@pytest.mark.parametrize("rules", [WorkspaceRules, MonitorRules])
@pytest.mark.parametrize(("limit", "expected"), [(3, 1), (12, 0), (0, 0)])
def test_how_many_changes_are_flapping_is_a_rule_of_the_workspace_or_the_monitor(
    watch, monitor, memory, rules, limit, expected
):
    of = {"workspace": monitor.workspace} if rules is WorkspaceRules else {"monitor": monitor}
    rules.objects.create(**of, flap_changes=limit)
    box_for(monitor.workspace)
    watch.flap(monitor, 8)
    assert memory.events("a").count(FLAPPING) == expected
    if not expected:
        assert memory.events("a") == [DOWN, UP] * 4


def test_a_channel_with_a_delay_is_sent_nothing_of_it(watch, monitor, memory):
    box_for(monitor.workspace, delay=60)
    watch.flap(monitor, 12)
    watch.wait(600)
    assert memory.events("a") == []


def test_a_channel_for_recoveries_only_is_sent_no_flapping(watch, monitor, memory):
    box_for(monitor.workspace, on_down=False)
    watch.flap(monitor, 12)
    assert set(memory.events("a")) == {UP}


def test_changes_during_a_snooze_are_not_called_flapping_until_it_ends(watch, monitor, memory):
    box_for(monitor.workspace)
    snooze.snooze(monitor=monitor, until=database_now() + timedelta(seconds=150))
    watch.flap(monitor, 9)
    assert memory.events("a") == []
    watch.wait(60)
    assert memory.events("a") == [FLAPPING]


@pytest.mark.parametrize("up", [True, False])
def test_a_pause_closes_what_was_flapping(watch, monitor, memory, up):
    box_for(monitor.workspace)
    watch.flap(monitor, 10 if up else 9)
    monitor_service.pause(monitor=monitor)
    watch.wait(STEP)
    if up:
        # Nothing happened to its incidents, so that is found when it would be steady.
        watch.wait(300)
    assert memory.events("a")[7:] == ["incident.ended"]
    assert memory.to("a")[-1].payload["reason"] == "paused"
    assert memory.to("a")[-1].thread == memory.to("a")[6].thread


def test_a_monitor_that_is_resumed_is_not_called_flapping_for_what_was_before(watch, monitor, memory):
    box_for(monitor.workspace)
    watch.flap(monitor, 9)
    monitor_service.pause(monitor=monitor)
    watch.wait(STEP)
    monitor_service.resume(monitor=monitor)
    watch.change(monitor, up=True)
    watch.wait(600)
    assert memory.events("a")[7:] == ["incident.ended"]


def test_a_message_that_is_retried_keeps_its_id_while_it_goes_on_flapping(watch, monitor, memory):
    box_for(monitor.workspace)
    watch.flap(monitor, 6)
    memory.answers = {"a": "lost"}
    watch.wait(STEP)
    watch.flap(monitor, 6)
    memory.answers = {}
    watch.wait(120)
    tried = memory.to("a")[6:]
    assert {outgoing.payload["event"] for outgoing in tried} == {FLAPPING}
    assert len(tried) > 1
    assert len({outgoing.id for outgoing in tried}) == 1
    watch.wait(300)
    assert memory.events("a")[-1] == UP
    assert len({outgoing.thread for outgoing in memory.to("a")[6:]}) == 1


def test_flaps_that_nobody_looked_at_are_one_message_that_says_so(memory, monitor):
    box_for(monitor.workspace)
    for number in range(10):
        push(monitor, up=bool(number % 2))
        age(seconds=10)
    send.deliver_due()
    assert memory.events("a") == [FLAPPING]
    assert memory.to("a")[0].payload["flapping"]["changes"] == 10
