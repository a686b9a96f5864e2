"""Monitors and push tokens in the management API."""

from __future__ import annotations

import re
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from accounts.models import NAME_LENGTH, PUSH_RATE_MAX
from api.fields import (
    Boolean,
    Id,
    Integer,
    Line,
    LineOrNothing,
    Matching,
    Number,
    OneOf,
    Prose,
    SearchText,
    StrictSerializer,
    Text,
    Timestamp,
)
from api.keyset import PageSerializer
from core.timezones import ZONE_LENGTH
from monitors.domain.expressions import ScheduleError
from monitors.domain.on_calendar_times import LINES_MAX, on_calendar_lines
from monitors.domain.schedules import EARLY_MAX, GRACE_MAX, TIMEOUT_MAX, TIMEOUT_MIN
from monitors.domain.state_machine import Shown, Urgency
from monitors.heartbeats.push_token import ACCEPTABLE
from monitors.models import (
    CALENDAR_LENGTH,
    CRON_LENGTH,
    DESCRIPTION_LENGTH,
    MAX_TAG_LENGTH,
    MAX_TAGS,
    SLUG,
    SLUG_LENGTH,
    TOKEN_LABEL_LENGTH,
    Monitor,
)
from monitors.services import tokens

CHANNELS_MOST = 200
STATUSES = [status.value for status in Shown]
URGENCIES = [urgency.value for urgency in Urgency]
_SOUGHT_LENGTH = 200


def _early() -> Integer:
    return Integer(
        min_value=0,
        max_value=EARLY_MAX,
        allow_null=True,
        required=False,
        help_text=(
            "How many seconds before a scheduled time a heartbeat counts for it, at most half of the time to "
            "the one before and after. Null for a tenth of the grace period, 5 to 60 s."
        ),
    )


@extend_schema_serializer(component_name="IntervalSchedule")
class IntervalScheduleSerializer(StrictSerializer):
    """A heartbeat at least every `timeout` seconds. `grace` defaults to a tenth of it, 1 to 300 s."""

    kind = OneOf(["interval"])
    timeout = Integer(min_value=TIMEOUT_MIN, max_value=TIMEOUT_MAX)
    interval = Integer(
        min_value=1,
        max_value=TIMEOUT_MAX,
        allow_null=True,
        required=False,
        help_text="How often the sender should push, in seconds; at most the timeout.",
    )
    grace = Integer(min_value=0, max_value=GRACE_MAX, allow_null=True, required=False)


class _CronExpression(Line):
    """A cron expression as in a crontab, whose fields may be separated by tabs."""

    def to_internal_value(self, data: Any) -> str:
        return super().to_internal_value(data.replace("\t", " ") if isinstance(data, str) else data)


@extend_schema_serializer(component_name="CronSchedule")
class CronScheduleSerializer(StrictSerializer):
    """A heartbeat at each time of a five-field cron expression in a time zone."""

    kind = OneOf(["cron"])
    expression = _CronExpression(max_length=CRON_LENGTH)
    timezone = Line(max_length=ZONE_LENGTH, required=False)
    grace = Integer(min_value=0, max_value=GRACE_MAX, allow_null=True, required=False)
    early = _early()


@extend_schema_serializer(component_name="OnCalendarSchedule")
class OnCalendarScheduleSerializer(StrictSerializer):
    """A heartbeat at each time of systemd's OnCalendar expressions.

    `timezone` is for expressions that don't name a time zone themselves.
    """

    kind = OneOf(["oncalendar"])
    expression = Text(
        max_length=CALENDAR_LENGTH,
        help_text=f"Up to {LINES_MAX} expressions, one on each line, such as Mon..Fri *-*-* 09:00:00.",
    )
    timezone = Line(max_length=ZONE_LENGTH, required=False)
    grace = Integer(min_value=0, max_value=GRACE_MAX, allow_null=True, required=False)
    early = _early()


SCHEDULES: dict[str, type[StrictSerializer]] = {
    "interval": IntervalScheduleSerializer,
    "cron": CronScheduleSerializer,
    "oncalendar": OnCalendarScheduleSerializer,
}


@extend_schema_field(
    PolymorphicProxySerializer(
        component_name="Schedule",
        serializers=list(SCHEDULES.values()),
        resource_type_field_name=None,
    )
)
class ScheduleField(serializers.Field[Any, Any, Any, Any]):
    """One of the kinds of schedule, as the columns of Monitor that store it."""

    default_error_messages = {
        "kind": _("Requires kind: “interval” with a timeout, or “cron” or “oncalendar” with an expression."),
    }

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        kind = data.get("kind") if isinstance(data, dict) else None
        if not isinstance(kind, str) or kind not in SCHEDULES:
            self.fail("kind")
        body = SCHEDULES[kind](data=data)
        body.is_valid(raise_exception=True)
        data = body.validated_data
        return {
            "kind": kind,
            "timeout": data.get("timeout", Monitor._meta.get_field("timeout").default),
            "interval": data.get("interval"),
            "cron": " ".join(data["expression"].split()) if kind == "cron" else "",
            "calendar": _calendar(data["expression"]) if kind == "oncalendar" else "",
            "timezone": data.get("timezone", "UTC"),
            "grace": data.get("grace"),
            "early": data.get("early"),
        }

    def get_attribute(self, instance: Any) -> Any:
        return instance

    def to_representation(self, monitor: Monitor) -> dict[str, Any]:
        if monitor.has_set_times:
            return {
                "kind": monitor.kind,
                "expression": monitor.cron or monitor.calendar,
                "timezone": monitor.timezone,
                "grace": monitor.grace,
                "early": monitor.early,
            }
        return {
            "kind": "interval",
            "timeout": monitor.timeout,
            "interval": monitor.interval,
            "grace": monitor.grace,
        }


def _calendar(expression: str) -> str:
    """Return OnCalendar expressions as they are stored. What can't be read is rejected later."""
    try:
        return "\n".join(on_calendar_lines(expression))
    except ScheduleError:
        return expression


class TagsField(serializers.ListField):
    """Unique tags with whitespace normalised: single spaces, none at the ends."""

    child = Line(max_length=MAX_TAG_LENGTH, trim_whitespace=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_TAGS, **kwargs)

    def to_internal_value(self, data: Any) -> list[str]:
        tags: list[str] = super().to_internal_value(data)
        return list(dict.fromkeys(re.sub(r"\s+", " ", tag) for tag in tags))


class MonitorSerializer(StrictSerializer):
    """A monitor. Durations are seconds, times ISO 8601 in UTC."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    slug = Matching(
        SLUG,
        _("Use lower-case letters and digits, separated by single hyphens."),
        max_length=SLUG_LENGTH,
        required=False,
        help_text="Identifies the monitor in its workspace; derived from the name by default.",
    )
    name = Line(max_length=NAME_LENGTH)
    description = Prose(max_length=DESCRIPTION_LENGTH, allow_blank=True, required=False)
    tags = TagsField(required=False)
    urgency = OneOf(URGENCIES, required=False, help_text="Of knowing that it is down; used by rules.")
    schedule = ScheduleField()
    post_only = Boolean(required=False, help_text="Reject GET and HEAD, so that link previews send nothing.")
    push_rate = Integer(
        min_value=0,
        max_value=PUSH_RATE_MAX,
        allow_null=True,
        required=False,
        help_text="Pushes per minute for each token; 0 means no limit, null the workspace's limit.",
    )
    value_min = Number(
        allow_null=True,
        required=False,
        help_text="A heartbeat with a lower value is treated as a failure; null for no limit.",
    )
    value_max = Number(
        allow_null=True,
        required=False,
        help_text="A heartbeat with a higher value is treated as a failure; at least value_min, or null.",
    )
    value_required = Boolean(required=False, help_text="A heartbeat without a value is treated as a failure.")
    channels = serializers.ListField(
        child=Id(),
        max_length=CHANNELS_MOST,
        required=False,
        help_text="Ids of channels selected for this monitor, in addition to those that cover all monitors.",
    )
    status = serializers.ChoiceField(STATUSES, read_only=True)
    last_heartbeat_at = Timestamp(read_only=True, allow_null=True)
    last_message = serializers.CharField(read_only=True)
    last_value = serializers.FloatField(read_only=True, allow_null=True)
    deadline = Timestamp(
        read_only=True, allow_null=True, help_text="When an alert is sent unless a heartbeat arrives."
    )
    push_url = serializers.CharField(
        read_only=True, allow_null=True, help_text="For owners, admins and keys with write access; else null."
    )
    created_at = Timestamp(read_only=True)
    updated_at = Timestamp(read_only=True)


@extend_schema_field(str)
class StatusesField(serializers.Field[Any, Any, Any, Any]):
    """Current statuses, separated by commas."""

    default_error_messages = {"invalid": _("Must be one or more of {statuses}, separated by commas.")}

    def to_internal_value(self, data: Any) -> list[Shown]:
        words = data.split(",")
        if not set(words) <= set(STATUSES) or len(words) > len(STATUSES):
            self.fail("invalid", statuses=", ".join(STATUSES))
        return [Shown(word) for word in words]


class MonitorFilter(PageSerializer):
    """Query parameters of the list of monitors."""

    status = StatusesField(required=False)
    tag = SearchText(max_length=_SOUGHT_LENGTH, required=False, help_text="Only monitors with this tag.")
    q = SearchText(
        max_length=_SOUGHT_LENGTH,
        required=False,
        help_text="Text contained in the name, slug or description, in any case.",
    )


class TokenSerializer(StrictSerializer):
    """A push token. `token` and `push_url` are null except for owners, admins and keys with write access."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    label = LineOrNothing(max_length=TOKEN_LABEL_LENGTH, required=False)  # type: ignore[assignment]
    masked = serializers.CharField(read_only=True)
    token = serializers.CharField(read_only=True, allow_null=True)
    push_url = serializers.CharField(read_only=True, allow_null=True)
    works = serializers.BooleanField(read_only=True)
    imported = serializers.BooleanField(read_only=True)
    created_at = Timestamp(read_only=True)
    expires_at = Timestamp(read_only=True, allow_null=True)
    revoked_at = Timestamp(read_only=True, allow_null=True)
    replaced_by = serializers.UUIDField(read_only=True, allow_null=True)
    replaced_at = Timestamp(read_only=True, allow_null=True)
    change_is_complete = serializers.BooleanField(
        read_only=True,
        allow_null=True,
        help_text="For a rotated token: whether it is idle and its successor is in use.",
    )
    last_used_at = Timestamp(read_only=True, allow_null=True)
    last_used_from = serializers.IPAddressField(read_only=True, allow_null=True)
    limited_count = serializers.IntegerField(
        read_only=True, help_text="Total pushes rejected with 429 by the rate limit."
    )
    limited_at = Timestamp(read_only=True, allow_null=True)


class NewTokenSerializer(StrictSerializer):
    """An additional token: a new one or, with `token`, an existing one that senders already use."""

    label = LineOrNothing(max_length=TOKEN_LABEL_LENGTH, required=False)  # type: ignore[assignment]
    token = Matching(
        rf"^{ACCEPTABLE}\Z",
        _("Must be 8 to 64 letters, digits, hyphens or underscores."),
        required=False,
        help_text="An existing token of another system, so that its senders can keep it.",
    )


class OverlapSerializer(StrictSerializer):
    """How long a rotated token stays valid from now on."""

    overlap_seconds = Integer(
        min_value=0,
        max_value=tokens.OVERLAP_MAX_SECONDS,
        help_text="Seconds until the old token expires; 0 expires it immediately.",
    )


class RotationSerializer(StrictSerializer):
    """How to rotate: how long the old token stays valid, and whether an earlier overlap is overridden."""

    overlap_seconds = Integer(
        min_value=0,
        max_value=tokens.OVERLAP_MAX_SECONDS,
        required=False,
        default=tokens.OVERLAP_DEFAULT_SECONDS,
    )
    force = Boolean(required=False, default=False)


class RotatedSerializer(serializers.Serializer[Any]):
    """The new token, and when the old one expires."""

    id = serializers.UUIDField()
    token = serializers.CharField()
    push_url = serializers.CharField()
    label = serializers.CharField(allow_blank=True)  # type: ignore[assignment]
    created_at = Timestamp()
    expires_at = Timestamp(help_text="When the old token expires.")
    old = TokenSerializer()
