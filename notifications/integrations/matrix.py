"""Matrix: a message in an unencrypted room."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from html import escape
from typing import Any
from urllib.parse import quote

from django.utils.translation import gettext_lazy as _

from notifications.integrations import formatting
from notifications.integrations.base import Field, Kind
from notifications.integrations.validators import clean_server, matching
from notifications.transports.base import Failed, Outgoing, Result
from notifications.transports.http import Answer, Call, by_status, posted, sender

# An event may have 64 kB, and contains the text twice, once with escapes of up to six bytes.
_TITLE, _TEXT_BYTES = 300, 6_000


def build(config: Mapping[str, Any], outgoing: Outgoing) -> Call:
    message, links = outgoing.message, formatting.links(outgoing.message)
    title, text = (
        formatting.shorten(formatting.signed(outgoing), _TITLE),
        formatting.shorten_bytes(formatting.body(message), _TEXT_BYTES),
    )
    paragraphs = [
        f"<strong>{escape(title)}</strong>",
        *(escape(part).replace("\n", "<br>") for part in text.split("\n\n") if part),
        " · ".join(f'<a href="{escape(link.url)}">{escape(link.label)}</a>' for link in links),
    ]
    content = {
        "msgtype": "m.text",
        "body": "\n\n".join([title, text, "\n".join(f"{link.label}: {link.url}" for link in links)]),
        "format": "org.matrix.custom.html",
        "formatted_body": "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs if paragraph),
        # A name in the text must not mention a user by accident.
        "m.mentions": {},
    }
    # The server drops the second of two requests with the same transaction ID.
    path = f"/_matrix/client/v3/rooms/{quote(config['room_id'], safe='')}/send/m.room.message/{outgoing.id}"
    headers = {"Authorization": f"Bearer {config['access_token']}"}
    return posted(f"{config['server']}{path}", content, headers, method="PUT")


def judge(answer: Answer) -> Result:
    reply = answer.json
    if answer.ok:
        return by_status(answer)
    wait, milliseconds = answer.retry_after, reply.get("retry_after_ms")
    if wait is None and isinstance(milliseconds, int) and 0 <= milliseconds < 10**9:
        wait = timedelta(milliseconds=milliseconds)
    words = " ".join(str(reply[name]) for name in ("errcode", "error") if reply.get(name))
    return Failed(answer.describe(words), retry_after=wait)


FIELDS = (
    Field(
        "server",
        _("Homeserver"),
        _("The address of the server itself, which may differ from the one in user names."),
        widget="url",
        max_length=500,
        placeholder="https://matrix.example.org",
        clean=clean_server,
    ),
    Field(
        "access_token",
        _("Access token"),
        _("The token of a dedicated account that is a member of the room."),
        widget="secret",
        secret=True,
        max_length=1000,
        clean=matching(r"[\x21-\x7e]+", _("Enter the token as shown in your client.")),
    ),
    Field(
        "room_id",
        _("Room ID"),
        max_length=255,
        placeholder="!abcdefgh:example.org",
        clean=matching(
            r"![\x21-\x39\x3b-\x7e]+(:[\w.:\[\]-]+)?",
            _("Enter the room’s ID, which begins with an exclamation mark, not its name."),
        ),
    ),
)

KIND = Kind(
    slug="matrix",
    label="Matrix",
    about=_("A message in a Matrix room."),
    fields=FIELDS,
    send=sender(build, judge, secrets=("access_token",)),
    shown=lambda config, masked: "Matrix" if masked else str(config.get("room_id") or "Matrix"),
    where=(
        _("Create an account for Tianji, invite it to an unencrypted room, and accept the invitation."),
        _("In Element, signed in as that account, open “All settings”, then “Help & About”: copy the token."),
        _("Find the room’s ID in the room’s settings, under “Advanced”."),
    ),
    documentation="https://spec.matrix.org/latest/client-server-api/",
    # Synapse's default is 10 messages at once and one every 5 s after that (rc_message in its configuration).
    burst_most=10,
    spacing=1.0,
)
