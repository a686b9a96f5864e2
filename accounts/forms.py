"""Forms for setup, the workspace, its API keys and its members, and for another email address."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.password_validation import password_validators_help_text_html, validate_password
from django.core.exceptions import ValidationError
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts.addresses import normalized, require_plain
from accounts.models import (
    KEY_DAYS_MAX,
    KEY_NAME_LENGTH,
    NAME_LENGTH,
    PUSH_RATE_MAX,
    TOKEN_AGE_MAX,
    ApiKey,
    Role,
    User,
    Workspace,
)
from core.form_fields import LineEmailField, LineField
from core.timezones import ZONE_LENGTH, known_zones


class SetupForm(forms.Form):
    """The first owner and the first workspace."""

    email = LineEmailField(
        label=_("Email address"),
        max_length=254,
        help_text=_("You will sign in with this address."),
        validators=[require_plain],
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True}),
    )
    password = forms.CharField(
        label=_("Password"),
        max_length=1000,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}, render_value=True),
        help_text=password_validators_help_text_html,
    )
    workspace_name = LineField(
        label=_("Workspace"),
        max_length=NAME_LENGTH,
        initial=_("My workspace"),
        help_text=_(
            "Your team shares monitors and channels in a workspace. Use the name of your team or company, "
            "for example."
        ),
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
    """An optional whole number, as a text input: scrolling over a number input would change it."""
    widget = forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"})
    return forms.IntegerField(required=False, widget=widget, **options)


def clean_zone(name: str) -> str:
    """Return the name of a time zone. Raises ValidationError."""
    if name not in known_zones():
        raise ValidationError(
            _("Unknown time zone “%(zone)s”. Use one such as UTC or Asia/Jakarta."),
            params={"zone": name},
        )
    return name


class WorkspaceForm(forms.Form):
    """The settings of a workspace; the fields are columns of Workspace."""

    name = LineField(
        label=_("Name"), max_length=NAME_LENGTH, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    push_rate = _number(label=_("Pushes per minute"), min_value=0, max_value=PUSH_RATE_MAX)
    token_age_days = _number(
        label=_("Remind about push tokens older than"),
        min_value=1,
        max_value=TOKEN_AGE_MAX,
        help_text=_("In days. Leave empty for no reminders."),
    )
    language = forms.ChoiceField(
        label=_("Notification language"),
        choices=settings.LANGUAGES,
        required=False,
        help_text=_(
            "Notifications are sent in this language. Each person chooses their own language for the pages."
        ),
    )
    timezone = forms.CharField(
        label=_("Notification time zone"),
        max_length=ZONE_LENGTH,
        required=False,
        widget=forms.TextInput(attrs={"list": "zones", "spellcheck": "false", "autocomplete": "off"}),
        help_text=_("Notifications show times in this time zone, such as Asia/Jakarta."),
    )

    def __init__(self, *args: Any, workspace: Workspace, **kwargs: Any) -> None:
        self.workspace = workspace
        kwargs["initial"] = {name: getattr(workspace, name) for name in self.base_fields}
        super().__init__(*args, **kwargs)
        default = settings.TIANJI_PUSH_RATE
        of_the_server = (
            _("Leave empty for the server default of %(rate)d.") % {"rate": default}
            if default
            else _("Leave empty for the server default, which is no limit.")
        )
        self.fields["push_rate"].help_text = format_lazy(
            "{} {}",
            _("Limit for each push token unless its monitor sets its own; 0 means no limit."),
            of_the_server,
        )

    # Notifications always need a language and a time zone: left empty, the current ones are kept.

    def clean_language(self) -> str:
        return self.cleaned_data["language"] or self.workspace.language

    def clean_timezone(self) -> str:
        zone: str = self.cleaned_data["timezone"]
        return clean_zone(zone) if zone else self.workspace.timezone


class ApiKeyForm(forms.Form):
    """A new management API key."""

    name = LineField(
        label=_("Name"),
        max_length=KEY_NAME_LENGTH,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text=_("The program that will use it, such as ci."),
        error_messages={"required": _("Enter a name.")},
    )
    scope = forms.ChoiceField(
        label=_("Access"), choices=ApiKey.Scope.choices, initial=ApiKey.Scope.READ, widget=forms.RadioSelect
    )
    expires_days = _number(
        label=_("Expires after"),
        min_value=1,
        max_value=KEY_DAYS_MAX,
        help_text=_("In days. Leave empty for no expiry."),
    )


class MemberForm(forms.Form):
    """A member to add to a workspace."""

    email = LineEmailField(
        label=_("Email address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
        error_messages={"required": _("Enter an email address.")},
        validators=[require_plain],
    )
    role = forms.ChoiceField(label=_("Role"), choices=Role.choices, initial=Role.VIEWER)


class RoleForm(forms.Form):
    """A member's new role."""

    role = forms.ChoiceField(choices=Role.choices)


class EmailForm(forms.Form):
    """Another email address for an account."""

    email = forms.EmailField(
        label=_("New email address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
        error_messages={"required": _("Enter an email address.")},
        validators=[require_plain],
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        self.user = user
        super().__init__(*args, **kwargs)

    def clean_email(self) -> str:
        email = normalized(self.cleaned_data["email"])
        if email == self.user.email:
            raise ValidationError(_("This is your email address already."))
        return email
