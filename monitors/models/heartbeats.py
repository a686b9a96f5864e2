"""Heartbeats, and their totals per half hour, which are kept after they are deleted."""

from __future__ import annotations

from django.db import models
from django.db.models import F
from django.utils.translation import gettext_lazy as _

from core.scoping import ScopedForeignKey, WorkspaceColumn
from monitors.models.labels import MESSAGE_LENGTH
from monitors.models.monitors import Monitor
from monitors.models.tokens import PushToken

# How long rollups are kept; the heartbeats themselves are deleted earlier.
ROLLUP_DAYS = 400


class Heartbeat(models.Model):
    """One accepted push. Append-only; on PostgreSQL in one partition a day (services/partitions.py).

    Its key there is (id, received_at), because a unique key includes what the table is partitioned by. Rows
    are looked for in every partition, unless a query names a range of times.

    Its references have no foreign-key constraint: checking one would lock and dirty the monitor's row on
    each push. The recorder locks the monitor's state row while it writes, and deleting a monitor takes
    that lock first.
    """

    id = models.BigAutoField(primary_key=True)
    monitor = ScopedForeignKey(
        Monitor, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="heartbeats"
    )
    received_at = models.DateTimeField()
    status = models.CharField(max_length=4, choices=[("up", _("Up")), ("down", _("Down"))])
    value = models.FloatField(null=True, blank=True)
    message = models.CharField(max_length=MESSAGE_LENGTH, blank=True)
    source = models.GenericIPAddressField(null=True, blank=True)
    token = ScopedForeignKey(
        PushToken,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    # Last, after columns of the same width, where it needs no padding.
    workspace_id = WorkspaceColumn()

    class Meta:
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")
        indexes = [
            models.Index("monitor", F("received_at").desc(), name="heartbeat_monitor_received"),
        ]

    def __str__(self) -> str:
        return f"{self.monitor_id}: {self.status} at {self.received_at:%Y-%m-%d %H:%M:%S}"


class Rollup(models.Model):
    """Totals of a monitor's heartbeats in one half hour; missing if there were no heartbeats.

    `start` is a full or half hour in UTC. `last_message` is that of the last down heartbeat, else of the
    last up one. `value_sum` is only too small if a value is beyond 1e300. `intervals` are the times from
    each heartbeat's predecessor, as `monitors/domain/intervals.py` writes them; null in rows of
    earlier versions. Without a foreign-key constraint, for the same reason as heartbeats.
    """

    id = models.BigAutoField(primary_key=True)
    monitor = ScopedForeignKey(
        Monitor, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="rollups"
    )
    start = models.DateTimeField()
    ups = models.PositiveIntegerField()
    downs = models.PositiveIntegerField()
    last_message = models.CharField(max_length=MESSAGE_LENGTH, blank=True)
    value_count = models.PositiveIntegerField()
    value_min = models.FloatField(null=True, blank=True)
    value_max = models.FloatField(null=True, blank=True)
    value_sum = models.FloatField(null=True, blank=True)
    # Adding a column that may be null takes no time, however many rows there are.
    intervals = models.TextField(null=True, blank=True)
    workspace_id = WorkspaceColumn()

    class Meta:
        verbose_name = _("rollup")
        verbose_name_plural = _("rollups")
        constraints = [
            models.UniqueConstraint(
                fields=["monitor", "start", "workspace_id"], name="one_rollup_a_monitor_and_half_hour"
            )
        ]
        # To find the oldest when they are deleted.
        indexes = [models.Index(fields=["start"], name="rollup_start")]

    def __str__(self) -> str:
        return f"{self.monitor_id}: {self.ups} up, {self.downs} down from {self.start:%Y-%m-%d %H:%M}"


class RolledUp(models.Model):
    """A half hour whose rollups are complete. A few thousand rows for all monitors together."""

    start = models.DateTimeField(primary_key=True)

    class Meta:
        verbose_name = _("rolled-up half hour")
        verbose_name_plural = _("rolled-up half hours")

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M}"
