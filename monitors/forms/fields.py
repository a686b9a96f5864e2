"""Fields of forms: durations, tags."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from core.form_fields import LineField
from monitors.domain.durations import exactly, parse_duration
from monitors.models import MAX_TAG_LENGTH, MAX_TAGS


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


class TagsField(LineField):
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
