"""Gotify, on a self-hosted server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from notifications.integrations import formatting
from notifications.integrations.base import Field, Kind
from notifications.integrations.validators import clean_server, host_of, matching
from notifications.transports.base import Outgoing, Result, Tone
from notifications.transports.http import Answer, Call, by_status, posted, sender

_TITLE, _MESSAGE = 250, 8000
# From 8, phones make a sound and pop up the message; from 4, they only make a sound.
_PRIORITIES = {Tone.DOWN: 8, Tone.UP: 5, Tone.LATE: 5, Tone.FLAPPING: 5, Tone.CLOSED: 4, Tone.INFO: 4}


def build(config: Mapping[str, Any], outgoing: Outgoing) -> Call:
    message = outgoing.message
    links = "".join(f"\n{link.label}: {link.url}" for link in formatting.links(message)[1:])
    content = {
        "title": formatting.shorten(message.title, _TITLE),
        "message": f"{formatting.shorten(formatting.body(message) or message.title, _MESSAGE)}{links}",
        "priority": _PRIORITIES[Tone.DOWN if formatting.is_down(outgoing) else outgoing.tone],
        "extras": {
            "client::display": {"contentType": "text/plain"},
            "client::notification": {"click": {"url": message.url}},
        },
    }
    return posted(f"{config['server']}/message", content, {"X-Gotify-Key": config["token"]})


def judge(answer: Answer) -> Result:
    return by_status(answer, answer.json.get("errorDescription"))


FIELDS = (
    Field(
        "server",
        _("Server"),
        widget="url",
        max_length=500,
        placeholder="https://gotify.example.com",
        clean=clean_server,
    ),
    Field(
        "token",
        _("App token"),
        widget="secret",
        secret=True,
        max_length=100,
        clean=matching(r"[\w.-]{10,100}", _("Enter the token as shown in Gotify; it begins with A.")),
    ),
)

KIND = Kind(
    slug="gotify",
    label="Gotify",
    about=_("A notification through your own Gotify server."),
    fields=FIELDS,
    send=sender(build, judge, secrets=("token",)),
    shown=lambda config, _masked: host_of(config.get("server")) or "Gotify",
    where=(
        _("In Gotify, open “Apps” and choose “Create Application”."),
        _("Show the token of the new application and copy it."),
    ),
    documentation="https://gotify.net/docs/pushmsg",
)
