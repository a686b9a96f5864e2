"""Who is notified about a monitor, and when: the rules of workspaces, channels and monitors combined."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db.models import F

from core.sql import among
from monitors.domain.state_machine import Urgency
from monitors.domain.thresholds import DEFAULT_THRESHOLDS, Thresholds
from monitors.models import WITH_DEFAULTS, Monitor
from notifications.models import Channel, ChannelRule, EscalationStep, MonitorRules, WorkspaceRules

EVENTS = ("down", "recovery", "late", "reminder")
# From the lowest to the highest.
_URGENCIES = tuple(urgency.value for urgency in Urgency)


@dataclass(frozen=True, slots=True)
class Rules:
    """The effective rules of one monitor.

    `thresholds` are for what is said about the rules: the monitors app has judged by them. `remind_every` is
    None for never. With more than `flap_changes` changes in 10 minutes it is flapping; 0 turns that off. No
    down notifications are sent until `snoozed_until`.
    """

    thresholds: Thresholds = DEFAULT_THRESHOLDS
    remind_every: timedelta | None = None
    remind_most: int = 24
    flap_changes: int = 6
    snoozed_until: datetime | None = None


DEFAULT = Rules()


@dataclass(frozen=True, slots=True)
class Route:
    """How one channel is notified of one monitor: `delay` after it went down, and of which EVENTS.

    `unless_acknowledged`: by an escalation step, so only if no one has acknowledged the incident by then.
    """

    channel: Channel
    delay: timedelta
    events: frozenset[str]
    unless_acknowledged: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """Also notify `channel` of an outage that no one has acknowledged within `after`.

    For monitors with an urgency of at least `least_urgency`.
    """

    channel: Channel
    after: timedelta
    least_urgency: str = Urgency.LOW.value


def rules_of(monitors: Collection[int]) -> dict[int, Rules]:
    """Return the rules of the monitors with these row ids, by id. Three queries for any number."""
    found = list(Monitor.objects.select_related(WITH_DEFAULTS).filter(pk__in=monitors))
    rules = rules_of_loaded(found)
    return {monitor.pk: replace(rules[monitor.pk], thresholds=monitor.thresholds) for monitor in found}


def rules_of_loaded(monitors: Iterable[Monitor]) -> dict[int, Rules]:
    """Return the rules of `monitors` without their thresholds, by row id. Two queries for any number."""
    workspaces = {monitor.pk: monitor.workspace_id for monitor in monitors}
    defaults = WorkspaceRules.objects.in_bulk(set(workspaces.values()))
    own = {row.pk: row for row in MonitorRules.objects.filter(pk__in=among(workspaces))}
    # Most monitors have none of their own.
    shared = {workspace: merge_rules(defaults.get(workspace), None) for workspace in set(workspaces.values())}
    return {
        pk: merge_rules(defaults.get(workspace), own[pk]) if pk in own else shared[workspace]
        for pk, workspace in workspaces.items()
    }


def merge_rules(
    default: WorkspaceRules | None, own: MonitorRules | None, thresholds: Thresholds = DEFAULT.thresholds
) -> Rules:
    """Return the effective rules from a workspace's and a monitor's own, either of which may be missing."""

    def setting(name: str, otherwise: int) -> int:
        for row in (own, default):
            if row is not None and (value := getattr(row, name)) is not None:
                return int(value)
        return otherwise

    every = setting("remind_every", 0)
    return Rules(
        thresholds=thresholds,
        remind_every=timedelta(seconds=every) if every else None,
        remind_most=setting("remind_most", DEFAULT.remind_most),
        flap_changes=setting("flap_changes", DEFAULT.flap_changes),
        snoozed_until=own.snoozed_until if own is not None else None,
    )


def routes_of(monitors: Iterable[Monitor]) -> dict[int, list[Route]]:
    """Return the routes of the enabled channels for each of `monitors`, by row id. Four queries in total.

    Escalation steps are included. A channel has no route to monitors below its `least_urgency`.
    """
    monitors = list(monitors)
    ids = among({monitor.pk for monitor in monitors})
    enabled = Channel.objects.filter(enabled=True)
    for_all: dict[int, list[Channel]] = {}
    workspaces = {monitor.workspace_id for monitor in monitors}
    for channel in enabled.filter(all_monitors=True, workspace__in=workspaces).order_by("pk"):
        for_all.setdefault(channel.workspace_id, []).append(channel)
    selected: dict[int, list[Channel]] = {}
    for link in (
        Channel.monitors.through.objects.filter(
            monitor_id__in=ids,
            channel__enabled=True,
            channel__all_monitors=False,
            channel__workspace_id=F("monitor__workspace_id"),
        )
        .select_related("channel")
        .order_by("channel_id")
    ):
        selected.setdefault(link.monitor_id, []).append(link.channel)
    steps = _steps_in(workspaces)
    own: dict[int, dict[int, ChannelRule]] = {}
    for rule in ChannelRule.objects.filter(monitor_id__in=ids):
        own.setdefault(rule.monitor_id, {})[rule.channel_id] = rule

    # Most monitors have nothing of their own, and the same routes as others.
    shared: dict[tuple[int, str], list[Route]] = {}

    def routes(monitor: Monitor) -> list[Route]:
        if monitor.pk in own or monitor.pk in selected:
            return routes_of_its_own(monitor)
        key = monitor.workspace_id, monitor.urgency
        if key not in shared:
            shared[key] = routes_of_its_own(monitor)
        return shared[key]

    def routes_of_its_own(monitor: Monitor) -> list[Route]:
        mine = own.get(monitor.pk, {})
        named = (*for_all.get(monitor.workspace_id, ()), *selected.get(monitor.pk, ()))
        subscribed = [
            route(channel, rule)
            for channel in named
            if (rule := mine.get(channel.pk)) is None or rule.subscribed
        ]
        return escalated(subscribed, steps.get(monitor.workspace_id, ()), urgency=monitor.urgency, own=mine)

    return {monitor.pk: routes(monitor) for monitor in monitors}


def _steps_in(workspaces: Collection[int]) -> dict[int, list[Step]]:
    steps: dict[int, list[Step]] = {}
    rows = EscalationStep.objects.filter(
        workspace__in=workspaces, channel__enabled=True, channel__workspace_id=F("workspace_id")
    )
    for row in rows.select_related("channel").order_by("after", "pk"):
        steps.setdefault(row.workspace_id, []).append(step_of(row))
    return steps


def step_of(row: EscalationStep) -> Step:
    """Return the step in a row that was loaded with its channel."""
    return Step(row.channel, timedelta(seconds=row.after), row.least_urgency)


def escalated(
    routes: Iterable[Route], steps: Iterable[Step], *, urgency: str, own: Mapping[int, ChannelRule]
) -> list[Route]:
    """Return the routes to a monitor of this `urgency`: those of subscriptions, and those of `steps`.

    A step for a channel that is notified as soon without it changes nothing. `own` are the monitor's rules
    for channels, by their row ids.
    """
    found = {route.channel.pk: route for route in routes}
    for step in steps:
        if not is_at_least(urgency, step.least_urgency):
            continue
        known = found.get(step.channel.pk)
        if known is not None and "down" in known.events and known.delay <= step.after:
            continue
        events = known.events if known else route(step.channel, own.get(step.channel.pk)).events - {"late"}
        found[step.channel.pk] = Route(
            step.channel, step.after, events | {"down", "recovery"}, unless_acknowledged=True
        )
    return [route for route in found.values() if is_at_least(urgency, route.channel.least_urgency)]


def is_at_least(urgency: str, least: str) -> bool:
    """Return whether `urgency` is `least` or higher."""
    return _URGENCIES.index(urgency) >= _URGENCIES.index(least)


def route(channel: Channel, rule: ChannelRule | None) -> Route:
    """Return the route of `channel` for a monitor with this `rule`, or without one."""
    delay = channel.delay if rule is None or rule.delay is None else rule.delay
    events = [name for name in EVENTS if getattr(channel, f"on_{name}")]
    if rule is not None and rule.events is not None:
        events = [name for name in EVENTS if name in rule.events]
    return Route(channel, timedelta(seconds=delay), frozenset(events))
