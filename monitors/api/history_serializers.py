"""A monitor's history as the management API returns it, and its query parameters."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.fields import Id, OneOf, RangeSerializer, SearchText, Timestamp
from api.keyset import PageSerializer
from monitors.domain.state_machine import Cause, Reason, Status
from monitors.models import MESSAGE_LENGTH

FORMATS = ("json", "csv", "ndjson")


@extend_schema_field({"type": "boolean"})
class TrueOrFalse(serializers.Field[Any, Any, Any, Any]):
    """`true` or `false` in a query."""

    default_error_messages = {"invalid": _("Must be true or false.")}

    def to_internal_value(self, data: Any) -> bool:
        if data not in ("true", "false"):
            self.fail("invalid")
        return bool(data == "true")


class HeartbeatFilter(RangeSerializer, PageSerializer):
    status = OneOf(["up", "down"], required=False, help_text="The status that the sender reported.")
    q = SearchText(max_length=MESSAGE_LENGTH, required=False, help_text="Text contained in the message.")
    format = OneOf(
        FORMATS,
        required=False,
        help_text="csv and ndjson return the whole range at once. Accept: text/csv does the same.",
    )


class TransitionFilter(RangeSerializer, PageSerializer):
    pass


class IncidentFilter(RangeSerializer, PageSerializer):
    open = TrueOrFalse(required=False, help_text="true: only open incidents; false: only resolved ones.")


class AnyIncidentFilter(IncidentFilter):
    monitor = Id(required=False, help_text="Only incidents of this monitor.")


class HeartbeatSerializer(serializers.Serializer[Any]):
    """One accepted push. `source` is the sender's address, `token` the masked push token with its label."""

    received_at = Timestamp()
    status = serializers.ChoiceField(["up", "down"])
    message = serializers.CharField(allow_blank=True)
    value = serializers.FloatField(allow_null=True)
    source = serializers.CharField(allow_null=True)  # type: ignore[assignment]
    token = serializers.CharField(allow_null=True)


class IncidentSerializer(serializers.Serializer[Any]):
    """One interval in which a monitor was down. Until it is resolved, the closing fields are null or ""."""

    id = serializers.UUIDField()
    monitor = serializers.UUIDField()
    monitor_name = serializers.CharField()
    cause = serializers.ChoiceField([cause.value for cause in Cause])
    started_at = Timestamp(help_text="When the deadline passed, or down was reported.")
    detected_at = Timestamp(help_text="When Tianji detected it.")
    confirmed_at = Timestamp(
        allow_null=True,
        help_text="When its failure threshold was reached; null: no notifications are, or were, sent.",
    )
    resolved_at = Timestamp(allow_null=True)
    duration_seconds = serializers.FloatField(allow_null=True)
    opening_message = serializers.CharField(allow_blank=True)
    opening_value = serializers.FloatField(allow_null=True)
    latest_message = serializers.CharField(
        allow_blank=True,
        help_text="The message of the last failed heartbeat since, if it differs from the opening message.",
    )
    closing_message = serializers.CharField(allow_blank=True)
    closing_value = serializers.FloatField(allow_null=True)
    last_heartbeat_at = Timestamp(allow_null=True, help_text="The last heartbeat before the incident.")


_STATUSES = [status.value for status in Status]


class TransitionSerializer(serializers.Serializer[Any]):
    """One status change of a monitor; `incident` is the incident that it opened or resolved."""

    def get_fields(self) -> dict[str, Any]:
        return {
            "at": Timestamp(),
            "from": serializers.ChoiceField(_STATUSES),
            "to": serializers.ChoiceField(_STATUSES),
            "reason": serializers.ChoiceField([reason.value for reason in Reason]),
            "incident": serializers.UUIDField(allow_null=True),
        }


class UptimeSerializer(serializers.Serializer[Any]):
    """A monitor's uptime, and how often heartbeats arrived.

    Time in which it was new or paused is not included in the watched time.
    """

    def get_fields(self) -> dict[str, Any]:
        return {
            "from": Timestamp(),
            "to": Timestamp(),
            "uptime": serializers.FloatField(
                min_value=0,
                max_value=1,
                allow_null=True,
                help_text="The share of watched_seconds in which it was not down; null if that is 0.",
            ),
            "down_seconds": serializers.FloatField(min_value=0),
            "watched_seconds": serializers.FloatField(min_value=0),
            "incidents": serializers.IntegerField(min_value=0, help_text="Incidents that overlap the range."),
            "interval_median_seconds": serializers.FloatField(
                min_value=0,
                allow_null=True,
                help_text="Half of the heartbeats arrived within it; null if fewer than five did.",
            ),
            "interval_p99_seconds": serializers.FloatField(
                min_value=0, allow_null=True, help_text="99 % of the heartbeats arrived within it."
            ),
        }
