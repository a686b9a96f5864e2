"""Monitors in the admin site, changed by the same operations as everywhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import display_for_value
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.actors import admin_of
from core.admin import SiteAdmin
from core.admin_bulk import Bulk, Outcome, confirm_and_run
from monitors.admin.forms import ABOUT, PUSHES, SCHEDULE, MonitorForm
from monitors.admin.token_actions import masked_url, state_of
from monitors.domain.state_machine import Shown
from monitors.history import current
from monitors.models import Monitor, PushToken
from monitors.services import monitors as monitor_service

_INCIDENTS_SHOWN = 10
_STATE = (
    "shown",
    "status",
    "status_changed_at",
    "last_heartbeat_at",
    "last_message",
    "last_value",
    "due_at",
    "fault",
)


def _of_state(name: str, words: Any) -> Callable[[Any, Monitor], Any]:
    """Return a read-only column for `name` of a monitor's state, which only recorder and sweep write."""

    @admin.display(description=words, ordering=f"state__{name}")
    def show(self: Any, monitor: Monitor) -> Any:
        value = getattr(monitor.state, name)
        return display_for_value(None if value == "" else value, self.get_empty_value_display())

    return show


@admin.register(Monitor)
class MonitorAdmin(SiteAdmin):
    form = MonitorForm
    change_form_template = "admin/monitors/monitor/change_form.html"
    list_display = ("name", "workspace", "shown", "last_heartbeat_at", "schedule_in_short")
    list_filter = ("state__status", "urgency", "kind", "post_only")
    list_select_related = ("workspace", "state")
    search_fields = ("name", "slug", "workspace__name")
    search_help_text = gettext_lazy("Monitor name or slug, or workspace name.")
    ordering = ("workspace_id", "name", "pk")
    autocomplete_fields = ("workspace",)
    actions = ("pause_selected", "resume_selected", "delete_chosen")
    readonly_fields = (
        *_STATE,
        "push_tokens",
        "newest_incidents",
        "public_id",
        "version",
        "created_at",
        "updated_at",
    )
    fieldsets = (
        (None, {"fields": ("workspace", *ABOUT)}),
        (gettext_lazy("Schedule"), {"fields": SCHEDULE}),
        (gettext_lazy("Pushes"), {"fields": PUSHES}),
    )
    shown_fieldsets = (
        (gettext_lazy("Push tokens"), {"fields": ("push_tokens",)}),
        (gettext_lazy("State"), {"fields": _STATE}),
        (gettext_lazy("Incidents"), {"fields": ("newest_incidents",)}),
        (
            gettext_lazy("Details"),
            {"fields": ("public_id", "version", "created_at", "updated_at", "seen_version")},
        ),
    )
    delete_warning = gettext_lazy(
        "Its push URLs stop working immediately, and its heartbeats, incidents and deliveries are "
        "deleted too."
    )

    status_changed_at = _of_state("status_changed_at", gettext_lazy("since"))
    last_heartbeat_at = _of_state("last_heartbeat_at", gettext_lazy("last heartbeat"))
    last_value = _of_state("last_value", gettext_lazy("last value"))
    last_message = _of_state("last_message", gettext_lazy("last message"))
    due_at = _of_state("due_at", gettext_lazy("next check"))
    fault = _of_state("fault", gettext_lazy("error"))

    @admin.display(description=gettext_lazy("stored status"))
    def status(self, monitor: Any) -> str:
        return str(monitor.state.get_status_display())

    @admin.display(description=gettext_lazy("status"), ordering="state__status")
    def shown(self, monitor: Any) -> str:
        return str(current.SHOWN_LABELS[self._shown(monitor)])

    def _shown(self, monitor: Any) -> Shown:
        return current.read(monitor, monitor.read_at).shown

    @admin.display(description=gettext_lazy("schedule"))
    def schedule_in_short(self, monitor: Monitor) -> str:
        return current.schedule_in_short(monitor)

    @admin.display(description=gettext_lazy("active"))
    def push_tokens(self, monitor: Any) -> str:
        """The active tokens, at most a hundred; the others are in the list of tokens."""
        working = PushToken.objects.filter(monitor=monitor).valid().order_by("-created_at", "-pk")
        rows = [(token, masked_url(token), state_of(token, monitor.read_at)) for token in working]
        return render_to_string("admin/monitors/monitor/tokens.html", {"rows": rows, "monitor": monitor})

    @admin.display(description=gettext_lazy("newest"))
    def newest_incidents(self, monitor: Monitor) -> str:
        incidents = monitor.incidents.order_by("-started_at")[:_INCIDENTS_SHOWN]
        return render_to_string("admin/monitors/monitor/incidents.html", {"incidents": incidents})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("workspace", "state").annotate(read_at=Now())

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.fieldsets, *self.shown_fieldsets) if obj else self.fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # Moved to another workspace, it would still use the channels of the old one.
        return ("workspace", *self.readonly_fields) if obj else self.readonly_fields

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except monitor_service.VersionConflict:
            words = _(
                "Someone else changed this monitor in the meantime, so nothing was saved. Check the "
                "current values and try again."
            )
        except monitor_service.SlugTaken:
            words = _("Another monitor in this workspace already has this slug, so nothing was saved.")
        self.message_user(request, words, messages.ERROR)
        return HttpResponseRedirect(request.path)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Create or edit with the operation that locks the state and moves the deadline."""
        by = admin_of(request)
        if change:
            monitor = Monitor.objects.select_related("workspace").get(pk=obj.pk)
            version = form.cleaned_data["seen_version"]
            monitor_service.edit(monitor=monitor, by=by, version=version, **form.columns())
        else:
            created = monitor_service.create(workspace=obj.workspace, by=by, **form.columns())
            obj.pk = created.pk

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        monitor_service.delete(monitor=obj, by=admin_of(request))

    @admin.action(description=gettext_lazy("Pause selected monitors"), permissions=["change"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Monitor]) -> HttpResponse:
        return self._all(
            request,
            queryset,
            action="pause_selected",
            do=monitor_service.pause,
            done=_("Paused"),
            title=_("Pause monitors"),
            warning=_(
                "No notifications are sent for them until they are resumed. Open incidents are closed."
            ),
            button=_("Pause"),
        )

    @admin.action(description=gettext_lazy("Resume selected monitors"), permissions=["change"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Monitor]) -> HttpResponse:
        return self._all(
            request,
            queryset,
            action="resume_selected",
            do=monitor_service.resume,
            done=_("Resumed"),
            title=_("Resume monitors"),
            warning=_("Paused monitors are watched again from their next heartbeat."),
            button=_("Resume"),
        )

    @admin.action(description=gettext_lazy("Delete selected monitors"), permissions=["delete"])
    def delete_chosen(self, request: HttpRequest, queryset: QuerySet[Monitor]) -> HttpResponse:
        return self._all(
            request,
            queryset,
            action="delete_chosen",
            do=monitor_service.delete,
            done=_("Deleted"),
            title=_("Delete monitors"),
            warning=f"{self.delete_warning} {_('This cannot be undone.')}",
            button=_("Delete"),
            remain=False,
        )

    def _all(
        self,
        request: HttpRequest,
        queryset: QuerySet[Monitor],
        *,
        do: Callable[..., None],
        done: str,
        remain: bool = True,
        **words: Any,
    ) -> HttpResponse:
        by = admin_of(request)

        def to_one(monitor: Monitor, options: dict[str, Any]) -> Outcome:
            url = reverse("admin:monitors_monitor_change", args=[monitor.pk]) if remain else ""
            do(monitor=monitor, by=by)
            return Outcome(done, True, monitor.name, url, str(monitor.workspace))

        return confirm_and_run(
            self, request, queryset, Bulk(do=to_one, related=("workspace", "state"), **words)
        )
