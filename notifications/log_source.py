"""Notifications in the log of a monitor."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from monitors.models import Monitor
from monitors.pages.log import feed, sources
from monitors.pages.log.entries import Cursor, Entry, Fact, Filter, Kind, Notified
from notifications.messages.events import ENDS, Event
from notifications.models import Delivery

_DOWN = (Event.OPENED, Event.REMINDER, Event.FLAPPING)
_TONES = {Delivery.Status.SENT: "", Delivery.Status.SKIPPED: "", Delivery.Status.FAILED: "down"}


def connect() -> None:
    """Add deliveries to the log; called once, when the app is ready."""
    belongs_with: dict[str, tuple[str, ...]] = {
        Event.OPENED: sources.OPENED,
        **dict.fromkeys(ENDS, sources.RESOLVED),
    }
    feed.register(Kind.MESSAGES, deliveries, belongs_with=belongs_with)


def deliveries(monitor: Monitor, criteria: Filter, before: Cursor | None, limit: int) -> list[Entry]:
    """Return one entry per delivery, at the time of its event, newest first."""
    rows = criteria.within(Delivery.objects.filter(monitor=monitor), "created_at")
    if criteria.incident is not None:
        rows = rows.filter(incident__public_id=criteria.incident)
    if criteria.status:
        rows = rows.filter(event__in=_DOWN if criteria.status == "down" else ENDS)
    if criteria.text:
        rows = rows.filter(channel__name__icontains=criteria.text)
    if before is not None:
        rows = before.older(rows, "created_at", Kind.MESSAGES)
    found = rows.select_related("channel", "incident").order_by("-created_at", "-pk")
    return [_entry(row) for row in found[:limit]]


def _entry(row: Delivery) -> Entry:
    words = {
        Delivery.Status.SENT: _("sent"),
        Delivery.Status.FAILED: _("failed"),
        Delivery.Status.SKIPPED: _("skipped"),
    }
    facts = [Fact(row.channel.name, _about(row), at=row.sent_at)]
    if why := row.get_note_display() or row.get_reason_display():
        facts.append(Fact(_("Reason"), why))
    return Entry(
        at=row.created_at,
        kind=Kind.MESSAGES,
        pk=row.pk,
        code=f"{row.event} {row.status}",
        word=words.get(Delivery.Status(row.status), _("pending")),
        tone=_TONES.get(Delivery.Status(row.status), "late"),
        text=row.channel.name,
        incident=row.incident.public_id if row.incident else None,
        event=row.event,
        notified=() if row.status == Delivery.Status.SKIPPED else (Notified(row.channel.name, row.status),),
        facts=tuple(facts),
    )


def _about(row: Delivery) -> str:
    attempts = ngettext("%(count)d attempt", "%(count)d attempts", row.attempt_count) % {
        "count": row.attempt_count
    }
    return f"{row.get_event_display()}: {row.get_status_display()}, {attempts}"
