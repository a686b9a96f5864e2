"""Forms for monitors."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import RegexValidator
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts.models import NAME_LENGTH, PUSH_RATE_MAX
from core.form_fields import LineField, PlainTextField
from monitors.domain.state_machine import Urgency
from monitors.forms.fields import TagsField
from monitors.forms.schedules import ScheduleForm
from monitors.models import (
    DESCRIPTION_LENGTH,
    SCHEDULE_COLUMNS,
    SLUG,
    SLUG_LENGTH,
    URGENCY_LABELS,
    Monitor,
)

_COLUMNS = (
    *("name", "description", "tags", "slug", "urgency", "post_only", "push_rate"),
    *(*SCHEDULE_COLUMNS, "interval"),
    *("value_min", "value_max", "value_required"),
)
_ANY_NUMBER = {"invalid": _("Enter a number, such as 12.5.")}


def _number(label: Any, **kwargs: Any) -> forms.FloatField:
    widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
    return forms.FloatField(label=label, required=False, widget=widget, error_messages=_ANY_NUMBER, **kwargs)


def require_order_of_values(form: forms.BaseForm) -> None:
    """Add an error to `form` if its lowest allowed value is above its highest."""
    low, high = form.cleaned_data.get("value_min"), form.cleaned_data.get("value_max")
    if low is not None and high is not None and low > high:
        form.add_error("value_max", _("Must not be below the lowest allowed value."))


class MonitorForm(ScheduleForm):
    """The form to create and edit a monitor."""

    name = LineField(
        label=_("Name"),
        max_length=NAME_LENGTH,
        error_messages={"required": _("Enter a name.")},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    description = PlainTextField(
        label=_("Description"),
        max_length=DESCRIPTION_LENGTH,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("What it monitors, and what to do when it goes down. Optional."),
    )
    tags = TagsField(label=_("Tags"), required=False, help_text=_("Separated by commas. Optional."))
    slug = forms.CharField(
        label=_("Slug"),
        max_length=SLUG_LENGTH,
        required=False,
        validators=[
            RegexValidator(
                SLUG,
                _("Use lower-case letters and digits, separated by single hyphens, such as nightly-backup."),
            )
        ],
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}),
    )
    urgency = forms.ChoiceField(
        label=_("Urgency"),
        choices=URGENCY_LABELS,
        required=False,
        initial=Urgency.NORMAL.value,
        help_text=_(
            "How urgent it is to know when it is down. Channels can be limited to urgent monitors, and "
            "during quiet hours only high urgency notifies."
        ),
    )
    post_only = forms.BooleanField(
        label=_("Only accept POST"),
        required=False,
        help_text=_("Opening the push URL in a browser, or a link preview, then sends no heartbeat."),
    )
    push_rate = forms.IntegerField(
        label=_("Pushes per minute"),
        min_value=0,
        max_value=PUSH_RATE_MAX,
        required=False,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )

    value_min = _number(_("Lowest allowed value"))
    value_max = _number(_("Highest allowed value"))
    value_required = forms.BooleanField(
        label=_("Require a value"),
        required=False,
        help_text=_("A heartbeat without a value is then treated as a failure."),
    )

    def __init__(self, *args: Any, monitor: Monitor | None = None, rate: int = 0, **kwargs: Any) -> None:
        """Args:
        monitor: the monitor being edited.
        rate: the pushes per minute allowed for a token if the monitor has no limit of its own.
        """
        if monitor is not None and not args:
            kwargs["initial"] = {name: getattr(monitor, name) for name in _COLUMNS}
        super().__init__(*args, **kwargs)
        self.fields["slug"].help_text = (
            _("Identifies the monitor in the API. Leave it empty to keep the current slug.")
            if monitor
            else _("Identifies the monitor in the API. Leave it empty to derive it from the name.")
        )
        inherited = (
            _("Leave it empty for the workspace's limit of %(rate)d.") % {"rate": rate}
            if rate
            else _("Leave it empty for the workspace's setting: no limit.")
        )
        self.fields["push_rate"].help_text = format_lazy(
            "{} {}", _("The limit for each push token; 0 means no limit."), inherited
        )

    def clean(self) -> dict[str, Any]:
        super().clean()
        require_order_of_values(self)
        return self.cleaned_data

    @property
    def says_of_values(self) -> bool:
        """Whether a value field is filled in or has an error."""
        names = ("value_min", "value_max", "value_required")
        return any(self[name].value() not in (None, "", False) or self[name].errors for name in names)

    def columns(self) -> dict[str, Any]:
        """Return the columns of Monitor that a valid form sets; those of other kinds get defaults."""
        columns = {**self.cleaned_data, **self.schedule_columns()}
        # A form without them leaves them unchanged.
        return {name: value for name, value in columns.items() if value or name not in ("slug", "urgency")}
