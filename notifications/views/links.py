"""The page behind the link in a message, on which people say that they see to an incident."""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from accounts.actors import Actor
from accounts.models import AuditEntry, Workspace
from monitors import incidents
from monitors.models import Incident
from monitors.status import Cause
from notifications import digests, links
from notifications.models import Channel
from notifications.phrases import moment
from tianji.addresses import address_of
from tianji.zones import known_zones


@dataclass(frozen=True, slots=True)
class _Shown:
    """All that the page says of an incident, to whoever has the link: times are in words."""

    monitor: str
    since: str
    cause: str
    acknowledged: str
    resolved: str


# Whoever has the address may do what the page does, signed in or not, so there is no cookie that another
# site could make use of; and the programs that show mail often keep none.
@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def acknowledge(request: HttpRequest, token: str) -> HttpResponse:
    """Show an incident and a button; only the button, a POST, acknowledges: programs look at links, too."""
    link = links.read(token)
    if link is None:
        return _kept(render(request, "notifications/acknowledge_gone.html", status=404))
    incident, done = link.incident, False
    if request.method == "POST":
        done = incidents.acknowledge(incident=incident, by=_actor(request, link.channel))
        incident.refresh_from_db(fields=["acknowledged_at", "resolved_at"])
    context = {"shown": _shown(incident), "done": done}
    return _kept(render(request, "notifications/acknowledge.html", context))


def _actor(request: HttpRequest, channel: Channel) -> Actor:
    label = _("via the channel “%(channel)s” (link)") % {"channel": channel.name}
    return Actor(via=AuditEntry.Via.LINK, address=address_of(request), label=label)


def _shown(incident: Incident) -> _Shown:
    monitor = incident.monitor
    with timezone.override(_zone_of(monitor.workspace)):
        return _Shown(
            monitor=monitor.name,
            since=moment(incident.started_at),
            cause=digests.cause_of(Cause(incident.cause)),
            acknowledged=_moment(incident.acknowledged_at),
            resolved=_moment(incident.resolved_at),
        )


def _moment(time: datetime | None) -> str:
    return "" if time is None else moment(time)


def _zone_of(workspace: Workspace) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(workspace.timezone if workspace.timezone in known_zones() else "UTC")


def _kept(response: HttpResponse) -> HttpResponse:
    """Have `response` give its address to nobody: it is all that one needs."""
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    return response
