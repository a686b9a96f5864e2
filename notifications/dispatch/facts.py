"""What is true about monitors and what a channel believes of them, read for many at once.

The number of queries does not depend on the number of monitors.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db.models import F

from core.sql import among
from monitors.domain.expressions import is_time_zone
from monitors.domain.schedules import ScheduleError
from monitors.domain.state_machine import Shown, Status, Urgency, shown
from monitors.heartbeats.transitions import horizon
from monitors.models import Incident, Monitor, MonitorState, Transition
from monitors.services import maintenance
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
        ours = {"workspace_id": channel.workspace_id}
        monitors = Monitor.objects.filter(pk__in=among(ids), **ours).only("workspace_id", "urgency")
        self._urgent = {monitor.pk for monitor in monitors if monitor.urgency == Urgency.HIGH}
        self._routes = {
            pk: route
            for pk, routes in effective.routes_of(monitors).items()
            for route in routes
            if route.channel == channel
        }
        self._rules = effective.rules_of_loaded(monitors)
        states = MonitorState.objects.filter(monitor__in=among(ids), status=Status.PAUSED, **ours)
        self._paused = set(states.values_list("monitor_id", flat=True))
        self._late_after = _late_after(
            channel.workspace_id, [pk for pk, route in self._routes.items() if "late" in route.events], now
        )
        self._maintenance = maintenance.held_until(ids, now)
        self._outages = _outages(channel, beliefs, now)
        quiet = quiet_hours(channel)
        self._quiet_until = quiet.until(now) if quiet else None

    def about(self, belief: Belief) -> Truth:
        """Return the truth about the monitor of one of the beliefs."""
        monitor = belief.monitor_id
        rules, route = self._rules[monitor], self._routes.get(monitor)
        snoozed = rules.snoozed_until
        return Truth(
            now=self.now,
            covered=_covered(route, rules) if route is not None else None,
            outages=self._outages.get(monitor, ()),
            paused=monitor in self._paused,
            late_after=self._late_after.get(monitor),
            quiet_until=None if monitor in self._urgent else self._quiet_until,
            snoozed_until=snoozed if snoozed is not None and snoozed > self.now else None,
            maintenance_until=self._maintenance.get(monitor),
            keeps_records=self.channel.keeps_records,
        )


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


def _late_after(workspace_id: int, monitors: Sequence[int], now: datetime) -> dict[int, datetime]:
    """Return the last heartbeat of each of `monitors` that is up and whose next one is late."""
    if not monitors:
        return {}
    until, found = horizon(now), {}
    states = MonitorState.objects.filter(
        monitor__in=among(monitors), status=Status.UP, workspace_id=workspace_id
    )
    for state in states.select_related("monitor"):
        if state.silent_since is None or state.last_heartbeat_at is None:
            continue
        with suppress(ScheduleError):
            due = state.monitor.schedule.due_after(state.silent_since)
            is_shown = shown(Status.UP, now=until, expected_by=due.expected_by, deadline=due.deadline)
            if is_shown in (Shown.LATE, Shown.DOWN):
                found[state.monitor_id] = state.last_heartbeat_at
    return found


def _outages(channel: Channel, beliefs: Sequence[Belief], now: datetime) -> dict[int, list[Outage]]:
    """Return the confirmed incidents of these monitors that matter to `channel`, oldest first."""
    ours = {"workspace_id": channel.workspace_id}
    confirmed = Incident.objects.filter(confirmed_at__isnull=False, **ours)
    of_these = confirmed.filter(monitor__in=among([belief.monitor_id for belief in beliefs]))
    known = among([belief.incident_id for belief in beliefs if belief.incident_id is not None])
    # Parts that have an index each: one query for all of it would read the whole history of each monitor.
    parts = (
        of_these.filter(resolved_at=None),
        # What was down for longer than FLAP_WINDOW before is none of a series of changes.
        of_these.filter(started_at__gt=now - 2 * FLAP_WINDOW, resolved_at__gt=now - FLAP_WINDOW),
        # The newest that is no news too: a message about its end needs one to be about.
        of_these.filter(monitor__beliefs__channel=channel, pk__gte=F("monitor__beliefs__after_incident")),
        confirmed.filter(pk__in=known),
    )
    columns = ("pk", "started_at", "confirmed_at", "resolved_at", "acknowledged_at", "monitor_id")
    first, *others = (part.values_list(*columns) for part in parts)
    rows = list(first.union(*others).order_by("pk"))
    over = [row[0] for row in rows if row[3] is not None]
    ended = Transition.objects.filter(incident__in=among(over), target=Status.PAUSED, **ours)
    paused = set(ended.values_list("incident", flat=True)) if over else set()
    found: dict[int, list[Outage]] = {}
    for pk, started_at, confirmed_at, resolved_at, acknowledged_at, monitor in rows:
        assert confirmed_at is not None, "only those are read"
        outage = Outage(pk, started_at, confirmed_at, resolved_at, acknowledged_at is not None, pk in paused)
        found.setdefault(monitor, []).append(outage)
    return found
