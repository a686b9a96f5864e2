"""Notification rules in the management API: bodies, and how they are read and shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from api.fields import Boolean, Id, Integer, OneOf, StrictSerializer, Timestamp
from api.problems import impossible
from monitors.api.serializers import URGENCIES
from monitors.domain.thresholds import NEEDED_MOST, OF_MOST, Threshold
from notifications.models import DELAY_MAX
from notifications.rules.effective import EVENTS, Step
from notifications.services.escalation import AFTER_LEAST, STEPS_MOST
from notifications.services.rules import (
    FLAP_LEAST,
    FLAP_MOST,
    REMIND_LEAST,
    REMIND_LONGEST,
    REMIND_MOST,
    Own,
    Reminders,
)

CHANNELS_MOST = 1000


class ToleranceSerializer(StrictSerializer):
    """A failure threshold: `needed` failures among the last `of` heartbeats."""

    needed = Integer(min_value=1, max_value=NEEDED_MOST)
    of = Integer(
        min_value=1,
        max_value=OF_MOST,
        required=False,
        help_text="At least `needed`. If left out, equal to `needed`: failures in a row.",
    )


class RemindersSerializer(StrictSerializer):
    """How often reminders are sent while a monitor is down."""

    every = Integer(
        min_value=0,
        max_value=REMIND_LONGEST,
        help_text=f"In seconds, at least {REMIND_LEAST}; 0 means never.",
    )
    most = Integer(
        min_value=1,
        max_value=REMIND_MOST,
        required=False,
        allow_null=True,
        help_text="Maximum number of reminders. Left out or null: the default.",
    )


class FlappingSerializer(StrictSerializer):
    """When a monitor is flapping: with more than so many changes in 10 minutes."""

    changes = Integer(min_value=0, max_value=FLAP_MOST, help_text=f"At least {FLAP_LEAST}; 0 means never.")


class StepSerializer(StrictSerializer):
    """A channel that is also notified of an outage that no one has acknowledged in time."""

    channel = Id()
    after = Integer(min_value=AFTER_LEAST, max_value=DELAY_MAX, help_text="In seconds.")
    least_urgency = OneOf(
        URGENCIES,
        required=False,
        help_text="Only of monitors with this urgency or a higher one. Default: low.",
    )


class ChoiceSerializer(StrictSerializer):
    """How one channel is notified of a monitor."""

    channel = Id()
    subscribed = Boolean(required=False, help_text="Whether it is subscribed to the monitor. Default: true.")
    delay = Integer(
        min_value=0,
        max_value=DELAY_MAX,
        required=False,
        allow_null=True,
        help_text="In seconds: notified only if still down after that. null: the channel's own delay.",
    )
    events = serializers.ListField(
        child=OneOf(EVENTS),
        required=False,
        allow_null=True,
        min_length=1,
        max_length=len(EVENTS),
        help_text="Events it is notified of. null: the channel's own events.",
    )


class OwnSerializer(StrictSerializer):
    """What a workspace and a monitor have in common."""

    missed = ToleranceSerializer(
        required=False, allow_null=True, help_text="Failure threshold for missed heartbeats."
    )
    reported = ToleranceSerializer(
        required=False,
        allow_null=True,
        help_text="Failure threshold for down reports and values out of range.",
    )
    recovery = Integer(
        min_value=1,
        max_value=NEEDED_MOST,
        required=False,
        allow_null=True,
        help_text="Recovery threshold: good heartbeats in a row that resolve an incident.",
    )
    reminders = RemindersSerializer(required=False, allow_null=True)
    flapping = FlappingSerializer(required=False, allow_null=True)


@extend_schema_serializer(component_name="WorkspaceRules")
class WorkspaceRulesSerializer(OwnSerializer):
    """Notification defaults of a workspace. Fields that are left out or null have the product's default."""

    escalation = StepSerializer(  # type: ignore[call-arg]
        many=True,
        required=False,
        max_length=STEPS_MOST,
        help_text="All escalation steps, one for each channel. If left out, they stay unchanged.",
    )


@extend_schema_serializer(component_name="MonitorRules")
class RulesSerializer(OwnSerializer):
    """Notification rules of a monitor. Fields that are left out or null have the workspace's default."""

    channels = ChoiceSerializer(  # type: ignore[call-arg]
        many=True,
        required=False,
        max_length=CHANNELS_MOST,
        help_text="All channels of the workspace. Channels that are left out of a change stay unchanged.",
    )
    snoozed_until = Timestamp(
        read_only=True, allow_null=True, help_text="No down notifications are sent until then."
    )


def own_from(data: Mapping[str, Any]) -> Own:
    """Return the rules in a request body. Raises Problem."""
    return Own(
        missed=_tolerance("missed", data),
        reported=_tolerance("reported", data),
        recovery=data.get("recovery"),
        reminders=_reminders(data),
        flap_changes=_flap_changes(data),
    )


def _tolerance(name: str, data: Mapping[str, Any]) -> Threshold | None:
    given = data.get(name)
    if given is None:
        return None
    needed, of = given["needed"], given.get("of", given["needed"])
    if of < needed:
        raise impossible(
            f"{name}.of", _("Must be a whole number from {low} to {high}.").format(low=needed, high=OF_MOST)
        )
    return Threshold(needed, of)


def _reminders(data: Mapping[str, Any]) -> Reminders | None:
    given = data.get("reminders")
    if given is None:
        return None
    every = given["every"]
    if 0 < every < REMIND_LEAST:
        sentence = _("Must be 0 for never, or a whole number from {low} to {high}.")
        raise impossible("reminders.every", sentence.format(low=REMIND_LEAST, high=REMIND_LONGEST))
    return Reminders(every, given.get("most"))


def _flap_changes(data: Mapping[str, Any]) -> int | None:
    given = data.get("flapping")
    if given is None:
        return None
    changes: int = given["changes"]
    if 0 < changes < FLAP_LEAST:
        sentence = _("Must be 0 for never, or a whole number from {low} to {high}.")
        raise impossible("flapping.changes", sentence.format(low=FLAP_LEAST, high=FLAP_MOST))
    return changes


def own_shown(own: Own) -> dict[str, Any]:
    """Return rules as they are read."""
    return {
        "missed": own.missed and {"needed": own.missed.needed, "of": own.missed.of},
        "reported": own.reported and {"needed": own.reported.needed, "of": own.reported.of},
        "recovery": own.recovery,
        "reminders": own.reminders and {"every": own.reminders.every, "most": own.reminders.most},
        "flapping": None if own.flap_changes is None else {"changes": own.flap_changes},
    }


def step_shown(step: Step) -> dict[str, Any]:
    """Return an escalation step as it is read."""
    return {
        "channel": str(step.channel.public_id),
        "after": int(step.after.total_seconds()),
        "least_urgency": step.least_urgency,
    }
