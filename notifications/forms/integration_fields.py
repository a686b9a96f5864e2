"""From a field of an integration to one of a form. A secret is never rendered."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _

from notifications.integrations import Field


class _Unshown:
    """A control that browsers neither fill in nor offer to save, and that never renders its value."""

    def get_context(self, name: str, value: Any, attrs: Any) -> Any:
        return super().get_context(name, None, attrs)  # type: ignore[misc]  # a widget's, next in line


class SecretLine(_Unshown, forms.TextInput):
    input_type = "password"


class SecretAddress(_Unshown, forms.TextInput):
    """Visible while it is typed: a long URL is hard to type without seeing it."""


class SecretLines(_Unshown, forms.Textarea):
    pass


def form_field(field: Field, *, stored: bool) -> forms.Field:
    """Return the form field for an integration's; `stored`: it has a secret, which is kept if left empty."""
    common: dict[str, Any] = {
        "label": field.label,
        "help_text": _help(field, stored=stored),
        "required": field.required and not stored,
        "initial": field.default,
    }
    if field.widget == "yes":
        return forms.BooleanField(**{**common, "required": False})
    if field.widget == "choice":
        empty = [] if field.required or field.default is not None else [("", "—")]
        made: forms.Field = forms.ChoiceField(choices=[*empty, *field.choices], **common)
    else:
        made = forms.CharField(max_length=field.max_length, widget=_widget(field), **common)
    if clean := field.clean:
        made.clean = _cleaning(made, clean)  # type: ignore[method-assign]
    return made


def _cleaning(made: forms.Field, clean: Any) -> Any:
    plain = made.clean

    def cleaned(value: Any) -> Any:
        text = plain(value)
        return clean(text) if text not in made.empty_values else text

    return cleaned


def _widget(field: Field) -> forms.Widget:
    attrs = {"spellcheck": "false", "autocomplete": "off", "autocapitalize": "off"}
    if field.placeholder:
        attrs["placeholder"] = field.placeholder
    if field.widget == "lines":
        return (SecretLines if field.secret else forms.Textarea)(attrs={**attrs, "rows": "3"})
    if field.widget == "url":
        return (SecretAddress if field.secret else forms.TextInput)(attrs={**attrs, "inputmode": "url"})
    if field.secret or field.widget == "secret":
        # A browser must neither offer to save it nor fill in a password.
        return SecretLine(attrs={**attrs, "autocomplete": "new-password"})
    return forms.TextInput(attrs=attrs)


def _help(field: Field, *, stored: bool) -> str:
    more = ""
    if stored:
        more = _("A value is set but never shown. Leave this empty to keep it.")
    elif not field.required and field.widget not in ("yes", "choice"):
        more = _("Optional.")
    return f"{field.help} {more}".strip()


def removal_of(field: Field) -> str:
    return f"{field.name}-remove"


def as_typed(value: Any) -> Any:
    return "\n".join(map(str, value)) if isinstance(value, list) else value
