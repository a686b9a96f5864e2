"""The labels of stored codes, and the lengths that several tables share."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from monitors.domain.state_machine import MESSAGE_LENGTH, Cause, Reason, Status, Urgency

__all__ = ["CAUSE_LABELS", "MESSAGE_LENGTH", "REASON_LABELS", "STATUS_LABELS", "URGENCY_LABELS"]

STATUS_LABELS = [
    (Status.NEW.value, _("New")),
    (Status.UP.value, _("Up")),
    (Status.DOWN.value, _("Down")),
    (Status.PAUSED.value, _("Paused")),
]
CAUSE_LABELS = [
    (Cause.MISSED.value, _("Missed")),
    (Cause.REPORTED.value, _("Reported")),
    (Cause.VALUE.value, _("Out of range")),
]
REASON_LABELS = [
    (Reason.HEARTBEAT.value, _("Heartbeat")),
    (Reason.REPORTED.value, _("Reported down")),
    (Reason.MISSED.value, _("Missed")),
    (Reason.VALUE.value, _("Out of range")),
    (Reason.PAUSED.value, _("Paused")),
    (Reason.RESUMED.value, _("Resumed")),
]
URGENCY_LABELS = [
    (Urgency.LOW.value, _("Low")),
    (Urgency.NORMAL.value, _("Normal")),
    (Urgency.HIGH.value, _("High")),
]
