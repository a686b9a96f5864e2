"""Turns decisions into rows: incidents, transitions, and the signal that wakes notifications.

The recorder, the sweep and the lifecycle operations all go through here, inside their own transaction and
with the state rows locked.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

import structlog

from core import sql
from monitors import signals
from monitors.domain.schedules import ScheduleError
from monitors.domain.state_machine import (
    Cause,
    Decision,
    Event,
    Facts,
    HeartbeatArrived,
    Opening,
    Status,
    ThresholdsChanged,
    decide,
)
from monitors.heartbeats.parser import DEFAULT_MESSAGE
from monitors.models import FAULT_LENGTH, Incident, Monitor, MonitorState, Transition, Watermark

log = structlog.get_logger(__name__)

# How long to wait before a schedule that could not be evaluated is tried again.
QUARANTINE = timedelta(hours=1)


def horizon(now: datetime) -> datetime:
    """Return until when silence counts: the watermark, or `now` where no process has ever listened."""
    until = Watermark.objects.values_list("until", flat=True).first()
    return now if until is None else min(now, until)


def set_due_at(
    state: MonitorState,
    monitor: Monitor,
    *,
    now: datetime,
    counted: int = 0,
    after: datetime | None = None,
) -> None:
    """Set `due_at` of a monitor that awaits a heartbeat to its next deadline, in memory.

    A schedule that can't be evaluated, for whatever reason, is noted in `fault` and tried again in an hour:
    it must neither count as silence nor stop the sweep.

    Args:
        counted: how many of the deadlines since `due_at` are among the outcomes by now.
        after: leave out deadlines until then.
    """
    if state.status == Status.DOWN and state.fault:
        # Nothing was missed while there was no schedule.
        after = now
    try:
        due = islice(_deadlines(state, monitor), counted, None)
        # There may be no further deadline, if all of the set times are over.
        state.due_at = next((deadline for deadline in due if after is None or deadline > after), None)
        state.fault = ""
    except Exception as error:
        if not isinstance(error, ScheduleError):
            log.exception("schedule can't be evaluated", monitor=str(monitor.public_id))
        state.due_at = now + QUARANTINE
        state.fault = (str(error) or type(error).__name__)[:FAULT_LENGTH]


def _deadlines(state: MonitorState, monitor: Monitor) -> Iterator[datetime]:
    """Yield the deadlines since the last heartbeat that are not among the outcomes yet; raises ScheduleError.

    While a monitor is up, none is; while it is down, `due_at` is the first that isn't, or earlier because of
    a gap.
    """
    assert state.silent_since is not None
    first = monitor.schedule.due_after(state.silent_since).deadline
    if state.status == Status.DOWN and state.due_at is not None and not state.fault:
        first = max(first, state.due_at)
    yield first
    yield from monitor.schedule.deadlines_after(first)


class Journal:
    """What one transaction decided, collected in memory and written at once.

    Args:
        now: the database's time after the locks were granted.
        horizon: until when silence counts; read when it is needed if not given.
    """

    def __init__(self, now: datetime, *, horizon: datetime | None = None) -> None:
        self.now = now
        self._horizon = horizon
        self._open: dict[int, Incident] = {}
        self._new: list[Incident] = []
        self._ended: list[Incident] = []
        self._reported_again: list[Incident] = []
        self._confirmed: list[Incident] = []
        self._transitions: list[tuple[Transition, Incident | None]] = []
        # By `id`: those that are new have no row id yet.
        self._changed: dict[int, Incident] = {}

    def know_open_incidents(self, states: list[MonitorState]) -> None:
        """Load the open incidents of the states that are down: one query for the whole batch."""
        down = {state.monitor_id: state.workspace_id for state in states if state.status == Status.DOWN}
        if down:
            going_on = Incident.objects.filter(resolved_at=None, workspace_id__in=set(down.values()))
            for incident in going_on.filter(monitor_id__in=down):
                self._open[incident.monitor_id] = incident

    def decide(
        self,
        state: MonitorState,
        monitor: Monitor,
        event: Event,
        *,
        message: str = "",
        value: float | None = None,
    ) -> Decision:
        """Decide `event` for one monitor and apply it to `state` in memory.

        `message` and `value` are the heartbeat's, where the event is one. Call `write` before the
        transaction ends.
        """
        incident = self._open.get(monitor.pk)
        facts = Facts(
            Status(state.status),
            lambda: self._passed(state, monitor),
            outcomes=state.recent_outcomes,
            # One without an incident, which nothing of ours leaves behind, needs no confirmation.
            confirmed=state.status == Status.DOWN and (incident is None or incident.confirmed_at is not None),
            thresholds=lambda: monitor.thresholds,
        )
        decision = decide(facts, event)
        if decision.opens:
            incident = self._new_incident(decision.opens, state, monitor, event, message, value)
        for change in decision.changes:
            touches_incident = Status.DOWN in (change.source, change.target)
            transition = Transition(
                workspace_id=monitor.workspace_id,
                monitor_id=monitor.pk,
                at=change.at,
                source=change.source.value,
                target=change.target.value,
                reason=change.reason.value,
            )
            self._transitions.append((transition, incident if touches_incident else None))
        opened_by_it = decision.opens is not None and decision.opens.cause is not Cause.MISSED
        if incident is not None and isinstance(event, HeartbeatArrived) and not opened_by_it:
            self._report_again(incident, event, message)
        if incident is not None:
            if decision.opens is None:
                incident.monitor = monitor
            if decision.confirms:
                self._confirm(incident)
            if decision.resolves:
                self._end(incident, message, value)
            if decision.resolves and not decision.notifies and id(incident) in self._changed:
                # Confirmed by the same transaction that closes it without a word.
                del self._changed[id(incident)]
            elif decision.confirmed and (decision.confirms or decision.resolves):
                self._changed.setdefault(id(incident), incident)
        if decision.changes:
            state.status = decision.status.value
            state.status_changed_at = decision.changes[-1].at
        state.recent_outcomes = decision.outcomes
        if not decision.awaits:
            state.due_at, state.fault = None, ""
        elif decision.status is Status.DOWN and isinstance(event, HeartbeatArrived):
            # Silence counts from this heartbeat, and what passed before it is among the outcomes.
            state.due_at, state.fault = None, ""
        return decision

    def reconsider(self, state: MonitorState, monitor: Monitor) -> None:
        """Apply the thresholds of `monitor`, which have changed, to its open incident."""
        if state.status == Status.DOWN and state.due_at is not None:
            changed = ThresholdsChanged(self.now, missed=self.last_was_missed(state, monitor))
            self.decide(state, monitor, changed, message=state.last_message, value=state.last_value)

    def last_was_missed(self, state: MonitorState, monitor: Monitor) -> bool:
        """Return whether the last failure of a monitor that is down was a missed deadline."""
        incident = self._open.get(monitor.pk)
        return incident is None or last_failure_was_missed(incident, state, monitor)

    def _new_incident(
        self,
        opening: Opening,
        state: MonitorState,
        monitor: Monitor,
        event: Event,
        message: str,
        value: float | None,
    ) -> Incident:
        # A missed incident has the last message received, others that of the heartbeat.
        reported = opening.cause is not Cause.MISSED
        incident = Incident(
            monitor=monitor,
            cause=opening.cause.value,
            started_at=opening.started_at,
            detected_at=self.now,
            confirmed_at=None,
            opening_message=message if reported else state.last_message,
            opening_value=value if reported else state.last_value,
            last_heartbeat_at=state.last_heartbeat_at,
        )
        self._new.append(incident)
        self._open[monitor.pk] = incident
        return incident

    def _report_again(self, incident: Incident, event: HeartbeatArrived, message: str) -> None:
        """Note the reason that a sender that is down reports now, if it is another one.

        A report without a message is no news, unless it is the first one after silence.
        """
        if event.fault is None or message == (incident.latest_message or incident.opening_message):
            return
        has_reason = incident.latest_message or incident.cause != Cause.MISSED
        if has_reason and message in DEFAULT_MESSAGE.values():
            return
        incident.latest_message = message
        if incident.pk is not None and incident not in self._reported_again:
            self._reported_again.append(incident)

    def _confirm(self, incident: Incident) -> None:
        incident.confirmed_at = self.now
        if incident.pk is not None:
            self._confirmed.append(incident)

    def _end(self, incident: Incident, message: str, value: float | None) -> None:
        incident.resolved_at = max(self.now, incident.started_at)
        incident.closing_message, incident.closing_value = message, value
        del self._open[incident.monitor_id]
        if incident.pk is not None:
            self._ended.append(incident)

    def _passed(self, state: MonitorState, monitor: Monitor) -> Iterator[datetime]:
        """Yield the deadlines of a monitor that have passed and are not among its outcomes."""
        # due_at is never after the deadline, so before it there is nothing to calculate.
        if state.silent_since is None or state.due_at is None or state.due_at > self.now:
            return
        if state.status == Status.DOWN and state.fault:
            return
        try:
            for deadline in _deadlines(state, monitor):
                # After the watermark, its heartbeat may have been sent and not received.
                if deadline <= self.now and self._horizon is None:
                    self._horizon = horizon(self.now)
                if deadline > (self._horizon or self.now):
                    return
                yield deadline
        except Exception:  # set_due_at logs it and notes the fault
            return

    def write(self) -> None:
        """Write incidents and transitions and send the signal, inside the caller's transaction."""
        # What people change of an incident isn't locked, so that only these columns are written.
        sql.update(self._reported_again, only=["latest_message"])
        sql.update(self._confirmed, only=["confirmed_at"])
        # Resolve first: a monitor has at most one open incident, even between two statements.
        sql.update(self._ended, only=["resolved_at", "closing_message", "closing_value"])
        sql.insert(self._new)
        for transition, incident in self._transitions:
            if incident is not None:
                transition.incident_id = incident.pk
        sql.insert([transition for transition, _incident in self._transitions])
        if self._changed:
            changed = list(self._changed.values())
            signals.incidents_changed.send(sender=Incident, incidents=changed, at=self.now)


def last_failure_was_missed(incident: Incident, state: MonitorState, monitor: Monitor) -> bool:
    """Return whether the last failure during the open `incident` was a missed deadline."""
    if state.silent_since is None or state.last_heartbeat_at is None:
        return True
    if state.last_heartbeat_at < incident.started_at:
        return True
    try:
        first = monitor.schedule.due_after(state.silent_since).deadline
    except Exception:  # set_due_at logs it and notes the fault
        return False
    # Then the deadline after the last heartbeat is counted.
    return state.due_at is not None and state.due_at > first
