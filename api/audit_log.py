"""The audit log of a workspace over HTTP, in pages or as a file."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request

from accounts.models import AuditEntry
from accounts.services import audit_log
from api import keyset
from api.base import ApiView
from api.fields import OneOf, RangeSerializer, Timestamp
from api.keyset import PageSerializer
from api.problems import impossible
from api.schema import paged, problem_response
from core.export import MEDIA_TYPES


class AuditLogFilter(RangeSerializer, PageSerializer):
    format = OneOf(
        tuple(MEDIA_TYPES),
        required=False,
        help_text="csv and ndjson return the whole range at once. Accept: text/csv does the same.",
    )


@extend_schema_serializer(component_name="AuditEntry")
class AuditEntrySerializer(serializers.Serializer[Any]):
    """Who did what. `subject` is the id of the target, `details` what was changed; it has no secrets."""

    at = Timestamp()
    action = serializers.ChoiceField(AuditEntry.Action.values)
    actor = serializers.CharField()
    via = serializers.ChoiceField(AuditEntry.Via.values)
    address = serializers.CharField(allow_null=True)
    subject = serializers.UUIDField(allow_null=True)
    subject_name = serializers.CharField(allow_blank=True)
    details = serializers.DictField()


class AuditLog(ApiView):
    query = tuple(AuditLogFilter().fields)

    @extend_schema(
        tags=["audit log"],
        operation_id="list_audit_log",
        summary="List the audit log",
        description=(
            "Newest first. Requires the write scope, or the owner or admin role: it has people's addresses. "
            "CSV and NDJSON stream the whole range, without pages. CSV text that a spreadsheet would read as "
            "a formula is prefixed with a '."
        ),
        parameters=[AuditLogFilter],
        responses={
            **paged(AuditEntrySerializer, "PageOfAuditEntries"),
            (200, MEDIA_TYPES["csv"]): OpenApiResponse(OpenApiTypes.STR),
            (200, MEDIA_TYPES["ndjson"]): OpenApiResponse(OpenApiTypes.STR),
            (403, "application/problem+json"): problem_response(403),
            (422, "application/problem+json"): problem_response(422),
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        if not self.may_change:
            raise PermissionDenied
        params = self.read_query(AuditLogFilter)
        start, end = params.get("from"), params.get("to")
        if start is not None and end is not None and start >= end:
            raise impossible("from", _("Must be before “to”."))
        rows = audit_log.entries_of(self.workspace, start=start, end=end)
        form = params.get("format") or self._accepted()
        if form == "json":
            response: HttpResponseBase = keyset.page(
                request,
                rows,
                time="at",
                params=params,
                serialize=lambda found: [audit_log.line(entry) for entry in found],
            )
        else:
            for name in {"cursor", "limit"} & set(params):
                raise impossible(name, _("An export has no pages. Leave this out, or request JSON."))
            response = audit_log.as_file(rows, form, whole=request.method == "GET")
        patch_vary_headers(response, ["Accept"])
        return response

    def _accepted(self) -> str:
        preferred = self.request._request.get_preferred_type(list(MEDIA_TYPES.values()))
        return next((form for form, media_type in MEDIA_TYPES.items() if media_type == preferred), "json")
