"""Monitors driven through anything that may happen to them, against a small model of what should."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter

import pytest
from django.db import transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from monitors.heartbeats import missed, recorder
from monitors.heartbeats.recorder import Outcome
from monitors.models import Heartbeat, Incident, Monitor, MonitorState, Transition
from monitors.services import monitors as monitor_service
from monitors.services import tokens
from tests.support.announced import Announced
from tests.support.examples import examples
from tests.support.factories import make_monitor, make_workspace, secret_of
from tests.support.heartbeats import arrival, let_look, let_pass

OPENED, RESOLVED, PASSED = "opened", "resolved", "passed"

# Silence comes in multiples of 300 s and every deadline lies halfway between two of them, so that the
# seconds a test takes never decide. Columns of Monitor, and after how much silence it is overdue.
STEP = 300
SCHEDULES = [
    ({"kind": "interval", "timeout": 150, "grace": 0}, 150),
    ({"kind": "interval", "timeout": 300, "grace": 150}, 450),
    ({"kind": "interval", "timeout": 1500, "grace": None}, 1650),
    ({"kind": "interval", "timeout": 3600, "grace": 150}, 3750),
    ({"kind": "cron", "cron": "* * * * *", "grace": 120}, 150),
    ({"kind": "cron", "cron": "* * * * *", "timezone": "Europe/Berlin", "grace": 720}, 750),
    ({"kind": "oncalendar", "calendar": "minutely", "timezone": "Europe/Berlin", "grace": 120}, 150),
]


@dataclass
class Model:
    """What should be true of one monitor."""

    overdue_after: int
    # Of its values: "" for none, "high" for at most 10, "required" for at most 10, and there has to be one.
    rules: str = ""
    status: str = "new"
    silence: int = 0
    heartbeats: list[str] = field(default_factory=list)
    changes: list[tuple[str, str, str]] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    notified: Counter[str] = field(default_factory=Counter)

    @property
    def overdue(self) -> bool:
        return self.status == "up" and self.silence > self.overdue_after

    def push(self, up: bool, value: float | None) -> None:
        self.heartbeats.append("up" if up else "down")
        fault = "" if up else "reported"
        if up and self.rules == "required" and value is None:
            fault = "value"
        if up and self.rules and value is not None and value > 10:
            fault = "value"
        self._hear(up=not fault, fault=fault)

    def _hear(self, up: bool, fault: str) -> None:
        if self.status == "paused":
            pass
        elif self.overdue:
            self._to("down", "missed")
            self.causes.append("missed")
            self.notified[PASSED if up else OPENED] += 1
            if up:
                self._to("up", "heartbeat")
        elif up and self.status != "up":
            if self.status == "down":
                self.notified[RESOLVED] += 1
            self._to("up", "heartbeat")
        elif not up and self.status != "down":
            self._to("down", fault)
            self.causes.append(fault)
            self.notified[OPENED] += 1
        self.silence = 0

    def sweep(self) -> None:
        if self.overdue:
            self._to("down", "missed")
            self.causes.append("missed")
            self.notified[OPENED] += 1

    def pause(self) -> None:
        if self.overdue:
            # It stays in the history, but who pauses a monitor knows about it.
            self._to("down", "missed")
            self.causes.append("missed")
        if self.status != "paused":
            self._to("paused", "paused")

    def resume(self) -> None:
        if self.status == "paused":
            self._to("new", "resumed")

    def _to(self, status: str, reason: str) -> None:
        self.changes.append((self.status, status, reason))
        self.status = status


indexes = st.integers(0, 2)
schedules = st.sampled_from(SCHEDULES)


class Monitors(RuleBasedStateMachine):
    """Three monitors of one workspace."""

    def __init__(self) -> None:
        super().__init__()
        self._transaction = transaction.atomic()
        self._transaction.__enter__()
        self.announced = Announced()
        self.announced.__enter__()

    def teardown(self) -> None:
        self.announced.__exit__()
        transaction.set_rollback(True)
        self._transaction.__exit__(None, None, None)

    @initialize(chosen=st.tuples(schedules, schedules, schedules))
    def make(self, chosen) -> None:
        workspace = make_workspace()
        self.monitors = [make_monitor(workspace=workspace, **columns) for columns, _ in chosen]
        self.models = [Model(overdue_after) for _, overdue_after in chosen]
        self.secrets = [
            [secret_of(monitor), tokens.issue(monitor=monitor).secret] for monitor in self.monitors
        ]

    @rule(
        pushes=st.lists(
            st.tuples(indexes, st.booleans(), st.integers(0, 1), st.sampled_from([None, 10.0, 11.0])),
            min_size=1,
            max_size=8,
        )
    )
    def push(self, pushes) -> None:
        arrivals = [
            arrival(self.secrets[index][token], up=up, value=value) for index, up, token, value in pushes
        ]
        assert set(recorder.record(arrivals)) == {Outcome.RECORDED}
        for index, up, _, value in pushes:
            self.models[index].push(up, value)

    @rule(index=indexes, steps=st.integers(1, 14))
    def silence(self, index, steps) -> None:
        let_pass(self.monitors[index], seconds=steps * STEP)
        self.models[index].silence += steps * STEP

    @rule(batch=st.integers(1, 3))
    def sweep(self, batch) -> None:
        missed.declare_missed(batch=batch)
        for model in self.models:
            model.sweep()

    @rule(index=indexes)
    def look_early(self, index) -> None:
        if self.models[index].status == "up":
            let_look(self.monitors[index])

    @rule(index=indexes)
    def pause(self, index) -> None:
        monitor_service.pause(monitor=self.monitors[index])
        self.models[index].pause()

    @rule(index=indexes)
    def resume(self, index) -> None:
        monitor_service.resume(monitor=self.monitors[index])
        self.models[index].resume()

    @rule(index=indexes, schedule=schedules)
    def edit(self, index, schedule) -> None:
        columns, overdue_after = schedule
        monitor = Monitor.objects.get(pk=self.monitors[index].pk)
        differs = any(getattr(monitor, name) != value for name, value in columns.items())
        monitor_service.edit(monitor=monitor, **columns)
        # What the old schedule had already missed is not forgiven by a new one.
        if differs:
            self.models[index].sweep()
        self.models[index].overdue_after = overdue_after

    @rule(index=indexes, rules=st.sampled_from(["", "high", "required"]))
    def ask_for_values(self, index, rules) -> None:
        # The past is not judged: only what was missed already is.
        monitor_service.edit(
            monitor=self.monitors[index],
            value_max=10.0 if rules else None,
            value_required=rules == "required",
        )
        if rules != self.models[index].rules:
            self.models[index].sweep()
        self.models[index].rules = rules

    @rule(index=indexes)
    def fall_silent(self, index) -> None:
        steps = self.models[index].overdue_after // STEP + 1
        self.silence(index, steps)

    def _each(self, rows, column="monitor_id"):
        """Return (monitor, model, the rows of that monitor), one query for all of them."""
        of = {monitor.pk: [] for monitor in self.monitors}
        for row in rows:
            of[attrgetter(column)(row)].append(row)
        return [
            (monitor, model, of[monitor.pk])
            for monitor, model in zip(self.monitors, self.models, strict=True)
        ]

    @invariant()
    def the_status_and_its_changes_follow_the_table(self) -> None:
        for _, model, changes in self._each(Transition.objects.order_by("id")):
            chain = [(change.source, change.target, change.reason) for change in changes]
            assert chain == model.changes
            assert all(before[1] == after[0] for before, after in pairwise(chain))
        for _, model, [state] in self._each(MonitorState.objects.all()):
            assert state.status == model.status

    @invariant()
    def an_incident_is_open_exactly_while_its_monitor_is_down(self) -> None:
        for _, model, incidents in self._each(Incident.objects.order_by("id")):
            assert [incident.cause for incident in incidents] == model.causes
            still_open = [incident for incident in incidents if incident.resolved_at is None]
            assert len(still_open) == (model.status == "down")
            assert all(incident.started_at <= incident.detected_at for incident in incidents)

    @invariant()
    def each_incident_is_announced_once_and_so_is_its_end(self) -> None:
        told = [(event, incident.monitor_id, incident.pk) for event, incident in self.announced.all]
        assert len(told) == len(set(told))
        for monitor, model in zip(self.monitors, self.models, strict=True):
            mine = Counter(event for event, of, _incident in told if of == monitor.pk and event != "closed")
            # What passed before it was noticed is announced with its beginning and its end.
            passed = model.notified["passed"]
            expected = model.notified + Counter(opened=passed, resolved=passed)
            del expected["passed"]
            assert mine == expected

    @invariant()
    def a_due_time_is_never_later_than_the_deadline(self) -> None:
        for state in MonitorState.objects.select_related("monitor"):
            if state.status == "up":
                deadline = state.monitor.schedule.due_after(state.last_heartbeat_at).deadline
                assert state.due_at is not None
                assert state.due_at <= deadline
            else:
                assert state.due_at is None

    @invariant()
    def no_heartbeat_is_lost(self) -> None:
        for _, model, heartbeats in self._each(Heartbeat.objects.order_by("id")):
            assert [heartbeat.status for heartbeat in heartbeats] == model.heartbeats


@pytest.mark.slow
@pytest.mark.django_db
def test_whatever_happens_to_monitors_the_promises_hold():
    run_state_machine_as_test(
        Monitors, settings=settings(max_examples=examples(50), stateful_step_count=25, deadline=None)
    )
