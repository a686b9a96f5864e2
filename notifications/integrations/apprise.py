"""Every other service that Apprise reaches over HTTP, by its URL."""

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
    return f"{url.partition('://')[0]}://…" if isinstance(url, str) and "://" in url else __("Apprise")


KIND = Kind(
    slug="apprise",
    label=_("Other (Apprise)"),
    about=_("Over a hundred other services, through an Apprise URL."),
    fields=(
        Field(
            "url",
            _("Apprise URL"),
            _("One URL. It contains the credentials of the service, so treat it like a password."),
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
        _("Find your service in Apprise's list; its page shows the format of the URL."),
        _("Fill in what it needs, such as tokens and the name of a room."),
    ),
    documentation="https://appriseit.com/services/",
    spacing=1.0,
)
