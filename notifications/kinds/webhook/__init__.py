"""A POST of JSON to an address, signed where there is a secret (Standard Webhooks 1.0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from notifications import destinations
from notifications.kinds.base import Field, Kind
from notifications.transports.webhook import WebhookTransport


def _shown(config: Mapping[str, Any], masked: bool) -> str:
    url = config.get("url")
    if not isinstance(url, str) or not url:
        return __("no URL")
    try:
        parts = urlsplit(url)
        host = f"{parts.hostname or ''}:{parts.port}" if parts.port else parts.hostname or ""
    except ValueError:
        return __("a URL that cannot be read")
    # A name and password in it are shown to nobody; who may change the channel finds them there.
    shown = f"{parts.scheme}://{host}"
    if masked:
        return f"{shown}/…"
    return f"{shown}{parts.path}?{parts.query}" if parts.query else f"{shown}{parts.path}"


KIND = Kind(
    slug="webhook",
    label=_("Webhook"),
    about=_("A POST of JSON to an address of yours."),
    fields=(
        Field(
            "url",
            _("URL"),
            _("Each message is a POST of JSON to this address. Any answer of 200 to 299 is success."),
            widget="url",
            max_length=destinations.URL_LENGTH,
            placeholder="https://example.com/tianji",
            clean=destinations.clean_url,
        ),
        Field(
            "secret",
            _("Secret"),
            widget="secret",
            required=False,
            secret=True,
            max_length=100,
            clean=destinations.clean_secret,
        ),
    ),
    send=WebhookTransport().send,
    shown=_shown,
)
