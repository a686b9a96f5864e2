"""The page behind the link in a notification, where one incident, or all of a digest, can be acknowledged."""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from accounts.actors import Actor
from accounts.models import AuditEntry, Workspace
from core.client_ip import address_of
from core.clock import database_now
from core.timezones import known_zones
from monitors.domain.state_machine import Cause
from monitors.models import Incident
from monitors.services import incidents
from notifications.composing import ack_links
from notifications.messages import digests
from notifications.messages.text import moment
from notifications.models import Channel
from notifications.services import snooze

_HOURS = {"1h": 1, "4h": 4}
_LENGTHS = {
    "1h": gettext_lazy("For 1 hour"),
    "4h": gettext_lazy("For 4 hours"),
    "tomorrow": gettext_lazy("Until tomorrow, 9:00"),
}


# How many monitors the page of a digest names.
_NAMED = 50


@dataclass(frozen=True, slots=True)
class _Shown:
    """Everything the page shows of an incident to whoever has the link; times are formatted."""

    monitor: str
    since: str
    cause: str
    acknowledged: str
    resolved: str
    snoozed: str


@dataclass(frozen=True, slots=True)
class _Row:
    """What the page of a digest shows of each incident."""

    monitor: str
    since: str
    cause: str


# Whoever has the URL may do what the page does, signed in or not, so there is no cookie that another site
# could abuse; and mail programs often keep no cookies.
@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def acknowledge(request: HttpRequest, token: str) -> HttpResponse:
    """Show what is down and its buttons. Only a POST changes anything, because programs open links too."""
    link = ack_links.read(token)
    if link is None:
        return _private(render(request, "notifications/acknowledge_invalid.html", status=404))
    if isinstance(link, ack_links.LinkToAll):
        return _private(_acknowledge_all(request, link))
    done = _do(request, link) if request.method == "POST" else ""
    context = {"shown": _shown(link.incident), "done": done, "lengths": _LENGTHS}
    return _private(render(request, "notifications/acknowledge.html", context))


def _do(request: HttpRequest, link: ack_links.Link) -> str:
    """Do what the button says; return "acknowledged", "snoozed" or, if nothing was done, ""."""
    incident, by = link.incident, _actor(request, link.channel)
    if (wanted := request.POST.get("snooze")) is None:
        done = "acknowledged" if incidents.acknowledge(incident=incident, by=by) else ""
        incident.refresh_from_db(fields=["acknowledged_at", "resolved_at"])
        return done
    if wanted not in _LENGTHS or incident.resolved_at is not None:
        return ""
    until = _end_of(wanted, database_now(), _zone_of(incident.monitor.workspace))
    snooze.snooze(monitor=incident.monitor, until=until, by=by)
    return "snoozed"


def _acknowledge_all(request: HttpRequest, link: ack_links.LinkToAll) -> HttpResponse:
    """Show the open incidents of a digest, and on a POST acknowledge those that are not yet."""
    waiting = [incident for incident in link.incidents if incident.acknowledged_at is None]
    done = 0
    if request.method == "POST":
        by = _actor(request, link.channel)
        # One transaction each: what is resolved or acknowledged in the meantime is left alone.
        done = sum(incidents.acknowledge(incident=incident, by=by) for incident in waiting)
        waiting = []
    context = {
        "rows": [_row(incident) for incident in link.incidents[:_NAMED]],
        "more": max(len(link.incidents) - _NAMED, 0),
        "count": len(link.incidents),
        "waiting": len(waiting),
        "done": done,
    }
    return render(request, "notifications/acknowledge_all.html", context)


def _row(incident: Incident) -> _Row:
    with timezone.override(_zone_of(incident.monitor.workspace)):
        return _Row(
            monitor=incident.monitor.name,
            since=moment(incident.started_at),
            cause=digests.cause_of(Cause(incident.cause)),
        )


def _end_of(wanted: str, now: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    if wanted in _HOURS:
        return now + timedelta(hours=_HOURS[wanted])
    return datetime.combine(now.astimezone(zone).date() + timedelta(days=1), time(9), zone)


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
            snoozed=_moment(snooze.snoozed_until(monitor, now=database_now())),
        )


def _moment(time: datetime | None) -> str:
    return "" if time is None else moment(time)


def _zone_of(workspace: Workspace) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(workspace.timezone if workspace.timezone in known_zones() else "UTC")


def _private(response: HttpResponse) -> HttpResponse:
    """Keep the URL of `response` from leaking: whoever has it can use it."""
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    return response
