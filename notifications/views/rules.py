"""The pages of notification rules, per monitor and for the workspace; and snoozing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import membership_of, require_change
from accounts.actors import actor_of
from accounts.models import Role, Workspace
from core.clock import database_now
from monitors.access import get_monitor_or_404, members_only, membership_in
from monitors.models import Monitor
from monitors.views.detail import workspace_context
from monitors.views.responses import redirect_to_monitor
from notifications.forms.escalation import EscalationForm, enabled
from notifications.forms.rules import MonitorRulesForm, OwnForm, expected
from notifications.rules.effective import DEFAULT, Step, routes_of, rules_of
from notifications.services import queries, sentences
from notifications.services import rules as rule_service
from notifications.services import snooze as snooze_service
from notifications.services.escalation import steps_of
from notifications.services.rules import Own, RulesConflict

_PREVIEW, _MORE = "preview", "more"


@require_GET
@members_only
def for_monitor(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A fragment for the monitor's page: its notification rules."""
    monitor = get_monitor_or_404(request, public_id)
    now = database_now()
    routes = routes_of([monitor])[monitor.pk]
    context = {
        "monitor": monitor,
        "sentences": sentences.sentences(
            rules_of([monitor.pk])[monitor.pk], routes, now=now, urgency=monitor.urgency
        ),
        "waiting": queries.waiting_for(monitor, now=now),
        "nobody": not routes,
        "snoozed": snooze_service.snoozed_until(monitor, now=now),
        "may_change": membership_in(request, monitor.workspace).may_change,
    }
    return render(request, "notifications/_monitor_section.html", context)


# --- One monitor ------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@members_only
def rules(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The notification rules of one monitor, as sentences and as a form; POST saves or previews."""
    posted = request.method == "POST"
    monitor = get_monitor_or_404(request, public_id, role=Role.ADMIN if posted else Role.VIEWER)
    form = _form(monitor, request.POST if posted else None)
    if not posted:
        return _page(request, monitor, form)
    if _PREVIEW in request.POST:
        return _page(request, monitor, form, status=200)
    if not form.is_valid():
        return _page(request, monitor, form, status=422)
    try:
        changed = rule_service.change(
            monitor=monitor,
            by=actor_of(request),
            own=form.own(),
            channels=form.choices(),
            expected=expected(request.POST),
        )
    except RulesConflict:
        # Read again, so that what is shown as theirs is the state that the next save is compared with.
        return _page(
            request, monitor, _form(monitor, request.POST), theirs=_current_summary(monitor), status=422
        )
    messages.success(request, _("Saved.") if changed else _("Nothing to change."))
    return redirect_to_monitor(monitor)


def _form(monitor: Monitor, data: Any) -> MonitorRulesForm:
    return MonitorRulesForm(
        data,
        own=rule_service.own_of_monitor(monitor),
        above=rule_service.rules_from(Own(), monitor.workspace),
        choices=rule_service.choices_of(monitor),
        urgency=monitor.urgency,
    )


def _current_summary(monitor: Monitor) -> list[str]:
    held, routes = rules_of([monitor.pk])[monitor.pk], routes_of([monitor])[monitor.pk]
    return sentences.sentences(held, routes, now=database_now(), urgency=monitor.urgency)


def _page(
    request: HttpRequest,
    monitor: Monitor,
    form: MonitorRulesForm,
    *,
    theirs: list[str] | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {
        **workspace_context(membership_in(request, monitor.workspace)),
        "monitor": monitor,
        "form": form,
        "summary": _summary(monitor, form),
        "theirs": theirs,
    }
    preview = request.headers.get("HX-Request") == "true" and _PREVIEW in request.POST
    template = "notifications/monitor_rules.html#summary" if preview else "notifications/monitor_rules.html"
    return render(request, template, context, status=status)


def _summary(monitor: Monitor, form: MonitorRulesForm) -> list[str]:
    """Return the form's rules as sentences; empty while it has errors."""
    if not form.own_form.is_bound:
        return _current_summary(monitor)
    if not form.is_valid():
        return []
    meant = rule_service.rules_from(form.own(), monitor.workspace)
    routes = rule_service.routes_from(monitor, form.outcome())
    return sentences.sentences(meant, routes, now=database_now(), urgency=monitor.urgency)


# --- The workspace ----------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@members_only
def workspace_rules(request: HttpRequest) -> HttpResponse:
    """The defaults for monitors without rules of their own; as above, with escalation instead of channels."""
    posted = request.method == "POST"
    workspace = (require_change(request) if posted else membership_of(request)).workspace
    forms_ = _workspace_forms(workspace, request.POST if posted else None)
    own, escalation = forms_
    if _MORE in request.POST:
        escalation.add_row()
        return _workspace_page(request, *forms_)
    if not posted or _PREVIEW in request.POST:
        return _workspace_page(request, *forms_)
    if not all([own.is_valid(), escalation.is_valid()]):
        return _workspace_page(request, *forms_, status=422)
    try:
        changed = rule_service.change_workspace(
            workspace=workspace,
            own=own.own(),
            steps=escalation.steps(),
            by=actor_of(request),
            expected=expected(request.POST),
        )
    except RulesConflict:
        forms_ = _workspace_forms(workspace, request.POST)
        theirs = _workspace_summary(rule_service.own_of_workspace(workspace), steps_of(workspace))
        return _workspace_page(request, *forms_, theirs=theirs, status=422)
    messages.success(request, _("Saved.") if changed else _("Nothing to change."))
    return HttpResponseRedirect(reverse("notifications:workspace_rules"), status=303)


def _workspace_forms(workspace: Workspace, data: Any) -> tuple[OwnForm, EscalationForm]:
    own = rule_service.own_of_workspace(workspace)
    return (
        OwnForm(data, own=own, above=DEFAULT, workspace=True),
        EscalationForm(data, workspace=workspace, steps=steps_of(workspace)),
    )


def _workspace_summary(own: Own, steps: Iterable[Step]) -> list[str]:
    return sentences.defaults(rule_service.rules_from_workspace(own), enabled(steps))


def _workspace_page(
    request: HttpRequest,
    form: OwnForm,
    escalation: EscalationForm,
    *,
    theirs: list[str] | None = None,
    status: int = 200,
) -> HttpResponse:
    summary: list[str] = []
    workspace = membership_of(request).workspace
    if not form.is_bound:
        summary = _workspace_summary(rule_service.own_of_workspace(workspace), steps_of(workspace))
    elif all([form.is_valid(), escalation.is_valid()]):
        steps = escalation.steps()
        summary = _workspace_summary(form.own(), steps_of(workspace) if steps is None else steps)
    preview = request.headers.get("HX-Request") == "true" and _PREVIEW in request.POST
    template = (
        "notifications/workspace_rules.html#summary" if preview else "notifications/workspace_rules.html"
    )
    context = {"form": form, "escalation": escalation, "summary": summary, "theirs": theirs}
    return render(request, template, context, status=status)


# --- Snooze -----------------------------------------------------------------------------------------


class SnoozeForm(forms.Form):
    """The time to snooze until, in the reader's time zone."""

    until = forms.DateTimeField(
        label=gettext_lazy("Until"),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"],
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        error_messages={
            "required": gettext_lazy("Enter a date and time."),
            "invalid": gettext_lazy("Enter a date and time."),
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@members_only
def snooze(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Ask how long to snooze a monitor (GET), and do it (POST with `for` or `until`)."""
    monitor = get_monitor_or_404(request, public_id, role=Role.ADMIN)
    now = database_now()
    if request.method != "POST":
        return _ask(request, monitor, SnoozeForm(), now)
    form = SnoozeForm(request.POST)
    until = _ends(request.POST.get("for", ""), now)
    if until is None:
        if not form.is_valid():
            return _ask(request, monitor, form, now)
        until = form.cleaned_data["until"]
    try:
        snooze_service.snooze(monitor=monitor, until=until, by=actor_of(request))
    except snooze_service.NoSuchTime:
        form.add_error("until", _("Enter a time within the next 30 days."))
        return _ask(request, monitor, form, now)
    messages.success(request, " ".join(sentences.snooze(until, now=now)))
    return redirect_to_monitor(monitor)


@require_POST
@members_only
def unsnooze(request: HttpRequest, public_id: UUID) -> HttpResponse:
    monitor = get_monitor_or_404(request, public_id, role=Role.ADMIN)
    ended = snooze_service.unsnooze(monitor=monitor, by=actor_of(request))
    messages.success(request, _("Snooze ended.") if ended else _("Nothing to change."))
    return redirect_to_monitor(monitor)


def _ends(name: str, now: datetime) -> datetime | None:
    """Return when the snooze of a button ends; None if `name` is no such button."""
    here = timezone.localtime(now)
    match name:
        case "1h":
            return now + timedelta(hours=1)
        case "4h":
            return now + timedelta(hours=4)
        case "morning":
            tomorrow = here.date() + timedelta(days=1)
            return timezone.make_aware(datetime.combine(tomorrow, time(9)))
    return None


def _ask(request: HttpRequest, monitor: Monitor, form: SnoozeForm, now: datetime) -> HttpResponse:
    context = {
        **workspace_context(membership_in(request, monitor.workspace)),
        "monitor": monitor,
        "form": form,
        "snoozed": sentences.snooze(snooze_service.snoozed_until(monitor, now=now), now=now),
    }
    name = "notifications/snooze.html"
    template = f"{name}#question" if request.headers.get("HX-Request") == "true" else name
    return render(request, template, context, status=422 if form.errors else 200)
