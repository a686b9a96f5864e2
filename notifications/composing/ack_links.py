"""The acknowledge link in a notification, for whoever has the notification.

It contains the incident, or the digest, and the channel of the notification, signed, so that it can't be
forged. There is no account behind it: it only allows acknowledging, and snoozing the monitor of one incident.

It ends with its channel, while that is disabled, and when it gets another address: whoever was notified there
before may have left since.
"""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.crypto import salted_hmac

from monitors.models import Incident
from notifications import channel_config
from notifications.messages.events import Event
from notifications.models import Belief, Channel, Delivery

# Outages may last, and people find the notification when they are back from holiday.
VALID = timedelta(days=14)
# A former name of this module; links in notifications that were sent stay valid.
_SALT = "notifications.dispatch.ack_links.acknowledge"
_UUID_BYTES = 16
_PLACE_BYTES = 8
# In front of the ids of a link that is about a digest.
_ALL = b"a"
# The events whose incidents the link of a digest acknowledges.
_BAD_NEWS = (Event.OPENED, Event.REMINDER, Event.FLAPPING)


@dataclass(frozen=True, slots=True)
class Link:
    """What a link is about now. `incident` is loaded with its monitor and workspace."""

    incident: Incident
    channel: Channel


@dataclass(frozen=True, slots=True)
class LinkToAll:
    """What the link of a digest is about now: the incidents in it that are still open.

    They are loaded with their monitors and workspace, those that began first first.
    """

    incidents: tuple[Incident, ...]
    channel: Channel


def acknowledge_url(incident: Incident, channel: Channel) -> str:
    """Return the link to acknowledge `incident` in notifications through `channel`, valid for VALID."""
    return _url(incident.public_id.bytes + channel.public_id.bytes, channel)


def acknowledge_all_url(digest: Delivery) -> str:
    """Return the link to acknowledge everything in `digest` that is down, valid for VALID."""
    return _url(_ALL + digest.public_id.bytes + digest.channel.public_id.bytes, digest.channel)


def _url(ids: bytes, channel: Channel) -> str:
    named = urlsafe_b64encode(ids + _places(channel)[0]).decode().rstrip("=")
    return f"{settings.TIANJI_URL}{reverse('acknowledge', args=[_signer().sign(named)])}"


def read(token: str) -> Link | LinkToAll | None:
    """Return what the token of such a link is about.

    None for a token that is forged, too old, about something deleted, or was sent to an address that its
    channel no longer has; which one is never revealed.
    """
    try:
        named = _signer().unsign(token, max_age=VALID)
        ids = urlsafe_b64decode(f"{named}{'=' * (-len(named) % 4)}")
    except (signing.BadSignature, binascii.Error, ValueError):
        return None
    about = _about_all if len(ids) % 2 and ids.startswith(_ALL) else _about_one
    ids = ids.removeprefix(_ALL) if about is _about_all else ids
    first, second, place = ids[:_UUID_BYTES], ids[_UUID_BYTES : 2 * _UUID_BYTES], ids[2 * _UUID_BYTES :]
    # Links of the version before have no place; they end with their time.
    if len(second) != _UUID_BYTES or len(place) not in (0, _PLACE_BYTES):
        return None
    channel = Channel.objects.filter(public_id=UUID(bytes=second), enabled=True).first()
    if channel is None or (place and place not in _places(channel)):
        return None
    return about(UUID(bytes=first), channel)


def _about_one(incident_id: UUID, channel: Channel) -> Link | None:
    incidents = Incident.objects.select_related("monitor__workspace")
    incident = incidents.filter(public_id=incident_id, monitor__workspace=channel.workspace_id).first()
    if incident is None:
        return None
    if incident.resolved_at is not None:
        keys = channel.deliveries.filter(incident=incident, outage__isnull=False).values("outage")
        incident = _that_continue(channel, keys).filter(monitor=incident.monitor_id).first() or incident
    return Link(incident, channel)


def _about_all(digest_id: UUID, channel: Channel) -> LinkToAll | None:
    digest = channel.deliveries.filter(public_id=digest_id, event=Event.DIGEST).first()
    if digest is None:
        return None
    members = digest.members.filter(event__in=_BAD_NEWS)
    continued = _that_continue(channel, members.filter(outage__isnull=False).values("outage"))
    found = Incident.objects.filter(
        Q(pk__in=members.values("incident")) | Q(pk__in=continued.values("pk")), resolved_at=None
    )
    ordered = found.select_related("monitor__workspace").order_by("started_at", "pk")
    return LinkToAll(tuple(ordered), channel)


def _that_continue(channel: Channel, keys: QuerySet[Delivery, Any]) -> QuerySet[Incident]:
    """Return the open incidents that belong to an outage with one of these `keys` at the receiver.

    As long as the end of an outage was not sent, what goes down again is the same outage there, and its
    notification may not have been sent yet.
    """
    monitors = Belief.objects.filter(channel=channel, outage__in=keys).values("monitor")
    found = Incident.objects.filter(resolved_at=None, confirmed_at__isnull=False, monitor__in=monitors)
    return found.select_related("monitor__workspace")


def _places(channel: Channel) -> list[bytes]:
    """Return a short keyed digest of where `channel` goes now: the one for new links first, then those of
    links that were made with a former SECRET_KEY."""
    where = json.dumps(channel_config.address_of(channel), sort_keys=True)
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    digests = (salted_hmac(_SALT, where, secret=key, algorithm="sha256").digest() for key in keys)
    return [digest[:_PLACE_BYTES] for digest in digests]


def _signer() -> signing.TimestampSigner:
    # A dot, because some programs that detect links in text stop at a colon.
    return signing.TimestampSigner(sep=".", salt=_SALT)
