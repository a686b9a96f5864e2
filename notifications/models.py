"""Channels, and the outbox: one row per event and channel, kept with every attempt to send it."""

from __future__ import annotations

import uuid

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import NAME_LENGTH, Workspace
from core.scoping import ScopedForeignKey, WorkspaceColumn
from core.timezones import ZONE_LENGTH
from monitors.domain.state_machine import Urgency
from monitors.models import URGENCY_LABELS, Incident, Monitor
from notifications.integrations import kinds
from notifications.messages.events import LABELS, REASON_LABELS

DELAY_MAX = 7 * 86_400
# Messages in 30 s, of which each is sent alone.
BURST, BURST_MAX = 5, 20
TEMPLATE_LENGTH = 4000
DETAIL_LENGTH = 500


class Channel(models.Model):
    """Where notifications go. `kind` names a module in `integrations`; `config` is what it needs.

    `delay` is in seconds: shorter outages are not notified. `on_...` are the events it is subscribed to; a
    monitor may override them (ChannelRule). `title` and `body` are templates, empty for the default.

    It is notified of monitors of at least `least_urgency`. From `quiet_from` to `quiet_until`, in
    `quiet_timezone`, only those of high urgency are notified. Up to `burst` messages are sent in 30 s, each
    alone; what follows is a storm, with a digest every 30 s.

    `failures` counts failed attempts since the last success; `failing_since` is when the channel was found
    failing. Until `paused_until` nothing is sent, because the receiver asked for a pause. `digest_at` is when
    the next digest of a storm is due (notifications/dispatch/turn.py).
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
    # The defaults in the database are for processes of the version before, while an upgrade is running.
    least_urgency = models.CharField(
        _("only monitors with an urgency of at least"),
        max_length=6,
        choices=URGENCY_LABELS,
        default=Urgency.LOW.value,
        db_default=Urgency.LOW.value,
    )
    quiet_from = models.TimeField(_("quiet from"), null=True, blank=True)
    quiet_until = models.TimeField(_("quiet until"), null=True, blank=True)
    quiet_timezone = models.CharField(
        _("time zone of the quiet hours"), max_length=ZONE_LENGTH, default="UTC", db_default="UTC"
    )
    burst = models.PositiveSmallIntegerField(
        _("messages in 30 seconds"),
        default=BURST,
        db_default=BURST,
        validators=[MinValueValidator(1), MaxValueValidator(BURST_MAX)],
    )
    title = models.TextField(_("title"), max_length=TEMPLATE_LENGTH, blank=True)
    body = models.TextField(_("text"), max_length=TEMPLATE_LENGTH, blank=True)
    failures = models.PositiveIntegerField(default=0, editable=False)
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    paused_until = models.DateTimeField(null=True, blank=True, editable=False)
    digest_at = models.DateTimeField(null=True, blank=True, editable=False)
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

    @property
    def keeps_records(self) -> bool:
        """Whether the receiver keeps a record of each outage, so that each message must be sent alone."""
        known = kinds().get(self.kind)
        return known is not None and not known.merges


class Belief(models.Model):
    """What a channel was last sent about a monitor, and when to compare that with the present state.

    `outage` is the key of the outage that was opened, or may have been opened, at the receiver, until it was
    ended there; `sequence` counts the messages that were sent under it. `incident` is the incident that the
    channel was last notified of; incidents up to the row id `after_incident` are no news. `late_after` is the
    heartbeat after which it was notified that the monitor is late. `delivery` is being sent or retried.
    `check_at` is null if there is nothing to compare until something happens.
    """

    class State(models.TextChoices):
        NOTHING = "nothing", _("Nothing")
        UP = "up", _("Up")
        LATE = "late", _("Late")
        DOWN = "down", _("Down")
        FLAPPING = "flapping", _("Flapping")

    channel = ScopedForeignKey(Channel, on_delete=models.CASCADE, related_name="beliefs")
    monitor = ScopedForeignKey(Monitor, on_delete=models.CASCADE, related_name="beliefs")
    state = models.CharField(max_length=8, choices=State.choices, default=State.NOTHING)
    outage = models.UUIDField(null=True)
    sequence = models.PositiveIntegerField(default=0)
    incident = ScopedForeignKey(Incident, null=True, on_delete=models.SET_NULL, related_name="+")
    after_incident = models.BigIntegerField(default=0)
    reminders = models.PositiveSmallIntegerField(default=0)
    late_after = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    delivery = ScopedForeignKey("Delivery", null=True, on_delete=models.SET_NULL, related_name="beliefs")
    check_at = models.DateTimeField(null=True)
    workspace_id = WorkspaceColumn(of="channel")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["monitor", "channel", "workspace_id"], name="one_belief_a_monitor_and_channel"
            )
        ]
        indexes = [
            models.Index(
                fields=["channel", "check_at"], name="belief_check", condition=Q(check_at__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return f"{self.channel_id} of {self.monitor_id}: {self.state}"


class Delivery(models.Model):
    """One message for one channel. Its `public_id` is the stable id under which every attempt is sent.

    `planned_at` is when the rules allowed it to be sent. A delivery that went into a digest is `merged` and
    points to it until it takes over the digest's result. A digest has no incident, and neither has the event
    that `subject` is failing. `occasion` is the heartbeat after which a monitor is late, or when the subject
    failed. `outage` identifies the outage at the receiver, and `sequence` is the number of the message
    about it. `reason` is why an outage ended that did not recover. `about` is what is left of a monitor that
    was deleted. `note` is the reason why a delivery was skipped.
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
        ACKNOWLEDGED = "acknowledged", _("Already acknowledged")
        UNSUBSCRIBED = "unsubscribed", _("No longer subscribed")
        OUTDATED = "outdated", _("Outdated before it arrived: replaced by a newer notification")
        PAUSED = "paused", _("Paused before it was sent")
        # These are of earlier versions.
        NOT_NOTIFIED = "not_notified", _("Never notified that it went down")
        CONTINUES = "continues", _("Already notified of this outage")
        DOWN_AGAIN = "down_again", _("Down again before it was sent")
        NOT_LATE = "not_late", _("A heartbeat arrived before it was sent")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    monitor = ScopedForeignKey(Monitor, null=True, on_delete=models.CASCADE, related_name="deliveries")
    incident = ScopedForeignKey(Incident, null=True, on_delete=models.CASCADE, related_name="deliveries")
    channel = ScopedForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries")
    digest = ScopedForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="members")
    subject = ScopedForeignKey(Channel, null=True, on_delete=models.CASCADE, related_name="news")
    event = models.CharField(max_length=20, choices=[(event.value, label) for event, label in LABELS.items()])
    sequence = models.PositiveIntegerField(default=0)
    occasion = models.DateTimeField(null=True)
    outage = models.UUIDField(null=True, db_column="thread")
    reason = models.CharField(max_length=12, choices=REASON_LABELS, blank=True, default="", db_default="")
    reminder = models.PositiveSmallIntegerField(default=0, db_default=0)
    about = models.JSONField(null=True)
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.PENDING)
    note = models.CharField(max_length=12, choices=Note.choices, blank=True)
    created_at = models.DateTimeField()
    planned_at = models.DateTimeField(null=True)
    # When the next attempt may be made; while sending, when the lease of this attempt expires.
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    attempt_count = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    workspace_id = WorkspaceColumn(of="channel")

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        constraints = [
            models.UniqueConstraint(
                fields=["subject", "occasion", "channel"],
                condition=Q(subject__isnull=False),
                name="one_delivery_a_failing_channel",
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
            models.Index("channel", models.F("created_at").desc(), name="delivery_channel_created"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.channel_id}: {self.status}"


class DeliveryAttempt(models.Model):
    """One attempt of a delivery, with the response of the receiver."""

    delivery = ScopedForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    ok = models.BooleanField()
    detail = models.CharField(max_length=DETAIL_LENGTH, blank=True)
    workspace_id = WorkspaceColumn(of="delivery")

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


class EscalationStep(models.Model):
    """Also notify `channel` of an outage that no one has acknowledged within `after` seconds.

    For monitors of the workspace with at least `least_urgency`; the channel need not be subscribed to them.
    """

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="escalation_steps")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="escalation_steps")
    after = models.PositiveIntegerField(
        _("if not acknowledged within"), validators=[MinValueValidator(60), MaxValueValidator(DELAY_MAX)]
    )
    least_urgency = models.CharField(
        _("monitors with an urgency of at least"),
        max_length=6,
        choices=URGENCY_LABELS,
        default=Urgency.LOW.value,
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "channel"], name="one_escalation_step_a_workspace_and_channel"
            )
        ]

    def __str__(self) -> str:
        return f"{self.channel_id} after {self.after} s"


class _Reminders(models.Model):
    """While a monitor is down, reminders are sent every `remind_every` seconds, at most `remind_most` times.

    0 is never. With more than `flap_changes` changes in 10 minutes it is flapping; 0 turns that off. The
    thresholds are columns of the monitor and of MonitorDefaults.
    """

    remind_every = models.PositiveIntegerField(null=True, blank=True)
    remind_most = models.PositiveSmallIntegerField(null=True, blank=True)
    flap_changes = models.PositiveSmallIntegerField(null=True, blank=True)

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
