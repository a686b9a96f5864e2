"""Forms for the filters of the activity, and for an incident's note."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from core.form_fields import PlainTextField
from monitors.models import NOTE_LENGTH
from monitors.pages.log.entries import KIND_LABELS, KINDS, Filter, Kind

_TEXT_LENGTH = 100
_FIRST_YEAR, _LAST_YEAR = 2000, 2199
_NAMES = {"start": "from", "end": "to"}


class TimeField(forms.DateTimeField):
    """A date and time in the reader's time zone, to the minute, or with its own UTC offset."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    default_error_messages = {"invalid": _("Enter a date and time, such as 2026-11-22 14:03.")}

    def to_python(self, value: Any) -> datetime | None:
        try:
            time: datetime | None = super().to_python(value)
        except OverflowError:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from None
        if time is not None and not _FIRST_YEAR <= time.year <= _LAST_YEAR:
            years = {"first": _FIRST_YEAR, "last": _LAST_YEAR}
            raise forms.ValidationError(_("Enter a year from %(first)s to %(last)s."), params=years)
        return time


class LogForm(forms.Form):
    """Filters of the activity. They come from the URL, so none is required."""

    kind = forms.MultipleChoiceField(
        label=_("Show"),
        choices=[(kind.value, label) for kind, label in KIND_LABELS.items()],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        error_messages={
            "invalid_choice": _(
                "Unknown kind “%(value)s”. Choose from heartbeats, status, messages, changes and gaps."
            ),
        },
    )
    status = forms.ChoiceField(
        label=_("Status"),
        choices=[("", _("Any")), ("up", _("Up")), ("down", _("Down"))],
        required=False,
        error_messages={"invalid_choice": _("Unknown status “%(value)s”. Choose up or down.")},
    )
    q = forms.CharField(
        label=_("Search"),
        max_length=_TEXT_LENGTH,
        required=False,
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": _("Message, channel or person"), "autocomplete": "off"}
        ),
    )
    start = TimeField(label=_("From"), required=False)
    end = TimeField(label=_("Until"), required=False)

    def add_prefix(self, field_name: str) -> str:
        return super().add_prefix(_NAMES.get(field_name, field_name))

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        start, end = cleaned.get("start"), cleaned.get("end")
        if start and end and start >= end:
            self.add_error("end", _("Must be after “From”."))
        return cleaned

    @property
    def criteria(self) -> Filter:
        """The filter of a valid form."""
        selected = set(self.cleaned_data["kind"])
        return Filter(
            kinds=tuple(kind for kind in Kind if kind in selected) or KINDS,
            status=self.cleaned_data["status"],
            text=self.cleaned_data["q"],
            start=self.cleaned_data["start"],
            end=self.cleaned_data["end"],
        )


class NoteField(PlainTextField):
    """Multi-line text. A line break counts as one character, although browsers send two."""

    widget = forms.Textarea(attrs={"rows": 4})

    def to_python(self, value: Any) -> str:
        text = super().to_python(value) or ""
        return text.replace("\r\n", "\n")


class NoteForm(forms.Form):
    """An incident's note."""

    note = NoteField(
        label=_("Note"),
        max_length=NOTE_LENGTH,
        required=False,
        help_text=_("What happened and what was done about it. Everyone in the workspace can read it."),
    )
