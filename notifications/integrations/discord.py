"""Discord, through a webhook of a channel."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from notifications.integrations import formatting
from notifications.integrations.base import Field, Kind
from notifications.integrations.validators import address_at, ending
from notifications.transports.base import Failed, Outgoing, Result
from notifications.transports.http import Answer, Call, by_status, posted, seconds, sender

_TITLE, _DESCRIPTION = 256, 4096
_UNKNOWN_WEBHOOK = 10015
# Characters of Discord's Markdown; URLs are left alone, so that they stay clickable.
_MARK = re.compile(r"(https?://\S+)|([\\*_~`|>#\[\]()<:@-])")


def build(config: Mapping[str, Any], outgoing: Outgoing) -> Call:
    message = outgoing.message
    links = "".join(
        f"\n\n[{_escaped(link.label)}]({_address(link.url)})"
        for link in formatting.links(message)
        if link.url
    )
    # Escaping makes the text longer, so it is cut before it is escaped.
    text = formatting.body(message)
    while len(escaped := _escaped(text)) + len(links) > _DESCRIPTION:
        text = formatting.shorten(text, len(text) - max(1, (len(escaped) + len(links) - _DESCRIPTION) // 2))
    embed = {
        "title": formatting.shorten(
            _escaped(formatting.shorten(formatting.signed(outgoing), _TITLE // 2)), _TITLE
        ),
        "description": f"{escaped}{links}",
        "url": message.url,
        "color": formatting.COLOURS[outgoing.tone],
        "timestamp": formatting.occurred_at(outgoing),
    }
    # Without wait=true, Discord doesn't report what is wrong with a message.
    joined = "&" if "?" in config["url"] else "?"
    return posted(f"{config['url']}{joined}wait=true", {"embeds": [embed], "allowed_mentions": {"parse": []}})


def judge(answer: Answer) -> Result:
    reply = answer.json
    if answer.status == 404 and reply.get("code") == _UNKNOWN_WEBHOOK:
        return Failed(answer.describe(reply.get("message")), permanent=True, gone=True)
    if answer.status == 429:
        wait = seconds(reply.get("retry_after"))
        return Failed(
            answer.describe(reply.get("message")), retry_after=answer.retry_after if wait is None else wait
        )
    return by_status(answer, reply.get("message"))


def _escaped(text: str) -> str:
    return _MARK.sub(lambda found: found[1] or f"\\{found[2]}", text)


def _address(url: str) -> str:
    return re.sub(r"[()<>\s]", lambda found: f"%{ord(found[0]):02X}", url)


FIELDS = (
    Field(
        "url",
        _("Webhook URL"),
        _("It belongs to one Discord channel. Treat it like a password."),
        widget="secret",
        secret=True,
        max_length=500,
        placeholder="https://discord.com/api/webhooks/…/…",
        clean=address_at(
            ("discord.com", "discordapp.com", ".discord.com"),
            r"/api/(v\d+/)?webhooks/\d+/[\w-]+",
            _("Enter the full URL, starting with https://discord.com/api/webhooks/."),
        ),
    ),
)

KIND = Kind(
    slug="discord",
    label="Discord",
    about=_("A message in a Discord channel."),
    fields=FIELDS,
    send=sender(build, judge, secrets=("url",)),
    shown=lambda config, masked: f"Discord {'…' if masked else ending(config.get('url'))}",
    where=(
        _("In Discord, open the settings of the channel that should receive the messages."),
        _("Choose “Integrations”, then “Webhooks”, then “New Webhook”."),
        _("Choose “Copy Webhook URL”."),
    ),
    documentation="https://support.discord.com/hc/en-us/articles/228383668-Intro-to-Webhooks",
    # 30 requests a minute and webhook, as observed. Discord documents no number, only the headers of its
    # responses (docs.discord.com/developers/topics/rate-limits).
    burst_most=15,
    spacing=2.0,
)
