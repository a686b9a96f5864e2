"""Maintenance windows."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import NAME_LENGTH, Workspace
from core.timezones import ZONE_LENGTH
from monitors.models.monitors import Monitor


class MaintenanceWindow(models.Model):
    """A maintenance window: heartbeats are recorded, but no notifications are sent.

    Once, from `starts_at` to `ends_at`; or weekly, on each of `weekdays` (0 is Monday) at `start_time` for
    `duration` seconds, in `timezone`, not before `starts_at` or after `ends_at` if these are set. Applies
    to all monitors of the workspace, or to the selected ones and those with one of `tags`.
    """

    class Kind(models.TextChoices):
        ONCE = "once", _("Once")
        WEEKLY = "weekly", _("Every week")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="maintenance_windows")
    name = models.CharField(_("name"), max_length=NAME_LENGTH)
    kind = models.CharField(_("repeats"), max_length=8, choices=Kind.choices, default=Kind.ONCE)
    starts_at = models.DateTimeField(_("from"), null=True, blank=True)
    ends_at = models.DateTimeField(_("until"), null=True, blank=True)
    weekdays = models.JSONField(_("weekdays"), default=list, blank=True)
    start_time = models.TimeField(_("starts at"), null=True, blank=True)
    duration = models.PositiveIntegerField(_("duration"), null=True, blank=True)
    timezone = models.CharField(_("time zone"), max_length=ZONE_LENGTH, default="UTC")
    all_monitors = models.BooleanField(_("all monitors"), default=False)
    tags = models.JSONField(_("tags"), default=list, blank=True)
    monitors = models.ManyToManyField(Monitor, blank=True, related_name="maintenance_windows")
    excluded_from_uptime = models.BooleanField(_("excluded from uptime"), default=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("maintenance window")
        verbose_name_plural = _("maintenance windows")
        ordering = ["name", "id"]
        constraints = [
            models.CheckConstraint(
                name="maintenance_says_when",
                condition=Q(kind="once", starts_at__isnull=False, ends_at__gt=F("starts_at"))
                | Q(kind="weekly", start_time__isnull=False, duration__gt=0),
            )
        ]

    def __str__(self) -> str:
        return self.name
