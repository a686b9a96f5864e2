"""Microsoft Teams, through a workflow that starts on a webhook request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from notifications.integrations import formatting
from notifications.integrations.base import Field, Kind
from notifications.integrations.validators import address_at, ending
from notifications.transports.base import Outgoing, Result, Tone
from notifications.transports.http import Answer, Call, by_status, posted, sender

_TITLE = 500
# The limit is 28 kB per request.
_TEXT_BYTES, _LINES = 12_000, 60
_COLOURS = {
    Tone.DOWN: "attention",
    Tone.UP: "good",
    Tone.LATE: "warning",
    Tone.FLAPPING: "warning",
    Tone.CLOSED: "default",
    Tone.INFO: "default",
}
_CARD = "application/vnd.microsoft.card.adaptive"


def build(config: Mapping[str, Any], outgoing: Outgoing) -> Call:
    """Return an Adaptive Card. Text runs are not parsed as Markdown, unlike text blocks."""
    message = outgoing.message
    lines = [
        line
        for line in formatting.shorten_bytes(formatting.body(message, line_urls=False), _TEXT_BYTES).split(
            "\n"
        )
        if line.strip()
    ]
    if len(lines) > _LINES:
        lines[_LINES - 1 :] = ["…"]
    title = {
        "type": "TextRun",
        "text": formatting.shorten(formatting.signed(outgoing), _TITLE),
        "weight": "bolder",
        "size": "medium",
        "color": _COLOURS[outgoing.tone],
    }
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": formatting.shorten(message.title, _TITLE),
        "body": [
            {"type": "RichTextBlock", "inlines": [title]},
            *(
                {
                    "type": "RichTextBlock",
                    "spacing": "small",
                    "inlines": [_run(line, message.line_urls)],
                }
                for line in lines
            ),
        ],
        "actions": [
            {"type": "Action.OpenUrl", "title": link.label, "url": link.url}
            for link in formatting.links(message)
        ],
        "msteams": {"width": "Full"},
    }
    attachment = {"contentType": _CARD, "contentUrl": None, "content": card}
    return posted(config["url"], {"type": "message", "attachments": [attachment]})


def _run(line: str, urls: Mapping[str, str]) -> dict[str, Any]:
    run: dict[str, Any] = {"type": "TextRun", "text": line}
    if url := urls.get(line):
        run["selectAction"] = {"type": "Action.OpenUrl", "url": url}
    return run


def judge(answer: Answer) -> Result:
    error = answer.json.get("error")
    return by_status(answer, error.get("message") if isinstance(error, dict) else "")


FIELDS = (
    Field(
        "url",
        _("Workflow URL"),
        _("It belongs to one chat or Teams channel. Treat it like a password."),
        widget="secret",
        secret=True,
        max_length=1000,
        placeholder="https://….api.powerplatform.com/…/workflows/…",
        clean=address_at(
            (
                ".logic.azure.com",
                ".api.powerplatform.com",
                ".logic.azure.us",
                ".api.gov.powerplatform.microsoft.us",
            ),
            r"/.*workflows/[\w/.-]+",
            _(
                "Enter the full URL of a workflow, which contains “workflows”. Connector URLs at "
                "webhook.office.com no longer work."
            ),
        ),
    ),
)

KIND = Kind(
    slug="teams",
    label="Microsoft Teams",
    about=_("A card in a Teams channel or chat."),
    fields=FIELDS,
    send=sender(build, judge, secrets=("url",)),
    shown=lambda config, masked: f"Teams {'…' if masked else ending(config.get('url'))}",
    where=(
        _("In Teams, open the menu “…” of the channel or chat, and choose “Workflows”."),
        _("Choose “Send webhook alerts to a channel” (or “to a chat”) and create it."),
        _("Copy the URL that is shown at the end."),
    ),
    documentation=(
        "https://support.microsoft.com/en-us/office/"
        "create-incoming-webhooks-with-workflows-for-microsoft-teams-8ae491c7-0394-4861-ba59-055e33f75498"
    ),
    # Four requests a second for one channel (https://learn.microsoft.com/graph/throttling-limits), and
    # workflows are slow.
    spacing=1.0,
)
