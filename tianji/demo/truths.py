"""What was true about the sample monitors at any time, for the rules that say what is sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from core.sql import among
from monitors.domain.recurrence import Stretch
from monitors.domain.state_machine import Status
from monitors.models import Incident, Monitor, Transition
from monitors.services import maintenance
from notifications.models import Belief, Channel
from notifications.rules import effective
from notifications.rules.compare import FLAP_WINDOW, Covered, Outage, Truth


class History:
    """What happened to `monitors` until `now`, and the rules, which never changed."""

    def __init__(self, monitors: Sequence[Monitor], now: datetime) -> None:
        self.now = now
        start = min(monitor.created_at for monitor in monitors)
        # Some weeks ahead, so that the end of active windows is known.
        self._held = maintenance.of_monitors(monitors).left_out(
            monitors, start=start, end=now + timedelta(days=30)
        )
        self._routes = effective.routes_of(monitors)
        self._rules = effective.rules_of_loaded(monitors)
        self.outages = _outages(monitors)

    def covered(self, monitor: int, channel: Channel) -> Covered | None:
        """Return how the rules cover a monitor for `channel`."""
        route = next((each for each in self._routes[monitor] if each.channel.pk == channel.pk), None)
        rules = self._rules[monitor]
        if route is None:
            return None
        return Covered(
            route.events,
            route.delay,
            remind_every=rules.remind_every,
            remind_most=rules.remind_most,
            flap_changes=rules.flap_changes,
        )

    def truth(self, belief: Belief, at: datetime) -> Truth:
        """Return what was true about the monitor of `belief` then."""
        held: Iterable[Stretch] = self._held.get(belief.monitor_id, ())
        return Truth(
            at,
            self.covered(belief.monitor_id, belief.channel),
            outages=[
                _as_of(each, at)
                for each in self.outages.get(belief.monitor_id, ())
                if each.confirmed_at <= at and _matters(each, belief, at)
            ],
            maintenance_until=next((end for start, end in held if start <= at < end), None),
        )


def _outages(monitors: Iterable[Monitor]) -> dict[int, list[Outage]]:
    incidents = Incident.objects.filter(monitor__in=among(each.pk for each in monitors))
    paused = set(
        Transition.objects.filter(incident__in=incidents, target=Status.PAUSED).values_list(
            "incident", flat=True
        )
    )
    found: dict[int, list[Outage]] = {}
    for row in incidents.filter(confirmed_at__isnull=False).order_by("pk"):
        assert row.confirmed_at is not None, "only those are read"
        outage = Outage(row.pk, row.started_at, row.confirmed_at, row.resolved_at, paused=row.pk in paused)
        found.setdefault(row.monitor_id, []).append(outage)
    return found


def _matters(outage: Outage, belief: Belief, at: datetime) -> bool:
    lately = outage.resolved_at is None or outage.resolved_at > at - FLAP_WINDOW
    return lately or outage.number > belief.after_incident or outage.number == belief.incident_id


def _as_of(outage: Outage, at: datetime) -> Outage:
    if outage.resolved_at is None or outage.resolved_at <= at:
        return outage
    return Outage(outage.number, outage.started_at, outage.confirmed_at)
