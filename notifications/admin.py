"""Channels and deliveries in Django's admin site: to look, hardly to change."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from notifications.models import Channel, Delivery, DeliveryAttempt


@admin.register(Channel)
class ChannelAdmin(admin.ModelAdmin):
    list_display = ("name", "workspace", "kind", "enabled", "all_monitors")
    list_filter = ("kind", "enabled")
    list_select_related = ("workspace",)
    search_fields = ("name", "workspace__name")
    # The destination has a form of its own, which knows what a transport can use.
    readonly_fields = ("public_id", "workspace", "kind", "config", "created_at", "updated_at")
    raw_id_fields = ("monitors",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


class AttemptInline(admin.TabularInline):
    model = DeliveryAttempt
    extra = 0
    can_delete = False
    readonly_fields = ("number", "started_at", "finished_at", "ok", "detail")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Delivery)
class DeliveryAdmin(admin.ModelAdmin):
    list_display = ("created_at", "event", "channel", "status", "attempt_count", "next_attempt_at")
    list_filter = ("status", "event")
    list_select_related = ("channel",)
    ordering = ("-pk",)
    inlines = (AttemptInline,)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
