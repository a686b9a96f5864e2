"""The acknowledge link in a notification, for whoever has the notification.

It contains the incident, or the digest, and the channel of the notification, signed, so that it can't be
forged. There is no account behind it: it only allows acknowledging, and snoozing the monitor of one incident.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.db.models import Q, QuerySet
from django.urls import reverse

from monitors.models import Incident
from notifications.messages.events import Event
from notifications.models import Belief, Channel, Delivery

# Outages may last, and people find the notification when they are back from holiday.
VALID = timedelta(days=90)
# A former name of this module; links in notifications that were sent stay valid.
_SALT = "notifications.dispatch.ack_links.acknowledge"
_UUID_BYTES = 16
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
    return _url(incident.public_id.bytes + channel.public_id.bytes)


def acknowledge_all_url(digest: Delivery) -> str:
    """Return the link to acknowledge everything in `digest` that is down, valid for VALID."""
    return _url(_ALL + digest.public_id.bytes + digest.channel.public_id.bytes)


def _url(ids: bytes) -> str:
    named = urlsafe_b64encode(ids).decode().rstrip("=")
    return f"{settings.TIANJI_URL}{reverse('acknowledge', args=[_signer().sign(named)])}"


def read(token: str) -> Link | LinkToAll | None:
    """Return what the token of such a link is about.

    None for a token that is forged, too old, or about something deleted; which one is never revealed.
    """
    try:
        named = _signer().unsign(token, max_age=VALID)
        ids = urlsafe_b64decode(f"{named}{'=' * (-len(named) % 4)}")
    except (signing.BadSignature, binascii.Error, ValueError):
        return None
    if len(ids) == 2 * _UUID_BYTES:
        return _about_one(UUID(bytes=ids[:_UUID_BYTES]), UUID(bytes=ids[_UUID_BYTES:]))
    if len(ids) == 1 + 2 * _UUID_BYTES and ids.startswith(_ALL):
        return _about_all(UUID(bytes=ids[1 : 1 + _UUID_BYTES]), UUID(bytes=ids[1 + _UUID_BYTES :]))
    return None


def _about_one(incident_id: UUID, channel_id: UUID) -> Link | None:
    incident = Incident.objects.select_related("monitor__workspace").filter(public_id=incident_id).first()
    if incident is None:
        return None
    channel = Channel.objects.filter(public_id=channel_id, workspace=incident.monitor.workspace_id).first()
    if channel is None:
        return None
    if incident.resolved_at is not None:
        keys = channel.deliveries.filter(incident=incident, outage__isnull=False).values("outage")
        incident = _that_continue(channel, keys).filter(monitor=incident.monitor_id).first() or incident
    return Link(incident, channel)


def _about_all(digest_id: UUID, channel_id: UUID) -> LinkToAll | None:
    digest = (
        Delivery.objects.select_related("channel")
        .filter(public_id=digest_id, event=Event.DIGEST, channel__public_id=channel_id)
        .first()
    )
    if digest is None:
        return None
    members = digest.members.filter(event__in=_BAD_NEWS)
    continued = _that_continue(digest.channel, members.filter(outage__isnull=False).values("outage"))
    found = Incident.objects.filter(
        Q(pk__in=members.values("incident")) | Q(pk__in=continued.values("pk")), resolved_at=None
    )
    ordered = found.select_related("monitor__workspace").order_by("started_at", "pk")
    return LinkToAll(tuple(ordered), digest.channel)


def _that_continue(channel: Channel, keys: QuerySet[Delivery, Any]) -> QuerySet[Incident]:
    """Return the open incidents that belong to an outage with one of these `keys` at the receiver.

    As long as the end of an outage was not sent, what goes down again is the same outage there, and its
    notification may not have been sent yet.
    """
    monitors = Belief.objects.filter(channel=channel, outage__in=keys).values("monitor")
    found = Incident.objects.filter(resolved_at=None, confirmed_at__isnull=False, monitor__in=monitors)
    return found.select_related("monitor__workspace")


def _signer() -> signing.TimestampSigner:
    # A dot, because some programs that detect links in text stop at a colon.
    return signing.TimestampSigner(sep=".", salt=_SALT)
