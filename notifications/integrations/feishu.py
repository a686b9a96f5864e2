"""Feishu and Lark, through a custom bot of a group."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.utils.translation import gettext_lazy as _

from notifications.integrations import formatting
from notifications.integrations.base import Field, Kind
from notifications.integrations.validators import address_at, ending, matching
from notifications.transports.base import Failed, Outgoing, Result, Sent, Tone
from notifications.transports.http import Answer, Call, posted, seconds, sender

_TITLE = 200
# The limit is 20 kB per request.
_TEXT_BYTES = 8_000
_COLOURS = {
    Tone.DOWN: "red",
    Tone.UP: "green",
    Tone.LATE: "yellow",
    Tone.FLAPPING: "orange",
    Tone.CLOSED: "grey",
    Tone.INFO: "blue",
}
# Too many requests: the limit is 100 a minute and 5 a second.
_TOO_MANY = 11232
_PAUSE = timedelta(seconds=10)


def build(config: Mapping[str, Any], outgoing: Outgoing) -> Call:
    message = outgoing.message
    buttons = [
        {"tag": "button", "text": _plain(link.label), "url": link.url, "type": "default"}
        for link in formatting.links(message)
    ]
    elements: list[dict[str, Any]] = [
        {
            "tag": "div",
            "text": _plain(
                formatting.shorten_bytes(formatting.body(message, line_urls=False), _TEXT_BYTES) or "…"
            ),
        }
    ]
    if buttons:
        elements.append({"tag": "action", "actions": buttons})
    content: dict[str, Any] = {
        "msg_type": "interactive",
        "card": {
            "config": {"wide_screen_mode": True},
            "header": {
                "title": _plain(formatting.shorten(message.title, _TITLE)),
                "template": _COLOURS[outgoing.tone],
            },
            "elements": elements,
        },
    }
    if secret := config.get("secret"):
        timestamp = str(int(outgoing.at.timestamp()))
        content |= {"timestamp": timestamp, "sign": signature(secret, timestamp)}
    return posted(config["url"], content)


def signature(secret: str, timestamp: str) -> str:
    """Return the `sign` of a request: an HMAC-SHA256 of nothing, whose key are the time and the secret."""
    return b64encode(hmac.digest(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256)).decode()


def judge(answer: Answer) -> Result:
    """The status is 200 for failures too; only `code` distinguishes them."""
    reply = answer.json
    code = reply.get("code", reply.get("StatusCode"))
    if answer.ok and code == 0:
        return Sent(answer.line)
    wait = answer.retry_after
    if code == _TOO_MANY or answer.status == 429:
        wait = wait or seconds(_number(answer.headers.get("x-ogw-ratelimit-reset"))) or _PAUSE
    words = reply.get("msg") or reply.get("StatusMessage")
    return Failed(answer.describe(f"{words} ({code})" if words else ""), retry_after=wait)


def _plain(text: str) -> dict[str, str]:
    return {"tag": "plain_text", "content": text}


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


FIELDS = (
    Field(
        "url",
        _("Webhook URL"),
        _("It belongs to one group. Treat it like a password."),
        widget="secret",
        secret=True,
        max_length=300,
        placeholder="https://open.larksuite.com/open-apis/bot/v2/hook/…",
        clean=address_at(
            ("open.feishu.cn", "open.larksuite.com"),
            r"/open-apis/bot/v2/hook/[\w-]+",
            _("Enter the full URL, which contains /open-apis/bot/v2/hook/."),
        ),
    ),
    Field(
        "secret",
        _("Signature secret"),
        _("Only if “Set signature verification” is on in the bot’s security settings."),
        widget="secret",
        required=False,
        secret=True,
        max_length=100,
        clean=matching(r"[\x21-\x7e]+", _("Enter the secret as shown in the bot’s security settings.")),
    ),
)

KIND = Kind(
    slug="feishu",
    label="Feishu / Lark",
    about=_("A card in a Feishu or Lark group."),
    fields=FIELDS,
    send=sender(build, judge, secrets=("url", "secret")),
    shown=lambda config, masked: f"Feishu / Lark {'…' if masked else ending(config.get('url'))}",
    where=(
        _("Open the group’s settings and choose “Bots”, then “Add Bot”, then “Custom Bot”."),
        _("Give it a name and copy the webhook URL."),
        _("If you choose “Set signature verification”, copy that secret too."),
        _("If you set keywords, use one that is in every message, such as the name of your workspace."),
    ),
    documentation="https://open.larksuite.com/document/client-docs/bot-v3/add-custom-bot",
    # 100 messages a minute and 5 a second (https://open.larksuite.com/document/client-docs/bot-v3/add-custom-bot).
    spacing=0.6,
)
