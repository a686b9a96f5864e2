"""Maintenance windows in the management API."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from accounts.models import NAME_LENGTH
from api.fields import Boolean, Id, Integer, Line, Matching, OneOf, StrictSerializer, Timestamp
from core.timezones import ZONE_LENGTH
from monitors.api.serializers import TagsField
from monitors.domain.durations import MINUTE
from monitors.forms.maintenance import LONGEST
from monitors.models import MaintenanceWindow

MONITORS_MOST = 10_000
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Kind = MaintenanceWindow.Kind


@extend_schema_serializer(component_name="Once")
class OnceSerializer(StrictSerializer):
    """From `starts_at` (default: now) until `ends_at`, or for `duration` seconds."""

    kind = OneOf(["once"])
    starts_at = Timestamp(required=False, allow_null=True)
    ends_at = Timestamp(required=False, allow_null=True)
    duration = Integer(min_value=1, max_value=LONGEST, required=False, allow_null=True, write_only=True)


@extend_schema_serializer(component_name="Weekly")
class WeeklySerializer(StrictSerializer):
    """Every week on some weekdays, from a time of day, for `duration` seconds."""

    kind = OneOf(["weekly"])
    weekdays = serializers.ListField(child=OneOf(WEEKDAYS), min_length=1, max_length=len(WEEKDAYS))
    start_time = Matching(r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z", _("Must be a time of day, such as 22:00."))
    duration = Integer(min_value=MINUTE, max_value=LONGEST)
    timezone = Line(max_length=ZONE_LENGTH, required=False, help_text="Defaults to the workspace's.")
    starts_at = Timestamp(required=False, allow_null=True, help_text="Does not occur before this.")
    ends_at = Timestamp(required=False, allow_null=True, help_text="Does not occur after this.")


KINDS: dict[str, type[StrictSerializer]] = {Kind.ONCE: OnceSerializer, Kind.WEEKLY: WeeklySerializer}


@extend_schema_field(
    PolymorphicProxySerializer(
        component_name="When", serializers=list(KINDS.values()), resource_type_field_name=None
    )
)
class WhenField(serializers.Field[Any, Any, Any, Any]):
    """When the window takes place: once or every week."""

    default_error_messages = {
        "kind": _("Requires kind: “once” with an end or a duration, or “weekly” with weekdays."),
    }

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        kind = data.get("kind") if isinstance(data, dict) else None
        if not isinstance(kind, str) or kind not in KINDS:
            self.fail("kind")
        body = KINDS[kind](data=data)
        body.is_valid(raise_exception=True)
        return dict(body.validated_data)


class MaintenanceSerializer(StrictSerializer):
    """A maintenance window. Applies to all monitors unless tags or monitors are given."""

    id = serializers.UUIDField(read_only=True)
    name = Line(max_length=NAME_LENGTH)
    when = WhenField()
    all_monitors = Boolean(required=False)
    tags = TagsField(required=False)
    monitors = serializers.ListField(child=Id(), required=False, max_length=MONITORS_MOST)
    excluded_from_uptime = Boolean(required=False, help_text="Defaults to true.")
    under_way_until = Timestamp(
        read_only=True, allow_null=True, help_text="When it ends, if it is active now."
    )
    created_at = Timestamp(read_only=True)
