"""Forms for push tokens."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from core.form_fields import LineField
from monitors.forms.fields import DurationField
from monitors.models import TOKEN_LABEL_LENGTH
from monitors.services.tokens import OVERLAP_MAX_SECONDS

_IN_A_URL = re.compile(r"https?://[^?#]*/([^/?#]+)/?(?:[?#].*)?")


class LabelForm(forms.Form):
    """A token's label."""

    label = LineField(
        label=_("Label"),
        max_length=TOKEN_LABEL_LENGTH,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text=_("Which sender uses it, such as host-a. Optional."),
    )


class ImportForm(LabelForm):
    """A token of another system; the full push URL is accepted too."""

    field_order = ("secret", "label")

    secret = forms.CharField(
        label=_("Token"),
        max_length=500,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}),
        help_text=_("8 to 64 letters, digits, hyphens or underscores, or the full push URL."),
        error_messages={
            "required": _("Paste the token."),
            "max_length": _("Too long: a token can have at most 64 characters."),
        },
    )

    def clean_secret(self) -> str:
        text: str = self.cleaned_data["secret"]
        url = _IN_A_URL.fullmatch(text)
        return url[1] if url else text


class RemainingForm(forms.Form):
    """How long until an old token expires."""

    remaining = DurationField(
        label=_("Expires in"),
        low=0,
        high=OVERLAP_MAX_SECONDS,
        initial="24 h",
        help_text=_("Counted from now: 0 s to 7 d, such as 12 h or 3 d. 0 s expires it immediately."),
    )

    @property
    def length(self) -> timedelta:
        return timedelta(seconds=self.cleaned_data["remaining"])


class RotateForm(forms.Form):
    """How long the old token stays valid after a rotation.

    Args:
        running: whether the old token of an earlier rotation is still valid; then the form also asks
            whether to rotate again.
    """

    overlap = DurationField(
        label=_("Old token expires in"),
        low=0,
        high=OVERLAP_MAX_SECONDS,
        initial="24 h",
        help_text=_(
            "0 s to 7 d, such as 12 h or 3 d. With 0 s it expires immediately: every sender needs the new "
            "push URL before the next deadline, or the monitor goes down."
        ),
    )
    force = forms.BooleanField(
        label=_("Rotate again anyway"),
        error_messages={
            "required": _("Tick this to rotate again, or wait until the older token has expired.")
        },
    )

    def __init__(self, *args: Any, running: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not running:
            del self.fields["force"]

    @property
    def length(self) -> timedelta:
        return timedelta(seconds=self.cleaned_data["overlap"])
