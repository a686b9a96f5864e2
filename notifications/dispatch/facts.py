"""The facts that are needed to judge deliveries of one channel, loaded for all of them at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice

from django.db.models import OuterRef, Subquery

from core.sql import among
from monitors.domain.schedules import ScheduleError, SetTimesSchedule
from monitors.domain.state_machine import Cause, Status
from monitors.domain.value_rules import ValueRules
from monitors.models import Heartbeat, Incident, Monitor, MonitorState, Transition
from monitors.services import maintenance
from notifications.dispatch.decide import Notified, Situation
from notifications.messages.events import SUBSCRIPTIONS, Event
from notifications.models import Channel, ChannelRule, Delivery
from notifications.rules import effective, thresholds
from notifications.rules.effective import Route, Rules, Threshold

# For a schedule that can't be evaluated.
_SOME_PERIOD = timedelta(hours=1)


class FactFinder:
    """The facts about `rows`, due deliveries of `channel`, at `now`.

    Attributes:
        rules: the rules of a monitor, by its row id.
        openings: this channel's down delivery for each incident, by the incident's row id.
        recoveries: by monitor, the recovery deliveries that have not been attempted yet.
    """

    def __init__(self, channel: Channel, rows: Sequence[Delivery], now: datetime) -> None:
        self.channel, self.now = channel, now
        self.monitors = {row.monitor_id: row.monitor for row in rows if row.monitor is not None}
        ids = [pk for pk in self.monitors if pk is not None]
        self.rules = effective.rules_in(channel.workspace_id)
        self._routes = self._find_routes(ids)
        self._maintenance = maintenance.held_until(ids, now) if ids else {}
        self.recoveries = self._find_recoveries(ids)
        about_ends = {row.incident_id for row in rows if row.event in (Event.RESOLVED, Event.REMINDER)}
        about_ends |= {row.incident_id for ends in self.recoveries.values() for row in ends}
        self.openings = self._find_openings(about_ends)
        self._silenced = self._find_silenced(rows)
        self._latest = self._find_latest(
            {row.monitor_id for row in rows if row.event == Event.RESOLVED and row.monitor_id is not None}
        )
        self._states = MonitorState.objects.in_bulk(
            {
                row.monitor_id
                for row in rows
                if row.event == Event.LATE
                or (row.event == Event.RESOLVED and self._rules_of(row).recovery > 1)
            }
        )

    def situation(self, row: Delivery) -> Situation:
        """Return what `decide.judge` needs to know about one of the rows, which is about one monitor."""
        event = Event(row.event)
        mine = self._rules_of(row)
        route = self._routes.get(row.monitor_id or 0)
        wanted = route is not None and SUBSCRIPTIONS[event] in route.events
        if event is Event.REMINDER:
            wanted = wanted and mine.remind_every is not None and row.sequence <= mine.remind_most
        if event is Event.OPENED:
            wanted = wanted and row.incident_id not in self._silenced
        earlier = {self._notified(other) for other in self._ends_before(row)}
        snoozed = mine.snoozed_until
        return Situation(
            event=event,
            now=self.now,
            planned_at=row.planned_at or row.created_at,
            under_way=row.attempt_count > 0,
            wanted=wanted,
            delayed=route is not None and bool(route.delay),
            resolved_at=row.incident.resolved_at if row.incident else None,
            acknowledged_at=row.incident.acknowledged_at if row.incident else None,
            maintenance_until=self._maintenance.get(row.monitor_id or 0),
            snoozed_until=snoozed if snoozed is not None and snoozed > self.now else None,
            below_threshold_until=self._tolerated_until(row, mine),
            notified=self._notified(row),
            recovery_pending=Notified.YES in earlier,
            earlier_undecided=Notified.SOON in earlier,
            good=self._good(row, mine),
            good_needed=mine.recovery,
            every=mine.remind_every or timedelta(hours=1),
            still_late=self._still_late(row),
        )

    def unsent_recoveries(self, row: Delivery) -> list[Delivery]:
        """Return the unsent recovery deliveries of earlier outages that the channel was notified of."""
        return [other for other in self._ends_before(row) if self._notified(other) is Notified.YES]

    def _ends_before(self, row: Delivery) -> list[Delivery]:
        if row.event not in (Event.OPENED, Event.PASSED):
            return []
        return [
            other
            for other in self.recoveries.get(row.monitor_id or 0, ())
            if other.incident_id != row.incident_id and other.pk < row.pk
        ]

    def _rules_of(self, row: Delivery) -> Rules:
        return self.rules(row.monitor_id or 0)

    def _find_routes(self, ids: Iterable[int]) -> dict[int, Route]:
        named = set(ids)
        own = {rule.monitor_id: rule for rule in ChannelRule.objects.filter(channel=self.channel)}
        if not self.channel.all_monitors:
            named &= set(self.channel.monitors.values_list("pk", flat=True))
        return {
            pk: effective.route(self.channel, own.get(pk))
            for pk in named
            if (rule := own.get(pk)) is None or rule.subscribed
        }

    def _find_openings(self, incidents: set[int | None]) -> dict[int | None, Delivery]:
        if not incidents:
            return {}
        known = among(pk for pk in incidents if pk is not None)
        rows = self.channel.deliveries.filter(incident__in=known, event=Event.OPENED)
        return {row.incident_id: row for row in rows}

    def _find_recoveries(self, ids: Iterable[int]) -> dict[int, list[Delivery]]:
        found: dict[int, list[Delivery]] = {}
        rows = self.channel.deliveries.filter(
            monitor__in=among(ids), event=Event.RESOLVED, status=Delivery.Status.PENDING, attempt_count=0
        )
        for row in rows.select_related("incident").order_by("pk"):
            assert row.monitor_id is not None
            found.setdefault(row.monitor_id, []).append(row)
        return found

    def _find_silenced(self, rows: Sequence[Delivery]) -> set[int]:
        """Return the incidents that were closed by pausing their monitor: their end is not notified."""
        over = {row.incident_id for row in rows if row.event == Event.OPENED and _is_over(row)}
        if not over:
            return set()
        known = among(pk for pk in over if pk is not None)
        paused = Transition.objects.filter(incident__in=known, target=Status.PAUSED)
        return {pk for pk in paused.values_list("incident_id", flat=True) if pk is not None}

    def _find_latest(self, ids: Collection[int]) -> dict[int, Incident]:
        """Return the newest incident of each of these monitors."""
        newest = Incident.objects.filter(monitor=OuterRef("pk")).order_by("-started_at", "-pk")
        found = Monitor.objects.filter(pk__in=among(ids)).annotate(newest=Subquery(newest.values("pk")[:1]))
        incidents = Incident.objects.filter(pk__in=found.values("newest")) if ids else ()
        return {incident.monitor_id: incident for incident in incidents}

    def _notified(self, row: Delivery) -> Notified:
        if row.event not in (Event.RESOLVED, Event.REMINDER):
            return Notified.YES
        opening = self.openings.get(row.incident_id)
        if opening is None:
            # It is only subscribed to recoveries, or was subscribed while the monitor was down.
            route = self._routes.get(row.monitor_id or 0)
            return Notified.NO if route is None or "down" in route.events else Notified.YES
        match opening.status:
            case Delivery.Status.SKIPPED:
                return Notified.YES if opening.note == Delivery.Note.CONTINUES else Notified.NO
            case Delivery.Status.PENDING if not opening.attempt_count:
                end = row.incident.resolved_at if row.incident else None
                planned = opening.planned_at or opening.created_at
                # If it is over by the time it may be sent, it is not sent.
                return Notified.NO if end is not None and end <= planned else Notified.SOON
        return Notified.YES

    def _good(self, row: Delivery, mine: Rules) -> int:
        if row.event != Event.RESOLVED or row.monitor_id is None or row.incident is None:
            return mine.recovery
        latest = self._latest.get(row.monitor_id)
        if latest is not None and latest.resolved_at is None:
            return 0
        if mine.recovery == 1:
            return 1
        state = self._states.get(row.monitor_id)
        if state is None or state.status not in (Status.UP, Status.DOWN):
            # It has been paused since: there are no heartbeats to wait for.
            return mine.recovery
        since = (latest and latest.resolved_at) or row.incident.resolved_at
        assert since is not None
        beats = Heartbeat.objects.filter(monitor=row.monitor_id, received_at__gte=since)
        good = 0
        for status in beats.order_by("-received_at", "-pk").values_list("status", flat=True)[: mine.recovery]:
            if status != Status.UP:
                break
            good += 1
        return good

    def _still_late(self, row: Delivery) -> bool:
        if row.event != Event.LATE:
            return True
        state = self._states.get(row.monitor_id or 0)
        return state is not None and state.status == Status.UP and state.last_heartbeat_at == row.occasion

    # --- Thresholds ------------------------------------------------------------------------------------

    def _tolerated_until(self, row: Delivery, mine: Rules) -> datetime | None:
        if row.event not in (Event.OPENED, Event.PASSED) or row.incident is None or row.monitor is None:
            return None
        if row.incident.cause != Cause.MISSED:
            return self._after_reports(row.monitor, mine.reported)
        silence = self._after_silence(row.monitor, row.incident, mine.missed)
        if silence is None or _first_report(row.incident) is None:
            return silence
        # It missed a heartbeat, then reported down: either threshold is enough.
        reports = self._after_reports(row.monitor, mine.reported)
        return None if reports is None else min(silence, reports)

    def _after_reports(self, monitor: Monitor, allowed: Threshold) -> datetime | None:
        if allowed.of == 1:
            return None
        beats = Heartbeat.objects.filter(monitor=monitor).order_by("-received_at", "-pk")
        last = list(beats.values_list("received_at", "status", "value")[: allowed.of])
        rule = monitor.value_rules
        failures = [_is_bad(rule, status, value) for _at, status, value in last]
        silent_at = _deadline_after(monitor, last[0][0]) if last else self.now
        return thresholds.after_reports(allowed, failures, now=self.now, silent_at=silent_at)

    def _after_silence(self, monitor: Monitor, incident: Incident, allowed: Threshold) -> datetime | None:
        if allowed.of == 1:
            return None
        before: list[tuple[datetime, bool]] = []
        if allowed.of > allowed.needed:
            beats = Heartbeat.objects.filter(monitor=monitor, received_at__lte=incident.started_at)
            times = beats.order_by("-received_at").values_list("received_at", flat=True)
            before += [(at, False) for at in times[: allowed.of]]
            missed = Incident.objects.filter(monitor=monitor, cause=Cause.MISSED, pk__lt=incident.pk)
            for start, end in missed.order_by("-started_at").values_list("started_at", "resolved_at")[
                : allowed.of
            ]:
                before += [
                    (start, True) for at in missed_at(monitor, start, allowed.of) if at <= (end or start)
                ]
            before.sort(reverse=True)
        return thresholds.after_silence(
            allowed,
            missed_at=missed_at(monitor, incident.started_at, allowed.of),
            ended_at=_first_report(incident) or incident.resolved_at,
            now=self.now,
            before=[missing for _at, missing in before],
        )


def _is_over(row: Delivery) -> bool:
    return row.incident is not None and row.incident.resolved_at is not None


def _first_report(incident: Incident) -> datetime | None:
    """Return the first heartbeat during an incident that started with a missed one, if there was any."""
    beats = Heartbeat.objects.filter(monitor=incident.monitor_id, received_at__gte=incident.started_at)
    if incident.resolved_at is not None:
        beats = beats.filter(received_at__lt=incident.resolved_at)
    return beats.order_by("received_at").values_list("received_at", flat=True).first()


def missed_at(monitor: Monitor, first: datetime, most: int) -> list[datetime]:
    """Return when the first `most` heartbeats are missed in a silence whose first miss is at `first`."""
    schedule, period = monitor.schedule, _SOME_PERIOD
    if isinstance(schedule, SetTimesSchedule):
        try:
            return [first, *islice(schedule.deadlines_after(first), most - 1)]
        except ScheduleError:
            pass
    else:
        period = timedelta(seconds=schedule.timeout)
    return [first + number * period for number in range(most)]


def _deadline_after(monitor: Monitor, heartbeat: datetime) -> datetime:
    try:
        return monitor.schedule.due_after(heartbeat).deadline
    except ScheduleError:
        return heartbeat + _SOME_PERIOD


def _is_bad(rule: ValueRules, status: str, value: float | None) -> bool:
    return status != Status.UP or not rule.allow(value)
