"""Snoozing over HTTP: no down notifications of a monitor until a given time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.http import Http404
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.fields import Integer, StrictSerializer, Timestamp, in_utc
from api.problems import impossible
from api.schema import answers
from core.clock import database_now
from monitors.api.base import OfMonitorView
from monitors.models import Monitor, MonitorState
from notifications.api.rules import TAG
from notifications.services import snooze

_LONGEST = int(snooze.LONGEST.total_seconds())


class SnoozeSerializer(StrictSerializer):
    """How long to snooze: until a time, or for a duration in seconds. Exactly one of the two."""

    until = Timestamp(required=False, allow_null=True)
    duration = Integer(min_value=1, max_value=_LONGEST, required=False, allow_null=True)


class SnoozedSerializer(StrictSerializer):
    """When the snooze ends."""

    snoozed_until = Timestamp(allow_null=True)


class Snooze(OfMonitorView):
    @extend_schema(
        tags=[TAG],
        operation_id="snooze_monitor",
        summary="Snooze a monitor",
        description="No down notifications are sent until the given time, at most 30 days from now.",
        request=SnoozeSerializer,
        responses=answers(200, SnoozedSerializer, writes=True),
    )
    def put(self, request: Request, public_id: UUID) -> Response:
        monitor = self.monitor(public_id)
        data = self.read(SnoozeSerializer)
        until, duration = data.get("until"), data.get("duration")
        if (until is None) == (duration is None):
            raise impossible("until", _("Must have either until or duration."))
        if until is None:
            # From the database's clock, so that the longest duration isn't over the limit by a moment.
            until = database_now() + timedelta(seconds=duration or 0)
        try:
            snooze.snooze(monitor=monitor, until=until, by=self.actor)
        except snooze.NoSuchTime:
            sentence = _("Must be a time in the future, at most 30 days from now.")
            raise impossible("until", sentence) from None
        except MonitorState.DoesNotExist:
            raise Http404 from None
        return self._answer(monitor)

    @extend_schema(
        tags=[TAG],
        operation_id="unsnooze_monitor",
        summary="End the snooze of a monitor",
        description="Notifications that it held back are sent now.",
        responses=answers(200, SnoozedSerializer, changes=True),
    )
    def delete(self, request: Request, public_id: UUID) -> Response:
        monitor = self.monitor(public_id)
        try:
            snooze.unsnooze(monitor=monitor, by=self.actor)
        except MonitorState.DoesNotExist:
            raise Http404 from None
        return self._answer(monitor)

    def _answer(self, monitor: Monitor) -> Response:
        until = snooze.snoozed_until(monitor, now=database_now())
        content: dict[str, Any] = {"snoozed_until": in_utc(until)}
        return Response(content)
