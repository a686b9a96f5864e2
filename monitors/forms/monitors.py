"""Forms for monitors."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts.models import NAME_LENGTH, PUSH_RATE_MAX, Workspace
from core.timezones import ZONE_LENGTH
from monitors.domain.durations import exactly, parse_duration
from monitors.domain.schedules import (
    GRACE_MAX,
    TIMEOUT_MAX,
    TIMEOUT_MIN,
    CronSchedule,
    IntervalSchedule,
    Schedule,
    ScheduleError,
    is_time_zone,
)
from monitors.models import (
    CRON_LENGTH,
    DESCRIPTION_LENGTH,
    MAX_TAG_LENGTH,
    MAX_TAGS,
    SLUG,
    SLUG_LENGTH,
    Monitor,
)

_COLUMNS = (
    *("name", "description", "tags", "slug", "post_only", "push_rate"),
    *("kind", "timeout", "interval", "grace", "cron", "timezone"),
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


class DurationField(forms.Field):
    """A duration as people write it ("90", "5 min", "1h 30m"); cleans to whole seconds, or None.

    Args:
        low, high: the allowed range in seconds, both included.
    """

    default_error_messages = {
        "invalid": _("Enter a duration such as 90 s, 5 min or 1 h 30 min."),
        "range": _("Enter %(low)s to %(high)s, such as 90 s, 5 min or 1 h 30 min."),
    }

    def __init__(self, *, low: int, high: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low, self.high = low, high

    def to_python(self, value: Any) -> int | None:
        if value in self.empty_values or not str(value).strip():
            return None
        try:
            return parse_duration(str(value))
        except ValueError as error:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from error

    def validate(self, value: Any) -> None:
        super().validate(value)
        if value is not None and not self.low <= value <= self.high:
            limits = {"low": exactly(self.low), "high": exactly(self.high)}
            raise ValidationError(self.error_messages["range"], code="range", params=limits)

    def prepare_value(self, value: Any) -> Any:
        return exactly(value) if isinstance(value, int) else value


class TagsField(forms.CharField):
    """Tags separated by commas; cleans to a list without duplicates."""

    default_error_messages = {
        "too_many": _("Enter at most %(limit)d tags."),
        "too_long": _("“%(tag)s” is too long: a tag can have at most %(limit)d characters."),
    }

    def clean(self, value: Any) -> list[str]:
        text = super().clean(value)
        tags = list(dict.fromkeys(tag for tag in (" ".join(part.split()) for part in text.split(",")) if tag))
        for tag in tags:
            if len(tag) > MAX_TAG_LENGTH:
                params: dict[str, Any] = {"tag": tag, "limit": MAX_TAG_LENGTH}
                raise ValidationError(self.error_messages["too_long"], code="too_long", params=params)
        if len(tags) > MAX_TAGS:
            params = {"limit": MAX_TAGS}
            raise ValidationError(self.error_messages["too_many"], code="too_many", params=params)
        return tags

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value


def forget(form: forms.BaseForm, *names: str) -> None:
    """Drop the fields of an option that is not selected: they may be hidden, as their errors would be."""
    for name in names:
        form.errors.pop(name, None)
        form.cleaned_data[name] = None


class MonitorsField(forms.ModelMultipleChoiceField):
    """Monitors by public id, because pages never show row ids. There are none before `offer`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(Monitor.objects.none(), to_field_name="public_id", **kwargs)

    def offer(self, workspace: Workspace) -> None:
        """Let people choose among the monitors of `workspace`."""
        self.queryset = Monitor.objects.in_workspace(workspace).order_by("name", "id")

    def label_from_instance(self, obj: Any) -> str:
        return str(obj.name)

    def clean(self, value: Any) -> Any:
        try:
            return super().clean(value)
        except ValidationError:
            # Deleted, in another workspace or not an id at all: the error is the same.
            gone = _("One of these monitors is no longer in this workspace. Choose again.")
            raise ValidationError(gone) from None


class ScheduleForm(forms.Form):
    """A monitor's schedule. Fields of the other kind of schedule are ignored."""

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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["timezone"].initial = settings.TIME_ZONE

    def clean(self) -> dict[str, Any]:
        match self.cleaned_data.get("kind"):
            case Monitor.Kind.INTERVAL:
                forget(self, "cron", "timezone")
                self._clean_interval()
            case Monitor.Kind.CRON:
                forget(self, "timeout", "interval")
                self._clean_cron()
        return self.cleaned_data

    def _clean_interval(self) -> None:
        timeout, interval = self.cleaned_data.get("timeout"), self.cleaned_data.get("interval")
        if timeout is None:
            if "timeout" not in self.errors:
                self.add_error("timeout", _("Enter a timeout, such as 60 s or 5 min."))
        elif interval is not None and interval > timeout:
            too_long = _("Must not be longer than the timeout: at most %(timeout)s.")
            self.add_error("interval", ValidationError(too_long, params={"timeout": exactly(timeout)}))

    def _clean_cron(self) -> None:
        self.cleaned_data["timezone"] = zone = self.cleaned_data.get("timezone") or "UTC"
        if not is_time_zone(zone):
            unknown = _("Unknown time zone “%(zone)s”. Use one such as UTC or Asia/Jakarta.")
            self.add_error("timezone", ValidationError(unknown, params={"zone": zone}))
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

    @property
    def schedule(self) -> Schedule:
        """The schedule that a valid form describes."""
        data = self.cleaned_data
        if data["kind"] == Monitor.Kind.CRON:
            return CronSchedule(data["cron"], data["timezone"], data["grace"])
        return IntervalSchedule(data["timeout"], data["grace"])


class MonitorForm(ScheduleForm):
    """The form to create and edit a monitor."""

    name = forms.CharField(
        label=_("Name"),
        max_length=NAME_LENGTH,
        error_messages={"required": _("Enter a name.")},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    description = forms.CharField(
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
        """Return the columns of Monitor that a valid form sets; those of the other kind get defaults."""
        columns = dict(self.cleaned_data)
        if not columns["slug"]:
            del columns["slug"]
        if columns["kind"] == Monitor.Kind.CRON:
            columns["timeout"] = Monitor._meta.get_field("timeout").default
        else:
            columns["cron"], columns["timezone"] = "", "UTC"
        return columns
