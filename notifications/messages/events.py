"""The events that a notification can be about, with their names in payloads and the API."""

from __future__ import annotations

from enum import StrEnum

from django.utils.translation import gettext_lazy as _


class Event(StrEnum):
    """What a notification is about; its value is `event` in payloads and in the API."""

    OPENED = "incident.opened"
    RESOLVED = "incident.resolved"
    # It went down and recovered before a notification of the beginning arrived: one covers both.
    PASSED = "incident.passed"
    # The outage is closed for another Reason than recovery.
    ENDED = "incident.ended"
    REMINDER = "incident.reminder"
    LATE = "monitor.late"
    FLAPPING = "monitor.flapping"
    DIGEST = "digest"
    FAILING = "channel.failing"
    # Sent by a person to try a channel: the only one without a delivery.
    TEST = "test"
    # The digests of earlier versions, which may be in the delivery log.
    DIGEST_DOWN = "digest.down"
    DIGEST_UP = "digest.up"
    DIGEST_REMINDER = "digest.reminder"


LABELS = {
    Event.OPENED: _("Down"),
    Event.RESOLVED: _("Recovered"),
    Event.PASSED: _("Was down"),
    Event.ENDED: _("Closed"),
    Event.REMINDER: _("Reminder"),
    Event.LATE: _("Late"),
    Event.FLAPPING: _("Flapping"),
    Event.DIGEST: _("Digest"),
    Event.FAILING: _("Channel failing"),
    Event.DIGEST_DOWN: _("Several down"),
    Event.DIGEST_UP: _("Several recovered"),
    Event.DIGEST_REMINDER: _("Several still down"),
}
# What a channel subscribes to, as its rules name it (`Channel.on_...`).
SUBSCRIPTIONS = {
    Event.OPENED: "down",
    Event.PASSED: "down",
    Event.FLAPPING: "down",
    Event.RESOLVED: "recovery",
    Event.REMINDER: "reminder",
    Event.LATE: "late",
}
# No longer sent.
FORMER = (Event.DIGEST_DOWN, Event.DIGEST_UP, Event.DIGEST_REMINDER)
DIGESTS = (Event.DIGEST, *FORMER)
# Events that end an outage at the receiver.
ENDS = (Event.RESOLVED, Event.PASSED, Event.ENDED)


class Reason(StrEnum):
    """Why an outage was closed without a recovery."""

    PAUSED = "paused"
    DELETED = "deleted"
    UNSUBSCRIBED = "unsubscribed"
    NOT_COVERED = "not_covered"
    # It was late, and then a heartbeat arrived.
    ARRIVED = "arrived"


REASON_LABELS = {
    Reason.PAUSED.value: _("Monitor paused"),
    Reason.DELETED.value: _("Monitor deleted"),
    Reason.UNSUBSCRIBED.value: _("Channel unsubscribed"),
    Reason.NOT_COVERED.value: _("No longer covered by the rules"),
    Reason.ARRIVED.value: _("A heartbeat arrived"),
}
