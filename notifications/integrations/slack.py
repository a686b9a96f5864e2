"""Slack, through an incoming webhook."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from notifications.integrations import formatting
from notifications.integrations.base import Field, Kind
from notifications.integrations.validators import address_at, ending
from notifications.transports.base import Failed, Outgoing, Result
from notifications.transports.http import Answer, Call, by_status, posted, sender

_TITLE, _SECTION = 300, 3000
# Slack's answers for a webhook that was removed.
_GONE = ("no_service", "no_active_hooks")


def build(config: Mapping[str, Any], outgoing: Outgoing) -> Call:
    """Return the message: the title as text, which notifications show, and the rest with a coloured bar."""
    message = outgoing.message
    # Plain text is shown as it is: markup and mentions in a monitor's name have no effect.
    section = {
        "type": "plain_text",
        "text": formatting.shorten(formatting.body(message, line_urls=False), _SECTION) or "…",
        "emoji": False,
    }
    links = " · ".join(f"<{_address(link.url)}|{_escaped(link.label)}>" for link in formatting.links(message))
    blocks: list[dict[str, Any]] = [{"type": "section", "text": section}]
    if links:
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": links, "verbatim": True}})
    return posted(
        config["url"],
        {
            "text": _escaped(formatting.shorten(formatting.signed(outgoing), _TITLE)),
            "attachments": [{"color": f"#{formatting.COLOURS[outgoing.tone]:06x}", "blocks": blocks}],
            "unfurl_links": False,
            "unfurl_media": False,
        },
    )


def judge(answer: Answer) -> Result:
    if answer.text in _GONE:
        return Failed(answer.describe(), permanent=True, gone=True)
    return by_status(answer)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _address(url: str) -> str:
    return _escaped(re.sub(r"[|<>]", lambda found: f"%{ord(found[0]):02X}", url))


FIELDS = (
    Field(
        "url",
        _("Webhook URL"),
        _("It belongs to one Slack channel. Treat it like a password."),
        widget="secret",
        secret=True,
        max_length=500,
        placeholder="https://hooks.slack.com/services/T0…/B0…/…",
        clean=address_at(
            ("hooks.slack.com", "hooks.slack-gov.com"),
            r"/(services|workflows|triggers)/[\w/-]+",
            _("Enter the full URL, starting with https://hooks.slack.com/services/."),
        ),
    ),
)

KIND = Kind(
    slug="slack",
    label="Slack",
    about=_("A message in a Slack channel."),
    fields=FIELDS,
    send=sender(build, judge, secrets=("url",)),
    shown=lambda config, masked: f"Slack {'…' if masked else ending(config.get('url'))}",
    where=(
        _("Open api.slack.com/apps, choose “Create New App”, then “From scratch”, and your workspace."),
        _("Choose “Incoming Webhooks” and turn them on."),
        _("Choose “Add New Webhook”, then the channel that should receive the messages."),
        _("Copy the webhook URL."),
    ),
    documentation="https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/",
    # One message a second, more for a short time (docs.slack.dev/apis/web-api/rate-limits).
    spacing=1.0,
)
