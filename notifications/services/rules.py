"""The notification rules of a monitor and of a workspace: read, compared, changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2s
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts import audit
from accounts.actors import COMMAND, Actor
from accounts.audit import AuditTarget
from accounts.locks import lock_workspace
from accounts.models import AuditEntry, Workspace
from core.clock import database_now
from monitors.domain.thresholds import Threshold
from monitors.locks import lock_down_states, lock_state
from monitors.models import Monitor, MonitorDefaults, ThresholdColumns, merge_thresholds
from monitors.services import thresholds
from monitors.services.thresholds import OwnThresholds
from notifications.dispatch import enqueue
from notifications.locks import lock_channels
from notifications.models import Channel, ChannelRule, MonitorRules, WorkspaceRules
from notifications.rules.effective import EVENTS, Route, Rules, Step, escalated, merge_rules, route
from notifications.services import escalation

FLAP_LEAST, FLAP_MOST = 3, 50
REMIND_LEAST, REMIND_LONGEST, REMIND_MOST = 60, 7 * 86_400, 100
# The names of the parts of `versions` that are about no channel.
_OWN, _ESCALATION = "rules", "escalation"


class RulesConflict(Exception):
    """The rules are no longer those that the change was made for."""


@dataclass(frozen=True, slots=True)
class Reminders:
    """The interval in seconds, 0 for never; `most` is the maximum number, None for the default."""

    every: int
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Own:
    """The rules of a monitor or a workspace itself; None is the default of the level above.

    `flap_changes`: with more changes in 10 minutes it is flapping; 0 is never.
    """

    missed: Threshold | None = None
    reported: Threshold | None = None
    recovery: int | None = None
    reminders: Reminders | None = None
    flap_changes: int | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """How one channel is notified of one monitor; `delay` in seconds and `events`: the channel's if None."""

    subscribed: bool = True
    delay: int | None = None
    events: tuple[str, ...] | None = None


# --- Reading ----------------------------------------------------------------------------------------


def own_of(row: MonitorRules | WorkspaceRules | None, judged_by: ThresholdColumns | None) -> Own:
    """Return the rules in a row of reminders and one of thresholds; either may be missing."""
    own = thresholds.own_of(judged_by)
    every, most = (None, None) if row is None else (row.remind_every, row.remind_most)
    return Own(
        missed=own.missed,
        reported=own.reported,
        recovery=own.recovery,
        reminders=None if every is None else Reminders(every, most),
        flap_changes=None if row is None else row.flap_changes,
    )


def own_of_monitor(monitor: Monitor) -> Own:
    """Return the rules of `monitor` itself. Two queries."""
    # The monitor may have been loaded before its thresholds were changed.
    row = Monitor.objects.filter(pk=monitor.pk).first()
    return own_of(MonitorRules.objects.filter(pk=monitor.pk).first(), row)


def own_of_workspace(workspace: Workspace) -> Own:
    """Return the rules of `workspace` itself. Two queries."""
    row = MonitorDefaults.objects.filter(pk=workspace.pk).first()
    return own_of(WorkspaceRules.objects.filter(pk=workspace.pk).first(), row)


def choices_of(monitor: Monitor) -> list[tuple[Channel, Choice]]:
    """Return the choice of each channel in the monitor's workspace, disabled ones too. Three queries."""
    channels = Channel.objects.filter(workspace=monitor.workspace_id).order_by("name", "pk")
    selected = set(monitor.channels.values_list("pk", flat=True))
    rules = {rule.channel_id: rule for rule in ChannelRule.objects.filter(monitor=monitor)}
    return [(channel, _choice(channel, selected, rules.get(channel.pk))) for channel in channels]


def _choice(channel: Channel, selected: set[int], rule: ChannelRule | None) -> Choice:
    named = channel.all_monitors or channel.pk in selected
    if rule is None:
        return Choice(named)
    events = rule.events if isinstance(rule.events, list) else None
    return Choice(
        named and rule.subscribed,
        rule.delay,
        None if events is None else tuple(name for name in EVENTS if name in events),
    )


def versions(
    own: Own, choices: Iterable[tuple[Channel, Choice]] = (), steps: Iterable[Step] | None = None
) -> dict[str, str]:
    """Return a version of each part, which changes whenever the part does. `steps`: None if it has none."""
    parts: dict[str, object] = {_OWN: own}
    if steps is not None:
        parts[_ESCALATION] = sorted((step.channel.pk, step.after, step.least_urgency) for step in steps)
    parts |= {str(channel.public_id): choice for channel, choice in choices}
    return {name: blake2s(repr(part).encode(), digest_size=6).hexdigest() for name, part in parts.items()}


def rules_from(own: Own, workspace: Workspace) -> Rules:
    """Return the effective rules of a monitor of `workspace` whose own rules are `own`. Two queries."""
    default = WorkspaceRules.objects.filter(pk=workspace.pk).first()
    judged_by = MonitorDefaults.objects.filter(pk=workspace.pk).first()
    meant = merge_thresholds(Monitor(**_threshold_columns(own)), judged_by)
    return merge_rules(default, MonitorRules(**_columns(own)), meant)


def rules_from_workspace(own: Own) -> Rules:
    """Return the effective rules of monitors without rules if `own` were their workspace's."""
    meant = merge_thresholds(None, MonitorDefaults(**_threshold_columns(own)))
    return merge_rules(WorkspaceRules(**_columns(own)), None, meant)


def routes_from(monitor: Monitor, choices: Iterable[tuple[Channel, Choice]]) -> list[Route]:
    """Return the routes of the enabled channels to `monitor` if these were the choices. One query."""
    enabled = [(channel, choice) for channel, choice in choices if channel.enabled]
    rules = {
        channel.pk: ChannelRule(delay=choice.delay, events=_listed(choice.events))
        for channel, choice in enabled
    }
    subscribed = [route(channel, rules[channel.pk]) for channel, choice in enabled if choice.subscribed]
    steps = [step for step in escalation.steps_of(monitor.workspace) if step.channel.enabled]
    return escalated(subscribed, steps, urgency=monitor.urgency, own=rules)


# --- Changing ---------------------------------------------------------------------------------------


def change(
    *,
    monitor: Monitor,
    by: Actor = COMMAND,
    own: Own | None = None,
    channels: Mapping[UUID, Choice] | None = None,
    expected: Mapping[str, str] | None = None,
) -> bool:
    """Change the rules of `monitor`; return whether anything changed.

    Applies at once, to what is open too.

    Args:
        own: all of its own rules; None leaves them unchanged.
        channels: choices by public id. Other channels stay unchanged, and deleted ones are skipped.
        expected: the `versions` that the change was made for; parts that no longer exist don't count.

    Raises:
        RulesConflict: one of the expected parts has changed.
        MonitorState.DoesNotExist: the monitor was deleted.
    """
    with transaction.atomic():
        lock_state(monitor)
        named = Channel.objects.filter(workspace=monitor.workspace_id, public_id__in=list(channels or {}))
        held = lock_channels(named.select_related("workspace"))
        before, choices = own_of_monitor(monitor), choices_of(monitor)
        _compare(versions(before, choices), expected)
        fields = [] if own is None else _differing(before, own)
        if own is not None and _thresholds(own) != _thresholds(before):
            thresholds.change(monitor=monitor, own=_thresholds(own))
        if own is not None and _columns(own) != _columns(before):
            MonitorRules.objects.update_or_create(monitor=monitor, defaults=_columns(own))
            forget_if_empty(monitor, now=database_now())
        stood = {channel.pk: choice for channel, choice in choices}
        names = []
        for channel in held:
            wanted = _cleaned((channels or {})[channel.public_id])
            if wanted != stood[channel.pk]:
                names.append(channel.name)
                _choose(monitor, channel, wanted, by)
        if fields or names:
            details = {"fields": fields, **({"channels": sorted(names)} if names else {})}
            target = AuditTarget(monitor.public_id, monitor.name, details)
            audit.record(
                workspace=monitor.workspace, by=by, action=AuditEntry.Action.RULES_CHANGED, target=target
            )
            enqueue.recheck(monitors=[monitor.pk])
    return bool(fields or names)


def change_workspace(
    *,
    workspace: Workspace,
    own: Own,
    steps: Iterable[Step] | None = None,
    by: Actor = COMMAND,
    expected: Mapping[str, str] | None = None,
) -> bool:
    """Change the defaults of `workspace` for its monitors; return whether anything changed.

    Args:
        steps: all escalation steps; None leaves them unchanged.
        expected: as for `change`.

    Raises:
        RulesConflict: they are no longer as `expected`.
    """
    with transaction.atomic():
        # Before the workspace: a state is locked before any row that notifications lock.
        lock_down_states(workspace)
        lock_workspace(workspace)
        before = own_of_workspace(workspace)
        _compare(versions(before, steps=escalation.steps_of(workspace)), expected)
        fields = _differing(before, own)
        if _thresholds(own) != _thresholds(before):
            thresholds.change_defaults(workspace=workspace, own=_thresholds(own))
        if _columns(own) != _columns(before):
            WorkspaceRules.objects.update_or_create(workspace=workspace, defaults=_columns(own))
            WorkspaceRules.objects.filter(pk=workspace.pk, **_columns(Own())).delete()
        if steps is not None and escalation.replace(workspace, steps):
            fields.append(_ESCALATION)
        if fields:
            target = AuditTarget(workspace.public_id, workspace.name, {"fields": fields})
            audit.record(workspace=workspace, by=by, action=AuditEntry.Action.RULES_CHANGED, target=target)
            enqueue.recheck(workspace=workspace)
    return bool(fields)


def _compare(now: Mapping[str, str], expected: Mapping[str, str] | None) -> None:
    for name, version in (expected or {}).items():
        if now.get(name, version) != version:
            raise RulesConflict


def _differing(before: Own, after: Own) -> list[str]:
    return [name for name in Own.__slots__ if getattr(before, name) != getattr(after, name)]


def _cleaned(choice: Choice) -> Choice:
    if choice.events is None:
        return choice
    return Choice(choice.subscribed, choice.delay, tuple(name for name in EVENTS if name in choice.events))


def _columns(own: Own) -> dict[str, Any]:
    return {
        "remind_every": own.reminders.every if own.reminders else None,
        "remind_most": own.reminders.most if own.reminders else None,
        "flap_changes": own.flap_changes,
    }


def _thresholds(own: Own) -> OwnThresholds:
    return OwnThresholds(own.missed, own.reported, own.recovery)


def _threshold_columns(own: Own) -> dict[str, Any]:
    return thresholds.columns_of(_thresholds(own))


def forget_if_empty(monitor: Monitor, *, now: datetime) -> None:
    """Delete the row of a monitor without rules of its own. The caller has locked the monitor."""
    rows = MonitorRules.objects.filter(pk=monitor.pk, **_columns(Own()))
    rows.exclude(snoozed_until__gt=now).delete()


def _choose(monitor: Monitor, channel: Channel, wanted: Choice, by: Actor) -> None:
    """Store the choice `wanted` of `channel`, which the caller has locked, for `monitor`."""
    subscribed = wanted.subscribed
    if not channel.all_monitors:
        # Its subscription is stored in its list of monitors; a rule would hide that.
        _name(monitor, channel, by, named=subscribed)
        subscribed = True
    if subscribed and wanted.delay is None and wanted.events is None:
        ChannelRule.objects.filter(monitor=monitor, channel=channel).delete()
    else:
        columns = {"subscribed": subscribed, "delay": wanted.delay, "events": _listed(wanted.events)}
        ChannelRule.objects.update_or_create(monitor=monitor, channel=channel, defaults=columns)


def _name(monitor: Monitor, channel: Channel, by: Actor, *, named: bool) -> None:
    if channel.monitors.filter(pk=monitor.pk).exists() == named:
        return
    (channel.monitors.add if named else channel.monitors.remove)(monitor)
    channel.version += 1
    channel.save(update_fields=["version", "updated_at"])
    target = AuditTarget(channel.public_id, channel.name, {"kind": channel.kind, "fields": ["monitors"]})
    audit.record(workspace=channel.workspace, by=by, action=AuditEntry.Action.CHANNEL_CHANGED, target=target)


def _listed(events: tuple[str, ...] | None) -> list[str] | None:
    return None if events is None else list(events)
