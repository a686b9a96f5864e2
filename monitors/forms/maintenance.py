"""Forms for maintenance windows."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_datetime
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext_lazy as _

from accounts.models import NAME_LENGTH, Workspace
from core.form_fields import LineField
from core.timezones import ZONE_LENGTH
from monitors.domain.durations import DAY, MINUTE
from monitors.domain.expressions import is_time_zone
from monitors.domain.recurrence import YEARS, Plan
from monitors.forms.fields import DurationField, TagsField
from monitors.forms.monitor_picker import MonitorsField
from monitors.models import MaintenanceWindow
from monitors.services.maintenance import plan_of

WEEKDAY_CHOICES = [(str(number), name) for number, name in WEEKDAYS.items()]
LONGEST = 7 * DAY
Kind = MaintenanceWindow.Kind


class WallTimeField(forms.Field):
    """A local date and time; cleans to a naive datetime, or None."""

    default_error_messages = {"invalid": _("Enter a date and time, such as 2026-11-28 22:00.")}
    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")

    def to_python(self, value: Any) -> datetime | None:
        if value in self.empty_values:
            return None
        try:
            parsed = parse_datetime(str(value).strip())
        except ValueError:
            parsed = None
        if parsed is None or parsed.tzinfo is not None or parsed.year not in YEARS:
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return parsed


class WhenForm(forms.Form):
    """When a maintenance window takes place. Fields of the other kind are ignored."""

    kind = forms.ChoiceField(
        label=_("Repeats"), choices=Kind.choices, initial=Kind.ONCE, widget=forms.RadioSelect
    )
    weekdays = forms.TypedMultipleChoiceField(
        label=_("Days"),
        choices=WEEKDAY_CHOICES,
        coerce=int,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    start_time = forms.TimeField(
        label=_("Starts at"),
        required=False,
        widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"),
        error_messages={"invalid": _("Must be a time of day, such as 22:00.")},
    )
    duration = DurationField(
        label=_("Duration"),
        low=MINUTE,
        high=LONGEST,
        required=False,
        help_text=_("Such as 90 min, 4 h or 1 d. It may run into the next day."),
    )
    starts_at = WallTimeField(label=_("From"), required=False)
    ends_at = WallTimeField(label=_("Until"), required=False)
    timezone = forms.CharField(
        label=_("Time zone"),
        max_length=ZONE_LENGTH,
        required=False,
        widget=forms.TextInput(attrs={"list": "zones", "spellcheck": "false", "autocomplete": "off"}),
        help_text=_("The time zone of the times above."),
    )

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        zone = data["timezone"] = data.get("timezone") or "UTC"
        if not is_time_zone(zone):
            unknown = _("Unknown time zone “%(zone)s”. Use one such as UTC or Asia/Jakarta.")
            self.add_error("timezone", ValidationError(unknown, params={"zone": zone}))
            zone = "UTC"
        for name in ("starts_at", "ends_at"):
            if data.get(name) is not None:
                data[name] = data[name].replace(tzinfo=ZoneInfo(zone))
        match data.get("kind"):
            case Kind.ONCE:
                for name, nothing in (("weekdays", []), ("start_time", None), ("duration", None)):
                    self.errors.pop(name, None)
                    data[name] = nothing
                self._require("starts_at", _("Enter the start date and time."))
                self._require("ends_at", _("Enter the end date and time."))
            case Kind.WEEKLY:
                self._require("weekdays", _("Choose at least one day."))
                self._require("start_time", _("Enter the start time."))
                self._require("duration", _("Enter a duration, such as 4 h."))
        starts, ends = data.get("starts_at"), data.get("ends_at")
        if starts is not None and ends is not None and starts >= ends:
            self.add_error("ends_at", _("Must be after the start."))
        return data

    def _require(self, name: str, error: Any) -> None:
        if name not in self.errors and self.cleaned_data.get(name) in (None, []):
            self.add_error(name, error)

    @property
    def plan(self) -> Plan:
        """When it takes place, from a valid form."""
        return plan_of(MaintenanceWindow(**self.when()))

    def when(self) -> dict[str, Any]:
        """Return the time columns of MaintenanceWindow, from a valid form."""
        data = self.cleaned_data
        return {name: data[name] for name in WhenForm.base_fields} | {"weekdays": sorted(data["weekdays"])}


class MaintenanceForm(WhenForm):
    """The form to create and edit a maintenance window."""

    ALL, SOME = "all", "some"

    name = LineField(
        label=_("Name"),
        max_length=NAME_LENGTH,
        help_text=_("What is being done, such as “Database upgrade”."),
        error_messages={"required": _("Enter a name.")},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    scope = forms.ChoiceField(
        label=_("Applies to"),
        choices=[
            (ALL, _("All monitors, including future ones")),
            (SOME, _("Monitors with these tags, and selected monitors")),
        ],
        initial=ALL,
        widget=forms.RadioSelect,
    )
    tags = TagsField(
        label=_("Tags"), required=False, help_text=_("Monitors with any of these tags. Separated by commas.")
    )
    monitors = MonitorsField(label=_("Monitors"), required=False, widget=forms.CheckboxSelectMultiple)
    excluded_from_uptime = forms.BooleanField(
        label=_("Exclude from uptime"),
        required=False,
        initial=True,
        help_text=_("Time in this window then counts neither as up nor as down."),
    )

    def __init__(
        self, *args: Any, workspace: Workspace, window: MaintenanceWindow | None = None, **kwargs: Any
    ) -> None:
        """Args:
        workspace: whose monitors can be selected.
        window: the window being edited.
        """
        initial: dict[str, Any] = {"timezone": workspace.timezone}
        if window is not None:
            initial = _initial(window)
        super().__init__(*args, **{"initial": initial, **kwargs})
        field = self.fields["monitors"]
        assert isinstance(field, MonitorsField)
        selected = window.monitors.all() if window is not None else None
        field.offer(workspace, selected=selected, data=self.data if self.is_bound else None)
        field.initial = field.first_selected()

    def clean(self) -> dict[str, Any]:
        super().clean()
        data = self.cleaned_data
        if data.get("scope") == self.ALL:
            for name in ("tags", "monitors"):
                self.errors.pop(name, None)
                data[name] = []
        elif "scope" in data and not self._names_any():
            self.add_error("tags", _("Enter a tag, select a monitor, or choose all monitors."))
        return data

    def _names_any(self) -> bool:
        """Return whether a tag or a monitor was entered, valid or not."""
        data, errors = self.cleaned_data, self.errors
        if data.get("tags") or "tags" in errors or "monitors" in errors:
            return True
        return "monitors" in data and bool(data["monitors"].exists())

    def columns(self) -> dict[str, Any]:
        """Return the arguments for `planning`, from a valid form."""
        data = self.cleaned_data
        return {
            **self.when(),
            "name": data["name"],
            "all_monitors": data["scope"] == self.ALL,
            "tags": data["tags"],
            "monitors": data["monitors"],
            "excluded_from_uptime": data["excluded_from_uptime"],
        }


def _initial(window: MaintenanceWindow) -> dict[str, Any]:
    zone = ZoneInfo(window.timezone) if is_time_zone(window.timezone) else ZoneInfo("UTC")
    local = {
        name: at.astimezone(zone).replace(tzinfo=None) if at else None
        for name, at in (("starts_at", window.starts_at), ("ends_at", window.ends_at))
    }
    return {
        **{name: getattr(window, name) for name in ("name", "kind", "start_time", "duration", "timezone")},
        **local,
        "weekdays": [str(day) for day in window.weekdays],
        "scope": MaintenanceForm.ALL if window.all_monitors else MaintenanceForm.SOME,
        "tags": window.tags,
        "excluded_from_uptime": window.excluded_from_uptime,
    }
