"""The facts that are needed to judge deliveries of one channel, loaded for all of them at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from core.sql import among
from monitors.domain.state_machine import Status
from monitors.models import Incident, MonitorState, Transition
from monitors.services import maintenance
from notifications.dispatch.decide import Notified, Situation
from notifications.messages.events import SUBSCRIPTIONS, Event
from notifications.models import Channel, ChannelRule, Delivery
from notifications.rules import effective
from notifications.rules.effective import Route, Rules


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
        self._down = self._find_down(
            {row.monitor_id for row in rows if row.event == Event.RESOLVED and row.monitor_id is not None}
        )
        self._states = MonitorState.objects.in_bulk(
            {row.monitor_id for row in rows if row.event == Event.LATE}
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
            notified=self._notified(row),
            recovery_pending=Notified.YES in earlier,
            earlier_undecided=Notified.SOON in earlier,
            down_again=row.monitor_id in self._down,
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

    def _find_down(self, ids: Collection[int]) -> set[int]:
        """Return which of these monitors are down, as far as notifications are concerned."""
        confirmed = Incident.objects.filter(resolved_at=None, confirmed_at__isnull=False)
        if not ids:
            return set()
        return set(confirmed.filter(monitor__in=among(ids)).values_list("monitor_id", flat=True))

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

    def _still_late(self, row: Delivery) -> bool:
        if row.event != Event.LATE:
            return True
        state = self._states.get(row.monitor_id or 0)
        return state is not None and state.status == Status.UP and state.last_heartbeat_at == row.occasion


def _is_over(row: Delivery) -> bool:
    return row.incident is not None and row.incident.resolved_at is not None
