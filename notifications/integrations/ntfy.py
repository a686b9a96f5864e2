"""ntfy, on ntfy.sh or a self-hosted server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from notifications.integrations import formatting
from notifications.integrations.base import Field, Kind
from notifications.integrations.validators import clean_server, host_of, matching
from notifications.transports.base import Outgoing, Result, Tone
from notifications.transports.http import Answer, Call, by_status, posted, sender

_TITLE = 250
# Anything longer becomes an attachment.
_MESSAGE_BYTES = 4000
_TAGS = {
    Tone.DOWN: "red_circle",
    Tone.UP: "green_circle",
    Tone.LATE: "yellow_circle",
    Tone.FLAPPING: "orange_circle",
    Tone.CLOSED: "white_circle",
    Tone.INFO: "information_source",
}
_DEFAULT_PRIORITY, _HIGH_PRIORITY = 3, "4"


def build(config: Mapping[str, Any], outgoing: Outgoing) -> Call:
    message = outgoing.message
    down = formatting.is_down(outgoing)
    content = {
        "topic": config["topic"],
        "title": formatting.shorten(message.title, _TITLE),
        "message": formatting.shorten_bytes(formatting.body(message) or message.title, _MESSAGE_BYTES),
        "priority": int(config.get("priority") or _HIGH_PRIORITY) if down else _DEFAULT_PRIORITY,
        "tags": [_TAGS[outgoing.tone]],
        "click": message.url,
        "actions": [
            {"action": "view", "label": link.label, "url": link.url} for link in formatting.links(message)
        ],
        # A second attempt of the same message replaces the first.
        "sequence_id": str(outgoing.id),
    }
    headers = {"Authorization": f"Bearer {config['token']}"} if config.get("token") else {}
    return posted(f"{config['server']}/", content, headers)


def judge(answer: Answer) -> Result:
    return by_status(answer, answer.json.get("error"))


def _shown(config: Mapping[str, Any], masked: bool) -> str:
    server = host_of(config.get("server")) or "ntfy"
    return f"{server}/…" if masked else f"{server}/{config.get('topic', '')}"


FIELDS = (
    Field(
        "server",
        _("Server"),
        widget="url",
        max_length=500,
        default="https://ntfy.sh",
        placeholder="https://ntfy.sh",
        clean=clean_server,
    ),
    Field(
        "topic",
        _("Topic"),
        _("On ntfy.sh anyone who knows the topic can read it: choose one that is hard to guess."),
        max_length=64,
        clean=matching(r"[\w-]{1,64}", _("Enter at most 64 letters, digits, - and _.")),
    ),
    Field(
        "token",
        _("Access token"),
        _("Only if the topic is protected."),
        widget="secret",
        required=False,
        secret=True,
        max_length=200,
        placeholder="tk_…",
        clean=matching(r"[\x21-\x7e]+", _("Enter the token as shown in ntfy; it begins with tk_.")),
    ),
    Field(
        "priority",
        _("Priority of down notifications"),
        widget="choice",
        required=False,
        choices=(("3", _("default")), ("4", _("high")), ("5", _("urgent"))),
        default=_HIGH_PRIORITY,
    ),
)

KIND = Kind(
    slug="ntfy",
    label="ntfy",
    about=_("A notification on phones and in browsers, through ntfy.sh or your own server."),
    fields=FIELDS,
    send=sender(build, judge, secrets=("token",)),
    shown=_shown,
    where=(
        _("Install the ntfy app, or open the web page of your server."),
        _("Subscribe to a topic with a name that you make up, and enter the same name here."),
        _("For a protected topic, create an access token in your account on that server."),
    ),
    documentation="https://docs.ntfy.sh/publish/",
    # By default a server takes 60 requests at once, then one every 5 s (docs.ntfy.sh/config).
)
