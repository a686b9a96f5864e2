"""Anything that may happen to two monitors and their channels, against what their readers believe.

What people believe follows from the messages that really arrived: "down" after a beginning, "up" after an
end. Nothing of the engine is asked for it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.db import transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from accounts.actors import COMMAND
from core.clock import database_now
from monitors.heartbeats import missed as missed_heartbeats
from monitors.models import Incident, MaintenanceWindow, Monitor, MonitorState
from monitors.services import incidents, maintenance_windows
from monitors.services import monitors as monitor_service
from notifications.dispatch import late_and_failing, send
from notifications.integrations import kinds
from notifications.messages.events import Event
from notifications.models import Channel, Delivery
from notifications.rules.effective import Threshold
from notifications.services import rules as rule_service
from notifications.services import snooze
from notifications.services.rules import Own, Reminders
from tests.support.examples import examples
from tests.support.factories import make_channel, make_monitor, make_workspace
from tests.support.incidents import age, push
from tests.support.memory_integration import Memory

UP, DOWN, UNKNOWN = "up", "down", "unknown"
TOO_HIGH, GOOD = 11.0, 1.0
TIMEOUT = 300
# Shorter than the timeout, so that who pushes once a round is never missed.
ROUND = 240
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", examples(20)))
# Seconds that a test may really take, for comparing its own clock with the database's.
SLACK = 60


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
    """One workspace, two monitors, three channels: one of them sends no digests."""

    def __init__(self) -> None:
        super().__init__()
        self._transaction = transaction.atomic()
        self._transaction.__enter__()

    @initialize(delays=st.tuples(delays, delays, delays))
    def make(self, delays) -> None:
        self.clock = 0.0
        self.memory = Memory(on_arrival=self.receive)
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
        self.windows: dict[int, tuple[set[int], float]] = {}
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
        missed_heartbeats.declare_missed()
        late_and_failing.enqueue_late()
        self._deliver(given)

    def _push(self, which: list[Monitor], report: str) -> None:
        push(*which, up=report != "down", value=TOO_HIGH if report == "value" else GOOD)

    def _wait(self, seconds: int) -> None:
        age(seconds=seconds)
        self.clock += seconds

    def _deliver(self, given: dict[str, str]) -> None:
        self.memory.answers = given
        send.deliver_due()

    # --- What people do ------------------------------------------------------------------------------

    @rule(
        index=monitors,
        action=st.sampled_from(["acknowledge", "snooze", "unsnooze", "maintain", "end", "pause", "resume"]),
        seconds=st.sampled_from([100, 700]),
    )
    def do(self, index, action, seconds) -> None:
        getattr(self, f"_{action}")(self.monitors[index], seconds)

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

    def _pause(self, monitor: Monitor, seconds: int) -> None:
        incident = self._open_incident(monitor)
        monitor_service.pause(monitor=monitor)
        if incident is not None:
            # Nobody hears of this end, as everybody knows who reads what a pause is.
            for box in self.channels:
                self.belief[monitor.pk, box] = UNKNOWN
            self.silenced |= set(monitor.incidents.values_list("pk", flat=True))

    def _resume(self, monitor: Monitor, seconds: int) -> None:
        monitor_service.resume(monitor=monitor)

    def _open_incident(self, monitor: Monitor) -> Incident | None:
        return monitor.incidents.select_related("monitor__workspace").filter(resolved_at=None).first()

    # --- What people hear ----------------------------------------------------------------------------

    def receive(self, box, outgoing) -> None:
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
        if first and row.event != "incident.resolved" and self._should_be_quiet(row.monitor_id):
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
                # News of both ends of an earlier outage, which a storm may hold back behind a later one:
                # it says when that was, and neither begins nor ends what people believe.
                pass
            case "incident.reminder" if before == UP:
                self.wrong.append(f"{who} was reminded of what it did not know")

    def _should_be_quiet(self, monitor) -> bool:
        late_enough = self.clock + SLACK
        return self.rules[monitor].snoozed_until > late_enough or any(
            monitor in named and until > late_enough for named, until in self.windows.values()
        )

    @invariant()
    def nobody_hears_what_they_should_not(self) -> None:
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
        self._run_out(mend=True)
        self._everybody_believes_what_is()
        assert not self._open_deliveries(), [(row.event, row.note) for row in self._open_deliveries()]

    def _run_out(self, *, mend: bool = False) -> None:
        """Let time pass until everything is sent; monitors that are up keep pushing, with `mend` all do."""
        for number in range(60):
            states = MonitorState.objects.filter(monitor__in=self.monitors)
            up = set(states.filter(status=UP).values_list("pk", flat=True))
            if fine := [monitor for monitor in self.monitors if mend or monitor.pk in up]:
                self._push(fine, "up")
            self._wait(ROUND)
            missed_heartbeats.declare_missed()
            send.deliver_due()
            self.nobody_hears_what_they_should_not()
            if number >= 3 and not any(self._is_to_end(row) for row in self._open_deliveries()):
                break

    def _open_deliveries(self) -> list[Delivery]:
        rows = Delivery.objects.exclude(status__in=["sent", "failed", "skipped"])
        return list(rows.select_related("incident"))

    def _is_to_end(self, row: Delivery) -> bool:
        """Whether it is no reminder to come."""
        return row.event != Event.REMINDER

    def _everybody_believes_what_is(self) -> None:
        for monitor in self.monitors:
            incident = self._open_incident(monitor)
            for box, channel in self.channels.items():
                belief = self.belief[monitor.pk, box]
                if belief == UNKNOWN or (incident and self._may_not_have_been_notified(channel, incident)):
                    continue
                expected = DOWN if incident else UP
                assert belief == expected, f"{box} believes that {monitor.pk} is {belief}"

    def _may_not_have_been_notified(self, channel: Channel, incident: Incident) -> bool:
        return bool(channel.delay) and incident.acknowledged_at is not None


@pytest.mark.slow
@pytest.mark.django_db
def test_every_channel_is_notified_exactly_once(monkeypatch):
    for slug in ("memory", "single"):
        monkeypatch.setitem(kinds(), slug, Memory().kind(slug))
    run_state_machine_as_test(
        People, settings=settings(max_examples=EXAMPLES, stateful_step_count=20, deadline=None)
    )
