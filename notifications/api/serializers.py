"""Channels and deliveries as the management API writes and reads them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from api.fields import Id, Line, Moment, OneOf, StrictSerializer, Text, Whole, YesNo
from api.keyset import PageSerializer
from notifications.api.configs import ConfigField, ShownConfigField
from notifications.integrations import kinds
from notifications.models import DELAY_MAX, TEMPLATE_LENGTH, Delivery
from notifications.rules.effective import EVENTS as HEARD_OF

MONITORS_MOST = 5000
EVENTS = [event.value for event in Delivery.Event]
STATUSES = [status.value for status in Delivery.Status]
NOTES = [note.value for note in Delivery.Note]
KINDS = list(kinds())


class _MonitorIds(serializers.ListField):
    child = Id()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            max_length=MONITORS_MOST,
            required=False,
            help_text="Ids of the monitors that it tells about, where all_monitors is false.",
            **kwargs,
        )


class _Template(Text):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            max_length=TEMPLATE_LENGTH, allow_blank=True, required=False, trim_whitespace=False, **kwargs
        )


@extend_schema_serializer(component_name="NewChannel")
class NewChannelSerializer(StrictSerializer):
    """A channel, or a change of one: then what is left out stays, and the kind cannot change."""

    id = Id(read_only=True)
    name = Line(max_length=100)
    kind = OneOf(KINDS)
    config = ConfigField()
    enabled = YesNo(required=False, help_text="While it is off, nothing is sent, and not later either.")
    all_monitors = YesNo(
        required=False,
        help_text="Tells about all monitors, also those to come. True unless monitors names some.",
    )
    monitors = _MonitorIds()
    delay = Whole(
        min_value=0,
        max_value=DELAY_MAX,
        required=False,
        help_text="In seconds: it hears only of what is still down after that. 0 is at once.",
    )
    events = serializers.ListField(
        child=OneOf(HEARD_OF),
        required=False,
        min_length=1,
        max_length=len(HEARD_OF),
        help_text="What it hears of. Left out in a new channel, all but late.",
    )
    title = _Template(help_text="A title of its own, with {placeholders}; empty for the usual.")
    body = _Template(help_text="A text of its own, with {placeholders}; empty for the usual.")
    broken_at = Moment(read_only=True)
    quiet_until = Moment(read_only=True)
    created_at = Moment(read_only=True)
    updated_at = Moment(read_only=True)


class ChannelSerializer(serializers.Serializer[Any]):
    """A channel: where messages go."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(KINDS)
    config = ShownConfigField()
    enabled = serializers.BooleanField()
    all_monitors = serializers.BooleanField()
    monitors = serializers.ListField(child=serializers.UUIDField())
    delay = serializers.IntegerField()
    events = serializers.ListField(child=serializers.ChoiceField(HEARD_OF))
    title = serializers.CharField(allow_blank=True)
    body = serializers.CharField(allow_blank=True)
    broken_at = Moment(
        allow_null=True, help_text="Since when too many attempts failed, or nobody is there any more."
    )
    quiet_until = Moment(
        allow_null=True, help_text="Until then nothing is sent: the other side asked for it."
    )
    created_at = Moment()
    updated_at = Moment()


class TestedSerializer(serializers.Serializer[Any]):
    """What came of a test message."""

    ok = serializers.BooleanField(help_text="The other side took it.")
    detail = serializers.CharField(allow_blank=True, help_text="What it said, or why it did not get through.")


class AttemptSerializer(serializers.Serializer[Any]):
    """One try of a delivery."""

    number = serializers.IntegerField()
    started_at = Moment()
    finished_at = Moment()
    ok = serializers.BooleanField()
    detail = serializers.CharField(
        allow_null=True,
        allow_blank=True,
        help_text="What the other side said; null for those who may only read.",
    )


class DeliverySerializer(serializers.Serializer[Any]):
    """One event for one channel. `id` is the one that every attempt carries.

    What was told together is in one delivery with an event that begins with "digest."; the single ones
    name it as their `digest` and share its end.
    """

    id = serializers.UUIDField()
    event = serializers.ChoiceField(EVENTS)
    status = serializers.ChoiceField(STATUSES)
    channel = serializers.UUIDField()
    channel_name = serializers.CharField()
    monitor = serializers.UUIDField(allow_null=True, help_text="null for a digest and news of a channel.")
    monitor_name = serializers.CharField(allow_null=True)
    incident = serializers.UUIDField(allow_null=True, help_text="null as well where a monitor is only late.")
    subject = serializers.UUIDField(allow_null=True, help_text="The channel that is said to be broken.")
    digest = serializers.UUIDField(allow_null=True, help_text="The delivery that tells of it with others.")
    note = serializers.ChoiceField(NOTES, allow_null=True, help_text="Why it was withdrawn.")
    created_at = Moment()
    planned_at = Moment(allow_null=True, help_text="When the rules let people be told.")
    next_attempt_at = Moment(allow_null=True)
    sent_at = Moment(allow_null=True)
    attempts = AttemptSerializer(many=True)


class DeliveryFilter(PageSerializer):
    status = OneOf(STATUSES, required=False)
    event = OneOf(EVENTS, required=False)
    channel = Id(required=False, help_text="To this channel.")
    monitor = Id(required=False, help_text="About this monitor.")
    digest = Id(required=False, help_text="Told in this digest.")
