"""The events that a notification can be about, with their names in payloads and the API."""

from __future__ import annotations

from enum import StrEnum

from django.utils.translation import gettext_lazy as _


class Event(StrEnum):
    """What a notification is about; its value is `event` in payloads and in the API."""

    OPENED = "incident.opened"
    RESOLVED = "incident.resolved"
    # The missed deadline was only noticed when the next push arrived: one notification covers both.
    PASSED = "incident.passed"
    REMINDER = "incident.reminder"
    LATE = "monitor.late"
    DIGEST_DOWN = "digest.down"
    DIGEST_UP = "digest.up"
    DIGEST_REMINDER = "digest.reminder"
    FAILING = "channel.failing"
    # Sent by a person to try a channel: the only one without a delivery.
    TEST = "test"


LABELS = {
    Event.OPENED: _("Down"),
    Event.RESOLVED: _("Recovered"),
    Event.PASSED: _("Was down"),
    Event.REMINDER: _("Reminder"),
    Event.LATE: _("Late"),
    Event.DIGEST_DOWN: _("Several down"),
    Event.DIGEST_UP: _("Several recovered"),
    Event.DIGEST_REMINDER: _("Several still down"),
    Event.FAILING: _("Channel failing"),
}
# What a channel subscribes to, as its rules name it (`Channel.on_...`).
SUBSCRIPTIONS = {
    Event.OPENED: "down",
    Event.PASSED: "down",
    Event.RESOLVED: "recovery",
    Event.REMINDER: "reminder",
    Event.LATE: "late",
}
# The digest for several of an event.
DIGESTS = {
    Event.OPENED: Event.DIGEST_DOWN,
    Event.RESOLVED: Event.DIGEST_UP,
    Event.PASSED: Event.DIGEST_UP,
    Event.REMINDER: Event.DIGEST_REMINDER,
}
# Events after which people believe that a monitor is up.
ENDS = (Event.RESOLVED, Event.PASSED)
