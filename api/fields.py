"""Strict fields and serializers of the management API, whose errors say what is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from core.text import BIDI, CONTROLS, has_controls, without_bidi

UNKNOWN = _("Unknown field. Allowed: %(allowed)s.")


class StrictSerializer(serializers.Serializer[Any]):
    """Rejects unknown fields, so that a misspelt one is not silently ignored.

    Read-only fields may be sent back as they were read; they change nothing.
    """

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = sorted(str(name) for name in set(data) - set(self.fields))
            if unknown:
                allowed = ", ".join(name for name, field in self.fields.items() if not field.read_only)
                raise serializers.ValidationError(
                    {name: [UNKNOWN % {"allowed": allowed}] for name in unknown}
                )
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """Text without NUL characters: a JSON string, not a number."""

    pattern, complaint = r"^[^\x00]*\Z", _("Must not contain NUL characters.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.validators.append(RegexValidator(self.pattern, self.complaint))

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        # Measured as it was sent, as the schema promises, and not after trimming.
        if self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().to_internal_value(data)


class Prose(Text):
    """Text for people. Characters that change its direction are dropped."""

    def to_internal_value(self, data: Any) -> str:
        return super().to_internal_value(without_bidi(data) if isinstance(data, str) else data)


class _OneLine(Prose):
    """Text without control characters, also at its ends, where white space is trimmed otherwise."""

    def to_internal_value(self, data: Any) -> str:
        if isinstance(data, str) and has_controls(data):
            raise serializers.ValidationError(self.complaint)
        return super().to_internal_value(data)


class Line(_OneLine):
    """A single line that is not blank."""

    pattern = rf"^[^{CONTROLS}]*[^\s{CONTROLS}{BIDI}][^{CONTROLS}]*\Z"
    complaint = _("Must be a single line of text, not blank and without control characters.")


class LineOrNothing(_OneLine):
    """A single line, which may be empty."""

    pattern, complaint = rf"^[^{CONTROLS}]*\Z", _("Must be a single line without control characters.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_blank=True, **kwargs)


class SearchText(Text):
    """A text to search for, without trimming."""

    pattern, complaint = r"^[^\x00]+\Z", _("Must not be empty or contain NUL characters.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_length=1, trim_whitespace=False, **kwargs)


class Matching(Text):
    """Text that must match a pattern."""

    def __init__(self, pattern: str, complaint: Any, **kwargs: Any) -> None:
        self.pattern, self.complaint = pattern, complaint
        super().__init__(trim_whitespace=False, **kwargs)


class Id(serializers.UUIDField):
    """An id: a UUID with hyphens."""

    _FORM = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)

    def to_internal_value(self, data: Any) -> Any:
        if not (isinstance(data, str) and self._FORM.fullmatch(data)):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)


class Integer(serializers.IntegerField):
    """A whole number: a JSON number, not a string or a boolean."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        low, high = kwargs.get("min_value"), kwargs.get("max_value")
        if low is not None and high is not None:
            sentence = _("Must be a whole number from %(low)d to %(high)d.") % {"low": low, "high": high}
            self.error_messages["invalid"] = sentence
            if not self.allow_null:
                self.error_messages["null"] = sentence
            for validator in self.validators:
                if isinstance(validator, MinValueValidator | MaxValueValidator):
                    validator.message = sentence

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool | str) or (isinstance(data, float) and not data.is_integer()):
            self.fail("invalid")
        return super().to_internal_value(data)


class Number(serializers.FloatField):
    """A JSON number in the range of a double, not a string or a boolean."""

    default_error_messages = {"invalid": _("Must be a number, such as 12.5.")}

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        try:
            number = float(data)
        except OverflowError:
            self.fail("invalid")
        if not isfinite(number):
            self.fail("invalid")
        return number


class Boolean(serializers.BooleanField):
    """true or false, and nothing that merely resembles them."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class OneOf(serializers.ChoiceField):
    """One of a fixed set of values; the error lists them."""

    def __init__(self, choices: Any, **kwargs: Any) -> None:
        super().__init__(choices, **kwargs)
        words = ", ".join(str(word) for word in self.choices)
        self.error_messages["invalid_choice"] = _("“{input}” is not allowed. Allowed: %s.") % words

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid_choice", input=data)
        return super().to_internal_value(data)


class Timestamp(serializers.DateTimeField):
    """A time in ISO 8601: written in UTC, such as 2026-11-22T14:03:07.123456Z, and read with any offset."""

    default_error_messages = {
        "naive": _("Must include the UTC offset, such as 2026-11-22T14:03:07Z."),
        "invalid": _("Must be an ISO 8601 time, such as 2026-11-22T14:03:07Z."),
    }
    _FORM = re.compile(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})?",
        re.ASCII,
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(default_timezone=UTC, **kwargs)

    def enforce_timezone(self, value: datetime) -> datetime:
        if value.tzinfo is None:
            self.fail("naive")
        try:
            return value.astimezone(UTC)
        except OverflowError:
            self.fail("invalid")

    def to_internal_value(self, value: Any) -> Any:
        # Python accepts more than RFC 3339 allows: in "10:00:00xZ" it skips the x.
        if not (isinstance(value, str) and self._FORM.fullmatch(value)):
            self.fail("invalid")
        try:
            return super().to_internal_value(value.upper())
        except OverflowError:
            self.fail("invalid")


class RangeSerializer(StrictSerializer):
    """A half-open time range: `from` is included, `to` is not."""

    def get_fields(self) -> dict[str, Any]:
        # "from" cannot be the name of an attribute.
        return {
            "from": Timestamp(required=False, help_text="Start of the range, ISO 8601 with UTC offset."),
            "to": Timestamp(required=False, help_text="End of the range, not included."),
            **super().get_fields(),
        }


def in_utc(moment: datetime | None) -> str | None:
    """Return a time as the API writes it."""
    return None if moment is None else Timestamp().to_representation(moment)
