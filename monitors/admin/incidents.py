"""Incidents in the admin site, read-only: the recorder and the sweep write them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from core.admin import LargeTableAdmin, ReadOnly
from monitors.models import Incident, Transition


class TransitionInline(ReadOnly, admin.TabularInline):
    model = Transition
    extra = 0
    fields = readonly_fields = ("at", "source", "target", "reason")
    ordering = ("at", "pk")


@admin.register(Incident)
class IncidentAdmin(ReadOnly, LargeTableAdmin):
    list_display = (
        "started_at",
        "monitor",
        "workspace",
        "cause",
        "detected_at",
        "confirmed_at",
        "resolved_at",
    )
    list_filter = ("cause", ("resolved_at", admin.EmptyFieldListFilter))
    list_select_related = ("monitor__workspace",)
    search_fields = ("monitor__name", "monitor__workspace__name")
    search_help_text = gettext_lazy("Monitor or workspace name.")
    fields = (
        "monitor",
        "workspace",
        "cause",
        "started_at",
        "detected_at",
        "confirmed_at",
        "resolved_at",
        "last_heartbeat_at",
        "opening_message",
        "opening_value",
        "latest_message",
        "closing_message",
        "closing_value",
        "public_id",
    )
    inlines = (TransitionInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("monitor__workspace")

    @admin.display(description=gettext_lazy("workspace"))
    def workspace(self, incident: Incident) -> str:
        return str(incident.monitor.workspace)
