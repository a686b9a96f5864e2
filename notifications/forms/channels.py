"""The channel form: the fields that every channel has, and those of its integration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.forms.boundfield import BoundField
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import NAME_LENGTH, Workspace
from core.form_fields import LineField, PlainTextField
from core.timezones import ZONE_LENGTH
from monitors.domain.expressions import is_time_zone
from monitors.domain.state_machine import Urgency
from monitors.forms.fields import DurationField
from monitors.forms.monitor_picker import MonitorsField
from notifications import channel_config
from notifications.forms.integration_fields import as_typed, form_field, removal_of
from notifications.forms.rules import NumberField
from notifications.integrations import Field, Kind
from notifications.messages import templates
from notifications.models import BURST, DELAY_MAX, TEMPLATE_LENGTH, Channel
from notifications.rules.effective import EVENTS
from notifications.services import sentences
from notifications.services.channels import burst_most

QUIET = ("quiet_from", "quiet_until", "quiet_timezone")
EMAIL_URL_EXAMPLE = "submission://user:password@mail.example.com:587"


class _EventsField(forms.MultipleChoiceField):
    """The events of a channel. The page always sends an empty value with the ticked ones: without it, the
    field was not in the form, and the events stay unchanged."""

    widget = forms.CheckboxSelectMultiple

    def clean(self, value: Any) -> Any:
        given = [value] if isinstance(value, str) else list(value or ())
        return super().clean([name for name in given if name]) if given else list(self.initial)


def require_quiet_hours(form: forms.BaseForm) -> None:
    """Add errors to `form` unless its quiet hours have two different times and a time zone, or no times."""
    begin, end, zone = (form.cleaned_data.get(name) for name in QUIET)
    if form.errors.keys() & set(QUIET) or (begin is None and end is None):
        return
    if begin is None or end is None:
        missing = "quiet_from" if begin is None else "quiet_until"
        form.add_error(missing, _("Enter both times, or leave both empty."))
    elif begin == end:
        form.add_error("quiet_until", _("Must not be the time at which they begin."))
    if not is_time_zone(zone or ""):
        unknown = _("Unknown time zone “%(zone)s”. Use one such as UTC or Asia/Jakarta.")
        form.add_error("quiet_timezone", unknown % {"zone": zone})


class TemplateField(PlainTextField):
    """A custom title or text with {placeholders}; empty for the default."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, max_length=TEMPLATE_LENGTH, strip=True, **kwargs)

    def clean(self, value: Any) -> str:
        template: str = super().clean(value)
        if errors := templates.check(template):
            raise ValidationError(errors)
        return template


class ChannelForm(forms.Form):
    """The fields that every channel has, and after its name those of `kind`.

    A secret is never rendered; leaving it empty keeps the current one.
    """

    ALL, SOME = "all", "some"

    name = LineField(
        label=gettext_lazy("Name"),
        max_length=NAME_LENGTH,
        help_text=gettext_lazy("For example “On-call team”."),
    )
    scope = forms.ChoiceField(
        label=gettext_lazy("Monitors"),
        choices=[
            (ALL, gettext_lazy("All monitors, including new ones")),
            (SOME, gettext_lazy("Only the monitors selected below")),
        ],
        widget=forms.RadioSelect,
        initial=ALL,
        error_messages={"required": gettext_lazy("Choose all monitors or selected monitors.")},
    )
    monitors = MonitorsField(
        label=gettext_lazy("Selected monitors"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    events = _EventsField(
        label=gettext_lazy("Events"),
        error_messages={"required": gettext_lazy("Choose at least one event, or disable the channel.")},
    )
    delay = DurationField(
        label=gettext_lazy("Only if still down after"),
        low=0,
        high=DELAY_MAX,
        required=False,
        help_text=gettext_lazy(
            "For example 10 min, to be notified of longer outages only. Empty: immediately."
        ),
    )
    least_urgency = forms.ChoiceField(
        label=gettext_lazy("Only monitors with an urgency of at least"),
        choices=[
            (Urgency.LOW.value, gettext_lazy("Low: all of them")),
            (Urgency.NORMAL.value, gettext_lazy("Normal")),
            (Urgency.HIGH.value, gettext_lazy("High")),
        ],
        required=False,
        initial=Urgency.LOW.value,
    )
    quiet_from = forms.TimeField(
        label=gettext_lazy("From"),
        required=False,
        widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"),
    )
    quiet_until = forms.TimeField(
        label=gettext_lazy("Until"),
        required=False,
        widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"),
    )
    quiet_timezone = forms.CharField(
        label=gettext_lazy("Time zone"),
        max_length=ZONE_LENGTH,
        required=False,
        widget=forms.TextInput(attrs={"list": "zones", "spellcheck": "false", "autocomplete": "off"}),
    )
    title = TemplateField(label=gettext_lazy("Title"), widget=forms.TextInput)
    body = TemplateField(label=gettext_lazy("Text"), widget=forms.Textarea(attrs={"rows": 4}))
    enabled = forms.BooleanField(
        label=gettext_lazy("Enabled"),
        required=False,
        initial=True,
        help_text=gettext_lazy(
            "While it is disabled, nothing is sent through it. Monitors that are still down when it is"
            " enabled again are notified then."
        ),
    )

    field_order = ("name",)

    def __init__(
        self, *args: Any, kind: Kind, workspace: Workspace, channel: Channel | None = None, **kwargs: Any
    ) -> None:
        self.kind = kind
        self.workspace = workspace
        self.channel = channel
        if channel is not None:
            kwargs["initial"] = self._initial(channel) | (kwargs.get("initial") or {})
        super().__init__(*args, **kwargs)
        labels = sentences.event_labels()
        events = self.fields["events"]
        assert isinstance(events, _EventsField)
        events.choices = [(name, labels[name].capitalize()) for name in EVENTS]
        events.initial = self.initial.get("events") or [name for name in EVENTS if name != "late"]
        monitors = self.fields["monitors"]
        assert isinstance(monitors, MonitorsField)
        selected = channel.monitors.all() if channel is not None else None
        monitors.offer(workspace, selected=selected, data=self.data if self.is_bound else None)
        monitors.initial = monitors.first_selected()
        self.fields["quiet_timezone"].initial = workspace.timezone
        if kind.merges:
            self._offer_burst()
        self._destination: list[str] = []
        for field in kind.fields:
            if field.editable:
                self._add(field)
        for name in ("name", "delay", "title", "body"):
            self.fields[name].widget.attrs.setdefault("autocomplete", "off")

    def _offer_burst(self) -> None:
        most = burst_most(self.kind.slug)
        self.fields["burst"] = NumberField(
            label=_("Messages in 30 seconds before a digest"),
            low=1,
            high=most,
            initial=min(BURST, most),
            help_text=_("Up to so many are sent each alone, what follows in one digest every 30 seconds."),
        )

    def _add(self, field: Field) -> None:
        stored = (
            field.secret and self.channel is not None and channel_config.is_stored(self.channel, field.name)
        )
        self.fields[field.name] = form_field(field, stored=stored)
        self._destination.append(field.name)
        if stored and not field.required:
            self.fields[removal_of(field)] = forms.BooleanField(
                label=_("Remove: %(label)s") % {"label": field.label}, required=False
            )
            self._destination.append(removal_of(field))

    def destination(self) -> Iterator[BoundField]:
        """The fields of the integration."""
        return (self[name] for name in self._destination)

    @property
    def has_own_words(self) -> bool:
        """Whether there is a custom title or text to show, valid or not."""
        return any(self[name].value() or self[name].errors for name in ("title", "body"))

    @property
    def quiet_words(self) -> str:
        """The quiet hours when the form was opened; empty if there are none."""
        return sentences.quiet_hours(self.channel) if self.channel else ""

    @property
    def shows_quiet_hours(self) -> bool:
        """Whether there are quiet hours to show, valid or not."""
        return any(self[name].value() for name in QUIET[:2]) or any(self[name].errors for name in QUIET)

    def _initial(self, channel: Channel) -> dict[str, Any]:
        editable = {field.name: field for field in self.kind.fields if field.editable and not field.secret}
        stored = channel_config.well_formed(channel.kind, channel.config)
        config = {name: value for name, value in stored.items() if name in editable}
        return (
            {name: as_typed(value) for name, value in config.items()}
            | {
                "name": channel.name,
                "scope": self.ALL if channel.all_monitors else self.SOME,
                "events": [name for name in EVENTS if getattr(channel, f"on_{name}")],
                "delay": channel.delay or None,
                "title": channel.title,
                "body": channel.body,
                "enabled": channel.enabled,
            }
            | {name: getattr(channel, name) for name in ("least_urgency", "burst", *QUIET)}
        )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("scope") == self.SOME and "monitors" in cleaned and not cleaned["monitors"].exists():
            self.add_error("monitors", _("Choose at least one monitor, or all monitors above."))
        require_quiet_hours(self)
        if self.channel is None and self.kind.slug == "email" and not settings.TIANJI_EMAIL_URL:
            self.add_error(None, email_is_not_set_up())
        return cleaned

    def full_clean(self) -> None:
        super().full_clean()
        if self.is_bound and self.errors:
            self._ask_for_secrets_again()

    def ask_about_conflict(self) -> None:
        """Say that someone else has changed the channel, and keep everything that was typed but secrets."""
        self.add_error(
            None,
            _(
                "Someone else changed this channel in the meantime. Nothing has been saved yet; your changes "
                "are below. Save again to overwrite theirs, or reload the page to see them."
            ),
        )
        self._ask_for_secrets_again()

    def _ask_for_secrets_again(self) -> None:
        """Secrets are the only input that is lost when the form is shown again: say so."""
        for field in self.kind.fields:
            if (
                field.secret
                and field.editable
                and self.data.get(field.name)
                and field.name not in self.errors
            ):
                # The bound field has kept the text from before.
                self[field.name].help_text = _("Enter it again: secrets are never shown.")

    def config(self) -> dict[str, Any]:
        """Return the config for `channels.create` and `channels.edit`, from a valid form."""
        config: dict[str, Any] = {}
        for field in self.kind.fields:
            if not field.editable:
                continue
            value = self.cleaned_data[field.name]
            if value not in (None, "", []):
                config[field.name] = value
            elif not field.secret or self.cleaned_data.get(removal_of(field)):
                config[field.name] = None
        return config

    def columns(self) -> dict[str, Any]:
        """Return the arguments for `channels.create` and `channels.edit`, from a valid form."""
        cleaned = self.cleaned_data
        # A form without them leaves them unchanged.
        kept = ("least_urgency", "burst", "quiet_timezone")
        optional = {name: cleaned[name] for name in kept if cleaned.get(name)}
        return (
            optional
            | {
                "name": cleaned["name"],
                "config": self.config(),
                "enabled": cleaned["enabled"],
                "all_monitors": cleaned["scope"] == self.ALL,
                "monitors": cleaned["monitors"],
                "delay": cleaned["delay"] or 0,
                "quiet_from": cleaned["quiet_from"],
                "quiet_until": cleaned["quiet_until"],
                "title": cleaned["title"],
                "body": cleaned["body"],
            }
            | {f"on_{name}": name in cleaned["events"] for name in EVENTS}
        )


class AssignForm(forms.Form):
    """Which channels to subscribe to some monitors, or to unsubscribe."""

    channels = forms.ModelMultipleChoiceField(
        Channel.objects.none(),
        to_field_name="public_id",
        widget=forms.CheckboxSelectMultiple,
        label=gettext_lazy("Channels"),
        error_messages={
            "required": gettext_lazy("Choose at least one channel."),
            "invalid_choice": gettext_lazy("One of these channels no longer exists. Choose again."),
            "invalid_pk_value": gettext_lazy("One of these channels no longer exists. Choose again."),
        },
    )

    def __init__(self, *args: Any, workspace: Workspace, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        channels = self.fields["channels"]
        assert isinstance(channels, forms.ModelMultipleChoiceField)
        channels.queryset = workspace.channels.filter(all_monitors=False).order_by("name", "id")


def email_is_not_set_up() -> str:
    """Return how to set up email."""
    return str(
        _(
            "Email is not set up on this server. Set TIANJI_EMAIL_URL to your mail server, for example "
            "%(example)s, and restart Tianji."
        )
        % {"example": EMAIL_URL_EXAMPLE}
    )
