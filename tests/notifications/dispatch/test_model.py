"""Anything that may happen to two monitors and their channels, against what people and machines believe.

What people believe follows from the messages that really arrived: "down" after a beginning, "up" after an
end. A machine keeps the outages that were opened and not ended, by their keys. Nothing of the engine is
asked for it.

No message is later than PROMISED after the last change. Later is a message that did not arrive though a
worker looked, and though PROMISED had passed since its first look after the last of these:

- a change of the monitor (an incident is confirmed, acknowledged or over; it is paused, resumed or deleted),
  or of its rules, subscriptions, snooze, maintenance or urgency, by a person;
- for what is late, the end of its timeout, and the heartbeat that ends that;
- the end of what was to hold the message back: the delay of its channel, maintenance, for bad news also a
  snooze, and for a monitor that was said to be flapping the 5 minutes in which it must be up, or 2 down;
- trouble of the channel's receiver: an attempt that failed, until nothing waits for its retry or for the end
  of a pause that the receiver asked for.

Reminders are due at an interval and are not counted.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.db import transaction
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from accounts.actors import COMMAND
from core.clock import database_now
from monitors.domain.thresholds import Threshold
from monitors.heartbeats import missed as missed_heartbeats
from monitors.models import Incident, MaintenanceWindow, Monitor, MonitorState
from monitors.services import incidents, maintenance_windows
from monitors.services import monitors as monitor_service
from notifications.dispatch import enqueue, late_and_failing, send
from notifications.integrations import kinds
from notifications.messages.events import ENDS, Event, Reason
from notifications.models import ChannelRule, Delivery
from notifications.services import rules as rule_service
from notifications.services import snooze
from notifications.services.rules import Own, Reminders
from tests.support.examples import examples
from tests.support.factories import make_channel, make_monitor, make_workspace
from tests.support.incidents import age, push
from tests.support.memory_integration import Memory

UP, DOWN, FLAPPING = "up", "down", "flapping"
TOO_HIGH, GOOD = 11.0, 1.0
TIMEOUT = 300
# Shorter than the timeout, so that who pushes once a round is never missed.
ROUND = 240
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", examples(20)))
# Shrinking a failure takes an hour; MODEL_SHRINK=0 leaves it out.
PHASES = [each for each in Phase if each is not Phase.shrink or os.environ.get("MODEL_SHRINK") != "0"]
# Seconds that a test may really take, for comparing its own clock with the database's.
SLACK = 60
# Within so many seconds a message arrives after the last change: a storm collects for 30 of them.
PROMISED = 60
# How long a monitor that is flapping must be up, and down.
STEADY = {True: 300, False: 120}
BAD_NEWS = (Event.OPENED, Event.LATE, Event.FLAPPING)


@dataclass
class Rules:
    """A monitor's rules, as the model keeps them."""

    snoozed_until: float = 0.0


monitors = st.integers(0, 1)
boxes = st.sampled_from(["a", "b", "c"])
sayings = st.sampled_from(["up", "up", "down", "value"])
answers = st.sampled_from(["taken", "taken", "lost", "failed", "busy"])
boxes_answer = st.dictionaries(boxes, answers, max_size=2)
lengths = st.sampled_from([1, 3, 7, 31, 65, 125, 310, 620, 1210])
tolerances = st.sampled_from([(1, 1), (1, 1), (2, 2), (2, 3), (3, 4)])
delays = st.sampled_from([0, 0, 60, 600])


class People(RuleBasedStateMachine):
    """One workspace, two monitors, three channels.

    The first sends one message in 30 s alone, and collects the rest. The second is notified of a monitor only
    while its urgency isn't low. The last one sends no digests.
    """

    def __init__(self) -> None:
        super().__init__()
        self._transaction = transaction.atomic()
        self._transaction.__enter__()

    @initialize(delays=st.tuples(delays, delays, delays))
    def make(self, delays) -> None:
        self.clock, self.began = 0.0, time.monotonic()
        # When a worker looked, each monitor was last pushed and changed, by its public id, and each receiver
        # last gave trouble.
        self.looks: list[float] = []
        self.pushed: dict[str, float] = defaultdict(float)
        self.changed: dict[str, float] = defaultdict(float)
        self.incidents: dict[str, object] = {}
        self.trouble: dict[str, float] = defaultdict(float)
        self.memory = Memory(on_arrival=self.receive)
        self.wrong: list[str] = []
        self.seen: set[object] = set()
        self.belief: dict[tuple[int, str], str] = defaultdict(lambda: UP)
        # Who was notified without the engine knowing, because the answer was lost. If a digest is outdated at
        # its retry, what else was in it is sent again.
        self.unsure: set[tuple[int, str]] = set()
        # The incident that each channel was notified of last.
        self.incident: dict[tuple[int, str], int | None] = {}
        # The outages that are open at each machine, with their monitors.
        self.open: dict[str, dict[object, str]] = defaultdict(dict)
        kinds()["memory"] = self.memory.kind("memory")
        kinds()["single"] = self.memory.kind("single", merges=False)
        workspace = make_workspace()
        self.monitors = [
            make_monitor(workspace=workspace, timeout=TIMEOUT, grace=30, value_max=10.0) for _ in range(2)
        ]
        self.rules = {monitor.pk: Rules() for monitor in self.monitors}
        self.windows: dict[int, tuple[set[int], float]] = {}
        self.channels = {
            box: make_channel(
                workspace=workspace,
                kind="single" if box == "c" else "memory",
                config={"box": box},
                delay=delay,
                on_late=box != "a",
                burst=1 if box == "a" else 5,
                least_urgency="normal" if box == "b" else "low",
            )
            for box, delay in zip("abc", delays, strict=True)
        }

    # --- What happens --------------------------------------------------------------------------------

    @rule(index=monitors, report=sayings)
    def push(self, index, report) -> None:
        self._push([self.monitors[index]], report)

    @rule(report=st.lists(st.tuples(monitors, sayings, lengths), min_size=2, max_size=5))
    def happen_while_no_worker_looks(self, report) -> None:
        for index, what, seconds in report:
            self._push([self.monitors[index]], what)
            self._wait(seconds)

    @rule(report=sayings, given=boxes_answer)
    def push_both_and_deliver(self, report, given) -> None:
        self._push(self.monitors, report)
        self._deliver(given)

    @rule(seconds=lengths, given=boxes_answer)
    def wait_and_deliver(self, seconds, given) -> None:
        self._wait(seconds)
        self._sweep()
        self._deliver(given)

    def _push(self, which: list[Monitor], report: str) -> None:
        push(*which, up=report != "down", value=TOO_HIGH if report == "value" else GOOD)
        for monitor in which:
            self.pushed[str(monitor.public_id)] = self._now()
        self._note_changes()

    def _sweep(self) -> None:
        missed_heartbeats.declare_missed()
        self._note_changes()

    def _wait(self, seconds: int) -> None:
        age(seconds=seconds)
        self.clock += seconds

    def _deliver(self, given: dict[str, str]) -> None:
        self.memory.answers = given
        looked_at = self._now()
        late_and_failing.enqueue_late()
        send.deliver_due()
        self.looks.append(looked_at)
        for box, channel in self.channels.items():
            channel.refresh_from_db()
            rests = channel.paused_until is not None and channel.paused_until > database_now()
            retries = channel.deliveries.filter(next_attempt_at__isnull=False, attempt_count__gt=0)
            if rests or given.get(box, "taken") != "taken" or retries.exists():
                self.trouble[box] = self._now()

    def _now(self) -> float:
        """The seconds that have passed, in the model and really."""
        return self.clock + time.monotonic() - self.began

    def _note_changes(self, *whatever: Monitor) -> None:
        """Note which monitors have changed since the last time, and that these have."""
        for monitor in self.monitors:
            confirmed = monitor.incidents.filter(confirmed_at__isnull=False).order_by("-pk")
            found = [
                (each.pk, each.resolved_at is None, each.acknowledged_at is None) for each in confirmed[:2]
            ]
            name = str(monitor.public_id)
            if monitor in whatever or self.incidents.get(name) != found:
                self.changed[name] = self._now()
            self.incidents[name] = found

    # --- What people do ------------------------------------------------------------------------------

    @rule(
        index=monitors,
        action=st.sampled_from(
            [
                "acknowledge",
                "snooze",
                "unsnooze",
                "maintain",
                "end",
                "pause",
                "resume",
                "delete",
                "unsubscribe",
                "subscribe",
                "lower",
                "raise",
            ]
        ),
        seconds=st.sampled_from([100, 700]),
    )
    def do(self, index, action, seconds) -> None:
        # Whatever it comes to; maintenance may be about both.
        before = list(self.monitors)
        getattr(self, f"_{action}")(self.monitors[index], seconds)
        for monitor in before:
            self.changed[str(monitor.public_id)] = self._now()

    def _acknowledge(self, monitor: Monitor, seconds: int) -> None:
        incident = self._open_incident(monitor)
        if incident is not None:
            incidents.acknowledge(incident=incident, by=COMMAND)

    def _snooze(self, monitor: Monitor, seconds: int) -> None:
        snooze.snooze(monitor=monitor, until=database_now() + timedelta(seconds=seconds))
        self.rules[monitor.pk].snoozed_until = self.clock + seconds

    def _unsnooze(self, monitor: Monitor, seconds: int) -> None:
        snooze.unsnooze(monitor=monitor)
        self.rules[monitor.pk].snoozed_until = 0.0

    def _maintain(self, monitor: Monitor, seconds: int) -> None:
        """Plan work on both, or on this one."""
        now = database_now()
        named = self.monitors if monitor == self.monitors[0] else [monitor]
        window = maintenance_windows.plan(
            workspace=monitor.workspace,
            name="Work",
            starts_at=now,
            ends_at=now + timedelta(seconds=seconds),
            monitors=named,
        )
        self.windows[window.pk] = ({each.pk for each in named}, self.clock + seconds)

    def _end(self, monitor: Monitor, seconds: int) -> None:
        """End what goes on, whatever monitor it is about."""
        for window in MaintenanceWindow.objects.filter(workspace=monitor.workspace):
            maintenance_windows.end_now(window=window)
        self.windows.clear()

    @rule(
        index=monitors,
        missed=tolerances,
        reported=tolerances,
        recovery=st.integers(1, 3),
        every=st.sampled_from([0, 60, 600]),
    )
    def change_rules(self, index, missed, reported, recovery, every) -> None:
        monitor = self.monitors[index]
        own = Own(Threshold(*missed), Threshold(*reported), recovery, Reminders(every, 2))
        rule_service.change(monitor=monitor, own=own)
        self._note_changes(monitor)

    def _pause(self, monitor: Monitor, seconds: int) -> None:
        monitor_service.pause(monitor=monitor)

    def _resume(self, monitor: Monitor, seconds: int) -> None:
        monitor_service.resume(monitor=monitor)

    def _delete(self, monitor: Monitor, seconds: int) -> None:
        """Delete it; another one takes its place."""
        place = self.monitors.index(monitor)
        old = monitor.pk
        monitor_service.delete(monitor=monitor)
        for box in self.channels:
            self.belief.pop((old, box), None)
        self.monitors[place] = make_monitor(
            workspace=monitor.workspace, timeout=TIMEOUT, grace=30, value_max=10.0
        )
        self.rules[self.monitors[place].pk] = Rules()

    def _lower(self, monitor: Monitor, seconds: int) -> None:
        monitor_service.edit(monitor=monitor, urgency="low")

    def _raise(self, monitor: Monitor, seconds: int) -> None:
        monitor_service.edit(monitor=monitor, urgency="normal")

    def _unsubscribe(self, monitor: Monitor, seconds: int) -> None:
        self._set_subscribed(monitor, False)

    def _subscribe(self, monitor: Monitor, seconds: int) -> None:
        self._set_subscribed(monitor, True)

    def _set_subscribed(self, monitor: Monitor, subscribed: bool) -> None:
        ChannelRule.objects.update_or_create(
            monitor=monitor, channel=self.channels["a"], defaults={"subscribed": subscribed}
        )
        enqueue.recheck(monitors=[monitor.pk])

    def _open_incident(self, monitor: Monitor) -> Incident | None:
        return monitor.incidents.select_related("monitor__workspace").filter(resolved_at=None).first()

    # --- What arrives --------------------------------------------------------------------------------

    def receive(self, box, outgoing) -> None:
        self._note_what_is_finished(box, outgoing.payload)
        if outgoing.id in self.seen:
            return
        self.seen.add(outgoing.id)
        row = Delivery.objects.get(public_id=outgoing.id)
        about = row.members.exclude(status="skipped") if row.event == Event.DIGEST else [row]
        for each in about:
            self._note_what_is_late(box, each)
            self._note_of_machine(box, each)
            if each.monitor_id is not None:
                self._note_of_people(box, each, first=row.attempt_count == 1)

    def _note_what_is_finished(self, box, payload) -> None:
        """Nothing finished is announced as down, whether at the first attempt or at a retry."""
        digest = payload["digest"]
        for each in digest["monitors"] if digest else [payload]:
            if each["event"] not in (Event.OPENED, Event.REMINDER):
                continue
            incident = Incident.objects.get(public_id=each["incident"]["id"])
            if incident.resolved_at is not None or each["incident"]["resolved_at"] is not None:
                self.wrong.append(f"{box} was sent {each['event']} of what is over")

    def _note_what_is_late(self, box, row) -> None:
        if row.event == Event.REMINDER or not self.looks:
            return
        name = row.about["monitor_id"] if row.about else str(row.monitor.public_id)
        since = [self.changed[name], self.trouble[box]]
        since += [until for named, until in self.windows.values() if row.monitor_id in named]
        if row.event in BAD_NEWS and row.monitor_id is not None:
            since.append(self.rules[row.monitor_id].snoozed_until)
        if row.incident is not None and self.channels[box].delay:
            since.append(self._when(row.incident.started_at) + self.channels[box].delay)
        if row.event == Event.LATE:
            since.append(self._when(row.occasion) + TIMEOUT)
        if row.reason == Reason.ARRIVED:
            since.append(self.pushed[name])
        if self.belief.get((row.monitor_id, box)) == FLAPPING:
            since.append(self.changed[name] + STEADY[self._open_incident(row.monitor) is None])
        # Where a worker looks each second, the first of these looks is at once.
        late_by = self.looks[-1] - next((look for look in self.looks if look >= max(since)), self.looks[-1])
        if late_by > PROMISED:
            self.wrong.append(f"{row.event} of {name} to {box} is more than {late_by:.0f} s late")

    def _when(self, time_) -> float:
        """Return a time of the database's clock by that of the model."""
        return self._now() - (database_now() - time_).total_seconds()

    def _note_of_machine(self, box, row) -> None:
        if row.outage is None:
            return
        monitor = row.about["monitor_id"] if row.about else str(row.monitor.public_id)
        if row.event in ENDS:
            self.open[box].pop(row.outage, None)
            return
        others = [key for key, of in self.open[box].items() if of == monitor and key != row.outage]
        if others:
            self.wrong.append(f"{box} has another outage of {monitor} open")
        self.open[box][row.outage] = monitor

    def _note_of_people(self, box, row, *, first) -> None:
        who = row.monitor_id, box
        before = self.belief[who]
        over = row.incident is not None and row.incident.resolved_at is not None
        may_end = row.event in ENDS and (row.sequence > 1 or row.event == Event.ENDED)
        if first and not may_end and self._should_be_quiet(row.monitor_id):
            self.wrong.append(f"{row.event} of {who} though it is held back")
        match row.event:
            case Event.OPENED:
                if over:
                    self.wrong.append(f"{who} was notified that it is down, but it had recovered")
                again = before == DOWN and self.incident.get(who) == row.incident_id
                if again and who not in self.unsure:
                    self.wrong.append(f"{who} was notified twice that it is down")
                self.belief[who] = DOWN
            case Event.RESOLVED if before == UP and who not in self.unsure:
                self.wrong.append(f"{who} was notified of a recovery, but believed that it is up")
            case Event.REMINDER if before != DOWN or over:
                self.wrong.append(f"{who} was reminded of what it did not know")
            case Event.FLAPPING:
                self.belief[who] = FLAPPING
        if row.event in ENDS:
            self.belief[who] = UP
        if self.memory.answers.get(box) == "lost":
            self.unsure.add(who)
        else:
            self.unsure.discard(who)
        self.incident[who] = row.incident_id

    def _should_be_quiet(self, monitor) -> bool:
        late_enough = self.clock + SLACK
        return self.rules[monitor].snoozed_until > late_enough or any(
            monitor in named and until > late_enough for named, until in self.windows.values()
        )

    @invariant()
    def nothing_wrong_arrives(self) -> None:
        assert not getattr(self, "wrong", [])

    # --- The end -------------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            if hasattr(self, "memory") and not self.wrong:
                self._come_to_an_end()
        finally:
            transaction.set_rollback(True)
            self._transaction.__exit__(None, None, None)

    def _come_to_an_end(self) -> None:
        self.memory.answers = {}
        self._run_out()
        self._everybody_believes_what_is()
        for monitor in self.monitors:
            monitor_service.resume(monitor=monitor)
        self._note_changes(*self.monitors)
        self._run_out(mend=True)
        self._everybody_believes_what_is()
        assert not any(self.open.values()), f"outages are still open: {dict(self.open)}"
        assert not self._open_deliveries(), [(row.event, row.note) for row in self._open_deliveries()]

    def _run_out(self, *, mend: bool = False) -> None:
        """Let time pass until everything is sent; monitors that are up keep pushing, with `mend` all do."""
        for number in range(60):
            states = MonitorState.objects.filter(monitor__in=self.monitors)
            up = set(states.filter(status=UP).values_list("pk", flat=True))
            if fine := [monitor for monitor in self.monitors if mend or monitor.pk in up]:
                self._push(fine, "up")
            # In parts, so that a worker looks before and after a message would be too late.
            for seconds in (10, PROMISED + 10, ROUND - PROMISED - 20):
                self._wait(seconds)
                self._sweep()
                self._deliver({})
            self.nothing_wrong_arrives()
            if number >= 3 and not self._open_deliveries():
                break

    def _open_deliveries(self) -> list[Delivery]:
        rows = Delivery.objects.exclude(status__in=["sent", "failed", "skipped"])
        return list(rows.select_related("incident"))

    def _everybody_believes_what_is(self) -> None:
        for monitor in self.monitors:
            incident = self._open_incident(monitor)
            confirmed = incident is not None and incident.confirmed_at is not None
            for box, channel in self.channels.items():
                rule = ChannelRule.objects.filter(monitor=monitor, channel=channel).first()
                if confirmed and (
                    (channel.delay and incident.acknowledged_at is not None)
                    or (rule and not rule.subscribed)
                    or (box == "b" and Monitor.objects.get(pk=monitor.pk).urgency == "low")
                ):
                    continue
                expected = DOWN if confirmed else UP
                belief = self.belief[monitor.pk, box]
                assert belief == expected, f"{box} believes that {monitor.pk} is {belief}"


@pytest.mark.slow
@pytest.mark.django_db
def test_every_channel_is_notified_exactly_once(monkeypatch):
    for slug in ("memory", "single"):
        monkeypatch.setitem(kinds(), slug, Memory().kind(slug))
    run_state_machine_as_test(
        People, settings=settings(max_examples=EXAMPLES, stateful_step_count=20, deadline=None, phases=PHASES)
    )
