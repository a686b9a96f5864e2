"""Monitors, which people edit, and their state, which heartbeats change."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from accounts.models import NAME_LENGTH, PUSH_RATE_MAX, Workspace
from core.scoping import ScopedOneToOneField, WorkspaceColumn
from core.timezones import ZONE_LENGTH
from monitors.domain.schedules import (
    EARLY_MAX,
    GRACE_MAX,
    TIMEOUT_MAX,
    TIMEOUT_MIN,
    CronSchedule,
    IntervalSchedule,
    OnCalendarSchedule,
    Schedule,
)
from monitors.domain.state_machine import Status, Urgency
from monitors.domain.thresholds import DEFAULT_THRESHOLDS, Threshold, Thresholds, last_failed
from monitors.domain.value_rules import ValueRules
from monitors.models.labels import MESSAGE_LENGTH, STATUS_LABELS, URGENCY_LABELS
from monitors.querysets import MonitorQuerySet, MonitorStateQuerySet

SLUG_LENGTH, DESCRIPTION_LENGTH, CRON_LENGTH, CALENDAR_LENGTH, FAULT_LENGTH = 60, 2000, 200, 1000, 200
# The columns that `schedule_of` makes a schedule of.
SCHEDULE_COLUMNS = ("kind", "timeout", "grace", "cron", "calendar", "timezone", "early")
# What `Monitor.thresholds` needs.
WITH_DEFAULTS = "workspace__monitor_defaults"
MAX_TAGS, MAX_TAG_LENGTH = 20, 30
SLUG = r"^[a-z0-9]+(?:-[a-z0-9]+)*\Z"


def _seconds(low: int, high: int) -> list[MinValueValidator | MaxValueValidator]:
    return [
        MinValueValidator(
            low,
            ngettext_lazy(
                "Must be at least %(limit_value)d second.", "Must be at least %(limit_value)d seconds.", low
            ),
        ),
        MaxValueValidator(high, _("Must be at most %(limit_value)d seconds.")),
    ]


class ThresholdColumns(models.Model):
    """Failure thresholds: `..._needed` failures of the last `..._of`, in a row if both are the same.

    Recovery threshold: `recovery_needed` good heartbeats in a row. Null is the default of the level above.
    """

    missed_needed = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    missed_of = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    reported_needed = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    reported_of = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    recovery_needed = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)

    class Meta:
        abstract = True

    def threshold(self, name: str) -> Threshold | None:
        """Return its own failure threshold `name`, "missed" or "reported"."""
        needed, of = getattr(self, f"{name}_needed"), getattr(self, f"{name}_of")
        return None if needed is None else Threshold(needed, max(of or needed, needed))


class MonitorDefaults(ThresholdColumns):
    """The thresholds of a workspace's monitors without their own. Null is the product's default."""

    workspace = models.OneToOneField(
        Workspace, on_delete=models.CASCADE, primary_key=True, related_name="monitor_defaults"
    )

    class Meta:
        verbose_name = _("monitor defaults")
        verbose_name_plural = _("monitor defaults")

    def __str__(self) -> str:
        return f"defaults of {self.workspace_id}"


def merge_thresholds(own: ThresholdColumns | None, defaults: ThresholdColumns | None) -> Thresholds:
    """Return the thresholds that apply, from a monitor's own and its workspace's; either may be missing."""
    levels = [level for level in (own, defaults) if level is not None]
    product = DEFAULT_THRESHOLDS
    missed = [threshold for level in levels if (threshold := level.threshold("missed"))]
    reported = [threshold for level in levels if (threshold := level.threshold("reported"))]
    recovery = [level.recovery_needed for level in levels if level.recovery_needed]
    return Thresholds(
        missed=[*missed, product.missed][0],
        reported=[*reported, product.reported][0],
        recovery=[*recovery, product.recovery][0],
    )


class Monitor(ThresholdColumns):
    """Expects heartbeats. People edit this row; recording a heartbeat never writes it.

    `slug` identifies it in its workspace for programs. `push_rate` is the number of pushes per minute for
    each of its tokens: 0 means no limit, null the workspace's limit. A heartbeat whose value is below
    `value_min` or above `value_max`, or is missing although `value_required`, is a failure.

    `urgency` is how urgent it is to know that it is down; notification rules refer to it.

    `calendar` has systemd's OnCalendar expressions, one a line; `timezone` is for those without one, and for
    `cron`. A heartbeat up to `early` s before a set time counts for it; null for the schedule's default.
    """

    class Kind(models.TextChoices):
        INTERVAL = "interval", _("At a regular interval")
        CRON = "cron", _("At set times (cron)")
        ON_CALENDAR = "oncalendar", _("At set times (systemd)")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="monitors")
    name = models.CharField(_("name"), max_length=NAME_LENGTH)
    slug = models.CharField(_("slug"), max_length=SLUG_LENGTH, validators=[RegexValidator(SLUG)])
    description = models.TextField(_("description"), max_length=DESCRIPTION_LENGTH, blank=True)
    tags = models.JSONField(_("tags"), default=list, blank=True)
    kind = models.CharField(_("schedule"), max_length=16, choices=Kind.choices, default=Kind.INTERVAL)
    timeout = models.PositiveIntegerField(
        _("timeout"), default=60, validators=_seconds(TIMEOUT_MIN, TIMEOUT_MAX)
    )
    interval = models.PositiveIntegerField(
        _("recommended interval"), null=True, blank=True, validators=_seconds(1, TIMEOUT_MAX)
    )
    cron = models.CharField(_("cron expression"), max_length=CRON_LENGTH, blank=True)
    # The default in the database is for processes of the version before, while an upgrade goes on.
    calendar = models.TextField(
        _("OnCalendar expressions"), max_length=CALENDAR_LENGTH, blank=True, default="", db_default=""
    )
    timezone = models.CharField(_("time zone"), max_length=ZONE_LENGTH, default="UTC")
    grace = models.PositiveIntegerField(
        _("grace period"), null=True, blank=True, validators=_seconds(0, GRACE_MAX)
    )
    early = models.PositiveIntegerField(
        _("may be early by"), null=True, blank=True, validators=_seconds(0, EARLY_MAX)
    )
    post_only = models.BooleanField(_("only accept POST"), default=False)
    push_rate = models.PositiveIntegerField(
        _("pushes per minute"), null=True, blank=True, validators=[MaxValueValidator(PUSH_RATE_MAX)]
    )
    value_min = models.FloatField(_("lowest allowed value"), null=True, blank=True)
    value_max = models.FloatField(_("highest allowed value"), null=True, blank=True)
    value_required = models.BooleanField(_("require a value"), default=False)
    urgency = models.CharField(
        _("urgency"),
        max_length=6,
        choices=URGENCY_LABELS,
        default=Urgency.NORMAL.value,
        db_default=Urgency.NORMAL.value,
    )
    # Counts edits, so that an edit based on an older version can be detected.
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = MonitorQuerySet.as_manager()

    class Meta:
        verbose_name = _("monitor")
        verbose_name_plural = _("monitors")
        constraints = [
            models.UniqueConstraint(fields=["workspace", "slug"], name="one_monitor_a_workspace_and_slug"),
            models.CheckConstraint(
                name="monitor_timeout_in_range",
                condition=Q(timeout__gte=TIMEOUT_MIN, timeout__lte=TIMEOUT_MAX),
            ),
            models.CheckConstraint(
                name="monitor_grace_in_range", condition=Q(grace__isnull=True) | Q(grace__lte=GRACE_MAX)
            ),
            models.CheckConstraint(
                name="monitor_early_in_range", condition=Q(early__isnull=True) | Q(early__lte=EARLY_MAX)
            ),
            models.CheckConstraint(
                name="monitor_cron_has_an_expression", condition=~Q(kind="cron") | ~Q(cron="")
            ),
            models.CheckConstraint(
                name="monitor_calendar_has_an_expression", condition=~Q(kind="oncalendar") | ~Q(calendar="")
            ),
        ]
        indexes = [
            models.Index(fields=["workspace", "name"], name="monitor_workspace_name"),
            # The order of the overview.
            models.Index("workspace", Lower("name"), "name", "id", name="monitor_lower_name"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def schedule(self) -> Schedule:
        return schedule_of(**{name: getattr(self, name) for name in SCHEDULE_COLUMNS})

    @property
    def has_set_times(self) -> bool:
        """Whether heartbeats are expected at set times, and not at an interval."""
        return self.kind != Monitor.Kind.INTERVAL

    @property
    def value_rules(self) -> ValueRules:
        return ValueRules(self.value_min, self.value_max, self.value_required)

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds that apply. Two queries, unless loaded with `select_related(WITH_DEFAULTS)`."""
        return merge_thresholds(self, getattr(self.workspace, "monitor_defaults", None))


def schedule_of(
    *, kind: str, timeout: int, grace: int | None, cron: str, calendar: str, timezone: str, early: int | None
) -> Schedule:
    """Return the schedule that is stored in these columns of Monitor."""
    match kind:
        case Monitor.Kind.CRON:
            return CronSchedule(cron, timezone, grace, early)
        case Monitor.Kind.ON_CALENDAR:
            return OnCalendarSchedule(calendar, timezone, grace, early)
    return IntervalSchedule(timeout, grace)


class MonitorState(models.Model):
    """A monitor's status: a narrow, hot row, written by the recorder and the sweep.

    `due_at` may be before the deadline but never after it: an on-time heartbeat does not move it, so that
    PostgreSQL updates the row without touching its index; the sweep moves it. It is null while no
    heartbeat is due: new, paused, and down unless the incident is unconfirmed or the monitor is recovering.
    `excused_until` is the end of the last gap in which no heartbeat could be received: silence before it does
    not count. `recent_outcomes` are its last 64 outcomes (domain.thresholds).
    """

    monitor = ScopedOneToOneField(Monitor, on_delete=models.CASCADE, primary_key=True, related_name="state")
    status = models.CharField(max_length=8, choices=STATUS_LABELS, default=Status.NEW.value)
    status_changed_at = models.DateTimeField()
    last_heartbeat_at = models.DateTimeField(null=True, blank=True)
    last_message = models.CharField(max_length=MESSAGE_LENGTH, blank=True)
    last_value = models.FloatField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    excused_until = models.DateTimeField(null=True, blank=True)
    fault = models.CharField(max_length=FAULT_LENGTH, blank=True)
    # The default in the database is for processes of the version before, while an upgrade goes on.
    recent_outcomes = models.BigIntegerField(default=0, db_default=0)
    workspace_id = WorkspaceColumn()

    objects = MonitorStateQuerySet.as_manager()

    class Meta:
        verbose_name = _("monitor state")
        verbose_name_plural = _("monitor states")
        constraints = [
            models.CheckConstraint(
                name="only_an_up_or_down_monitor_is_due",
                condition=Q(due_at__isnull=True) | Q(status__in=[Status.UP.value, Status.DOWN.value]),
            )
        ]
        indexes = [
            models.Index(fields=["due_at"], name="monitor_state_due", condition=Q(due_at__isnull=False)),
            # The few that are down, paused or new. Heartbeats of others don't change it, so that PostgreSQL
            # still updates their rows without touching an index.
            models.Index(
                fields=["status", "monitor"],
                name="monitor_state_not_up",
                condition=~Q(status=Status.UP.value),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.monitor_id}: {self.status}"

    @property
    def silent_since(self) -> datetime | None:
        """From when silence counts: the last heartbeat, or the end of a later gap; None before the first."""
        if self.last_heartbeat_at is None or self.excused_until is None:
            return self.last_heartbeat_at
        return max(self.last_heartbeat_at, self.excused_until)

    @property
    def is_recovering(self) -> bool:
        """Whether it is down, and its last heartbeat was good."""
        # A process of the version before sets neither.
        return (
            self.status == Status.DOWN and self.due_at is not None and not last_failed(self.recent_outcomes)
        )
