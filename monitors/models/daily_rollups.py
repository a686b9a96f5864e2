"""What monitors did on each day, kept for years, and which days have to be added up again."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Workspace
from core.scoping import ScopedForeignKey, WorkspaceColumn
from monitors.models.labels import MESSAGE_LENGTH
from monitors.models.monitors import Monitor


class DailyRollup(models.Model):
    """A monitor's heartbeats and uptime on one UTC day that is over; one row for each day that it existed.

    The heartbeats are described as in `Rollup`. `watched` and `down` are what uptime is calculated from:
    `gap` and `maintenance` were cut out of both, and count only while the monitor was up or down. `paused`
    is whole. All of them are microseconds, so that they add up exactly; the rest of the day the monitor was
    new, or did not exist. `incidents` touched the day, and `began_down` is whether the first of them had
    begun before it. Without a foreign-key constraint, for the same reason as heartbeats.
    """

    id = models.BigAutoField(primary_key=True)
    monitor = ScopedForeignKey(
        Monitor,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="daily_rollups",
    )
    day = models.DateField()
    ups = models.PositiveIntegerField()
    downs = models.PositiveIntegerField()
    last_message = models.CharField(max_length=MESSAGE_LENGTH, blank=True)
    value_count = models.PositiveIntegerField()
    value_min = models.FloatField(null=True, blank=True)
    value_max = models.FloatField(null=True, blank=True)
    value_sum = models.FloatField(null=True, blank=True)
    intervals = models.TextField(blank=True)
    watched = models.BigIntegerField()
    down = models.BigIntegerField()
    gap = models.BigIntegerField()
    maintenance = models.BigIntegerField()
    paused = models.BigIntegerField()
    incidents = models.PositiveIntegerField()
    began_down = models.BooleanField()
    workspace_id = WorkspaceColumn()

    class Meta:
        verbose_name = _("daily rollup")
        verbose_name_plural = _("daily rollups")
        constraints = [
            models.UniqueConstraint(
                fields=["monitor", "day", "workspace_id"], name="one_daily_rollup_a_monitor_and_day"
            )
        ]
        # To find the oldest when they are deleted.
        indexes = [models.Index(fields=["day"], name="daily_rollup_day")]

    def __str__(self) -> str:
        return f"{self.monitor_id}: {self.ups} up, {self.downs} down on {self.day}"


class OutdatedDays(models.Model):
    """Days from `first` to `last` whose rollups are missing or no longer true, and are calculated next.

    Of one monitor, of all of a workspace, or, without both, of all. Written in the transaction that changes
    what they are calculated from, except for what comes late. `after` is the last monitor for which `first`
    has been calculated.
    """

    monitor = models.ForeignKey(
        Monitor, null=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    workspace = models.ForeignKey(
        Workspace, null=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    first = models.DateField()
    last = models.DateField()
    after = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("outdated days")
        verbose_name_plural = _("outdated days")

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"


class RollupProgress(models.Model):
    """The one row that says how far rolling up has come, and which process is at it.

    Half hours are complete before `half_hours_until`, and days up to and including `days_until` have been
    calculated, or are in OutdatedDays. Rows up to `..._done` have been searched for ones that came after
    their half hour or day was calculated; `..._seen` were the newest at `seen_at`. `turn` belongs to the
    process that is rolling up, until `turn_until`.
    """

    ROW = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ROW)
    turn = models.BigIntegerField(default=0)
    turn_until = models.DateTimeField()
    half_hours_until = models.DateTimeField(null=True)
    days_until = models.DateField()
    heartbeat_done = models.BigIntegerField(default=0)
    transition_done = models.BigIntegerField(default=0)
    transition_seen = models.BigIntegerField(default=0)
    gap_done = models.BigIntegerField(default=0)
    gap_seen = models.BigIntegerField(default=0)
    seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(name="one_rollup_progress", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return f"days until {self.days_until}"
