"""The forms in which people describe a channel, one for each kind."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.models import Workspace
from monitors.models import Monitor
from notifications import destinations
from notifications.destinations import ADDRESS_LENGTH, ADDRESSES_MOST, URL_LENGTH
from notifications.models import Channel

EMAIL_URL_EXAMPLE = "submission://user:password@mail.example.com:587"
_SEPARATORS = re.compile(r"[,;\s]+")


class _MonitorsField(forms.ModelMultipleChoiceField):
    """Monitors by their public id, which a page may show; a row's number stays inside."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(Monitor.objects.none(), to_field_name="public_id", **kwargs)

    def label_from_instance(self, obj: Any) -> str:
        return str(obj.name)

    def clean(self, value: Any) -> Any:
        try:
            return super().clean(value)
        except ValidationError:
            # Gone, of another workspace or no id at all: the same to the reader.
            raise ValidationError(
                _("One of these monitors is not in this workspace any more. Choose again.")
            ) from None


class ChannelForm(forms.Form):
    """What every channel has. A kind adds its destination as `config`."""

    ALL, SOME = "all", "some"

    name = forms.CharField(
        label=_("Name"), max_length=100, help_text=_("What you call it, such as “On-call team”.")
    )
    scope = forms.ChoiceField(
        label=_("Tells about"),
        choices=[(ALL, _("All monitors, also those to come")), (SOME, _("Only the monitors chosen below"))],
        widget=forms.RadioSelect,
        initial=ALL,
        error_messages={"required": _("Choose all monitors, or only some.")},
    )
    monitors = _MonitorsField(
        label=_("Monitors"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    enabled = forms.BooleanField(
        label=_("Switched on"),
        required=False,
        initial=True,
        help_text=_("While it is off, nothing is sent, and nothing is sent later either."),
    )

    field_order = ("name",)
    destination_field = ""

    def __init__(
        self, *args: Any, workspace: Workspace, channel: Channel | None = None, **kwargs: Any
    ) -> None:
        self.workspace = workspace
        self.channel = channel
        if channel is not None:
            kwargs["initial"] = self._initial(channel) | (kwargs.get("initial") or {})
        super().__init__(*args, **kwargs)
        self.order_fields(["name", self.destination_field, "scope", "monitors", "enabled"])
        monitors = self.fields["monitors"]
        assert isinstance(monitors, _MonitorsField)
        monitors.queryset = Monitor.objects.in_workspace(workspace).order_by("name", "id")
        for name in ("name", self.destination_field):
            self.fields[name].widget.attrs.setdefault("autocomplete", "off")

    def _initial(self, channel: Channel) -> dict[str, Any]:
        return {
            "name": channel.name,
            "scope": self.ALL if channel.all_monitors else self.SOME,
            "monitors": list(channel.monitors.values_list("public_id", flat=True)),
            "enabled": channel.enabled,
        }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("scope") == self.SOME and "monitors" in cleaned and not cleaned["monitors"]:
            self.add_error("monitors", _("Choose at least one monitor, or all of them above."))
        return cleaned

    def config(self) -> dict[str, Any]:
        """Return the destination as `channels.create` and `channels.edit` take it."""
        raise NotImplementedError

    def columns(self) -> dict[str, Any]:
        """Return what `channels.create` and `channels.edit` take, of a valid form."""
        cleaned = self.cleaned_data
        return {
            "name": cleaned["name"],
            "config": self.config(),
            "enabled": cleaned["enabled"],
            "all_monitors": cleaned["scope"] == self.ALL,
            "monitors": cleaned["monitors"],
        }


class AssignForm(forms.Form):
    """Which channels are to tell about some monitors, or no longer to."""

    channels = forms.ModelMultipleChoiceField(
        Channel.objects.none(),
        to_field_name="public_id",
        widget=forms.CheckboxSelectMultiple,
        label=_("Channels"),
        error_messages={
            "required": _("Choose at least one channel."),
            "invalid_choice": _("One of these channels is not there any more. Choose again."),
            "invalid_pk_value": _("One of these channels is not there any more. Choose again."),
        },
    )

    def __init__(self, *args: Any, workspace: Workspace, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        channels = self.fields["channels"]
        assert isinstance(channels, forms.ModelMultipleChoiceField)
        channels.queryset = workspace.channels.filter(all_monitors=False).order_by("name", "id")


class EmailForm(ChannelForm):
    destination_field = "addresses"

    addresses = forms.CharField(
        label=_("Email addresses"),
        max_length=ADDRESSES_MOST * (ADDRESS_LENGTH + 10),
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=_("Up to 20, separated by commas, spaces or new lines. All of them see each other."),
    )

    def _initial(self, channel: Channel) -> dict[str, Any]:
        addresses = channel.config.get("addresses")
        return super()._initial(channel) | {
            "addresses": "\n".join(addresses) if isinstance(addresses, list) else ""
        }

    def clean_addresses(self) -> list[str]:
        """Return the addresses, each once, in the order in which they were given."""
        given = self.cleaned_data["addresses"]
        return destinations.clean_addresses(part for part in _SEPARATORS.split(given) if part)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if self.channel is None and not settings.TIANJI_EMAIL_URL:
            self.add_error(None, email_is_not_set_up())
        return cleaned

    def config(self) -> dict[str, Any]:
        return {"addresses": self.cleaned_data["addresses"]}


class WebhookForm(ChannelForm):
    destination_field = "url"

    url = forms.CharField(
        label=_("URL"),
        max_length=URL_LENGTH,
        widget=forms.TextInput(
            attrs={"inputmode": "url", "spellcheck": "false", "placeholder": "https://example.com/tianji"}
        ),
        help_text=_("Each message is a POST of JSON to this address. Any answer of 200 to 299 is success."),
    )

    secret = forms.CharField(
        label=_("Secret"),
        required=False,
        max_length=100,
        widget=forms.PasswordInput(attrs={"spellcheck": "false"}),
    )
    unsigned = forms.BooleanField(label=_("Remove the secret: do not sign any more"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        has_secret = self.channel is not None and destinations.has_secret(self.channel.config)
        if not has_secret:
            del self.fields["unsigned"]
        self.fields["secret"].help_text = (
            _("There is one, and each message is signed with it. Leave this empty to keep it.")
            if has_secret
            else _(
                "If you want messages to be signed: whsec_ and the base64 of 24 to 64 bytes. "
                "The receiver checks them with the same."
            )
        )
        # A browser must not offer to save it, nor fill in the password of somebody.
        self.fields["secret"].widget.attrs["autocomplete"] = "new-password"
        self.order_fields(["name", "url", "secret", "unsigned", "scope", "monitors", "enabled"])

    def _initial(self, channel: Channel) -> dict[str, Any]:
        return super()._initial(channel) | {"url": channel.config.get("url", "")}

    def clean_url(self) -> str:
        return destinations.clean_url(self.cleaned_data["url"])

    def clean_secret(self) -> str:
        secret: str = self.cleaned_data["secret"]
        return destinations.clean_secret(secret) if secret else ""

    def config(self) -> dict[str, Any]:
        said: dict[str, Any] = {"url": self.cleaned_data["url"]}
        if self.cleaned_data["secret"]:
            said["secret"] = self.cleaned_data["secret"]
        elif self.cleaned_data.get("unsigned"):
            said["secret"] = None
        return said


def email_is_not_set_up() -> str:
    """Return what to do before email channels can work."""
    return str(
        _(
            "Email is not set up on this server. Set TIANJI_EMAIL_URL to your mail server, for example "
            "%(example)s, and start Tianji again."
        )
        % {"example": EMAIL_URL_EXAMPLE}
    )


FORMS: dict[str, type[ChannelForm]] = {
    "email": EmailForm,
    "webhook": WebhookForm,
}
