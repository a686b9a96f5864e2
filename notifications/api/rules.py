"""Notification rules over HTTP: those of a monitor and of its workspace, read and replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2s
from typing import Any
from uuid import UUID

from django.http import Http404
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.base import ApiView, etag, expected_version
from api.fields import in_utc
from api.problems import Problem, impossible
from api.schema import ETAG, IF_MATCH, answers
from core.clock import database_now
from monitors.api.base import OfMonitorView
from monitors.domain.state_machine import Urgency
from monitors.models import Monitor, MonitorState
from notifications.api.rules_serializers import (
    RulesSerializer,
    WorkspaceRulesSerializer,
    own_from,
    own_shown,
    step_shown,
)
from notifications.models import Channel
from notifications.rules.effective import Step
from notifications.services import rules as rule_service
from notifications.services import snooze
from notifications.services.escalation import steps_of
from notifications.services.rules import Choice, RulesConflict

TAG = "channels"


@dataclass(frozen=True, slots=True)
class _State:
    """The version of each part that was read; `version` covers all of them, for the ETag."""

    parts: dict[str, str]

    @property
    def version(self) -> int:
        digest = blake2s(repr(sorted(self.parts.items())).encode(), digest_size=6).digest()
        return int.from_bytes(digest)


# --- Views ------------------------------------------------------------------------------------------


class MonitorRulesView(OfMonitorView):
    @extend_schema(
        tags=[TAG],
        operation_id="read_monitor_rules",
        summary="Get the notification rules of a monitor",
        parameters=[ETAG],
        responses=answers(200, RulesSerializer),
    )
    def get(self, request: Request, public_id: UUID) -> Response:
        return self._answer(self.monitor(public_id))

    @extend_schema(
        tags=[TAG],
        operation_id="replace_monitor_rules",
        summary="Replace the notification rules of a monitor",
        description="Applies to everything that happens from now on.",
        request=RulesSerializer,
        parameters=[IF_MATCH, ETAG],
        responses=answers(200, RulesSerializer, writes=True, matched=True),
    )
    def put(self, request: Request, public_id: UUID) -> Response:
        monitor = self.monitor(public_id)
        data = self.read(RulesSerializer)
        own, choices = own_from(data), self._choices(data.get("channels", ()))
        state = self._state(monitor)
        version = expected_version(request, state)  # type: ignore[arg-type]
        try:
            rule_service.change(
                monitor=monitor,
                by=self.actor,
                own=own,
                channels=choices,
                expected=None if version is None else state.parts,
            )
        except RulesConflict:
            raise Problem("precondition-failed") from None
        except MonitorState.DoesNotExist:
            raise Http404 from None
        return self._answer(monitor)

    def _choices(self, data: Sequence[Mapping[str, Any]]) -> dict[UUID, Choice]:
        named: dict[UUID, Choice] = {}
        for one in data:
            if one["channel"] in named:
                raise impossible("channels", _("Duplicate channel: %s.") % one["channel"])
            events = one.get("events")
            named[one["channel"]] = Choice(
                one.get("subscribed", True), one.get("delay"), None if events is None else tuple(events)
            )
        known = Channel.objects.filter(workspace=self.workspace, public_id__in=list(named))
        unknown = set(named) - set(known.values_list("public_id", flat=True))
        if unknown:
            sentence = _("No such channel in this workspace: %s.")
            raise impossible("channels", sentence % ", ".join(sorted(map(str, unknown))[:5]))
        return named

    def _state(self, monitor: Monitor) -> _State:
        own, choices = rule_service.own_of_monitor(monitor), rule_service.choices_of(monitor)
        return _State(rule_service.versions(own, choices))

    def _answer(self, monitor: Monitor) -> Response:
        own, choices = rule_service.own_of_monitor(monitor), rule_service.choices_of(monitor)
        state = _State(rule_service.versions(own, choices))
        content = {
            **own_shown(own),
            "channels": [
                {
                    "channel": str(channel.public_id),
                    "subscribed": choice.subscribed,
                    "delay": choice.delay,
                    "events": list(choice.events) if choice.events else None,
                }
                for channel, choice in choices
            ],
            "snoozed_until": in_utc(snooze.snoozed_until(monitor, now=database_now())),
        }
        return Response(content, headers={"ETag": etag(state)})


class WorkspaceRulesView(ApiView):
    @extend_schema(
        tags=[TAG],
        operation_id="read_rules",
        summary="Get the notification defaults",
        description="They apply to monitors without rules of their own; escalation steps to all monitors.",
        parameters=[ETAG],
        responses=answers(200, WorkspaceRulesSerializer),
    )
    def get(self, request: Request) -> Response:
        return self._answer()

    @extend_schema(
        tags=[TAG],
        operation_id="replace_rules",
        summary="Replace the notification defaults",
        description="They apply to monitors without rules of their own, from now on.",
        request=WorkspaceRulesSerializer,
        parameters=[IF_MATCH, ETAG],
        responses=answers(200, WorkspaceRulesSerializer, writes=True, matched=True),
    )
    def put(self, request: Request) -> Response:
        data = self.read(WorkspaceRulesSerializer)
        own, steps = own_from(data), self._steps(data["escalation"]) if "escalation" in data else None
        state = self._state()
        version = expected_version(request, state)  # type: ignore[arg-type]
        try:
            rule_service.change_workspace(
                workspace=self.workspace,
                own=own,
                steps=steps,
                by=self.actor,
                expected=None if version is None else state.parts,
            )
        except RulesConflict:
            raise Problem("precondition-failed") from None
        return self._answer()

    def _steps(self, data: Sequence[Mapping[str, Any]]) -> list[Step]:
        named = [one["channel"] for one in data]
        if twice := next((public_id for public_id in named if named.count(public_id) > 1), None):
            raise impossible("escalation", _("Duplicate channel: %s.") % twice)
        channels = {
            channel.public_id: channel
            for channel in Channel.objects.filter(workspace=self.workspace, public_id__in=named)
        }
        if unknown := set(named) - channels.keys():
            sentence = _("No such channel in this workspace: %s.")
            raise impossible("escalation", sentence % ", ".join(sorted(map(str, unknown))[:5]))
        return [
            Step(
                channels[one["channel"]],
                timedelta(seconds=one["after"]),
                one.get("least_urgency", Urgency.LOW.value),
            )
            for one in data
        ]

    def _state(self) -> _State:
        own = rule_service.own_of_workspace(self.workspace)
        return _State(rule_service.versions(own, steps=steps_of(self.workspace)))

    def _answer(self) -> Response:
        own, steps = rule_service.own_of_workspace(self.workspace), steps_of(self.workspace)
        content = {**own_shown(own), "escalation": [step_shown(step) for step in steps]}
        return Response(content, headers={"ETag": etag(_State(rule_service.versions(own, steps=steps)))})
