"""Channels, and the outbox: one row for each event and channel, kept with every attempt to send it."""

from __future__ import annotations

import uuid

from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Workspace
from monitors.models import Incident, Monitor

DELAY_MAX = 7 * 86_400
TEMPLATE_LENGTH = 4000


class Channel(models.Model):
    """A destination for messages. `kind` names a module of `integrations`; `config` is what it needs.

    `delay` is in seconds: who is down for less is not told of. `on_...` are the events that it is told;
    a monitor may have its own (ChannelRule). `title` and `body` are templates, empty for the default.

    `failures` counts the attempts that failed since the last that did not; at `broken_at` they were too
    many. Until `quiet_until` nothing is sent: the other side asked for it. `downs_until` and `ups_until`
    end the current window of a storm (notifications/dispatch/queue.py).
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="channels")
    name = models.CharField(_("name"), max_length=100)
    kind = models.CharField(_("kind"), max_length=24)
    config = models.JSONField(default=dict)
    enabled = models.BooleanField(_("enabled"), default=True)
    all_monitors = models.BooleanField(_("all monitors"), default=True)
    monitors = models.ManyToManyField(Monitor, blank=True, related_name="channels")
    delay = models.PositiveIntegerField(
        _("only if still down after"), default=0, validators=[MaxValueValidator(DELAY_MAX)]
    )
    on_down = models.BooleanField(_("down"), default=True)
    on_recovery = models.BooleanField(_("up again"), default=True)
    on_late = models.BooleanField(_("late"), default=False)
    on_reminder = models.BooleanField(_("reminders"), default=True)
    title = models.TextField(_("title"), max_length=TEMPLATE_LENGTH, blank=True)
    body = models.TextField(_("text"), max_length=TEMPLATE_LENGTH, blank=True)
    failures = models.PositiveIntegerField(default=0, editable=False)
    broken_at = models.DateTimeField(null=True, blank=True, editable=False)
    quiet_until = models.DateTimeField(null=True, blank=True, editable=False)
    downs_until = models.DateTimeField(null=True, blank=True, editable=False)
    ups_until = models.DateTimeField(null=True, blank=True, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    class Meta:
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name

    @property
    def kind_label(self) -> str:
        """What people call its kind; its slug, where this version does not know it."""
        from notifications.integrations import kinds

        known = kinds().get(self.kind)
        return str(known.label) if known else self.kind


class Delivery(models.Model):
    """One event for one channel. Its `public_id` is the stable id under which every attempt is sent.

    `planned_at` is when the rules let people be told; `next_attempt_at` when the next attempt may be made.
    What went into a digest is `merged` and names it, until it shares its end; a digest, like the news that
    `subject` is broken, is of no incident. `occasion` is the heartbeat after which a monitor is late.
    `thread` names the outage that the other side knows of: that of an earlier incident, where people were
    never told that it was over. `note` says why a delivery was withdrawn.
    """

    class Event(models.TextChoices):
        OPENED = "incident.opened", _("Down")
        RESOLVED = "incident.resolved", _("Recovered")
        # A deadline that passed unseen before the push that ended the silence: one message for both.
        PASSED = "incident.passed", _("Was down")
        REMINDER = "incident.reminder", _("Reminder")
        LATE = "monitor.late", _("Late")
        DIGEST_DOWN = "digest.down", _("Several down")
        DIGEST_UP = "digest.up", _("Several up again")
        DIGEST_REMINDER = "digest.reminder", _("Several still down")
        BROKEN = "channel.broken", _("Channel broken")

    class Status(models.TextChoices):
        PENDING = "pending", _("Waiting")
        SENDING = "sending", _("Sending")
        MERGED = "merged", _("In a digest")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Given up")
        WITHDRAWN = "withdrawn", _("Not needed")

    class Note(models.TextChoices):
        """Why a delivery was withdrawn."""

        RECOVERED = "recovered", _("It was up again before.")
        NEVER_TOLD = "never_told", _("It was not told that it is down.")
        CONTINUES = "continues", _("It was told of this outage before.")
        DOWN_AGAIN = "down_again", _("It was down again before.")
        ACKNOWLEDGED = "acknowledged", _("Somebody saw to it before.")
        NOT_LATE = "not_late", _("A heartbeat came before.")
        UNWANTED = "unwanted", _("It is not to be told of this any more.")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    monitor = models.ForeignKey(Monitor, null=True, on_delete=models.CASCADE, related_name="deliveries")
    incident = models.ForeignKey(Incident, null=True, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries")
    digest = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="members")
    subject = models.ForeignKey(Channel, null=True, on_delete=models.CASCADE, related_name="news")
    event = models.CharField(max_length=20, choices=Event.choices)
    sequence = models.PositiveIntegerField(default=0)
    occasion = models.DateTimeField(null=True)
    thread = models.UUIDField(null=True)
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.PENDING)
    note = models.CharField(max_length=12, choices=Note.choices, blank=True)
    created_at = models.DateTimeField()
    planned_at = models.DateTimeField(null=True)
    # When the next attempt may be made; while sending, when the lease of this attempt runs out.
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    attempt_count = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        constraints = [
            models.UniqueConstraint(
                fields=["incident", "event", "sequence", "channel"], name="one_delivery_an_event_and_channel"
            ),
            models.UniqueConstraint(
                fields=["monitor", "event", "occasion", "channel"],
                name="one_delivery_an_occasion_and_channel",
            ),
            models.CheckConstraint(
                name="only_an_open_delivery_has_a_next_attempt",
                condition=Q(
                    status__in=["merged", "sent", "failed", "withdrawn"], next_attempt_at__isnull=True
                )
                | Q(status__in=["pending", "sending"], next_attempt_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                name="delivery_next_attempt",
                condition=Q(next_attempt_at__isnull=False),
            ),
            models.Index("monitor", models.F("created_at").desc(), name="delivery_monitor_created"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.channel_id}: {self.status}"


class DeliveryAttempt(models.Model):
    """One try of a delivery, with what the other side said."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    ok = models.BooleanField()
    detail = models.CharField(max_length=500, blank=True)

    class Meta:
        verbose_name = _("delivery attempt")
        verbose_name_plural = _("delivery attempts")
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.delivery_id} #{self.number}: {'ok' if self.ok else self.detail}"


class ChannelRule(models.Model):
    """How one channel hears of one monitor, where that differs from what the channel says.

    Not `told` is silence, also of a channel for all monitors. `delay` in seconds and `events` (names of
    `Channel.on_...`) are the channel's where null.
    """

    monitor = models.ForeignKey(Monitor, on_delete=models.CASCADE, related_name="channel_rules")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="rules")
    told = models.BooleanField(default=True)
    delay = models.PositiveIntegerField(null=True, blank=True, validators=[MaxValueValidator(DELAY_MAX)])
    events = models.JSONField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["monitor", "channel"], name="one_rule_a_monitor_and_channel")
        ]

    def __str__(self) -> str:
        return f"{self.monitor_id} to {self.channel_id}"


class _Tolerance(models.Model):
    """People are told after `..._needed` failures of the last `..._of`, in a row where both are the same.

    They hear of a recovery after `recovery_needed` good heartbeats in a row. While a monitor is down they
    are reminded every `remind_every` seconds, `remind_most` times; 0 is never.
    """

    missed_needed = models.PositiveSmallIntegerField(null=True, blank=True)
    missed_of = models.PositiveSmallIntegerField(null=True, blank=True)
    reported_needed = models.PositiveSmallIntegerField(null=True, blank=True)
    reported_of = models.PositiveSmallIntegerField(null=True, blank=True)
    recovery_needed = models.PositiveSmallIntegerField(null=True, blank=True)
    remind_every = models.PositiveIntegerField(null=True, blank=True)
    remind_most = models.PositiveSmallIntegerField(null=True, blank=True)

    class Meta:
        abstract = True


class WorkspaceRules(_Tolerance):
    """What holds for the monitors of a workspace that say nothing else. Null is the product's default."""

    workspace = models.OneToOneField(
        Workspace, on_delete=models.CASCADE, primary_key=True, related_name="rules"
    )

    def __str__(self) -> str:
        return f"rules of {self.workspace_id}"


class MonitorRules(_Tolerance):
    """What holds for one monitor; null is what its workspace says. Until `snoozed_until` nobody is told."""

    monitor = models.OneToOneField(Monitor, on_delete=models.CASCADE, primary_key=True, related_name="rules")
    snoozed_until = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"rules of {self.monitor_id}"
