"""Incidents, and the changes of status."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from core.scoping import ScopedForeignKey, WorkspaceColumn
from monitors.models.labels import CAUSE_LABELS, MESSAGE_LENGTH, REASON_LABELS, STATUS_LABELS
from monitors.models.monitors import Monitor

NOTE_LENGTH = 4000


class Incident(models.Model):
    """One interval in which a monitor was down, with everything that its notifications contain.

    `opening_message` is the message of the heartbeat that opened it or, if heartbeats were missed, the
    last message received; `last_heartbeat_at` is the last heartbeat before it. `latest_message` is that of
    the last failed heartbeat since, if it said something else. `note` is free text, and
    whoever acknowledged it is taking care of it.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    monitor = ScopedForeignKey(Monitor, on_delete=models.CASCADE, related_name="incidents")
    cause = models.CharField(max_length=8, choices=CAUSE_LABELS)
    started_at = models.DateTimeField()
    detected_at = models.DateTimeField()
    # The default in the database is for processes of the version before, while an upgrade goes on.
    confirmed_at = models.DateTimeField(null=True, blank=True, db_default=Now())
    resolved_at = models.DateTimeField(null=True, blank=True)
    opening_message = models.CharField(max_length=MESSAGE_LENGTH, blank=True)
    opening_value = models.FloatField(null=True, blank=True)
    latest_message = models.CharField(max_length=MESSAGE_LENGTH, blank=True)
    closing_message = models.CharField(max_length=MESSAGE_LENGTH, blank=True)
    closing_value = models.FloatField(null=True, blank=True)
    last_heartbeat_at = models.DateTimeField(null=True, blank=True)
    note = models.TextField(_("note"), max_length=NOTE_LENGTH, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True, editable=False)
    acknowledged_by = models.ForeignKey(
        User, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    workspace_id = WorkspaceColumn()

    class Meta:
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")
        constraints = [
            models.UniqueConstraint(
                fields=["monitor", "workspace_id"],
                condition=Q(resolved_at__isnull=True),
                name="one_open_incident_a_monitor",
            ),
            models.CheckConstraint(
                name="incident_ends_after_it_starts",
                condition=Q(resolved_at__isnull=True) | Q(resolved_at__gte=F("started_at")),
            ),
        ]
        indexes = [
            models.Index("monitor", F("started_at").desc(), name="incident_monitor_started"),
            models.Index(F("started_at").desc(), F("id").desc(), name="incident_started"),
        ]

    def __str__(self) -> str:
        return f"{self.monitor_id}: {self.cause} at {self.started_at:%Y-%m-%d %H:%M:%S}"


class Transition(models.Model):
    """One status change of a monitor. Append-only."""

    monitor = ScopedForeignKey(Monitor, on_delete=models.CASCADE, related_name="transitions")
    at = models.DateTimeField()
    source = models.CharField(max_length=8, choices=STATUS_LABELS)
    target = models.CharField(max_length=8, choices=STATUS_LABELS)
    reason = models.CharField(max_length=9, choices=REASON_LABELS)
    incident = ScopedForeignKey(Incident, null=True, on_delete=models.CASCADE, related_name="transitions")
    workspace_id = WorkspaceColumn()

    class Meta:
        verbose_name = _("status change")
        verbose_name_plural = _("status changes")
        indexes = [models.Index("monitor", F("at").desc(), name="transition_monitor_at")]

    def __str__(self) -> str:
        return f"{self.monitor_id}: {self.source} to {self.target}"
