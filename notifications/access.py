"""Which channels a request may access. As with monitors, a link works for members of the channel's
workspace, whichever workspace is selected in the header."""

from __future__ import annotations

from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from accounts.models import Membership
from monitors.access import membership_in
from notifications.models import Channel


def get_channel_or_404(request: HttpRequest, public_id: UUID) -> tuple[Channel, Membership]:
    """Return a channel and the signed-in user's membership in its workspace.

    Raises:
        Http404: it doesn't exist, or belongs to a workspace that the user is not in.
    """
    channel = get_object_or_404(Channel.objects.select_related("workspace"), public_id=public_id)
    return channel, membership_in(request, channel.workspace)


def get_channel_to_change(request: HttpRequest, public_id: UUID) -> Channel:
    """Return a channel that the signed-in user may change.

    Raises:
        Http404: as above.
        PermissionDenied: the user may view it, but not change it.
    """
    channel, membership = get_channel_or_404(request, public_id)
    if not membership.may_change:
        raise PermissionDenied
    return channel
