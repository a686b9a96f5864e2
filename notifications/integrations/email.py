"""Email, through the mail server that TIANJI_EMAIL_URL names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from notifications.integrations import validators
from notifications.integrations.base import Field, Kind
from notifications.transports.email import EmailTransport


def _shown(config: Mapping[str, Any], masked: bool) -> str:
    addresses = config.get("addresses")
    if not isinstance(addresses, list) or not addresses:
        return __("no address")
    if not masked:
        return ", ".join(str(address) for address in addresses)
    return ngettext("%(count)d address", "%(count)d addresses", len(addresses)) % {"count": len(addresses)}


KIND = Kind(
    slug="email",
    label=_("Email"),
    about=_("An email to one or more addresses."),
    fields=(
        Field(
            "addresses",
            _("Email addresses"),
            _("Up to 20, separated by commas, spaces or line breaks. Recipients see each other's addresses."),
            widget="lines",
            max_length=validators.ADDRESSES_MOST * (validators.ADDRESS_LENGTH + 10),
            clean=validators.clean_addresses,
        ),
    ),
    send=EmailTransport().send,
    shown=_shown,
)
