"""The tables of the monitors app; docs/architecture.md explains which are hot and which are cold."""

from __future__ import annotations

import uuid

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from accounts.models import PUSH_RATE_MAX, User, Workspace
from monitors.domain.schedules import (
    GRACE_MAX,
    TIMEOUT_MAX,
    TIMEOUT_MIN,
    CronSchedule,
    IntervalSchedule,
    Schedule,
)
from monitors.domain.state_machine import Cause, Reason, Status
from monitors.domain.value_rules import ValueRules
from monitors.querysets import MonitorQuerySet, MonitorStateQuerySet, PushTokenQuerySet

MESSAGE_LENGTH = 500
NOTE_LENGTH = 4000
# How long rollups are kept; the heartbeats themselves are deleted earlier.
ROLLUP_DAYS = 400
SLUG_LENGTH = 60
MAX_TAGS, MAX_TAG_LENGTH = 20, 30
SLUG = r"^[a-z0-9]+(?:-[a-z0-9]+)*\Z"

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


class Monitor(models.Model):
    """Expects heartbeats. People edit this row; recording a heartbeat never writes it.

    `slug` identifies it in its workspace for programs. `push_rate` is the number of pushes per minute for
    each of its tokens: 0 means no limit, null the workspace's limit. A heartbeat whose value is below
    `value_min` or above `value_max`, or is missing although `value_required`, is a failure.
    """

    class Kind(models.TextChoices):
        INTERVAL = "interval", _("At a regular interval")
        CRON = "cron", _("At set times (cron)")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="monitors")
    name = models.CharField(_("name"), max_length=100)
    slug = models.CharField(_("slug"), max_length=SLUG_LENGTH, validators=[RegexValidator(SLUG)])
    description = models.TextField(_("description"), max_length=2000, blank=True)
    tags = models.JSONField(_("tags"), default=list, blank=True)
    kind = models.CharField(_("schedule"), max_length=8, choices=Kind.choices, default=Kind.INTERVAL)
    timeout = models.PositiveIntegerField(
        _("timeout"), default=60, validators=_seconds(TIMEOUT_MIN, TIMEOUT_MAX)
    )
    interval = models.PositiveIntegerField(
        _("recommended interval"), null=True, blank=True, validators=_seconds(1, TIMEOUT_MAX)
    )
    cron = models.CharField(_("cron expression"), max_length=200, blank=True)
    timezone = models.CharField(_("time zone"), max_length=64, default="UTC")
    grace = models.PositiveIntegerField(
        _("grace period"), null=True, blank=True, validators=_seconds(0, GRACE_MAX)
    )
    post_only = models.BooleanField(_("only accept POST"), default=False)
    push_rate = models.PositiveIntegerField(
        _("pushes a minute"), null=True, blank=True, validators=[MaxValueValidator(PUSH_RATE_MAX)]
    )
    value_min = models.FloatField(_("lowest allowed value"), null=True, blank=True)
    value_max = models.FloatField(_("highest allowed value"), null=True, blank=True)
    value_required = models.BooleanField(_("require a value"), default=False)
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
                name="monitor_cron_has_an_expression", condition=Q(kind="interval") | ~Q(cron="")
            ),
        ]
        indexes = [models.Index(fields=["workspace", "name"], name="monitor_workspace_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def schedule(self) -> Schedule:
        if self.kind == Monitor.Kind.CRON:
            return CronSchedule(self.cron, self.timezone, self.grace)
        return IntervalSchedule(self.timeout, self.grace)

    @property
    def value_rules(self) -> ValueRules:
        return ValueRules(self.value_min, self.value_max, self.value_required)


class MonitorState(models.Model):
    """A monitor's status: a narrow, hot row, written by the recorder and the sweep.

    `due_at` may be before the deadline but never after it: an on-time heartbeat does not move it, so that
    PostgreSQL updates the row without touching its index; the sweep moves it. It is null while no
    heartbeat is due (new, down, paused).
    """

    monitor = models.OneToOneField(Monitor, on_delete=models.CASCADE, primary_key=True, related_name="state")
    status = models.CharField(max_length=8, choices=STATUS_LABELS, default=Status.NEW.value)
    status_changed_at = models.DateTimeField()
    last_heartbeat_at = models.DateTimeField(null=True, blank=True)
    last_message = models.CharField(max_length=MESSAGE_LENGTH, blank=True)
    last_value = models.FloatField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    fault = models.CharField(max_length=200, blank=True)

    objects = MonitorStateQuerySet.as_manager()

    class Meta:
        verbose_name = _("monitor state")
        verbose_name_plural = _("monitor states")
        constraints = [
            models.CheckConstraint(
                name="only_an_up_monitor_is_due",
                condition=Q(due_at__isnull=True) | Q(status=Status.UP.value),
            )
        ]
        indexes = [
            models.Index(fields=["due_at"], name="monitor_state_due", condition=Q(due_at__isnull=False))
        ]

    def __str__(self) -> str:
        return f"{self.monitor_id}: {self.status}"


class PushToken(models.Model):
    """A secret that identifies one monitor. Looked up by digest only; `sealed` is for display.

    `imported` tokens come from another system. A rotated token has its successor in `replaced_by` and is
    valid until `expires_at`. `limited_count` counts pushes rejected by the rate limit, the last one at
    `limited_at`.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    monitor = models.ForeignKey(Monitor, on_delete=models.CASCADE, related_name="tokens")
    label = models.CharField(_("label"), max_length=60, blank=True)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    sealed = models.TextField(editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    created_at = models.DateTimeField(_("created"))
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    last_used_from = models.GenericIPAddressField(_("last used from"), null=True, blank=True)
    imported = models.BooleanField(_("imported"), default=False, editable=False)
    replaced_by = models.ForeignKey(
        "self", null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="replaces"
    )
    replaced_at = models.DateTimeField(null=True, blank=True, editable=False)
    limited_count = models.PositiveBigIntegerField(default=0, editable=False)
    limited_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = PushTokenQuerySet.as_manager()

    class Meta:
        verbose_name = _("push token")
        verbose_name_plural = _("push tokens")

    def __str__(self) -> str:
        return f"{'' if self.imported else 'tjp_'}...{self.last_four}"


class Heartbeat(models.Model):
    """One accepted push. Append-only; nothing references it, so that it can be partitioned by time later.

    Its references have no foreign-key constraint: checking one would lock and dirty the monitor's row on
    each push. The recorder locks the monitor's state row while it writes, and deleting a monitor takes
    that lock first.
    """

    id = models.BigAutoField(primary_key=True)
    monitor = models.ForeignKey(
        Monitor, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="heartbeats"
    )
    received_at = models.DateTimeField()
    status = models.CharField(max_length=4, choices=[("up", _("Up")), ("down", _("Down"))])
    value = models.FloatField(null=True, blank=True)
    message = models.CharField(max_length=MESSAGE_LENGTH, blank=True)
    source = models.GenericIPAddressField(null=True, blank=True)
    token = models.ForeignKey(
        PushToken,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )

    class Meta:
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")
        indexes = [
            models.Index("monitor", F("received_at").desc(), name="heartbeat_monitor_received"),
        ]

    def __str__(self) -> str:
        return f"{self.monitor_id}: {self.status} at {self.received_at:%Y-%m-%d %H:%M:%S}"


class Refusal(models.Model):
    """Rejected pushes for a monitor: those of one kind, from one address, with one token.

    There were `count`; `detail` and `last_at` are those of the last one. `source` is the sender's address,
    empty if unknown. Without a foreign-key constraint, for the same reason as heartbeats.
    """

    class Reason(models.TextChoices):
        REVOKED = "revoked", _("Revoked token")
        EXPIRED = "expired", _("Expired token")
        PARAMETER = "parameter", _("Invalid parameter")
        METHOD = "method", _("Method not allowed")
        LIMIT = "limit", _("Rate limit exceeded")
        TOO_LARGE = "too_large", _("Body too large")

    id = models.BigAutoField(primary_key=True)
    monitor = models.ForeignKey(
        Monitor, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="refusals"
    )
    reason = models.CharField(max_length=9, choices=Reason.choices)
    method = models.CharField(max_length=16)
    source = models.CharField(max_length=45, blank=True)
    last_four = models.CharField(max_length=4)
    detail = models.CharField(max_length=200, blank=True)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    count = models.PositiveBigIntegerField(default=1)

    class Meta:
        verbose_name = _("rejected push")
        verbose_name_plural = _("rejected pushes")
        constraints = [
            models.UniqueConstraint(
                fields=["monitor", "reason", "method", "source", "last_four"], name="one_refusal_a_kind"
            )
        ]
        indexes = [models.Index(fields=["last_at"], name="refusal_last_at")]

    def __str__(self) -> str:
        return f"{self.monitor_id}: {self.reason} x {self.count}"


class Rollup(models.Model):
    """Totals of a monitor's heartbeats in one half hour; missing if there were no heartbeats.

    `start` is a full or half hour in UTC. `last_message` is that of the last down heartbeat, else of the
    last up one. `value_sum` is only too small if a value is beyond 1e300. Without a foreign-key
    constraint, for the same reason as heartbeats.
    """

    id = models.BigAutoField(primary_key=True)
    monitor = models.ForeignKey(
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

    class Meta:
        verbose_name = _("rollup")
        verbose_name_plural = _("rollups")
        constraints = [
            models.UniqueConstraint(fields=["monitor", "start"], name="one_rollup_a_monitor_and_half_hour")
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


class Incident(models.Model):
    """One interval in which a monitor was down, with everything that its notifications contain.

    `opening_message` is the message of the heartbeat that opened it or, if heartbeats were missed, the
    last message received; `last_heartbeat_at` is the last heartbeat before it. `note` is free text, and
    whoever acknowledged it is taking care of it.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    monitor = models.ForeignKey(Monitor, on_delete=models.CASCADE, related_name="incidents")
    cause = models.CharField(max_length=8, choices=CAUSE_LABELS)
    started_at = models.DateTimeField()
    detected_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    opening_message = models.CharField(max_length=MESSAGE_LENGTH, blank=True)
    opening_value = models.FloatField(null=True, blank=True)
    closing_message = models.CharField(max_length=MESSAGE_LENGTH, blank=True)
    closing_value = models.FloatField(null=True, blank=True)
    last_heartbeat_at = models.DateTimeField(null=True, blank=True)
    note = models.TextField(_("note"), max_length=NOTE_LENGTH, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True, editable=False)
    acknowledged_by = models.ForeignKey(
        User, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")
        constraints = [
            models.UniqueConstraint(
                fields=["monitor"], condition=Q(resolved_at__isnull=True), name="one_open_incident_a_monitor"
            ),
            models.CheckConstraint(
                name="incident_ends_after_it_starts",
                condition=Q(resolved_at__isnull=True) | Q(resolved_at__gte=F("started_at")),
            ),
        ]
        indexes = [models.Index("monitor", F("started_at").desc(), name="incident_monitor_started")]

    def __str__(self) -> str:
        return f"{self.monitor_id}: {self.cause} at {self.started_at:%Y-%m-%d %H:%M:%S}"


class Transition(models.Model):
    """One status change of a monitor. Append-only."""

    monitor = models.ForeignKey(Monitor, on_delete=models.CASCADE, related_name="transitions")
    at = models.DateTimeField()
    source = models.CharField(max_length=8, choices=STATUS_LABELS)
    target = models.CharField(max_length=8, choices=STATUS_LABELS)
    reason = models.CharField(max_length=9, choices=REASON_LABELS)
    incident = models.ForeignKey(Incident, null=True, on_delete=models.CASCADE, related_name="transitions")

    class Meta:
        verbose_name = _("status change")
        verbose_name_plural = _("status changes")
        indexes = [models.Index("monitor", F("at").desc(), name="transition_monitor_at")]

    def __str__(self) -> str:
        return f"{self.monitor_id}: {self.source} to {self.target}"


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
    name = models.CharField(_("name"), max_length=100)
    kind = models.CharField(_("repeats"), max_length=8, choices=Kind.choices, default=Kind.ONCE)
    starts_at = models.DateTimeField(_("from"), null=True, blank=True)
    ends_at = models.DateTimeField(_("until"), null=True, blank=True)
    weekdays = models.JSONField(_("weekdays"), default=list, blank=True)
    start_time = models.TimeField(_("starts at"), null=True, blank=True)
    duration = models.PositiveIntegerField(_("duration"), null=True, blank=True)
    timezone = models.CharField(_("time zone"), max_length=64, default="UTC")
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
