"""A POST of JSON to a URL, signed if there is a secret (Standard Webhooks 1.0)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from notifications.integrations import validators, webhook_headers
from notifications.integrations.base import Field, Kind
from notifications.messages import templates
from notifications.transports import webhook_template
from notifications.transports.webhook import WebhookTransport


def _shown(config: Mapping[str, Any], masked: bool) -> str:
    url = config.get("url")
    if not isinstance(url, str) or not url:
        return __("no URL")
    try:
        parts = urlsplit(url)
        host = f"{parts.hostname or ''}:{parts.port}" if parts.port else parts.hostname or ""
    except ValueError:
        return __("invalid URL")
    # Credentials in it are never shown.
    shown = f"{parts.scheme}://{host}"
    if masked:
        return f"{shown}/…"
    return f"{shown}{parts.path}?{parts.query}" if parts.query else f"{shown}{parts.path}"


def _clean_template(given: list[str] | str) -> str:
    template = given if isinstance(given, str) else "\n".join(given)
    if errors := webhook_template.check(template):
        raise ValidationError([ValidationError(error) for error in errors])
    return template


def _clean_time(given: str) -> str:
    try:
        return datetime.fromisoformat(given).isoformat()
    except ValueError:
        raise ValidationError(__("Enter a time such as 2026-11-22T15:52:45Z.")) from None


KIND = Kind(
    slug="webhook",
    label=_("Webhook"),
    about=_("A POST request with JSON to your own URL."),
    fields=(
        Field(
            "url",
            _("URL"),
            _("Each notification is a POST request with JSON to this URL. Any 2xx response is success."),
            widget="url",
            secret=True,
            max_length=validators.URL_LENGTH,
            placeholder="https://example.com/tianji",
            clean=validators.clean_url,
        ),
        Field(
            "secret",
            _("Secret"),
            widget="secret",
            required=False,
            secret=True,
            max_length=100,
            clean=validators.clean_secret,
        ),
        Field(
            "headers",
            _("Headers"),
            _("Sent with each request, one per line, for example “Authorization: Bearer abc”."),
            widget="lines",
            required=False,
            secret=True,
            max_length=webhook_headers.LENGTH_MAX,
            placeholder="Authorization: Bearer abc",
            clean=webhook_headers.clean,
        ),
        Field(
            "template",
            _("Body"),
            _(
                "Custom JSON. Placeholders such as {title}, {text} and {monitor} are filled in. "
                "Leave empty for the documented JSON."
            ),
            widget="lines",
            required=False,
            max_length=templates.LENGTH_MAX,
            placeholder='{"text": "{title}\\n{url}"}',
            clean=_clean_template,
        ),
        # After the secret was changed, both are used for a while.
        Field(
            "previous_secret",
            _("Previous secret"),
            widget="secret",
            required=False,
            secret=True,
            max_length=100,
            clean=validators.clean_secret,
            editable=False,
        ),
        Field(
            "previous_secret_until",
            _("Previous secret expires"),
            required=False,
            max_length=40,
            clean=_clean_time,
            editable=False,
        ),
    ),
    send=WebhookTransport().send,
    shown=_shown,
    documentation="https://www.standardwebhooks.com/",
)
