"""From a delivery to the letter that is sent, in the language and time zone of its workspace."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from accounts.models import Workspace
from core.clock import database_now
from core.timezones import known_zones
from notifications.composing import message_facts
from notifications.messages import digests, payloads, placeholders, single, templates
from notifications.messages.events import DIGESTS, Event, Reason
from notifications.messages.single import Message
from notifications.messages.text import cut, one_line, plain
from notifications.models import Channel, Delivery
from notifications.transports.base import Tone, tone_of, tone_of_digest


@dataclass(frozen=True, slots=True)
class Composed:
    """What is sent: the text for people and the payload for programs. `thread` identifies the outage."""

    message: Message
    payload: dict[str, Any]
    thread: UUID | None = None
    tone: Tone = Tone.INFO


def write(delivery: Delivery) -> Composed:
    """Return the letter for `delivery`, as of now.

    The number of queries is constant, however many monitors a digest has.

    Args:
        delivery: ideally loaded with its channel's workspace, its monitor and its incident.
    """
    event = Event(delivery.event)
    now = database_now()
    tone = tone_of(event, Reason(delivery.reason) if delivery.reason else None)
    with _voice_of(delivery.channel.workspace):
        if event in DIGESTS:
            several = message_facts.of_digest(delivery, now)
            message = _own_words(delivery.channel, digests.compose(several), placeholders.of_digest(several))
            payload = payloads.of_digest(several, message, delivery_id=delivery.public_id)
            tone = tone_of_digest(several.counts)
        elif event is Event.FAILING:
            failing = message_facts.of_failing(delivery)
            # Never in the channel's custom text: it must be understood.
            message = _addressed(delivery.channel, digests.compose_failing(failing))
            payload = payloads.of_failing(failing, message, delivery_id=delivery.public_id)
        else:
            facts = message_facts.of_one(delivery, now)
            message = _own_words(delivery.channel, single.compose(facts), placeholders.of_incident(facts))
            payload = payloads.of_incident(facts, message, delivery_id=delivery.public_id)
    return Composed(message, payload, delivery.outage, tone)


def test(channel: Channel, test_id: UUID, at: datetime) -> Composed:
    """Return the letter of "Send test" through `channel`, in the channel's custom text if it has one."""
    workspace = channel.workspace
    with _voice_of(workspace):
        message = single.compose_test(
            channel=channel.name, workspace=workspace.name, url=message_facts.page_of(channel)
        )
        message = _own_words(channel, message, placeholders.of_test())
        return Composed(message, payloads.of_test(message, test_id=test_id, at=at))


@contextmanager
def _voice_of(workspace: Workspace) -> Iterator[None]:
    """Use the language and time zone of `workspace` while composing."""
    language, zone = workspace.language, workspace.timezone
    with (
        translation.override(language if language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE),
        timezone.override(zoneinfo.ZoneInfo(zone if zone in known_zones() else "UTC")),
    ):
        yield


# --- The channel's custom text ---------------------------------------------------------------------


def _own_words(channel: Channel, message: Message, values: Mapping[str, str]) -> Message:
    """Return `message` as the templates of `channel` render it.

    A template that has become invalid must not keep a notification from being sent: the default text is
    used instead, and the last line says why.
    """
    message = _addressed(channel, message)
    values = {
        "title": message.title,
        "text": message.body(),
        "workspace": one_line(channel.workspace.name),
        "url": message.url,
        "acknowledge_url": message.ack_url,
        **values,
    }
    errors: list[str] = []
    if channel.title.strip():
        if wrong := templates.check(channel.title):
            errors += wrong
        elif title := cut(one_line(templates.fill(channel.title, values))):
            message = replace(message, title=title)
    if channel.body.strip():
        if wrong := templates.check(channel.body):
            errors += wrong
        elif written := plain(templates.fill(channel.body, values)):
            lines = tuple(line for line in map(one_line, written.splitlines()) if line)
            message = replace(message, lines=lines, written=written)
    if errors:
        why = _("The channel's custom text could not be used: %(why)s") % {"why": one_line(errors[0])}
        written = f"{message.written}\n\n{why}" if message.written else ""
        message = replace(message, lines=(*message.lines, why), written=written)
    return message


def _addressed(channel: Channel, message: Message) -> Message:
    """Return `message` with what mail programs need to know about its channel."""
    return replace(
        message,
        manage_url=message_facts.page_of(channel),
        list_id=str(channel.public_id),
        language=translation.get_language() or "en",
    )
