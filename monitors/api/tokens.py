"""Push tokens over HTTP: list, create, import, rename, rotate, revoke."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import keyset
from api.base import idempotent
from api.fields import in_utc
from api.keyset import PageSerializer
from api.problems import Problem, impossible
from api.schema import IDEMPOTENCY_KEY, LOCATION, answers, paged
from core.clock import database_now
from monitors.access import push_url
from monitors.api.base import MonitorView
from monitors.api.serializers import (
    NewTokenSerializer,
    OverlapSerializer,
    RotatedSerializer,
    RotationSerializer,
    TokenSerializer,
)
from monitors.models import Monitor, PushToken
from monitors.services import tokens

TAG = "push tokens"


class TokenView(MonitorView):
    """Shared by the token views."""

    def tokens(self, monitor: Monitor) -> QuerySet[PushToken]:
        return monitor.tokens.select_related("replaced_by")

    def token(self, monitor: Monitor, public_id: UUID) -> PushToken:
        """Return a token of `monitor`. Raises Http404."""
        token = get_object_or_404(self.tokens(monitor), public_id=public_id)
        token.monitor = monitor
        return token

    def represent_tokens(self, monitor: Monitor, rows: Sequence[PushToken]) -> list[dict[str, Any]]:
        """Return tokens of `monitor` as JSON; active ones unmasked if the caller may see them."""
        now = database_now()
        shown: dict[int, str] = {}
        if self.may_change:
            working = [token for token in rows if token.is_active(now)]
            shown = tokens.show(monitors=[monitor], tokens=working, by=self.actor)
        return [self._token_as_json(monitor, token, shown.get(token.pk), now) for token in rows]

    def _token_as_json(
        self, monitor: Monitor, token: PushToken, secret: str | None, now: datetime
    ) -> dict[str, Any]:
        new = token.replaced_by
        return {
            "id": str(token.public_id),
            "label": token.label,
            "masked": str(token),
            "token": secret,
            "push_url": push_url(self.request._request, secret) if secret else None,
            "works": token.is_active(now),
            "imported": token.imported,
            "created_at": in_utc(token.created_at),
            "expires_at": in_utc(token.expires_at),
            "revoked_at": in_utc(token.revoked_at),
            "replaced_by": str(new.public_id) if new else None,
            "replaced_at": in_utc(token.replaced_at),
            "change_is_complete": (
                tokens.change_is_complete(old=token, new=new, monitor=monitor, now=now) if new else None
            ),
            "last_used_at": in_utc(token.last_used_at),
            "last_used_from": token.last_used_from,
            "limited_count": token.limited_count,
            "limited_at": in_utc(token.limited_at),
        }

    def answer_token(self, monitor: Monitor, token: PushToken, *, status: int = 200) -> Response:
        """Respond with the current state of `token`."""
        fresh = self.token(monitor, token.public_id)
        headers = {}
        if status == 201:
            headers["Location"] = reverse("api:token", args=[monitor.public_id, token.public_id])
        return Response(self.represent_tokens(monitor, [fresh])[0], status=status, headers=headers)


@contextmanager
def _refusals_as_problems() -> Iterator[None]:
    try:
        yield
    except tokens.TokenInactive:
        detail = _("The token was revoked or has expired and can't be used again. Create a new one.")
        raise Problem("conflict", detail) from None
    except tokens.RotationInProgress as running:
        detail = _(
            "The token that this one replaced is valid until %s. Wait, expire it, or rotate with “force”: "
            "true; then both keep their expiry."
        ) % in_utc(running.ends_at)
        raise Problem("conflict", detail, errors=[("force", detail)]) from None
    except tokens.NotReplaced:
        detail = _("The token was not rotated, so it has no overlap. Revoke it to stop it working.")
        raise Problem("conflict", detail) from None
    except tokens.TooManyTokens:
        detail = _("A monitor can have at most %d active tokens. Revoke one first.") % tokens.TOKENS_MOST
        raise Problem("conflict", detail) from None
    except tokens.TokenTaken:
        detail = _("This token is already in use. Each token can belong to one monitor only.")
        raise Problem("conflict", detail, errors=[("token", detail)]) from None
    except tokens.NotAToken:
        raise impossible(
            "token", _("Mistyped or incomplete: a token starting with tjp_ ends in a checksum.")
        ) from None


class TokenList(TokenView):
    query = tuple(PageSerializer().fields)

    @extend_schema(
        tags=[TAG],
        operation_id="list_tokens",
        summary="List a monitor's push tokens",
        description="Newest first, including revoked and expired ones.",
        parameters=[PageSerializer],
        responses=paged(TokenSerializer, "PageOfTokens"),
    )
    def get(self, request: Request, public_id: UUID) -> Response:
        params = self.read_query(PageSerializer)
        monitor = self.monitor(public_id)
        return keyset.page(
            request,
            self.tokens(monitor),
            time=None,
            params=params,
            serialize=lambda rows: self.represent_tokens(monitor, rows),
        )

    @extend_schema(
        tags=[TAG],
        operation_id="issue_token",
        summary="Create or import a push token",
        request=NewTokenSerializer,
        examples=[
            OpenApiExample("A new token", {"label": "host-a"}, request_only=True),
            OpenApiExample(
                "A token of another system",
                {"label": "old system", "token": "aBcD1234eFgH5678"},
                request_only=True,
            ),
        ],
        parameters=[IDEMPOTENCY_KEY, LOCATION],
        responses=answers(201, TokenSerializer, writes=True),
    )
    @idempotent
    def post(self, request: Request, public_id: UUID) -> Response:
        monitor = self.monitor(public_id)
        data = self.read(NewTokenSerializer)
        label, secret = data.get("label", ""), data.get("token")
        with _refusals_as_problems():
            if secret is None:
                token = tokens.issue(monitor=monitor, by=self.actor, label=label).token
            else:
                token = tokens.import_token(monitor=monitor, secret=secret, by=self.actor, label=label)
        return self.answer_token(monitor, token, status=201)


class TokenDetail(TokenView):
    @extend_schema(
        tags=[TAG],
        operation_id="read_token",
        summary="Get a push token",
        responses=answers(200, TokenSerializer),
    )
    def get(self, request: Request, public_id: UUID, token_id: UUID) -> Response:
        monitor = self.monitor(public_id)
        return self.answer_token(monitor, self.token(monitor, token_id))

    @extend_schema(
        tags=[TAG],
        operation_id="rename_token",
        summary="Update a push token's label",
        request=TokenSerializer,
        examples=[OpenApiExample("Another label", {"label": "host-b"}, request_only=True)],
        responses=answers(200, TokenSerializer, writes=True),
    )
    def patch(self, request: Request, public_id: UUID, token_id: UUID) -> Response:
        monitor = self.monitor(public_id)
        token = self.token(monitor, token_id)
        data = self.read(TokenSerializer, partial=True)
        tokens.rename(token=token, label=data.get("label", token.label), by=self.actor)
        return self.answer_token(monitor, token)


class Rotate(TokenView):
    @extend_schema(
        tags=[TAG],
        operation_id="rotate_token",
        summary="Rotate a push token",
        description=(
            "Creates a new token; the old one expires in overlap_seconds. While the old token of an earlier "
            "rotation is still valid, the response is 409 unless force is true."
        ),
        request=RotationSerializer,
        examples=[OpenApiExample("For a day", {"overlap_seconds": 86400, "force": False}, request_only=True)],
        parameters=[IDEMPOTENCY_KEY],
        responses=answers(200, RotatedSerializer, writes=True),
    )
    @idempotent
    def post(self, request: Request, public_id: UUID, token_id: UUID) -> Response:
        monitor = self.monitor(public_id)
        token = self.token(monitor, token_id)
        data = self.read(RotationSerializer)
        with _refusals_as_problems():
            rotated = tokens.rotate(
                token=token,
                by=self.actor,
                overlap=timedelta(seconds=data["overlap_seconds"]),
                force=data["force"],
            )
        new, old = rotated.new, self.token(monitor, rotated.old.public_id)
        return Response(
            {
                "id": str(new.token.public_id),
                "token": new.secret,
                "push_url": push_url(request._request, new.secret),
                "label": new.token.label,
                "created_at": in_utc(new.token.created_at),
                "expires_at": in_utc(old.expires_at),
                "old": self.represent_tokens(monitor, [old])[0],
            }
        )


class Overlap(TokenView):
    @extend_schema(
        tags=[TAG],
        operation_id="set_overlap",
        summary="Set when a rotated push token expires",
        request=OverlapSerializer,
        examples=[OpenApiExample("Expire now", {"overlap_seconds": 0}, request_only=True)],
        parameters=[IDEMPOTENCY_KEY],
        responses=answers(200, TokenSerializer, writes=True),
    )
    @idempotent
    def post(self, request: Request, public_id: UUID, token_id: UUID) -> Response:
        monitor = self.monitor(public_id)
        token = self.token(monitor, token_id)
        remaining = timedelta(seconds=self.read(OverlapSerializer)["overlap_seconds"])
        with _refusals_as_problems():
            tokens.set_overlap(token=token, remaining=remaining, by=self.actor)
        return self.answer_token(monitor, token)


class Revoke(TokenView):
    @extend_schema(
        tags=[TAG],
        operation_id="revoke_token",
        summary="Revoke a push token",
        description="It stops working immediately. Revoking a revoked token changes nothing.",
        request=None,
        parameters=[IDEMPOTENCY_KEY],
        responses=answers(200, TokenSerializer, changes=True),
    )
    @idempotent
    def post(self, request: Request, public_id: UUID, token_id: UUID) -> Response:
        monitor = self.monitor(public_id)
        token = self.token(monitor, token_id)
        tokens.revoke(token=token, by=self.actor)
        return self.answer_token(monitor, token)
