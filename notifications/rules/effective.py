"""Who is notified about a monitor, and when: the rules of workspaces, channels and monitors combined."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db.models import F

from monitors.domain.thresholds import DEFAULT_THRESHOLDS, Thresholds
from monitors.models import WITH_DEFAULTS, Monitor
from notifications.models import Channel, ChannelRule, MonitorRules, WorkspaceRules

EVENTS = ("down", "recovery", "late", "reminder")


@dataclass(frozen=True, slots=True)
class Rules:
    """The effective rules of one monitor.

    `thresholds` are for what is said about the rules: the monitors app has judged by them. `remind_every` is
    None for never. No down notifications are sent until `snoozed_until`.
    """

    thresholds: Thresholds = DEFAULT_THRESHOLDS
    remind_every: timedelta | None = None
    remind_most: int = 24
    flap_changes: int = 6
    snoozed_until: datetime | None = None


DEFAULT = Rules()


@dataclass(frozen=True, slots=True)
class Route:
    """How one channel is notified of one monitor: `delay` after it went down, and of which EVENTS."""

    channel: Channel
    delay: timedelta
    events: frozenset[str]
    unless_acknowledged: bool = False


def rules_of(monitors: Collection[int]) -> dict[int, Rules]:
    """Return the rules of the monitors with these row ids, by id. Three queries for any number."""
    found = list(Monitor.objects.select_related(WITH_DEFAULTS).filter(pk__in=monitors))
    rules = rules_of_loaded(found)
    return {monitor.pk: replace(rules[monitor.pk], thresholds=monitor.thresholds) for monitor in found}


def rules_of_loaded(monitors: Iterable[Monitor]) -> dict[int, Rules]:
    """Return the rules of `monitors` without their thresholds, by row id. Two queries for any number."""
    workspaces = {monitor.pk: monitor.workspace_id for monitor in monitors}
    defaults = WorkspaceRules.objects.in_bulk(set(workspaces.values()))
    own = MonitorRules.objects.in_bulk(workspaces)
    return {pk: merge_rules(defaults.get(workspace), own.get(pk)) for pk, workspace in workspaces.items()}


def rules_in(workspace: int) -> Callable[[int], Rules]:
    """Return the rules of the monitors of a workspace (row ids), without thresholds. Two queries."""
    default = WorkspaceRules.objects.filter(pk=workspace).first()
    for_all = merge_rules(default, None)
    rows = MonitorRules.objects.filter(monitor__workspace=workspace)
    own = {row.pk: merge_rules(default, row) for row in rows}
    return lambda monitor: own.get(monitor, for_all)


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
    """Return the routes of the enabled channels for each of `monitors`, by row id. Three queries in total."""
    monitors = list(monitors)
    ids = {monitor.pk for monitor in monitors}
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
    own = {
        (rule.monitor_id, rule.channel_id): rule for rule in ChannelRule.objects.filter(monitor_id__in=ids)
    }
    return {
        monitor.pk: [
            route(channel, rule)
            for channel in (*for_all.get(monitor.workspace_id, ()), *selected.get(monitor.pk, ()))
            if (rule := own.get((monitor.pk, channel.pk))) is None or rule.subscribed
        ]
        for monitor in monitors
    }


def route(channel: Channel, rule: ChannelRule | None) -> Route:
    """Return the route of `channel` for a monitor with this `rule`, or without one."""
    delay, events = channel.delay, None
    if rule is not None:
        delay = channel.delay if rule.delay is None else rule.delay
        events = rule.events
    if not isinstance(events, list):
        events = [name for name in EVENTS if getattr(channel, f"on_{name}")]
    return Route(channel, timedelta(seconds=delay), frozenset(events) & frozenset(EVENTS))
