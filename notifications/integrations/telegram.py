"""Telegram, through a bot."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from django.utils.translation import gettext_lazy as _

from notifications.integrations import formatting
from notifications.integrations.base import Field, Kind
from notifications.integrations.validators import clean_number, matching
from notifications.transports.base import Failed, Outgoing, Result, Sent
from notifications.transports.http import Answer, Call, posted, seconds, sender

ADDRESS = "https://api.telegram.org"
_TITLE, _TEXT = 300, 4096


def build(config: Mapping[str, Any], outgoing: Outgoing) -> Call:
    message = outgoing.message
    title, links = formatting.shorten(formatting.signed(outgoing), _TITLE), formatting.links(message)
    # The limit counts the visible text, without HTML markup.
    left = _TEXT - len(title) - sum(len(link.label) + 3 for link in links) - 4
    parts = [
        f"<b>{_escaped(title)}</b>",
        _escaped(formatting.shorten(formatting.body(message), left)),
        " · ".join(f'<a href="{escape(link.url)}">{_escaped(link.label)}</a>' for link in links),
    ]
    content: dict[str, Any] = {
        "chat_id": config["chat_id"],
        "text": "\n\n".join(part for part in parts if part),
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
    }
    if config.get("topic"):
        content["message_thread_id"] = int(config["topic"])
    return posted(f"{ADDRESS}/bot{config['token']}/sendMessage", content)


def judge(answer: Answer) -> Result:
    reply = answer.json
    if answer.ok and reply.get("ok") is True:
        return Sent(answer.line)
    parameters = reply.get("parameters")
    wait = seconds(parameters.get("retry_after")) if isinstance(parameters, dict) else None
    words = reply.get("description")
    moved = parameters.get("migrate_to_chat_id") if isinstance(parameters, dict) else None
    if moved:
        words = f"{words} (chat ID {moved})"
    return Failed(answer.describe(words), retry_after=answer.retry_after if wait is None else wait)


def _escaped(text: str) -> str:
    return escape(text, quote=False)


def _shown(config: Mapping[str, Any], masked: bool) -> str:
    if masked:
        return "Telegram"
    topic = f" / {config['topic']}" if config.get("topic") else ""
    return f"Telegram {config.get('chat_id', '')}{topic}".strip()


FIELDS = (
    Field(
        "token",
        _("Bot token"),
        widget="secret",
        secret=True,
        max_length=100,
        placeholder="123456789:AA…",
        clean=matching(
            r"\d{5,20}:[\w-]{30,60}",
            _("Enter the token as shown by BotFather: a number, a colon and many letters."),
        ),
    ),
    Field(
        "chat_id",
        _("Chat ID"),
        _("A number, negative for a group, or the @name of a public channel."),
        max_length=50,
        placeholder="-1001234567890",
        clean=matching(
            r"-?[1-9]\d{0,18}|@[A-Za-z]\w{3,31}",
            _("Enter a number such as -1001234567890, or a name such as @example."),
        ),
    ),
    Field(
        "topic",
        _("Topic"),
        _("The number of the topic, in a group with topics."),
        required=False,
        max_length=20,
        clean=clean_number(18),
    ),
)

KIND = Kind(
    slug="telegram",
    label="Telegram",
    about=_("A message from a bot, to you or to a group."),
    fields=FIELDS,
    send=sender(build, judge, secrets=("token",)),
    shown=_shown,
    where=(
        _("In Telegram, send /newbot to @BotFather. It replies with the token."),
        _("Send your bot a message, or add it to the group and send a message there."),
        _("Open https://api.telegram.org/bot<token>/getUpdates: the chat ID is the “id” in “chat”."),
        _("For a topic, copy the link of a message in it: the number in the middle is the topic’s."),
    ),
    documentation="https://core.telegram.org/bots/features#botfather",
    # 20 messages a minute in one group (https://core.telegram.org/bots/faq, "My bot is hitting limits").
    burst_most=10,
    spacing=3.0,
)
