"""Applies the timeout that a monitor's page suggests, after confirmation, with the edit operation."""

from __future__ import annotations

import re
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from accounts.actors import actor_of
from accounts.models import Role
from core.clock import database_now
from monitors.access import get_monitor_or_404, members_only
from monitors.domain.durations import exactly
from monitors.domain.schedules import TIMEOUT_MAX, TIMEOUT_MIN, IntervalSchedule
from monitors.forms.fields import DurationField
from monitors.history import current
from monitors.models import Monitor
from monitors.services import monitors as monitor_service
from monitors.views.dialogs import ask


class TimeoutForm(forms.Form):
    """A form with just a timeout, for `monitor`."""

    timeout = DurationField(
        label=gettext_lazy("Timeout"),
        low=TIMEOUT_MIN,
        high=TIMEOUT_MAX,
        help_text=gettext_lazy("The longest acceptable time between heartbeats, such as 60 s, 5 min or 1 d."),
    )

    def __init__(self, *args: object, monitor: Monitor, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._monitor = monitor

    def clean_timeout(self) -> int:
        timeout: int = self.cleaned_data["timeout"]
        interval = self._monitor.interval
        if interval and timeout < interval:
            raise forms.ValidationError(
                _("Must not be shorter than the recommended interval: at least %(interval)s."),
                params={"interval": exactly(interval)},
            )
        return timeout


@require_http_methods(["GET", "POST"])
@members_only
def timeout(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Ask whether to change the timeout to `?timeout=` (GET), then change it (POST)."""
    monitor = get_monitor_or_404(request, public_id, role=Role.ADMIN)
    if monitor.kind != Monitor.Kind.INTERVAL:
        raise Http404
    typed = request.POST if request.method == "POST" else None
    wanted = request.GET.get("timeout", "")
    initial = int(wanted) if re.fullmatch(r"[0-9]{1,9}", wanted) else wanted
    form = TimeoutForm(typed, monitor=monitor, initial={"timeout": initial})
    page = reverse("monitors:detail", args=[public_id])
    if form.is_bound and form.is_valid():
        before, after = monitor.timeout, form.cleaned_data["timeout"]
        monitor_service.edit(monitor=monitor, by=actor_of(request), timeout=after)
        words = {"before": exactly(before), "after": exactly(after)}
        messages.success(request, _("Changed the timeout from %(before)s to %(after)s.") % words)
        return HttpResponseRedirect(page, status=303)
    return ask(
        request,
        form,
        title=_("Change the timeout of “%(name)s”?") % {"name": monitor.name},
        text=_in_words(monitor, form),
        button=_("Change timeout"),
        cancel=page,
    )


def _in_words(monitor: Monitor, form: TimeoutForm) -> str:
    """Return the old and new timeout, and when an alert is sent with the new one."""
    now = _("The timeout is currently %(timeout)s.") % {"timeout": exactly(monitor.timeout)}
    try:
        wanted = form.fields["timeout"].clean(form["timeout"].value())
    except forms.ValidationError:
        return now
    change = _("From %(before)s to %(after)s.") % {
        "before": exactly(monitor.timeout),
        "after": exactly(wanted),
    }
    schedule = IntervalSchedule(wanted, monitor.grace)
    return f"{change} {current.promise(schedule, interval=None, now=database_now()).alert}"
