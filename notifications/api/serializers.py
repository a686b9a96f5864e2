"""Channels and deliveries in the management API."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from accounts.models import NAME_LENGTH
from api.fields import Boolean, Id, Integer, Line, Matching, OneOf, Prose, StrictSerializer, Timestamp
from api.keyset import PageSerializer
from core.timezones import ZONE_LENGTH
from monitors.api.serializers import URGENCIES
from notifications.api.configs import ConfigField, ShownConfigField
from notifications.integrations import kinds
from notifications.messages.events import LABELS, REASON_LABELS
from notifications.models import BURST_MAX, DELAY_MAX, TEMPLATE_LENGTH, Delivery
from notifications.rules.effective import EVENTS as SUBSCRIBABLE

MONITORS_MOST = 5000
EVENTS = [event.value for event in LABELS]
STATUSES = [status.value for status in Delivery.Status]
REASONS = list(REASON_LABELS)
NOTES = [note.value for note in Delivery.Note]
KINDS = list(kinds())


class _MonitorIds(serializers.ListField):
    child = Id()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            max_length=MONITORS_MOST,
            required=False,
            help_text="Ids of the monitors it is subscribed to if all_monitors is false.",
            **kwargs,
        )


class _TimeOfDay(Matching):
    """A time of day, such as 22:00."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z",
            gettext_lazy("Must be a time of day from 00:00 to 23:59, such as 22:00."),
            **kwargs,
        )


class _Template(Prose):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            max_length=TEMPLATE_LENGTH, allow_blank=True, required=False, trim_whitespace=False, **kwargs
        )


@extend_schema_serializer(component_name="QuietHours")
class QuietHoursSerializer(StrictSerializer):
    """From one time of day until another, which may be on the next day."""

    until = _TimeOfDay()
    timezone = Line(max_length=ZONE_LENGTH, help_text="Such as Asia/Jakarta.")

    def get_fields(self) -> dict[str, Any]:
        # `from` is a keyword.
        return {"from": _TimeOfDay(), **super().get_fields()}


@extend_schema_serializer(component_name="NewChannel")
class NewChannelSerializer(StrictSerializer):
    """A channel, or changes to one: fields that are left out stay unchanged, and `kind` can't be changed."""

    id = Id(read_only=True)
    name = Line(max_length=NAME_LENGTH)
    kind = OneOf(KINDS)
    config = ConfigField()
    enabled = Boolean(required=False, help_text="While it is false, notifications are dropped.")
    all_monitors = Boolean(
        required=False,
        help_text="Subscribed to all monitors, including new ones. Default: true unless monitors are given.",
    )
    monitors = _MonitorIds()
    delay = Integer(
        min_value=0,
        max_value=DELAY_MAX,
        required=False,
        help_text="In seconds: notified only if still down after that. 0 means immediately.",
    )
    events = serializers.ListField(
        child=OneOf(SUBSCRIBABLE),
        required=False,
        min_length=1,
        max_length=len(SUBSCRIBABLE),
        help_text="Events it is notified of. Default: all but late.",
    )
    least_urgency = OneOf(
        URGENCIES, required=False, help_text="Only monitors with this urgency or a higher one. Default: low."
    )
    quiet_hours = QuietHoursSerializer(
        required=False,
        allow_null=True,
        help_text="Then only monitors with high urgency notify this channel. Default: null, none.",
    )
    burst = Integer(
        min_value=1,
        max_value=BURST_MAX,
        required=False,
        help_text="Messages in 30 seconds that are sent each alone; what follows is sent in digests.",
    )
    title = _Template(help_text="Custom title, with {placeholders}; empty for the default.")
    body = _Template(help_text="Custom text, with {placeholders}; empty for the default.")
    failing_since = Timestamp(read_only=True)
    paused_until = Timestamp(read_only=True)
    created_at = Timestamp(read_only=True)
    updated_at = Timestamp(read_only=True)


class ChannelSerializer(serializers.Serializer[Any]):
    """A channel: where notifications go."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(KINDS)
    config = ShownConfigField()
    enabled = serializers.BooleanField()
    all_monitors = serializers.BooleanField()
    monitors = serializers.ListField(child=serializers.UUIDField())
    delay = serializers.IntegerField()
    events = serializers.ListField(child=serializers.ChoiceField(SUBSCRIBABLE))
    least_urgency = serializers.ChoiceField(URGENCIES)
    quiet_hours = QuietHoursSerializer(allow_null=True)
    burst = serializers.IntegerField()
    title = serializers.CharField(allow_blank=True)
    body = serializers.CharField(allow_blank=True)
    failing_since = Timestamp(
        allow_null=True,
        help_text="Failing since: too many attempts failed, or the receiver no longer exists.",
    )
    paused_until = Timestamp(
        allow_null=True, help_text="Nothing is sent until then, because the receiver asked for a pause."
    )
    created_at = Timestamp()
    updated_at = Timestamp()


class TestedSerializer(serializers.Serializer[Any]):
    """The result of a test."""

    ok = serializers.BooleanField(help_text="Whether the receiver accepted it.")
    detail = serializers.CharField(allow_blank=True, help_text="The response, or why it failed.")


class AttemptSerializer(serializers.Serializer[Any]):
    """One attempt of a delivery."""

    number = serializers.IntegerField()
    started_at = Timestamp()
    finished_at = Timestamp()
    ok = serializers.BooleanField()
    detail = serializers.CharField(
        allow_null=True,
        allow_blank=True,
        help_text="The response of the receiver; null for viewers.",
    )


class DeliverySerializer(serializers.Serializer[Any]):
    """One event for one channel. Every attempt carries the same `id`.

    Notifications that were sent as a digest share one delivery whose event is "digest"; each of them names it
    as its `digest` and has its result. The events that begin with "digest." are of earlier versions.
    """

    id = serializers.UUIDField()
    event = serializers.ChoiceField(EVENTS)
    status = serializers.ChoiceField(STATUSES)
    channel = serializers.UUIDField()
    channel_name = serializers.CharField()
    monitor = serializers.UUIDField(
        allow_null=True, help_text="null for a digest, a failing channel or a deleted monitor."
    )
    monitor_name = serializers.CharField(allow_null=True)
    incident = serializers.UUIDField(allow_null=True, help_text="null also if a monitor is only late.")
    subject = serializers.UUIDField(allow_null=True, help_text="The channel that is failing.")
    digest = serializers.UUIDField(allow_null=True, help_text="The digest that it is part of.")
    outage = serializers.UUIDField(
        allow_null=True,
        help_text="The outage as receivers know it: the same from the first message about it to the last.",
    )
    sequence = serializers.IntegerField(
        allow_null=True, help_text="The number of the message about that outage, from 1."
    )
    reason = serializers.ChoiceField(
        REASONS, allow_null=True, help_text="Why the outage was closed without a recovery."
    )
    note = serializers.ChoiceField(NOTES, allow_null=True, help_text="Why it was skipped.")
    created_at = Timestamp()
    planned_at = Timestamp(allow_null=True, help_text="Since when the rules allow it to be sent.")
    next_attempt_at = Timestamp(allow_null=True)
    sent_at = Timestamp(allow_null=True)
    attempts = AttemptSerializer(many=True)


class DeliveryFilter(PageSerializer):
    status = OneOf(STATUSES, required=False)
    event = OneOf(EVENTS, required=False)
    channel = Id(required=False, help_text="To this channel.")
    monitor = Id(required=False, help_text="About this monitor.")
    digest = Id(required=False, help_text="Part of this digest.")
