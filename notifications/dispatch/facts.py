"""What is true about monitors and what a channel believes of them, read for many at once.

The number of queries does not depend on the number of monitors.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import chain
from zoneinfo import ZoneInfo

from django.db.models import F

from core.sql import among
from monitors.domain.expressions import is_time_zone
from monitors.domain.schedules import ScheduleError
from monitors.domain.state_machine import Shown, Status, Urgency, shown
from monitors.heartbeats.transitions import horizon
from monitors.models import Incident, Monitor, MonitorState, Transition
from monitors.services import maintenance
from notifications.integrations import kinds
from notifications.models import Belief, Channel
from notifications.rules import effective
from notifications.rules.compare import FLAP_WINDOW, Believed, Covered, Outage, State, Truth
from notifications.rules.effective import Route, Rules
from notifications.rules.quiet_hours import QuietHours


def believed(row: Belief) -> Believed:
    """Return a belief without its row."""
    return Believed(
        state=State(row.state),
        opened=row.outage is not None,
        outage=row.incident_id,
        after=row.after_incident,
        reminders=row.reminders,
        sent_at=row.sent_at,
        late_after=row.late_after,
    )


def quiet_hours(channel: Channel) -> QuietHours | None:
    """Return the quiet hours of `channel`, if it has any."""
    if channel.quiet_from is None or channel.quiet_until is None:
        return None
    zone = channel.quiet_timezone
    # A time zone unknown to this system must not hold back notifications for ever.
    return QuietHours(
        channel.quiet_from, channel.quiet_until, ZoneInfo(zone if is_time_zone(zone) else "UTC")
    )


class Truths:
    """The truth about the monitors of `beliefs`, which are of `channel`, at `now`."""

    def __init__(self, channel: Channel, beliefs: Sequence[Belief], now: datetime) -> None:
        self.channel, self.now = channel, now
        ids = [belief.monitor_id for belief in beliefs]
        monitors = Monitor.objects.filter(pk__in=among(ids)).only("workspace_id", "urgency", "tags")
        self._monitors = {monitor.pk: monitor for monitor in monitors}
        self._routes = _routes(channel, self._monitors.values())
        self._paused = set(
            MonitorState.objects.filter(monitor__in=among(ids), status=Status.PAUSED).values_list(
                "monitor_id", flat=True
            )
        )
        self._late_after = self._find_late()
        self._rules = effective.rules_in(channel.workspace_id)
        self._maintenance = maintenance.held_until(ids, now)
        self._outages = _outages(channel, beliefs, now)
        kind = kinds().get(channel.kind)
        self._keeps_records = kind is not None and not kind.merges
        quiet = quiet_hours(channel)
        self._quiet_until = quiet.until(now) if quiet else None

    def _find_late(self) -> dict[int, datetime]:
        """Return the last heartbeat of each monitor that is late, of those that it is to be notified of."""
        wanted = [pk for pk, route in self._routes.items() if "late" in route.events]
        if not wanted:
            return {}
        until = horizon(self.now)
        states = MonitorState.objects.filter(monitor__in=among(wanted), status=Status.UP)
        found = {}
        for state in states.select_related("monitor"):
            if (at := _late_after(state, until)) is not None:
                found[state.monitor_id] = at
        return found

    def about(self, belief: Belief) -> Truth:
        """Return the truth about the monitor of one of the beliefs."""
        monitor = self._monitors.get(belief.monitor_id)
        rules, route = self._rules(belief.monitor_id), self._routes.get(belief.monitor_id)
        snoozed = rules.snoozed_until
        urgent = monitor is not None and monitor.urgency == Urgency.HIGH
        return Truth(
            now=self.now,
            covered=_covered(route, rules) if route is not None else None,
            outages=self._outages.get(belief.monitor_id, ()),
            paused=belief.monitor_id in self._paused,
            late_after=self._late_after.get(belief.monitor_id),
            quiet_until=None if urgent else self._quiet_until,
            snoozed_until=snoozed if snoozed is not None and snoozed > self.now else None,
            maintenance_until=self._maintenance.get(belief.monitor_id),
            keeps_records=self._keeps_records,
        )


def _late_after(state: MonitorState, until: datetime) -> datetime | None:
    """Return the last heartbeat of a monitor that is up, if the next one is late."""
    if state.silent_since is None:
        return None
    try:
        due = state.monitor.schedule.due_after(state.silent_since)
    except ScheduleError:
        return None
    now = shown(Status.UP, now=until, expected_by=due.expected_by, deadline=due.deadline)
    return state.last_heartbeat_at if now in (Shown.LATE, Shown.DOWN) else None


def _covered(route: Route, rules: Rules) -> Covered:
    return Covered(
        events=route.events,
        delay=route.delay,
        # Acknowledging spares those who would only be notified of what lasts.
        unless_acknowledged=route.unless_acknowledged or bool(route.delay),
        remind_every=rules.remind_every,
        remind_most=rules.remind_most,
        flap_changes=rules.flap_changes,
    )


def _routes(channel: Channel, monitors: Collection[Monitor]) -> dict[int, Route]:
    """Return the route of `channel` for each of the monitors that it is notified of."""
    return {
        pk: route
        for pk, routes in effective.routes_of(monitors).items()
        for route in routes
        if route.channel.pk == channel.pk
    }


def _outages(channel: Channel, beliefs: Sequence[Belief], now: datetime) -> dict[int, list[Outage]]:
    """Return the confirmed incidents of these monitors that matter to `channel`, oldest first."""
    found: dict[int, list[Outage]] = {}
    if not beliefs:
        return found
    ids = among([belief.monitor_id for belief in beliefs])
    known = among({belief.incident_id for belief in beliefs if belief.incident_id is not None})
    of_these = Incident.objects.filter(monitor__in=ids, confirmed_at__isnull=False)
    # Several queries, each with an index: one for all of it would read the whole history of each monitor.
    parts = (
        of_these.filter(resolved_at=None),
        # What was down for longer than FLAP_WINDOW before is none of a series of changes.
        of_these.filter(started_at__gt=now - 2 * FLAP_WINDOW, resolved_at__gt=now - FLAP_WINDOW),
        # The newest that is no news too: a message about its end needs one to be about.
        of_these.filter(monitor__beliefs__channel=channel, pk__gte=F("monitor__beliefs__after_incident")),
        Incident.objects.filter(pk__in=known, confirmed_at__isnull=False),
    )
    columns = ("pk", "monitor_id", "started_at", "confirmed_at", "resolved_at", "acknowledged_at")
    rows = sorted(set(chain.from_iterable(part.values_list(*columns) for part in parts)))
    over = [pk for pk, _monitor, _start, _confirmed, resolved_at, _by in rows if resolved_at is not None]
    ended = Transition.objects.filter(incident__in=among(over), target=Status.PAUSED)
    paused = set(ended.values_list("incident", flat=True)) if over else set()
    for pk, monitor, started_at, confirmed_at, resolved_at, acknowledged_at in rows:
        assert confirmed_at is not None, "only those are read"
        outage = Outage(
            pk, started_at, confirmed_at, resolved_at, acknowledged_at is not None, paused=pk in paused
        )
        found.setdefault(monitor, []).append(outage)
    return found
