"""Pushover: notifications on phones and desktops."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils.translation import gettext_lazy as _

from notifications.integrations import formatting
from notifications.integrations.base import Field, Kind
from notifications.integrations.validators import ending, matching
from notifications.transports.base import Failed, Outgoing, Result, Sent
from notifications.transports.http import Answer, Call, posted, sender

ADDRESS = "https://api.pushover.net"
_TITLE, _MESSAGE, _URL, _URL_TITLE = 250, 1024, 512, 100
_EMERGENCY = "2"
# How often an emergency is repeated until it is acknowledged, and for how long at most; in seconds.
_RETRY, _EXPIRE = 60, 3600
# Notifications other than down disappear from the phone after this many seconds.
_TTL = 7 * 86_400


def build(config: Mapping[str, Any], outgoing: Outgoing) -> Call:
    message = outgoing.message
    down = formatting.is_down(outgoing)
    priority = str(config.get("priority") or "0") if down else "0"
    acknowledge = f"\n\n{message.ack_label}: {message.ack_url}" if message.ack_url else ""
    if len(acknowledge) > _MESSAGE // 2:
        acknowledge = ""
    text = formatting.shorten(
        formatting.body(message, line_urls=False) or message.title, _MESSAGE - len(acknowledge)
    )
    content: dict[str, Any] = {
        "token": config["token"],
        "user": config["user"],
        "title": formatting.shorten(message.title, _TITLE),
        # A message has one URL field, so the other link goes into the text, where it is clickable too.
        "message": f"{text}{acknowledge}",
        "priority": int(priority),
        "url": message.url if len(message.url) <= _URL else "",
        "url_title": formatting.shorten(formatting.links(message)[0].label, _URL_TITLE)
        if message.url
        else "",
    }
    if priority == _EMERGENCY:
        content |= {"retry": _RETRY, "expire": _EXPIRE}
    if not down:
        content["ttl"] = _TTL
    if down and config.get("sound"):
        content["sound"] = config["sound"]
    return posted(
        f"{ADDRESS}/1/messages.json", {name: value for name, value in content.items() if value != ""}
    )


def judge(answer: Answer) -> Result:
    reply = answer.json
    if answer.ok and reply.get("status") == 1:
        return Sent(answer.line)
    errors = reply.get("errors")
    words = ", ".join(str(error) for error in errors) if isinstance(errors, list) else ""
    wait = answer.retry_after
    if wait is None and answer.status == 429:
        wait = _until(answer.headers.get("x-limit-app-reset", ""), answer.sent_at)
    return Failed(answer.describe(words), retry_after=wait)


def _until(reset: str, now: datetime) -> timedelta | None:
    """Return the time left now until `reset`, in seconds since 1970."""
    if not (reset.isascii() and reset.isdigit() and len(reset) <= 10):
        return None
    return max(datetime.fromtimestamp(int(reset), UTC) - now, timedelta(0))


FIELDS = (
    Field(
        "token",
        _("API token"),
        _("The token of an application that you create for Tianji."),
        widget="secret",
        secret=True,
        max_length=40,
        clean=matching(r"[A-Za-z0-9]{30}", _("Enter the API token: 30 letters and digits.")),
    ),
    Field(
        "user",
        _("User key"),
        _("Your user key, or a group key."),
        widget="secret",
        secret=True,
        max_length=40,
        clean=matching(r"[A-Za-z0-9]{30}", _("Enter the user key: 30 letters and digits.")),
    ),
    Field(
        "priority",
        _("Priority of down notifications"),
        widget="choice",
        required=False,
        choices=(
            ("0", _("normal")),
            ("1", _("high: ignores quiet hours")),
            ("2", _("emergency: repeated until acknowledged in Pushover")),
        ),
        default="1",
    ),
    Field(
        "sound",
        _("Sound of down notifications"),
        _("The name of a Pushover sound, or of one that you uploaded."),
        required=False,
        max_length=20,
        placeholder="siren",
        clean=matching(r"[\w-]{1,20}", _("Enter at most 20 letters, digits, - and _.")),
    ),
)

KIND = Kind(
    slug="pushover",
    label="Pushover",
    about=_("A notification on phones and desktops, through Pushover."),
    fields=FIELDS,
    send=sender(build, judge, secrets=("token", "user")),
    shown=lambda config, masked: f"Pushover {'…' if masked else ending(config.get('user'))}",
    where=(
        _("Sign in at pushover.net. The dashboard shows your user key."),
        _("Choose “Create an Application/API Token”, name it Tianji, and copy the API token."),
    ),
    documentation="https://pushover.net/api",
    # 10,000 messages a month and user (pushover.net/api), so a storm should not use them up.
    burst_most=10,
    spacing=1.0,
)
