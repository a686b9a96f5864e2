"""A preview of what a channel sends for an incident, for people who edit its title and text."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.models import Workspace
from monitors.domain.state_machine import Cause
from monitors.models import Incident, Monitor
from notifications.composing import compose
from notifications.messages.events import Event
from notifications.messages.text import Message
from notifications.models import Channel, Delivery

# The id of nothing: links in the preview lead nowhere.
_NIL_ID = UUID(int=0)
_SILENT, _LASTED = timedelta(hours=26), timedelta(minutes=12)


def messages(workspace: Workspace, *, name: str, title: str, body: str, now: datetime) -> list[Message]:
    """Return what a channel of `workspace` with these templates sends when a monitor goes down and recovers.

    Nothing is stored, and the only query is for the time.
    """
    channel = Channel(public_id=_NIL_ID, workspace=workspace, name=name, title=title, body=body)
    monitor = Monitor(public_id=_NIL_ID, workspace=workspace, name=_("Nightly backup"))
    down = Incident(
        public_id=_NIL_ID,
        monitor=monitor,
        cause=Cause.MISSED,
        started_at=now - _LASTED,
        detected_at=now - _LASTED,
        confirmed_at=now - _LASTED,
        last_heartbeat_at=now - _SILENT,
        opening_message=_("Copied 412 files"),
    )
    up = Incident(
        public_id=_NIL_ID,
        monitor=monitor,
        cause=Cause.MISSED,
        started_at=down.started_at,
        detected_at=down.detected_at,
        confirmed_at=down.confirmed_at,
        last_heartbeat_at=down.last_heartbeat_at,
        resolved_at=now,
        closing_message=_("Copied 412 files"),
    )
    events = ((Event.OPENED, down), (Event.RESOLVED, up))
    return [
        compose.write(
            Delivery(
                public_id=_NIL_ID,
                channel=channel,
                monitor=monitor,
                incident=incident,
                event=event,
                created_at=now,
                outage=_NIL_ID,
            )
        ).message
        for event, incident in events
    ]
