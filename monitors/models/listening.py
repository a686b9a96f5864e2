"""When Tianji could receive heartbeats, and when it could not."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

# How long gaps are kept: as long as what is calculated with them.
GAP_DAYS = 400


class Watermark(models.Model):
    """The one row that says until when pushes could be received and committed.

    Every web process moves it forward about once a second. `held` is whether it stands still because too
    many pushes fail.
    """

    ROW = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ROW)
    until = models.DateTimeField()
    held = models.BooleanField(default=False)

    class Meta:
        constraints = [models.CheckConstraint(name="one_watermark", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return f"until {self.until}"


class PushTally(models.Model):
    """How many pushes of two seconds were answered, and how many failed with 503; kept for a minute."""

    at = models.DateTimeField(primary_key=True)
    answered = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.at}: {self.answered} answered, {self.failed} failed"


class Gap(models.Model):
    """A stretch in which no heartbeat could be received, so that silence means nothing.

    `clock_step` is how far the database's clock was set, in seconds, where that is what happened; a clock
    that was set back leaves a gap of no length.
    """

    started_at = models.DateTimeField(_("from"))
    ended_at = models.DateTimeField(_("to"))
    clock_step = models.IntegerField(null=True, blank=True)

    class Meta:
        verbose_name = _("gap")
        verbose_name_plural = _("gaps")
        constraints = [
            models.CheckConstraint(
                name="gap_ends_after_it_starts", condition=models.Q(ended_at__gte=models.F("started_at"))
            )
        ]
        indexes = [models.Index(fields=["ended_at"], name="gap_ended")]

    def __str__(self) -> str:
        return f"{self.started_at} to {self.ended_at}"
