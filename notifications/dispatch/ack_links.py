"""The acknowledge link in a notification, for whoever has the notification.

It contains the incident and the channel of the notification, signed, so that it can't be forged. There is
no account behind it: it only allows acknowledging that incident and snoozing its monitor.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.db.models import Q
from django.urls import reverse

from monitors.models import Incident
from notifications.messages.events import Event
from notifications.models import Channel, Delivery

# Outages may last, and people find the notification when they are back from holiday.
VALID = timedelta(days=90)
_SALT = "notifications.dispatch.ack_links.acknowledge"
_UUID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Link:
    """What a link is about now. `incident` is loaded with its monitor and workspace."""

    incident: Incident
    channel: Channel


def acknowledge_url(incident: Incident, channel: Channel) -> str:
    """Return the link to acknowledge `incident` in notifications through `channel`, valid for VALID."""
    named = urlsafe_b64encode(incident.public_id.bytes + channel.public_id.bytes).decode().rstrip("=")
    path = reverse("acknowledge", args=[_signer().sign(named)])
    return f"{settings.TIANJI_URL}{path}"


def acknowledge_all_url(digest: Delivery) -> str:
    """Return the link to acknowledge everything that is down in `digest`, valid for VALID."""
    return ""


def read(token: str) -> Link | None:
    """Return what the token of such a link is about.

    None for a token that is forged, too old, or about something deleted; which one is never revealed.
    """
    try:
        named = _signer().unsign(token, max_age=VALID)
        both = urlsafe_b64decode(f"{named}==")
    except (signing.BadSignature, binascii.Error, ValueError):
        return None
    if len(both) != 2 * _UUID_BYTES:
        return None
    incident = (
        Incident.objects.select_related("monitor__workspace")
        .filter(public_id=UUID(bytes=both[:_UUID_BYTES]))
        .first()
    )
    if incident is None:
        return None
    channel = Channel.objects.filter(
        public_id=UUID(bytes=both[_UUID_BYTES:]), workspace=incident.monitor.workspace_id
    ).first()
    return Link(_latest_part(incident, channel), channel) if channel else None


def _latest_part(incident: Incident, channel: Channel) -> Incident:
    """Return the open incident that continues the outage that `channel` was notified of, or `incident`.

    If the recovery in between was never sent, the new beginning isn't either, and there is no other link.
    """
    if incident.resolved_at is None:
        return incident
    ends = channel.deliveries.filter(monitor=incident.monitor_id, event=Event.RESOLVED)
    never_sent = Q(attempt_count=0, status__in=[Delivery.Status.PENDING, Delivery.Status.SKIPPED])
    mine = ends.filter(never_sent, incident=incident).first()
    if mine is None or ends.filter(~never_sent, pk__gt=mine.pk).exists():
        return incident
    later = Incident.objects.select_related("monitor__workspace").filter(monitor=incident.monitor_id)
    return later.filter(resolved_at=None).first() or incident


def _signer() -> signing.TimestampSigner:
    # A dot, because some programs that detect links in text stop at a colon.
    return signing.TimestampSigner(sep=".", salt=_SALT)
