"""Thresholds driven through anything that may happen to a monitor, against lists of outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from itertools import takewhile

import pytest
from django.db import transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from monitors.domain.thresholds import Threshold, shifted
from monitors.heartbeats import missed, recorder
from monitors.models import MonitorState
from monitors.services import monitors as monitor_service
from monitors.services import thresholds
from monitors.services.thresholds import OwnThresholds
from tests.support.announced import Names
from tests.support.factories import make_monitor, secret_of
from tests.support.heartbeats import arrival, let_pass

# Silence comes in multiples of 300 s, and every deadline lies halfway between two of them.
STEP, GRACE = 300, 150
TIMEOUTS = [300, 600, 1500]
NONE = (1, 1), (1, 1), 1


@dataclass
class Incident:
    cause: str
    confirmed: bool = False
    resolved: bool = False


@dataclass
class Model:
    """What should be true of the monitor."""

    timeout: int
    missed: tuple[int, int] = (1, 1)
    reported: tuple[int, int] = (1, 1)
    recovery: int = 1
    status: str = "new"
    silence: int = 0
    # How many deadlines since the last heartbeat are among the outcomes.
    counted: int = 0
    last_kind: str = ""
    outcomes: list[bool] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)

    @property
    def incident(self) -> Incident:
        return self.incidents[-1]

    @property
    def good_in_a_row(self) -> int:
        return len(list(takewhile(lambda failed: not failed, reversed(self.outcomes))))

    @property
    def awaits(self) -> bool:
        decided = self.status == "down" and self.incident.confirmed and self.outcomes[-1]
        return self.status in ("up", "down") and not decided

    def push(self, *, good: bool) -> None:
        if self.status != "paused":
            confirmed = self._pass_time()
            if good:
                self._succeed(at_once=confirmed)
            else:
                self._send("opened", if_=self._fail("reported") or confirmed)
        self.silence = self.counted = 0

    def sweep(self) -> None:
        self._send("opened", if_=self._pass_time())

    def pause(self) -> None:
        told = self.status == "down" and self.incident.confirmed
        self._pass_time()
        if self.status == "down":
            self.incident.resolved = True
            self._send("closed", if_=told)
        self.status = "paused"

    def resume(self) -> None:
        if self.status == "paused":
            self.status, self.outcomes = "new", []

    def change(self, own: tuple[tuple[int, int], tuple[int, int], int]) -> None:
        if self.status == "down":
            self.sweep()
        self.missed, self.reported, self.recovery = own
        if self.status == "down" and self.awaits:
            if self.outcomes[-1]:
                self._send("opened", if_=self._confirm())
            else:
                self._recover(at_once=False)

    def _pass_time(self) -> bool:
        """Count the deadlines that passed; return whether the incident is confirmed by that."""
        confirmed = False
        while self.awaits and self.silence > self.timeout * (self.counted + 1) + GRACE:
            self.counted += 1
            confirmed = self._fail("missed") or confirmed
        return confirmed

    def _fail(self, kind: str) -> bool:
        self.outcomes.append(True)
        self.last_kind = kind
        if self.status != "down":
            self.status = "down"
            self.incidents.append(Incident(kind))
        return self._confirm()

    def _confirm(self) -> bool:
        needed, of = self.missed if self.last_kind == "missed" else self.reported
        before = self.incident.confirmed
        self.incident.confirmed = before or sum(self.outcomes[-of:]) >= needed
        return self.incident.confirmed and not before

    def _succeed(self, *, at_once: bool) -> None:
        self.outcomes.append(False)
        if self.status == "down":
            self._recover(at_once=at_once)
        else:
            self.status = "up"

    def _recover(self, *, at_once: bool) -> None:
        if self.good_in_a_row >= self.recovery:
            self.status, self.incident.resolved = "up", True
            self._send("passed" if at_once else "resolved", if_=self.incident.confirmed)
        else:
            self._send("opened", if_=at_once)

    def _send(self, name: str, *, if_: bool) -> None:
        if if_:
            self.sent.append(name)


def once_each(names: list[str]) -> list[str]:
    """Return what is sent of one batch: an incident that began and ended in it is sent once."""
    found: list[str] = []
    for name in names:
        if name == "resolved" and found[-1:] == ["opened"]:
            found[-1] = "passed"
        else:
            found.append(name)
    return found


failure = st.sampled_from([(1, 1), (1, 1), (2, 2), (2, 3), (3, 3), (3, 5)])
own_thresholds = st.tuples(failure, failure, st.integers(1, 3))


class Monitor(RuleBasedStateMachine):
    """One monitor; its thresholds are its own or its workspace's."""

    def __init__(self) -> None:
        super().__init__()
        self._transaction = transaction.atomic()
        self._transaction.__enter__()
        self._names = Names()
        self._names.__enter__()

    def teardown(self) -> None:
        self._names.__exit__()
        transaction.set_rollback(True)
        self._transaction.__exit__(None, None, None)

    @property
    def heard(self) -> list[str]:
        return [name for name, _incident in self._names.all]

    @initialize(timeout=st.sampled_from(TIMEOUTS), own=own_thresholds, of_workspace=st.booleans())
    def make(self, timeout, own, of_workspace) -> None:
        self.monitor = make_monitor(timeout=timeout, grace=GRACE, value_max=10.0)
        self.secret = secret_of(self.monitor)
        self.model = Model(timeout)
        self.own = self.defaults = None
        self.change(own, of_workspace)

    @rule(reports=st.lists(st.sampled_from(["good", "good", "down", "value"]), min_size=1, max_size=5))
    def push(self, reports) -> None:
        self._names.all.clear()
        self.model.sent.clear()
        recorder.record(
            [arrival(self.secret, up=one != "down", value=11.0 if one == "value" else 1.0) for one in reports]
        )
        for one in reports:
            self.model.push(good=one == "good")
        assert self.heard == once_each(self.model.sent)
        self._names.all.clear()
        self.model.sent.clear()

    @rule(steps=st.integers(1, 8))
    def silence(self, steps) -> None:
        let_pass(self.monitor, seconds=steps * STEP)
        self.model.silence += steps * STEP

    @rule()
    def sweep(self) -> None:
        missed.declare_missed()
        self.model.sweep()

    @rule()
    def pause(self) -> None:
        monitor_service.pause(monitor=self.monitor)
        self.model.pause()

    @rule()
    def resume(self) -> None:
        monitor_service.resume(monitor=self.monitor)
        self.model.resume()

    @rule(own=own_thresholds, of_workspace=st.booleans())
    def change(self, own, of_workspace) -> None:
        missed_, reported, recovery = own
        wanted = OwnThresholds(Threshold(*missed_), Threshold(*reported), recovery)
        if of_workspace:
            # The monitor's own come first.
            thresholds.change_defaults(workspace=self.monitor.workspace, own=wanted)
            self.defaults = own
        else:
            thresholds.change(monitor=self.monitor, own=wanted)
            self.own = own
        self.model.change(self.own or self.defaults or NONE)

    @invariant()
    def everything_is_as_in_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        state = MonitorState.objects.get(monitor=self.monitor)
        assert state.status == self.model.status
        if state.status != "paused":
            bits = reduce(lambda bits, failed: shifted(bits, failed=failed), self.model.outcomes, 0)
            assert state.recent_outcomes == bits
        assert (state.due_at is not None) == self.model.awaits
        assert [
            (one.cause != "missed", one.confirmed_at is not None, one.resolved_at is not None)
            for one in self.monitor.incidents.order_by("pk")
        ] == [(one.cause != "missed", one.confirmed, one.resolved) for one in self.model.incidents]
        assert self.heard == self.model.sent


@pytest.mark.slow
@pytest.mark.django_db
def test_whatever_happens_thresholds_count_as_the_lists_do():
    run_state_machine_as_test(
        Monitor, settings=settings(max_examples=60, stateful_step_count=25, deadline=None)
    )
