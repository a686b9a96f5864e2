"""Channels and deliveries in the admin site; the target of a channel is shown masked."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.actors import admin_of
from core.admin import LargeTableAdmin, ReadOnly, SiteAdmin
from notifications.forms.channels import require_quiet_hours
from notifications.models import Channel, Delivery, DeliveryAttempt
from notifications.services import channels as channel_service
from notifications.services.queries import destination

# A channel with more selected monitors shows how many instead of them.
_SELECTED_MOST, _COUNTED = 200, "selected_monitors"


class ChannelForm(forms.ModelForm):
    """The fields of a channel that may be changed here. It saves nothing itself."""

    # Left empty, or not in the form at all, they stay as they are.
    KEPT = ("least_urgency", "quiet_timezone", "burst")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.KEPT:
            if name in self.fields:
                self.fields[name].required = False

    def clean(self) -> dict[str, Any]:
        super().clean()
        cleaned = self.cleaned_data
        if not cleaned.get("all_monitors") and "monitors" in cleaned:
            selected = cleaned["monitors"]
            if not selected:
                self.add_error("monitors", _("Choose at least one monitor, or all monitors."))
            elif selected.exclude(workspace=self.instance.workspace_id).exists():
                self.add_error("monitors", _("Choose monitors in the channel's workspace."))
        require_quiet_hours(self)
        most = channel_service.burst_most(self.instance.kind)
        if (cleaned.get("burst") or 1) > most:
            self.add_error("burst", _("Enter a whole number from {low} to {high}.").format(low=1, high=most))
        return cleaned


@admin.register(Channel)
class ChannelAdmin(SiteAdmin):
    """Channels are created on their own pages, whose forms know what each integration needs."""

    form = ChannelForm
    list_display = (
        "name",
        "workspace",
        "kind",
        "masked_destination",
        "enabled",
        "failing_since",
        "all_monitors",
    )
    list_filter = ("kind", "enabled", ("failing_since", admin.EmptyFieldListFilter), "all_monitors")
    list_select_related = ("workspace",)
    search_fields = ("name", "workspace__name")
    fields = (
        "workspace",
        "kind",
        "masked_destination",
        "name",
        "enabled",
        "all_monitors",
        "monitors",
        "least_urgency",
        "quiet_from",
        "quiet_until",
        "quiet_timezone",
        "burst",
        "delay",
        "on_down",
        "on_recovery",
        "on_late",
        "on_reminder",
        "title",
        "body",
        "failures",
        "failing_since",
        "paused_until",
        "public_id",
        "created_at",
        "updated_at",
    )
    readonly_fields = (
        *("workspace", "kind", "masked_destination", "public_id", "created_at", "updated_at"),
        *("delay", "on_down", "on_recovery", "on_late", "on_reminder", "title", "body"),
        *("failures", "failing_since", "paused_until"),
    )
    autocomplete_fields = ("monitors",)
    secret_fields = ("config",)
    delete_warning = _("No more notifications are sent to it, and its delivery log is deleted too.")

    @admin.display(description=_("sends to"))
    def masked_destination(self, channel: Channel) -> str:
        return destination(channel, masked=True)

    @admin.display(description=_("monitors"))
    def selected_monitors(self, channel: Channel) -> str:
        words = gettext("%(number)d selected. Change them on the channel's own page.")
        return words % {"number": channel.monitors.count()}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave out the list of monitors if it is long: the page would contain all of them."""
        if obj is None or not obj.monitors.all()[_SELECTED_MOST : _SELECTED_MOST + 1].exists():
            return self.fields
        return [_COUNTED if name == "monitors" else name for name in self.fields]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.readonly_fields, _COUNTED)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Change it through the service, which also drops the pending deliveries of a disabled channel."""
        cleaned = form.cleaned_data
        changes = {
            name: cleaned[name]
            for name in form.changed_data
            if name != "monitors" and (cleaned[name] or name not in form.KEPT)
        }
        monitors = cleaned.get("monitors")
        channel_service.edit(channel=obj, by=admin_of(request), monitors=monitors, **changes)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Nothing: the service has already set the monitors."""

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        channel_service.delete(channel=obj, by=admin_of(request))


class AttemptInline(ReadOnly, admin.TabularInline):
    model = DeliveryAttempt
    extra = 0
    readonly_fields = ("number", "started_at", "finished_at", "ok", "detail")


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly, LargeTableAdmin):
    list_display = ("created_at", "event", "monitor", "channel", "status", "attempt_count", "next_attempt_at")
    list_filter = ("status", "event")
    list_select_related = ("channel", "monitor")
    search_fields = ("channel__name", "monitor__name")
    search_help_text = _("Name of a channel or monitor.")
    fields = (
        "event",
        "monitor",
        "incident",
        "subject",
        "channel",
        "digest",
        "outage",
        "sequence",
        "reason",
        "status",
        "note",
        "created_at",
        "planned_at",
        "attempt_count",
        "next_attempt_at",
        "sent_at",
        "public_id",
    )
    inlines = (AttemptInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("channel", "monitor", "incident__monitor")
