"""Form fields for names and other text that people write."""

from __future__ import annotations

from typing import Any

from django import forms

from core.text import clean_line, without_bidi


class LineField(forms.CharField):
    """A name: one line, without control characters, and without those that change the direction of text."""

    def to_python(self, value: Any) -> Any:
        return super().to_python(clean_line(value) if isinstance(value, str) else value)


class LineEmailField(forms.EmailField):
    """An email address. Django's own lets characters through that make it look like another one."""

    def to_python(self, value: Any) -> Any:
        return super().to_python(clean_line(value) if isinstance(value, str) else value)


class PlainTextField(forms.CharField):
    """Text of several lines, without characters that change its direction."""

    def to_python(self, value: Any) -> Any:
        return super().to_python(without_bidi(value) if isinstance(value, str) else value)
