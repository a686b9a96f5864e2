"""Anything that may happen to two monitors and those who hear of them, against what people believe.

What people believe follows from the messages that really arrived: "down" after a beginning, "up" after an
end. Nothing of the engine is asked for it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.db import transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from accounts.actors import COMMAND
from monitors import incidents, lifecycle, planning, sweep
from monitors.models import Incident, Monitor
from notifications import delivery, notices, rule_changes, snoozing
from notifications.kinds import kinds
from notifications.models import Channel, Delivery
from notifications.rule_changes import Own, Reminders
from notifications.rules import Tolerance
from tests.factories import make_channel, make_monitor, make_workspace
from tests.notifications.memory import Memory
from tests.notifications.rows import age, push
from tianji.clock import database_now

UP, DOWN, UNKNOWN = "up", "down", "unknown"
TOO_HIGH, GOOD = 11.0, 1.0
TIMEOUT = 300
# Shorter than the timeout, so that who pushes once a round is never missed.
ROUND = 240
# Seconds that a test may really take, for comparing its own clock with the database's.
SLACK = 60


@dataclass
class Rules:
    """What a monitor's rules say, as the model keeps it."""

    reported: tuple[int, int] = (1, 1)
    missed: tuple[int, int] = (1, 1)
    snoozed_until: float = 0.0
    # Of its heartbeats, oldest first: whether it was a failure.
    failures: list[bool] = field(default_factory=list)

    @property
    def reports_are_enough(self) -> bool:
        needed, of = self.reported
        return sum(self.failures[-of:]) >= needed


monitors = st.integers(0, 1)
boxes = st.sampled_from(["a", "b", "c"])
answers = st.sampled_from(["taken", "taken", "lost", "failed", "busy"])
lengths = st.sampled_from([1, 3, 7, 31, 65, 125, 310, 620, 1210])
tolerances = st.sampled_from([(1, 1), (1, 1), (2, 2), (2, 3), (3, 4)])
delays = st.sampled_from([0, 0, 60, 600])


class People(RuleBasedStateMachine):
    """One workspace, two monitors, three channels: one of them tells each event by itself."""

    def __init__(self) -> None:
        super().__init__()
        self._transaction = transaction.atomic()
        self._transaction.__enter__()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self._transaction.__exit__(None, None, None)

    @initialize(delays=st.tuples(delays, delays, delays), own=st.booleans())
    def make(self, delays, own) -> None:
        self.clock = 0.0
        self.memory = Memory(heard=self.hear)
        self.wrong: list[str] = []
        self.seen: set[object] = set()
        self.belief: dict[tuple[int, str], str] = defaultdict(lambda: UP)
        # Incidents that were closed by a pause, of which nobody is told the end.
        self.silenced: set[int] = set()
        kinds()["memory"] = self.memory.kind("memory")
        kinds()["single"] = self.memory.kind("single", merges=False)
        workspace = make_workspace()
        self.monitors = [
            make_monitor(workspace=workspace, timeout=TIMEOUT, grace=30, value_max=10.0) for _ in range(2)
        ]
        self.rules = {monitor.pk: Rules() for monitor in self.monitors}
        self.windows: list[tuple[set[int], float]] = []
        self.channels = {
            box: make_channel(
                workspace=workspace,
                kind="single" if box == "c" else "memory",
                config={"box": box},
                delay=delay,
                on_late=box == "b",
            )
            for box, delay in zip("abc", delays, strict=True)
        }

    # --- What happens --------------------------------------------------------------------------------

    @rule(index=monitors, said=st.sampled_from(["up", "up", "down", "value"]))
    def push(self, index, said) -> None:
        self._push([self.monitors[index]], said)

    @rule(said=st.sampled_from(["up", "down"]))
    def push_both(self, said) -> None:
        self._push(self.monitors, said)

    def _push(self, which: list[Monitor], said: str) -> None:
        push(*which, up=said != "down", value=TOO_HIGH if said == "value" else GOOD)
        for monitor in which:
            self.rules[monitor.pk].failures.append(said != "up")

    @rule(seconds=lengths)
    def wait(self, seconds) -> None:
        age(seconds=seconds)
        self.clock += seconds

    @rule()
    def sweep(self) -> None:
        sweep.declare_missed()

    @rule()
    def look(self) -> None:
        notices.look()

    @rule(given=st.dictionaries(boxes, answers, max_size=3))
    def deliver(self, given) -> None:
        self.memory.answers = given
        delivery.deliver_due()

    @rule(seconds=lengths, given=st.dictionaries(boxes, answers, max_size=1))
    def wait_and_deliver(self, seconds, given) -> None:
        self.wait(seconds)
        sweep.declare_missed()
        self.deliver(given)

    # --- What people do ------------------------------------------------------------------------------

    @rule(index=monitors)
    def acknowledge(self, index) -> None:
        incident = self._open_incident(self.monitors[index])
        if incident is not None:
            incidents.acknowledge(incident=incident, by=COMMAND)

    @rule(index=monitors, seconds=st.sampled_from([100, 700]))
    def snooze(self, index, seconds) -> None:
        monitor = self.monitors[index]
        snoozing.snooze(monitor=monitor, until=database_now() + timedelta(seconds=seconds))
        self.rules[monitor.pk].snoozed_until = self.clock + seconds

    @rule(index=monitors)
    def unsnooze(self, index) -> None:
        monitor = self.monitors[index]
        snoozing.unsnooze(monitor=monitor)
        self.rules[monitor.pk].snoozed_until = 0.0

    @rule(which=st.sampled_from([(0,), (1,), (0, 1)]), seconds=st.sampled_from([100, 700]))
    def maintain(self, which, seconds) -> None:
        now = database_now()
        named = [self.monitors[index] for index in which]
        planning.plan(
            workspace=named[0].workspace,
            name="Work",
            starts_at=now,
            ends_at=now + timedelta(seconds=seconds),
            monitors=named,
        )
        self.windows.append(({monitor.pk for monitor in named}, self.clock + seconds))

    @rule(
        index=monitors,
        missed=tolerances,
        reported=tolerances,
        recovery=st.integers(1, 3),
        every=st.sampled_from([0, 60, 600]),
    )
    def change_rules(self, index, missed, reported, recovery, every) -> None:
        monitor = self.monitors[index]
        own = Own(Tolerance(*missed), Tolerance(*reported), recovery, Reminders(every, 2))
        rule_changes.change(monitor=monitor, own=own)
        mine = self.rules[monitor.pk]
        mine.missed, mine.reported = missed, reported

    @rule(index=monitors)
    def pause(self, index) -> None:
        monitor = self.monitors[index]
        incident = self._open_incident(monitor)
        lifecycle.pause(monitor=monitor)
        if incident is not None:
            for box in self.channels:
                self.belief[monitor.pk, box] = UNKNOWN
            self.silenced |= set(monitor.incidents.values_list("pk", flat=True))

    @rule(index=monitors)
    def resume(self, index) -> None:
        lifecycle.resume(monitor=self.monitors[index])

    def _open_incident(self, monitor: Monitor) -> Incident | None:
        return monitor.incidents.select_related("monitor__workspace").filter(resolved_at=None).first()

    # --- What people hear ----------------------------------------------------------------------------

    def hear(self, box, outgoing) -> None:
        if outgoing.id in self.seen:
            return
        self.seen.add(outgoing.id)
        row = Delivery.objects.get(public_id=outgoing.id)
        about = row.members.order_by("pk") if row.event.startswith("digest.") else [row]
        for each in about:
            if each.monitor_id is not None and each.incident_id is not None:
                self._hear_one(box, each, first=row.attempt_count == 1)

    def _hear_one(self, box, row, *, first) -> None:
        who = row.monitor_id, box
        before = self.belief[who]
        if row.incident_id in self.silenced:
            return
        if first and row.event in ("incident.opened", "incident.reminder", "incident.passed"):
            if self._should_be_quiet(row.monitor_id):
                self.wrong.append(f"{row.event} of {who} though nobody is to hear of it now")
        match row.event:
            case "incident.opened":
                self.belief[who] = DOWN
                if before == DOWN:
                    self.wrong.append(f"{who} heard twice that it is down")
            case "incident.resolved":
                self.belief[who] = UP
                if before == UP:
                    self.wrong.append(f"{who} heard that it is up again, which it believed")
            case "incident.passed":
                if before == DOWN:
                    self.wrong.append(f"{who} heard of a short outage while it believed in another one")
                self.belief[who] = UP
            case "incident.reminder" if before == UP:
                self.wrong.append(f"{who} was reminded of what it did not know")

    def _should_be_quiet(self, monitor) -> bool:
        late_enough = self.clock + SLACK
        return self.rules[monitor].snoozed_until > late_enough or any(
            monitor in named and until > late_enough for named, until in self.windows
        )

    @invariant()
    def nobody_hears_what_they_should_not(self) -> None:
        assert not getattr(self, "wrong", [])

    # --- The end -------------------------------------------------------------------------------------

    def teardown_checks(self) -> None:
        self.memory.answers = {}
        self._run_out()
        self._everybody_believes_what_is()
        for monitor in self.monitors:
            lifecycle.resume(monitor=monitor)
        self._run_out(mend=True)
        self._everybody_believes_what_is()
        still_open = Delivery.objects.exclude(status__in=["sent", "failed", "withdrawn"])
        assert not still_open.exists(), list(still_open.values("event", "status", "note"))

    def _run_out(self, *, mend: bool = False) -> None:
        """Let time pass until all is said; who is up goes on saying so, and with `mend` all do."""
        for _ in range(25):
            fine = [
                monitor
                for monitor in self.monitors
                if mend or monitor.state.__class__.objects.get(pk=monitor.pk).status == UP
            ]
            if fine:
                self._push(fine, "up")
            age(seconds=ROUND)
            self.clock += ROUND
            sweep.declare_missed()
            notices.look()
            delivery.deliver_due()
            self.nobody_hears_what_they_should_not()

    def _everybody_believes_what_is(self) -> None:
        for monitor in self.monitors:
            incident = self._open_incident(monitor)
            for box, channel in self.channels.items():
                belief = self.belief[monitor.pk, box]
                if belief == UNKNOWN or (incident and self._may_not_have_heard(monitor, channel, incident)):
                    continue
                expected = DOWN if incident else UP
                assert belief == expected, f"{box} believes that {monitor.pk} is {belief}"

    def _may_not_have_heard(self, monitor: Monitor, channel: Channel, incident: Incident) -> bool:
        if channel.delay and incident.acknowledged_at is not None:
            return True
        return incident.cause != "missed" and not self.rules[monitor.pk].reports_are_enough


def _tear_down(self) -> None:
    try:
        if hasattr(self, "memory"):
            self.teardown_checks()
    finally:
        transaction.set_rollback(True)
        self._transaction.__exit__(None, None, None)


People.teardown = _tear_down  # type: ignore[method-assign]


@pytest.mark.django_db
def test_nobody_hears_twice_and_nobody_is_forgotten(monkeypatch):
    for slug in ("memory", "single"):
        monkeypatch.setitem(kinds(), slug, Memory().kind(slug))
    run_state_machine_as_test(
        People, settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
    )
