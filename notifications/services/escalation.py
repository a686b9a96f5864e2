"""The escalation steps of a workspace: who else is notified if no one acknowledges an incident."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from accounts.models import Workspace
from notifications.locks import keep_channels
from notifications.models import EscalationStep
from notifications.rules.effective import Step, step_of

STEPS_MOST = 20
AFTER_LEAST = 60


def steps_of(workspace: Workspace) -> list[Step]:
    """Return the steps of `workspace`, soonest first, those of disabled channels too. One query."""
    rows = EscalationStep.objects.filter(workspace=workspace).select_related("channel")
    return [step_of(row) for row in rows.order_by("after", "channel__name", "pk")]


def replace(workspace: Workspace, steps: Iterable[Step]) -> bool:
    """Replace the steps of `workspace`, which the caller has locked; return whether they changed.

    `steps` are for different channels of the workspace. Those whose channel was deleted in the meantime are
    skipped.
    """
    steps = list(steps)
    there = keep_channels({step.channel.pk for step in steps})
    wanted = {step.channel.pk: (step.after, step.least_urgency) for step in steps if step.channel.pk in there}
    rows = {row.channel_id: row for row in EscalationStep.objects.filter(workspace=workspace)}
    before = {pk: (timedelta(seconds=row.after), row.least_urgency) for pk, row in rows.items()}
    if wanted == before:
        return False
    EscalationStep.objects.filter(workspace=workspace).exclude(channel__in=list(wanted)).delete()
    for pk, (after, least_urgency) in wanted.items():
        columns = {"after": int(after.total_seconds()), "least_urgency": least_urgency}
        EscalationStep.objects.update_or_create(workspace=workspace, channel_id=pk, defaults=columns)
    return True
