"""Turns decisions into rows: incidents, transitions, and the signals that create notifications.

The recorder, the sweep and the lifecycle operations all go through here, inside their own transaction and
with the state rows locked.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from django.dispatch import Signal

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


def set_due_at(state: MonitorState, monitor: Monitor, *, now: datetime) -> None:
    """Set `due_at` of an up monitor to its deadline, in memory.

    A schedule that can't be evaluated, for whatever reason, is noted in `fault` and tried again in an hour:
    it must neither count as silence nor stop the sweep.
    """
    assert state.silent_since is not None
    try:
        state.due_at = monitor.schedule.due_after(state.silent_since).deadline
        state.fault = ""
    except Exception as error:
        if not isinstance(error, ScheduleError):
            log.exception("schedule can't be evaluated", monitor=str(monitor.public_id))
        state.due_at = now + QUARANTINE
        state.fault = (str(error) or type(error).__name__)[:FAULT_LENGTH]


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
        self._transitions: list[Transition] = []
        self._by_signal: dict[Signal, list[Incident]] = {
            signals.incidents_opened: [],
            signals.incidents_passed: [],
            signals.incidents_resolved: [],
        }

    def know_open_incidents(self, states: list[MonitorState]) -> None:
        """Load the open incidents of the states that are down: one query for the whole batch."""
        down = [state.monitor_id for state in states if state.status == Status.DOWN]
        if down:
            for incident in Incident.objects.filter(monitor_id__in=down, resolved_at=None):
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
        facts = Facts(Status(state.status), lambda: self._deadline(state, monitor))
        decision = decide(facts, event)
        incident = self._open.get(monitor.pk)
        if decision.opens:
            incident = self._new_incident(decision.opens, state, monitor, event, message, value)
        for change in decision.changes:
            touches_incident = Status.DOWN in (change.source, change.target)
            self._transitions.append(
                Transition(
                    monitor=monitor,
                    at=change.at,
                    source=change.source.value,
                    target=change.target.value,
                    reason=change.reason.value,
                    incident=incident if touches_incident else None,
                )
            )
        opened_by_it = decision.opens is not None and decision.opens.cause is not Cause.MISSED
        if incident is not None and isinstance(event, HeartbeatArrived) and not opened_by_it:
            self._report_again(incident, event, message)
        if decision.resolves and incident is not None:
            self._end(incident, monitor, message, value, notifies=decision.notifies)
        if decision.notifies and incident is not None:
            self._enqueue(decision, incident)
        if decision.changes:
            state.status = decision.status.value
            state.status_changed_at = decision.changes[-1].at
        if decision.status is not Status.UP:
            state.due_at, state.fault = None, ""
        return decision

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

    def _end(
        self, incident: Incident, monitor: Monitor, message: str, value: float | None, *, notifies: bool
    ) -> None:
        incident.monitor = monitor
        incident.resolved_at = max(self.now, incident.started_at)
        incident.closing_message, incident.closing_value = message, value
        del self._open[monitor.pk]
        if incident.pk is not None:
            self._ended.append(incident)
        elif not notifies:
            # Opened by the same transaction that closes it without a word.
            self._by_signal[signals.incidents_opened].remove(incident)

    def _enqueue(self, decision: Decision, incident: Incident) -> None:
        match decision:
            case Decision(opens=Opening(), resolves=True):
                self._by_signal[signals.incidents_passed].append(incident)
            case Decision(opens=Opening()):
                self._by_signal[signals.incidents_opened].append(incident)
            case Decision(resolves=True):
                self._by_signal[signals.incidents_resolved].append(incident)

    def _deadline(self, state: MonitorState, monitor: Monitor) -> datetime | None:
        # due_at is never after the deadline, so before it there is nothing to calculate.
        if state.silent_since is None or state.due_at is None or state.due_at > self.now:
            return None
        try:
            deadline = monitor.schedule.due_after(state.silent_since).deadline
        except Exception:  # set_due_at logs it and notes the fault
            return None
        # After the watermark, its heartbeat may have been sent and not received.
        if deadline <= self.now and self._horizon is None:
            self._horizon = horizon(self.now)
        return deadline if self._horizon is None or deadline <= self._horizon else None

    def write(self) -> None:
        """Write incidents and transitions and send the signals, inside the caller's transaction."""
        if self._reported_again:
            Incident.objects.bulk_update(self._reported_again, ["latest_message"], batch_size=200)
        if not self._transitions:
            return
        # Resolve first: a monitor has at most one open incident, even between two statements.
        if self._ended:
            Incident.objects.bulk_update(
                self._ended, ["resolved_at", "closing_message", "closing_value"], batch_size=200
            )
        Incident.objects.bulk_create(self._new)
        Transition.objects.bulk_create(self._transitions)
        for signal, incidents in self._by_signal.items():
            if incidents:
                signal.send(sender=Incident, incidents=incidents, at=self.now)
