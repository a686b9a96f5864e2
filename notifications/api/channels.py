"""Channels over HTTP: list, create, read, change, delete, test."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Prefetch, QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import keyset
from api.base import ApiView, etag, expected_version, idempotent, idempotent_outside
from api.fields import in_utc
from api.keyset import PageSerializer
from api.problems import Problem, impossible
from api.schema import ETAG, IDEMPOTENCY_KEY, IF_MATCH, LOCATION, answers, paged
from monitors.domain.expressions import is_time_zone
from monitors.models import Monitor
from notifications.api import configs
from notifications.api.serializers import (
    ChannelSerializer,
    NewChannelSerializer,
    TestedSerializer,
)
from notifications.dispatch import send
from notifications.forms.channels import email_is_not_set_up
from notifications.messages import templates
from notifications.models import Channel
from notifications.rules.effective import EVENTS
from notifications.services import channels as channel_service
from notifications.transports.base import Sent

TAG = "channels"


class ChannelView(ApiView):
    """What the channel views share."""

    def channels(self) -> QuerySet[Channel]:
        """Return the workspace's channels with their selected monitors: two queries."""
        monitors = Monitor.objects.in_workspace(self.workspace).only("public_id").order_by("public_id")
        return Channel.objects.filter(workspace=self.workspace).prefetch_related(
            Prefetch("monitors", monitors)
        )

    def channel(self, public_id: UUID) -> Channel:
        """Return a channel of the workspace. Raises Http404."""
        found: Channel = get_object_or_404(self.channels(), public_id=public_id)
        found.workspace = self.workspace
        return found

    def represent(self, rows: Sequence[Channel]) -> list[dict[str, Any]]:
        """Return channels, loaded as `channels()` does, as JSON."""
        masked = not self.may_change
        return [
            {
                "id": str(channel.public_id),
                "name": channel.name,
                "kind": channel.kind,
                "config": configs.shown(channel, masked=masked),
                "enabled": channel.enabled,
                "all_monitors": channel.all_monitors,
                "monitors": [str(monitor.public_id) for monitor in channel.monitors.all()],
                "delay": channel.delay,
                "events": [name for name in EVENTS if getattr(channel, f"on_{name}")],
                "least_urgency": channel.least_urgency,
                "quiet_hours": _quiet_hours(channel),
                "burst": channel.burst,
                "title": channel.title,
                "body": channel.body,
                "failing_since": in_utc(channel.failing_since),
                "paused_until": in_utc(channel.paused_until),
                "created_at": in_utc(channel.created_at),
                "updated_at": in_utc(channel.updated_at),
            }
            for channel in rows
        ]

    def answer(self, channel: Channel, *, status: int = 200, **headers: str) -> Response:
        """Respond with `channel` as it is now."""
        fresh = self.channel(channel.public_id)
        return Response(self.represent([fresh])[0], status=status, headers={"ETag": etag(fresh), **headers})

    def columns(self, data: dict[str, Any], *, kind: str, before: Channel | None = None) -> dict[str, Any]:
        """Return the arguments for `services.channels`, from the cleaned data. Raises Problem."""
        columns = {
            name: value for name, value in data.items() if name not in ("kind", "events", "quiet_hours")
        }
        _checked(data)
        if "quiet_hours" in data:
            columns |= _quiet_columns(data["quiet_hours"])
        if (most := channel_service.burst_most(kind)) < data.get("burst", 1):
            sentence = _("Must be a whole number from %(low)d to %(high)d.")
            raise impossible("burst", sentence % {"low": 1, "high": most})
        if "config" in data:
            columns["config"] = configs.cleaned(kind, data["config"], before=before)
        if "events" in data:
            columns |= {f"on_{name}": name in data["events"] for name in EVENTS}
        if "monitors" in data:
            columns["monitors"] = self._monitors(data["monitors"])
            if data["monitors"]:
                columns.setdefault("all_monitors", False)
        return columns

    def _monitors(self, public_ids: Sequence[UUID]) -> list[Monitor]:
        found = list(Monitor.objects.in_workspace(self.workspace).filter(public_id__in=set(public_ids)))
        unknown = set(public_ids) - {monitor.public_id for monitor in found}
        if unknown:
            named = ", ".join(sorted(map(str, unknown))[:5])
            raise impossible("monitors", _("No such monitor in this workspace: %s.") % named)
        return found


def _checked(data: dict[str, Any]) -> None:
    for name in ("title", "body"):
        for error in templates.check(data.get(name, "")):
            raise impossible(name, error)


def _quiet_hours(channel: Channel) -> dict[str, str] | None:
    if channel.quiet_from is None or channel.quiet_until is None:
        return None
    return {
        "from": f"{channel.quiet_from:%H:%M}",
        "until": f"{channel.quiet_until:%H:%M}",
        "timezone": channel.quiet_timezone,
    }


def _quiet_columns(data: dict[str, str] | None) -> dict[str, Any]:
    if data is None:
        return {"quiet_from": None, "quiet_until": None}
    if data["from"] == data["until"]:
        raise impossible("quiet_hours.until", _("Must not be the time at which they begin."))
    if not is_time_zone(data["timezone"]):
        sentence = _("Unknown time zone. Use one such as UTC or Asia/Jakarta.")
        raise impossible("quiet_hours.timezone", sentence)
    return {
        "quiet_from": time.fromisoformat(data["from"]),
        "quiet_until": time.fromisoformat(data["until"]),
        "quiet_timezone": data["timezone"],
    }


class ChannelList(ChannelView):
    query = tuple(PageSerializer().fields)

    @extend_schema(
        tags=[TAG],
        operation_id="list_channels",
        summary="List channels",
        description="Oldest first.",
        parameters=[PageSerializer],
        responses=paged(ChannelSerializer, "PageOfChannels"),
    )
    def get(self, request: Request) -> Response:
        return keyset.page(
            request,
            self.channels(),
            time=None,
            params=self.read_query(PageSerializer),
            serialize=self.represent,
            oldest_first=True,
        )

    @extend_schema(
        tags=[TAG],
        operation_id="create_channel",
        summary="Create a channel",
        request=NewChannelSerializer,
        parameters=[IDEMPOTENCY_KEY, ETAG, LOCATION],
        responses=answers(201, ChannelSerializer, writes=True),
    )
    @idempotent
    def post(self, request: Request) -> Response:
        data = self.read(NewChannelSerializer)
        kind = data["kind"]
        columns = self.columns(data, kind=kind)
        if kind == "email" and not settings.TIANJI_EMAIL_URL:
            raise impossible("kind", email_is_not_set_up())
        channel = channel_service.create(workspace=self.workspace, kind=kind, by=self.actor, **columns)
        address = reverse("api:channel", args=[channel.public_id])
        return self.answer(channel, status=201, Location=address)


class ChannelDetail(ChannelView):
    @extend_schema(
        tags=[TAG],
        operation_id="read_channel",
        summary="Get a channel",
        parameters=[ETAG],
        responses=answers(200, ChannelSerializer),
    )
    def get(self, request: Request, public_id: UUID) -> Response:
        return self.answer(self.channel(public_id))

    @extend_schema(
        tags=[TAG],
        operation_id="change_channel",
        summary="Update a channel",
        description=(
            "Fields that are left out stay unchanged. Disabling a channel drops its pending deliveries."
        ),
        request=NewChannelSerializer,
        parameters=[IF_MATCH, ETAG],
        responses=answers(200, ChannelSerializer, writes=True, matched=True),
    )
    def patch(self, request: Request, public_id: UUID) -> Response:
        channel = self.channel(public_id)
        data = self.read(NewChannelSerializer, partial=True, kind=channel.kind)
        if data.get("kind", channel.kind) != channel.kind:
            raise impossible("kind", _("A channel's integration can't be changed. Create another channel."))
        columns = self.columns(data, kind=channel.kind, before=channel)
        version = expected_version(request, channel)
        try:
            channel_service.edit(channel=channel, by=self.actor, version=version, **columns)
        except channel_service.VersionConflict:
            raise Problem("precondition-failed") from None
        except Channel.DoesNotExist:
            raise Http404 from None
        return self.answer(channel)

    @extend_schema(
        tags=[TAG],
        operation_id="delete_channel",
        summary="Delete a channel",
        description="No more notifications are sent to it, and its delivery log is deleted too.",
        parameters=[IF_MATCH],
        responses=answers(204, None, changes=True, matched=True),
    )
    def delete(self, request: Request, public_id: UUID) -> Response:
        channel = self.channel(public_id)
        version = expected_version(request, channel)
        try:
            channel_service.delete(channel=channel, by=self.actor, version=version)
        except channel_service.VersionConflict:
            raise Problem("precondition-failed") from None
        return Response(status=204)


class TestChannel(ChannelView):
    @extend_schema(
        tags=[TAG],
        operation_id="test_channel",
        summary="Send a test",
        description="Sent immediately, without retries. The response has the result, within 15 s.",
        request=None,
        parameters=[IDEMPOTENCY_KEY],
        responses=answers(200, TestedSerializer, changes=True),
    )
    @idempotent_outside
    def post(self, request: Request, public_id: UUID) -> Response:
        result = send.send_test(channel=self.channel(public_id))
        return Response({"ok": isinstance(result, Sent), "detail": result.detail})
