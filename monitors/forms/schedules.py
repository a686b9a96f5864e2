"""A form for a monitor's schedule."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.timezones import ZONE_LENGTH
from monitors.domain.durations import exactly
from monitors.domain.expressions import is_time_zone
from monitors.domain.on_calendar_times import on_calendar_lines
from monitors.domain.schedules import (
    EARLY_MAX,
    GRACE_MAX,
    TIMEOUT_MAX,
    TIMEOUT_MIN,
    CronSchedule,
    OnCalendarSchedule,
    Schedule,
    ScheduleError,
)
from monitors.forms.fields import DurationField, forget
from monitors.models import CALENDAR_LENGTH, CRON_LENGTH, SCHEDULE_COLUMNS, Monitor, schedule_of


class ScheduleForm(forms.Form):
    """A monitor's schedule. Fields of other kinds of schedules are ignored."""

    kind = forms.ChoiceField(
        label=_("Expected"),
        choices=Monitor.Kind.choices,
        initial=Monitor.Kind.INTERVAL,
        widget=forms.RadioSelect,
    )
    timeout = DurationField(
        label=_("Timeout"),
        low=TIMEOUT_MIN,
        high=TIMEOUT_MAX,
        required=False,
        initial=60,
        help_text=_("The longest acceptable time between heartbeats, such as 60 s, 5 min or 1 d."),
    )
    interval = DurationField(
        label=_("Recommended interval"),
        low=1,
        high=TIMEOUT_MAX,
        required=False,
        help_text=_("How often the sender should push. Optional."),
    )
    cron = forms.CharField(
        label=_("Cron expression"),
        max_length=CRON_LENGTH,
        required=False,
        widget=forms.TextInput(
            attrs={"placeholder": "0 2 * * *", "spellcheck": "false", "autocomplete": "off"}
        ),
        help_text=_("Minute, hour, day of month, month, day of week."),
    )
    calendar = forms.CharField(
        label=_("OnCalendar expressions"),
        max_length=CALENDAR_LENGTH,
        required=False,
        widget=forms.Textarea(
            attrs={
                "rows": 3,
                "placeholder": "Mon..Fri *-*-* 09:00:00",
                "spellcheck": "false",
                "autocomplete": "off",
                "autocapitalize": "off",
            }
        ),
        help_text=_(
            "One on each line, as in a systemd timer: Mon..Fri 09:00, *-*-01 06:30:00, daily. You can paste "
            "OnCalendar= lines."
        ),
    )
    timezone = forms.CharField(
        label=_("Time zone"),
        max_length=ZONE_LENGTH,
        required=False,
        widget=forms.TextInput(attrs={"list": "zones", "spellcheck": "false", "autocomplete": "off"}),
        help_text=_("The time zone the job runs in, such as Asia/Jakarta."),
    )
    grace = DurationField(
        label=_("Grace period"),
        low=0,
        high=GRACE_MAX,
        required=False,
        help_text=_(
            "How much longer to wait before alerting. Leave it empty for a tenth of the time, up to 5 min."
        ),
    )

    early = DurationField(
        label=_("May be early by"),
        low=0,
        high=EARLY_MAX,
        required=False,
        help_text=_(
            "A heartbeat this long before a scheduled time counts for it. Leave it empty for a tenth of the "
            "grace period, 5 s to 60 s; 0 means not at all."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["timezone"].initial = settings.TIME_ZONE

    def clean(self) -> dict[str, Any]:
        match self.cleaned_data.get("kind"):
            case Monitor.Kind.INTERVAL:
                forget(self, "cron", "calendar", "timezone", "early")
                self._clean_interval()
            case Monitor.Kind.CRON:
                forget(self, "timeout", "interval", "calendar")
                self._clean_time_zone()
                self._clean_cron()
            case Monitor.Kind.ON_CALENDAR:
                forget(self, "timeout", "interval", "cron")
                self._clean_time_zone()
                self._clean_calendar()
        return self.cleaned_data

    def _clean_interval(self) -> None:
        timeout, interval = self.cleaned_data.get("timeout"), self.cleaned_data.get("interval")
        if timeout is None:
            if "timeout" not in self.errors:
                self.add_error("timeout", _("Enter a timeout, such as 60 s or 5 min."))
        elif interval is not None and interval > timeout:
            too_long = _("Must not be longer than the timeout: at most %(timeout)s.")
            self.add_error("interval", ValidationError(too_long, params={"timeout": exactly(timeout)}))

    def _clean_time_zone(self) -> None:
        self.cleaned_data["timezone"] = zone = self.cleaned_data.get("timezone") or "UTC"
        if not is_time_zone(zone):
            unknown = _("Unknown time zone “%(zone)s”. Use one such as UTC or Asia/Jakarta.")
            self.add_error("timezone", ValidationError(unknown, params={"zone": zone}))

    def _clean_cron(self) -> None:
        expression = self.cleaned_data["cron"] = " ".join((self.cleaned_data.get("cron") or "").split())
        if not expression:
            if "cron" not in self.errors:
                self.add_error("cron", _("Enter a cron expression, such as 0 2 * * * for 02:00 every night."))
            return
        try:
            # The time zone has its own error; this only checks whether the expression can be evaluated.
            CronSchedule(expression).due_after(timezone.now())
        except ScheduleError as error:
            self.add_error("cron", str(error))

    def _clean_calendar(self) -> None:
        try:
            lines = on_calendar_lines(self.cleaned_data.get("calendar") or "")
            if lines:
                self.cleaned_data["calendar"] = "\n".join(lines)
                OnCalendarSchedule("\n".join(lines)).due_after(timezone.now())
            elif "calendar" not in self.errors:
                empty = _("Enter an OnCalendar expression, such as *-*-* 02:00:00 for 02:00 every night.")
                self.add_error("calendar", empty)
        except ScheduleError as error:
            self.add_error("calendar", str(error))

    def schedule_columns(self) -> dict[str, Any]:
        """Return the columns of Monitor that a valid form sets; those of other kinds get defaults."""
        names = (*SCHEDULE_COLUMNS, "interval")
        typed = {name: self.cleaned_data.get(name) for name in names}
        defaults = Monitor()
        return {name: getattr(defaults, name) if value is None else value for name, value in typed.items()}

    @property
    def schedule(self) -> Schedule:
        """The schedule that a valid form describes."""
        columns = self.schedule_columns()
        return schedule_of(**{name: columns[name] for name in SCHEDULE_COLUMNS})
