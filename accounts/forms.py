"""What people type about accounts."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.password_validation import password_validators_help_text_html, validate_password
from django.core.exceptions import ValidationError
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts.models import PUSH_RATE_MAX, TOKEN_AGE_MAX, ApiKey, Role, User, Workspace
from core.timezones import known_zones

_KEY_DAYS_MAX = 3650


class SetupForm(forms.Form):
    """The first owner and the first workspace."""

    email = forms.EmailField(
        label=_("Email address"),
        max_length=254,
        help_text=_("You sign in with it."),
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True}),
    )
    password = forms.CharField(
        label=_("Password"),
        max_length=1000,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}, render_value=True),
        help_text=password_validators_help_text_html,
    )
    workspace_name = forms.CharField(
        label=_("Workspace"),
        max_length=100,
        initial=_("My workspace"),
        help_text=_("What you and your team share, such as the name of your company."),
    )

    def clean(self) -> dict[str, Any]:
        password = self.cleaned_data.get("password")
        if password:
            try:
                validate_password(password, User(email=self.cleaned_data.get("email", "")))
            except ValidationError as error:
                self.add_error("password", error)
        return self.cleaned_data


def _number(**options: Any) -> forms.IntegerField:
    """A whole number that may be left empty. Browsers change the numbers of their own control on a scroll."""
    widget = forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"})
    return forms.IntegerField(required=False, widget=widget, **options)


def clean_zone(name: str) -> str:
    """Return the name of a time zone. Raises ValidationError."""
    if name not in known_zones():
        raise ValidationError(
            _("There is no time zone named “%(zone)s”. Choose one such as UTC or Asia/Jakarta."),
            params={"zone": name},
        )
    return name


class WorkspaceForm(forms.Form):
    """What holds for a whole workspace; its fields are columns of Workspace."""

    name = forms.CharField(
        label=_("Name"), max_length=100, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    push_rate = _number(label=_("Pushes a minute"), min_value=0, max_value=PUSH_RATE_MAX)
    token_age_days = _number(
        label=_("Remind of push tokens older than"),
        min_value=1,
        max_value=TOKEN_AGE_MAX,
        help_text=_("In days. Leave it empty to remind nobody."),
    )
    language = forms.ChoiceField(
        label=_("Language of messages"),
        choices=settings.LANGUAGES,
        required=False,
        help_text=_(
            "What is sent through channels is in this language; each reader chooses that of the pages."
        ),
    )
    timezone = forms.CharField(
        label=_("Time zone of messages"),
        max_length=64,
        required=False,
        widget=forms.TextInput(attrs={"list": "zones", "spellcheck": "false", "autocomplete": "off"}),
        help_text=_("Times in messages are in this zone, such as Asia/Jakarta."),
    )

    def __init__(self, *args: Any, workspace: Workspace, **kwargs: Any) -> None:
        self.workspace = workspace
        kwargs["initial"] = {name: getattr(workspace, name) for name in self.base_fields}
        super().__init__(*args, **kwargs)
        default = settings.TIANJI_PUSH_RATE
        of_the_server = (
            _("Leave it empty for this server's limit, which is %(rate)d.") % {"rate": default}
            if default
            else _("Leave it empty for this server's limit, which is none.")
        )
        self.fields["push_rate"].help_text = format_lazy(
            "{} {}",
            _("How often each push token may send, where a monitor says nothing else; 0 is no limit."),
            of_the_server,
        )

    # Messages are always in some language and some zone: left empty, these stay as they are.

    def clean_language(self) -> str:
        return self.cleaned_data["language"] or self.workspace.language

    def clean_timezone(self) -> str:
        zone: str = self.cleaned_data["timezone"]
        return clean_zone(zone) if zone else self.workspace.timezone


class ApiKeyForm(forms.Form):
    """A new key to the management API."""

    name = forms.CharField(
        label=_("Name"),
        max_length=60,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text=_("Which program uses it, such as ci."),
        error_messages={"required": _("Give the key a name.")},
    )
    scope = forms.ChoiceField(
        label=_("It may"), choices=ApiKey.Scope.choices, initial=ApiKey.Scope.READ, widget=forms.RadioSelect
    )
    expires_days = _number(
        label=_("Expires after"),
        min_value=1,
        max_value=_KEY_DAYS_MAX,
        help_text=_("In days. Leave it empty for a key that works until it is revoked."),
    )


class MemberForm(forms.Form):
    """Somebody to add to a workspace."""

    email = forms.EmailField(
        label=_("Email address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
        error_messages={"required": _("Give an email address.")},
    )
    role = forms.ChoiceField(label=_("Role"), choices=Role.choices, initial=Role.VIEWER)


class RoleForm(forms.Form):
    """Another role for a member."""

    role = forms.ChoiceField(choices=Role.choices)
