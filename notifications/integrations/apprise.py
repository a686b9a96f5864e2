"""Everything else that apprise reaches over HTTP, by one of its addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from notifications.integrations.base import Field, Kind
from notifications.transports import apprise


def _clean(url: str) -> str:
    if error := apprise.check(url):
        raise ValidationError(error)
    return url


def _shown(config: Mapping[str, Any], masked: bool) -> str:
    url = config.get("url")
    # The schema names the service; everything behind it may be a secret.
    return f"{url.partition('://')[0]}://…" if isinstance(url, str) and "://" in url else __("apprise")


KIND = Kind(
    slug="apprise",
    label=_("Something else"),
    about=_("Over a hundred other services, through an address of apprise."),
    fields=(
        Field(
            "url",
            _("apprise URL"),
            _("One address. It holds what the service wants to know, so keep it as secret as a password."),
            widget="secret",
            secret=True,
            max_length=2000,
            placeholder="mmost://chat.example.com/token",
            clean=_clean,
        ),
    ),
    send=apprise.AppriseTransport().send,
    shown=_shown,
    where=(
        _("Find your service in the list of apprise; its page says how its address is written."),
        _("Put in what it asks for, such as tokens and the name of a room."),
    ),
    documentation="https://appriseit.com/services/",
    spacing=1.0,
)
