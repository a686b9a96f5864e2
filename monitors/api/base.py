"""What the views of monitors and of their push tokens share: reading a monitor, and showing it as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework.response import Response

from api.base import ApiView, etag
from api.fields import in_utc
from api.problems import impossible
from core.clock import database_now
from monitors.access import push_url
from monitors.api.serializers import ScheduleField
from monitors.domain.expressions import ScheduleError, is_time_zone
from monitors.history import current as current_state
from monitors.models import SCHEDULE_COLUMNS, Monitor, PushToken, schedule_of
from monitors.services import tokens


class OfMonitorView(ApiView):
    """Shared by the views of what belongs to a monitor."""

    def monitors(self) -> QuerySet[Any]:
        """Return the workspace's monitors."""
        return Monitor.objects.in_workspace(self.workspace)

    def monitor(self, public_id: UUID) -> Monitor:
        """Return a monitor of the workspace, with what `monitors()` loads. Raises Http404."""
        found: Monitor = get_object_or_404(self.monitors(), public_id=public_id)
        found.workspace = self.workspace
        return found


class MonitorView(OfMonitorView):
    """Shared by the monitor views."""

    def monitors(self) -> QuerySet[Any]:
        """Return the workspace's monitors with state, channels and active tokens, in three queries."""
        channels = _channels().only("pk", "public_id")
        working = PushToken.objects.valid().order_by("-created_at", "-pk")
        return (
            super()
            .monitors()
            .select_related("state")
            .prefetch_related(
                Prefetch("channels", channels), Prefetch("tokens", working, to_attr="working_tokens")
            )
        )

    def represent(self, monitors: Sequence[Monitor]) -> list[dict[str, Any]]:
        """Return `monitors`, loaded with `monitors()`, as JSON; push URLs only if the caller may see them."""
        now = database_now()
        shown: dict[int, str] = {}
        current = {monitor.pk: _current(monitor) for monitor in monitors}
        if self.may_change:
            for monitor in monitors:
                monitor.workspace = self.workspace
            seen = [token for token in current.values() if token]
            shown = tokens.show(monitors=monitors, tokens=seen, by=self.actor)
        return [self._as_json(monitor, current[monitor.pk], shown, now) for monitor in monitors]

    def _as_json(
        self, monitor: Monitor, token: PushToken | None, shown: dict[int, str], now: Any
    ) -> dict[str, Any]:
        reading = current_state.read(monitor, now)
        secret = shown.get(token.pk) if token else None
        return {
            "id": str(monitor.public_id),
            "slug": monitor.slug,
            "name": monitor.name,
            "description": monitor.description,
            "tags": monitor.tags,
            "urgency": monitor.urgency,
            "schedule": ScheduleField().to_representation(monitor),
            "post_only": monitor.post_only,
            "push_rate": monitor.push_rate,
            "value_min": monitor.value_min,
            "value_max": monitor.value_max,
            "value_required": monitor.value_required,
            "channels": sorted(str(channel.public_id) for channel in monitor.channels.all()),
            "status": reading.shown.value,
            "last_heartbeat_at": in_utc(monitor.state.last_heartbeat_at),
            "last_message": monitor.state.last_message,
            "last_value": monitor.state.last_value,
            "deadline": in_utc(reading.deadline),
            "push_url": push_url(self.request._request, secret) if secret else None,
            "created_at": in_utc(monitor.created_at),
            "updated_at": in_utc(monitor.updated_at),
        }

    def answer(self, monitor: Monitor, *, status: int = 200, **headers: str) -> Response:
        """Respond with the current state of `monitor`."""
        fresh = self.monitor(monitor.public_id)
        return Response(self.represent([fresh])[0], status=status, headers={"ETag": etag(fresh), **headers})

    def columns(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return validated serializer data as arguments for `services.monitors`. Raises Problem."""
        columns = {name: value for name, value in data.items() if name not in ("schedule", "channels")}
        if "schedule" in data:
            columns |= data["schedule"]
            _require_possible(data["schedule"])
        if "channels" in data:
            columns["channels"] = self._channels(data["channels"])
        return columns

    def _channels(self, public_ids: Sequence[UUID]) -> list[Any]:
        found = list(_channels().filter(workspace=self.workspace, public_id__in=public_ids))
        unknown = set(public_ids) - {channel.public_id for channel in found}
        if unknown:
            sentence = _("No channel %s in this workspace.") % ", ".join(sorted(map(str, unknown)))
            raise impossible("channels", sentence)
        return found


def _channels() -> QuerySet[Any]:
    """Return all channels. Their app imports this one, so this one must not import it."""
    return Monitor.channels.rel.related_model._default_manager.all()


def _current(monitor: Any) -> PushToken | None:
    """Return the token to push with: the newest active one not yet rotated, else any active one."""
    working: list[PushToken] = monitor.working_tokens
    return next((token for token in working if token.replaced_by_id is None), next(iter(working), None))


def _require_possible(schedule: dict[str, Any]) -> None:
    if schedule["kind"] == Monitor.Kind.INTERVAL:
        if schedule["interval"] is not None and schedule["interval"] > schedule["timeout"]:
            sentence = _("Must not be longer than the timeout: at most %d.") % schedule["timeout"]
            raise impossible("schedule.interval", sentence)
        return
    if not is_time_zone(schedule["timezone"]):
        sentence = _("Unknown time zone. Use one such as UTC or Asia/Jakarta.")
        raise impossible("schedule.timezone", sentence)
    try:
        schedule_of(**{name: schedule[name] for name in SCHEDULE_COLUMNS}).due_after(timezone.now())
    except ScheduleError as error:
        raise impossible("schedule.expression", str(error)) from error
