"""Channels and deliveries as the management API writes and reads them."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from accounts.api.fields import Id, Line, Matching, Moment, OneOf, StrictSerializer, Text, YesNo
from accounts.api.keyset import PageSerializer
from notifications import destinations, signing
from notifications.models import Delivery

MONITORS_MOST = 5000
# Says that there is a secret. Written back, it keeps the one there is.
MASK = f"{signing.PREFIX}********"
EVENTS = [event.value for event in Delivery.Event]
STATUSES = [status.value for status in Delivery.Status]
KINDS = ["email", "webhook"]


class Address(Text):
    """An email address."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=destinations.ADDRESS_LENGTH, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        address = super().to_internal_value(data)
        try:
            return destinations.clean_address(address)
        except DjangoValidationError as error:
            raise serializers.ValidationError(error.messages) from None


class Url(Matching):
    """An address over http(s), as far as a pattern can say; `destinations.clean_url` says the rest."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            rf"^{destinations.URL}\Z", destinations.NOT_A_URL, max_length=destinations.URL_LENGTH, **kwargs
        )


class Secret(Matching):
    """A secret to sign with, or the mask that is read in its place."""

    def __init__(self, **kwargs: Any) -> None:
        pattern = rf"^(?:{signing.PATTERN}|{signing.PREFIX}\*{{8}})\Z"
        super().__init__(pattern, destinations.NOT_A_SECRET, allow_null=True, **kwargs)


class WebhookConfigSerializer(StrictSerializer):
    """A POST of JSON to `url`, signed where there is a `secret`."""

    url = Url()
    secret = Secret(
        required=False,
        help_text=(
            "whsec_ and the base64 of 24 to 64 bytes. Never readable: it is shown as whsec_********, and "
            "leaving it out or writing that back keeps it. null is no secret."
        ),
    )


class EmailConfigSerializer(StrictSerializer):
    """One message to all of the addresses."""

    addresses = serializers.ListField(
        child=extend_schema_field({"type": "string", "format": "email", "maxLength": 320})(Address)(),
        min_length=1,
        max_length=destinations.ADDRESSES_MOST,
    )


CONFIGS: dict[str, type[StrictSerializer]] = {
    "webhook": WebhookConfigSerializer,
    "email": EmailConfigSerializer,
}


class _MonitorIds(serializers.ListField):
    child = Id()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            max_length=MONITORS_MOST,
            required=False,
            help_text="Ids of the monitors that it tells about, where all_monitors is false.",
            **kwargs,
        )


@extend_schema_field(
    PolymorphicProxySerializer(
        component_name="ChannelConfig", serializers=list(CONFIGS.values()), resource_type_field_name=None
    )
)
class _ConfigField(serializers.Field[Any, Any, Any, Any]):
    """A destination, with the kind that it is of: whether that is the channel's, the view knows."""

    default_error_messages = {"invalid": _("Give an object with a url, or one with addresses.")}

    def to_internal_value(self, data: Any) -> tuple[str, dict[str, Any]]:
        if not isinstance(data, dict):
            self.fail("invalid")
        kind = self._kind(data)
        body = CONFIGS[kind](data=data)
        body.is_valid(raise_exception=True)
        return kind, dict(body.validated_data)

    def _kind(self, data: dict[str, Any]) -> str:
        if "url" in data or "addresses" in data:
            return "webhook" if "url" in data else "email"
        said = self.parent.initial_data.get("kind")
        return "email" if said == "email" else "webhook"


@extend_schema_serializer(component_name="NewChannel")
class NewChannelSerializer(StrictSerializer):
    """A channel, or a change of one: then what is left out stays, and the kind cannot change."""

    id = Id(read_only=True)
    name = Line(max_length=100)
    kind = OneOf(KINDS)
    config = _ConfigField()
    enabled = YesNo(required=False, help_text="While it is off, nothing is sent, and not later either.")
    all_monitors = YesNo(
        required=False,
        help_text="Tells about all monitors, also those to come. True unless monitors names some.",
    )
    monitors = _MonitorIds()
    created_at = Moment(read_only=True)
    updated_at = Moment(read_only=True)


class ShownWebhookSerializer(serializers.Serializer[Any]):
    """A webhook. Who may only read sees the host of the url."""

    url = serializers.CharField()
    secret = serializers.CharField(allow_null=True, help_text="whsec_******** where there is one.")


class ShownEmailSerializer(serializers.Serializer[Any]):
    """Email addresses. Who may only read sees how many."""

    addresses = serializers.ListField(child=serializers.CharField())


@extend_schema_field(
    PolymorphicProxySerializer(
        component_name="ShownConfig",
        serializers=[ShownWebhookSerializer, ShownEmailSerializer],
        resource_type_field_name=None,
    )
)
class _ShownConfigField(serializers.Field[Any, Any, Any, Any]):
    pass


class ChannelSerializer(serializers.Serializer[Any]):
    """A channel: where messages go."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(KINDS)
    config = _ShownConfigField()
    enabled = serializers.BooleanField()
    all_monitors = serializers.BooleanField()
    monitors = serializers.ListField(child=serializers.UUIDField())
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
    """One event for one channel. `id` is the one that every attempt carries."""

    id = serializers.UUIDField()
    event = serializers.ChoiceField(EVENTS)
    status = serializers.ChoiceField(STATUSES)
    channel = serializers.UUIDField()
    channel_name = serializers.CharField()
    monitor = serializers.UUIDField()
    monitor_name = serializers.CharField()
    incident = serializers.UUIDField()
    created_at = Moment()
    next_attempt_at = Moment(allow_null=True)
    sent_at = Moment(allow_null=True)
    attempts = AttemptSerializer(many=True)


class DeliveryFilter(PageSerializer):
    status = OneOf(STATUSES, required=False)
    event = OneOf(EVENTS, required=False)
    channel = Id(required=False, help_text="To this channel.")
    monitor = Id(required=False, help_text="About this monitor.")
