"""Channels, and the outbox: one row per event and channel, kept with every attempt to send it."""

from __future__ import annotations

import uuid

from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import NAME_LENGTH, Workspace
from monitors.models import Incident, Monitor
from notifications.integrations import kinds
from notifications.messages.events import LABELS

DELAY_MAX = 7 * 86_400
TEMPLATE_LENGTH = 4000
DETAIL_LENGTH = 500


class Channel(models.Model):
    """Where notifications go. `kind` names a module in `integrations`; `config` is what it needs.

    `delay` is in seconds: shorter outages are not notified. `on_...` are the events it is subscribed to; a
    monitor may override them (ChannelRule). `title` and `body` are templates, empty for the default.

    `failures` counts failed attempts since the last success; `failing_since` is when the channel was found
    failing. Until `paused_until` nothing is sent, because the receiver asked for a pause. `downs_until` and
    `ups_until` end the current window of a storm (notifications/dispatch/queue.py).
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="channels")
    name = models.CharField(_("name"), max_length=NAME_LENGTH)
    kind = models.CharField(_("integration"), max_length=24)
    config = models.JSONField(default=dict)
    enabled = models.BooleanField(_("enabled"), default=True)
    all_monitors = models.BooleanField(_("all monitors"), default=True)
    monitors = models.ManyToManyField(Monitor, blank=True, related_name="channels")
    delay = models.PositiveIntegerField(
        _("only if still down after"), default=0, validators=[MaxValueValidator(DELAY_MAX)]
    )
    on_down = models.BooleanField(_("down"), default=True)
    on_recovery = models.BooleanField(_("recovery"), default=True)
    on_late = models.BooleanField(_("late"), default=False)
    on_reminder = models.BooleanField(_("reminders"), default=True)
    title = models.TextField(_("title"), max_length=TEMPLATE_LENGTH, blank=True)
    body = models.TextField(_("text"), max_length=TEMPLATE_LENGTH, blank=True)
    failures = models.PositiveIntegerField(default=0, editable=False)
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    paused_until = models.DateTimeField(null=True, blank=True, editable=False)
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
        """The label of its integration; the slug, if this version doesn't have it."""
        known = kinds().get(self.kind)
        return str(known.label) if known else self.kind


class Delivery(models.Model):
    """One event for one channel. Its `public_id` is the stable id under which every attempt is sent.

    `planned_at` is when the rules allow it to be sent; `next_attempt_at` when the next attempt may be made.
    A delivery that went into a digest is `merged` and points to it until it takes over the digest's result.
    A digest has no incident, and neither has the event that `subject` is failing. `occasion` is the
    heartbeat after which a monitor is late. `thread` identifies the outage at the receiver: that of an
    earlier incident if its recovery was never sent. `note` is the reason why a delivery was skipped.
    """

    class Status(models.TextChoices):
        PENDING = "pending", _("Pending")
        SENDING = "sending", _("Sending")
        MERGED = "merged", _("In a digest")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Failed")
        SKIPPED = "skipped", _("Skipped")

    class Note(models.TextChoices):
        """Why a delivery was skipped."""

        RECOVERED = "recovered", _("Recovered before it was sent")
        NOT_NOTIFIED = "not_notified", _("Never notified that it went down")
        CONTINUES = "continues", _("Already notified of this outage")
        DOWN_AGAIN = "down_again", _("Down again before it was sent")
        ACKNOWLEDGED = "acknowledged", _("Already acknowledged")
        NOT_LATE = "not_late", _("A heartbeat arrived before it was sent")
        UNSUBSCRIBED = "unsubscribed", _("No longer subscribed")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    monitor = models.ForeignKey(Monitor, null=True, on_delete=models.CASCADE, related_name="deliveries")
    incident = models.ForeignKey(Incident, null=True, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries")
    digest = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="members")
    subject = models.ForeignKey(Channel, null=True, on_delete=models.CASCADE, related_name="news")
    event = models.CharField(max_length=20, choices=[(event.value, label) for event, label in LABELS.items()])
    sequence = models.PositiveIntegerField(default=0)
    occasion = models.DateTimeField(null=True)
    thread = models.UUIDField(null=True)
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.PENDING)
    note = models.CharField(max_length=12, choices=Note.choices, blank=True)
    created_at = models.DateTimeField()
    planned_at = models.DateTimeField(null=True)
    # When the next attempt may be made; while sending, when the lease of this attempt expires.
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
                condition=Q(status__in=["merged", "sent", "failed", "skipped"], next_attempt_at__isnull=True)
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
    """One attempt of a delivery, with the response of the receiver."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    ok = models.BooleanField()
    detail = models.CharField(max_length=DETAIL_LENGTH, blank=True)

    class Meta:
        verbose_name = _("delivery attempt")
        verbose_name_plural = _("delivery attempts")
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.delivery_id} #{self.number}: {'ok' if self.ok else self.detail}"


class ChannelRule(models.Model):
    """How one channel is notified of one monitor, if that differs from the channel's own settings.

    Unless `subscribed` it is not notified at all, even if it is for all monitors. `delay`, in seconds, and
    `events` (names of `Channel.on_...`) are the channel's where null.
    """

    monitor = models.ForeignKey(Monitor, on_delete=models.CASCADE, related_name="channel_rules")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="rules")
    subscribed = models.BooleanField(default=True)
    delay = models.PositiveIntegerField(null=True, blank=True, validators=[MaxValueValidator(DELAY_MAX)])
    events = models.JSONField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["monitor", "channel"], name="one_rule_a_monitor_and_channel")
        ]

    def __str__(self) -> str:
        return f"{self.monitor_id} to {self.channel_id}"


class _Reminders(models.Model):
    """While a monitor is down, reminders are sent every `remind_every` seconds, at most `remind_most` times.

    0 is never. The thresholds are columns of the monitor and of MonitorDefaults.
    """

    remind_every = models.PositiveIntegerField(null=True, blank=True)
    remind_most = models.PositiveSmallIntegerField(null=True, blank=True)

    class Meta:
        abstract = True


class WorkspaceRules(_Reminders):
    """The defaults for the monitors of a workspace. Null is the product's default."""

    workspace = models.OneToOneField(
        Workspace, on_delete=models.CASCADE, primary_key=True, related_name="rules"
    )

    def __str__(self) -> str:
        return f"rules of {self.workspace_id}"


class MonitorRules(_Reminders):
    """The rules of one monitor; null is the workspace's default.

    Until `snoozed_until`, no notification says that it is down or late.
    """

    monitor = models.OneToOneField(Monitor, on_delete=models.CASCADE, primary_key=True, related_name="rules")
    snoozed_until = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"rules of {self.monitor_id}"
