"""The log of monitors as the management API writes it, and what may be asked of it."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.api.fields import Id, Moment, OneOf, Sought, StrictSerializer
from accounts.api.keyset import PageSerializer
from monitors.models import MESSAGE_LENGTH
from monitors.status import Cause, Reason, Status

FORMATS = ("json", "csv", "ndjson")


@extend_schema_field({"type": "boolean"})
class TrueOrFalse(serializers.Field[Any, Any, Any, Any]):
    """`true` or `false` in a query."""

    default_error_messages = {"invalid": _("Must be true or false.")}

    def to_internal_value(self, data: Any) -> bool:
        if data not in ("true", "false"):
            self.fail("invalid")
        return bool(data == "true")


class RangeSerializer(StrictSerializer):
    """A range of time, from its first moment to before its last."""

    def get_fields(self) -> dict[str, Any]:
        # "from" cannot be the name of an attribute.
        return {
            "from": Moment(required=False, help_text="The first moment, ISO 8601 with the offset from UTC."),
            "to": Moment(required=False, help_text="The moment before which it ends."),
            **super().get_fields(),
        }


class HeartbeatFilter(RangeSerializer, PageSerializer):
    status = OneOf(["up", "down"], required=False, help_text="What the sender said.")
    q = Sought(max_length=MESSAGE_LENGTH, required=False, help_text="The message contains this text.")
    format = OneOf(
        FORMATS,
        required=False,
        help_text="csv and ndjson are the whole range at once. Accept: text/csv says the same.",
    )


class TransitionFilter(RangeSerializer, PageSerializer):
    pass


class IncidentFilter(RangeSerializer, PageSerializer):
    open = TrueOrFalse(required=False, help_text="Only those that are open, or only those that are over.")


class AnyIncidentFilter(IncidentFilter):
    monitor = Id(required=False, help_text="Of this monitor.")


class HeartbeatSerializer(serializers.Serializer[Any]):
    """One accepted push. `source` is the sender's address, `token` the masked push token with its label."""

    received_at = Moment()
    status = serializers.ChoiceField(["up", "down"])
    message = serializers.CharField(allow_blank=True)
    value = serializers.FloatField(allow_null=True)
    source = serializers.CharField(allow_null=True)  # type: ignore[assignment]
    token = serializers.CharField(allow_null=True)


class IncidentSerializer(serializers.Serializer[Any]):
    """One interval in which a monitor was down. While it is open, what its end will say is null or ""."""

    id = serializers.UUIDField()
    monitor = serializers.UUIDField()
    monitor_name = serializers.CharField()
    cause = serializers.ChoiceField([cause.value for cause in Cause])
    started_at = Moment(help_text="The deadline that passed, or when down was reported.")
    detected_at = Moment(help_text="When Tianji noticed.")
    resolved_at = Moment(allow_null=True)
    duration_seconds = serializers.FloatField(allow_null=True)
    opening_message = serializers.CharField(allow_blank=True)
    opening_value = serializers.FloatField(allow_null=True)
    closing_message = serializers.CharField(allow_blank=True)
    closing_value = serializers.FloatField(allow_null=True)
    last_heartbeat_at = Moment(allow_null=True, help_text="The last heartbeat before it.")


_STATUSES = [status.value for status in Status]


class TransitionSerializer(serializers.Serializer[Any]):
    """One change of a monitor's status; `incident` is the one that it opened or closed."""

    def get_fields(self) -> dict[str, Any]:
        return {
            "at": Moment(),
            "from": serializers.ChoiceField(_STATUSES),
            "to": serializers.ChoiceField(_STATUSES),
            "reason": serializers.ChoiceField([reason.value for reason in Reason]),
            "incident": serializers.UUIDField(allow_null=True),
        }


class UptimeSerializer(serializers.Serializer[Any]):
    """How much of a time a monitor was up. Times in which it was new or paused are not watched."""

    def get_fields(self) -> dict[str, Any]:
        return {
            "from": Moment(),
            "to": Moment(),
            "uptime": serializers.FloatField(
                min_value=0,
                max_value=1,
                allow_null=True,
                help_text="The part of watched_seconds that it was not down; null where that is 0.",
            ),
            "down_seconds": serializers.FloatField(min_value=0),
            "watched_seconds": serializers.FloatField(min_value=0),
            "incidents": serializers.IntegerField(min_value=0, help_text="Those that touch the range."),
        }
