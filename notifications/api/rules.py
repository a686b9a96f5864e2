"""Notification rules over HTTP: those of a monitor and of its workspace, read and replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2s
from typing import Any
from uuid import UUID

from django.http import Http404
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.base import ApiView, etag, expected_version
from api.fields import Boolean, Id, Integer, OneOf, StrictSerializer, Timestamp, in_utc
from api.problems import Problem, impossible
from api.schema import ETAG, IF_MATCH, answers
from core.clock import database_now
from monitors.api.base import OfMonitorView
from monitors.domain.thresholds import NEEDED_MOST, OF_MOST, Threshold
from monitors.models import Monitor, MonitorState
from notifications.models import DELAY_MAX, Channel
from notifications.rules.effective import EVENTS
from notifications.services import rules as rule_service
from notifications.services import snooze
from notifications.services.rules import (
    REMIND_LEAST,
    REMIND_LONGEST,
    REMIND_MOST,
    Choice,
    Own,
    Reminders,
    RulesConflict,
)

TAG = "channels"
CHANNELS_MOST = 1000


# --- Bodies -----------------------------------------------------------------------------------------


class ToleranceSerializer(StrictSerializer):
    """A failure threshold: `needed` failures among the last `of` heartbeats."""

    needed = Integer(min_value=1, max_value=NEEDED_MOST)
    of = Integer(
        min_value=1,
        max_value=OF_MOST,
        required=False,
        help_text="At least `needed`. If left out, equal to `needed`: failures in a row.",
    )


class RemindersSerializer(StrictSerializer):
    """How often reminders are sent while a monitor is down."""

    every = Integer(
        min_value=0,
        max_value=REMIND_LONGEST,
        help_text=f"In seconds, at least {REMIND_LEAST}; 0 means never.",
    )
    most = Integer(
        min_value=1,
        max_value=REMIND_MOST,
        required=False,
        allow_null=True,
        help_text="Maximum number of reminders. Left out or null: the default.",
    )


class ChoiceSerializer(StrictSerializer):
    """How one channel is notified of a monitor."""

    channel = Id()
    subscribed = Boolean(required=False, help_text="Whether it is subscribed to the monitor. Default: true.")
    delay = Integer(
        min_value=0,
        max_value=DELAY_MAX,
        required=False,
        allow_null=True,
        help_text="In seconds: notified only if still down after that. null: the channel's own delay.",
    )
    events = serializers.ListField(
        child=OneOf(EVENTS),
        required=False,
        allow_null=True,
        min_length=1,
        max_length=len(EVENTS),
        help_text="Events it is notified of. null: the channel's own events.",
    )


@extend_schema_serializer(component_name="WorkspaceRules")
class OwnSerializer(StrictSerializer):
    """Notification defaults of a workspace. Fields that are left out or null have the product's default."""

    missed = ToleranceSerializer(
        required=False, allow_null=True, help_text="Failure threshold for missed heartbeats."
    )
    reported = ToleranceSerializer(
        required=False,
        allow_null=True,
        help_text="Failure threshold for down reports and values out of range.",
    )
    recovery = Integer(
        min_value=1,
        max_value=NEEDED_MOST,
        required=False,
        allow_null=True,
        help_text="Recovery threshold: good heartbeats in a row that resolve an incident.",
    )
    reminders = RemindersSerializer(required=False, allow_null=True)


@extend_schema_serializer(component_name="MonitorRules")
class RulesSerializer(OwnSerializer):
    """Notification rules of a monitor. Fields that are left out or null have the workspace's default."""

    channels = ChoiceSerializer(  # type: ignore[call-arg]
        many=True,
        required=False,
        max_length=CHANNELS_MOST,
        help_text="All channels of the workspace. Channels that are left out of a change stay unchanged.",
    )
    snoozed_until = Timestamp(
        read_only=True, allow_null=True, help_text="No down notifications are sent until then."
    )


def _own(data: Mapping[str, Any]) -> Own:
    """Return the rules in a request body. Raises Problem."""
    return Own(
        missed=_tolerance("missed", data),
        reported=_tolerance("reported", data),
        recovery=data.get("recovery"),
        reminders=_reminders(data),
    )


def _tolerance(name: str, data: Mapping[str, Any]) -> Threshold | None:
    given = data.get(name)
    if given is None:
        return None
    needed, of = given["needed"], given.get("of", given["needed"])
    if of < needed:
        raise impossible(
            f"{name}.of", _("Must be a whole number from {low} to {high}.").format(low=needed, high=OF_MOST)
        )
    return Threshold(needed, of)


def _reminders(data: Mapping[str, Any]) -> Reminders | None:
    given = data.get("reminders")
    if given is None:
        return None
    every = given["every"]
    if 0 < every < REMIND_LEAST:
        sentence = _("Must be 0 for never, or a whole number from {low} to {high}.")
        raise impossible("reminders.every", sentence.format(low=REMIND_LEAST, high=REMIND_LONGEST))
    return Reminders(every, given.get("most"))


def _shown(own: Own) -> dict[str, Any]:
    return {
        "missed": own.missed and {"needed": own.missed.needed, "of": own.missed.of},
        "reported": own.reported and {"needed": own.reported.needed, "of": own.reported.of},
        "recovery": own.recovery,
        "reminders": own.reminders and {"every": own.reminders.every, "most": own.reminders.most},
    }


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
        own, choices = _own(data), self._choices(data.get("channels", ()))
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
            **_shown(own),
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
        description="They apply to monitors without rules of their own.",
        parameters=[ETAG],
        responses=answers(200, OwnSerializer),
    )
    def get(self, request: Request) -> Response:
        return self._answer()

    @extend_schema(
        tags=[TAG],
        operation_id="replace_rules",
        summary="Replace the notification defaults",
        description="They apply to monitors without rules of their own, from now on.",
        request=OwnSerializer,
        parameters=[IF_MATCH, ETAG],
        responses=answers(200, OwnSerializer, writes=True, matched=True),
    )
    def put(self, request: Request) -> Response:
        own = _own(self.read(OwnSerializer))
        state = _State(rule_service.versions(rule_service.own_of_workspace(self.workspace)))
        version = expected_version(request, state)  # type: ignore[arg-type]
        try:
            rule_service.change_workspace(
                workspace=self.workspace,
                own=own,
                by=self.actor,
                expected=None if version is None else state.parts,
            )
        except RulesConflict:
            raise Problem("precondition-failed") from None
        return self._answer()

    def _answer(self) -> Response:
        own = rule_service.own_of_workspace(self.workspace)
        return Response(_shown(own), headers={"ETag": etag(_State(rule_service.versions(own)))})
