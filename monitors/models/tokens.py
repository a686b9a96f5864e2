"""Push tokens, and the pushes that were rejected."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from core.scoping import ScopedForeignKey, WorkspaceColumn
from monitors.models.monitors import Monitor
from monitors.querysets import PushTokenQuerySet

# Of our own tokens; imported ones have none.
PREFIX = "tjp_"
TOKEN_LABEL_LENGTH = 60
REJECTION_DETAIL_LENGTH = 200


class PushToken(models.Model):
    """A secret that identifies one monitor. Looked up by digest only; `sealed` is for display.

    `imported` tokens come from another system. A rotated token has its successor in `replaced_by` and is
    valid until `expires_at`. `limited_count` counts pushes rejected by the rate limit, the last one at
    `limited_at`.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    monitor = ScopedForeignKey(Monitor, on_delete=models.CASCADE, related_name="tokens")
    label = models.CharField(_("label"), max_length=TOKEN_LABEL_LENGTH, blank=True)
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
    replaced_by = ScopedForeignKey(
        "self", null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="replaces"
    )
    replaced_at = models.DateTimeField(null=True, blank=True, editable=False)
    limited_count = models.PositiveBigIntegerField(default=0, editable=False)
    limited_at = models.DateTimeField(null=True, blank=True, editable=False)
    workspace_id = WorkspaceColumn()

    objects = PushTokenQuerySet.as_manager()

    class Meta:
        verbose_name = _("push token")
        verbose_name_plural = _("push tokens")

    def __str__(self) -> str:
        return f"{'' if self.imported else PREFIX}...{self.last_four}"

    def is_active(self, now: datetime) -> bool:
        """Return whether it was neither revoked nor has expired at `now`, like `PushTokenQuerySet.valid`."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class RejectedPush(models.Model):
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
    monitor = ScopedForeignKey(
        Monitor,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="rejected_pushes",
    )
    reason = models.CharField(max_length=9, choices=Reason.choices)
    method = models.CharField(max_length=16)
    source = models.CharField(max_length=45, blank=True)
    last_four = models.CharField(max_length=4)
    detail = models.CharField(max_length=REJECTION_DETAIL_LENGTH, blank=True)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    count = models.PositiveBigIntegerField(default=1)
    workspace_id = WorkspaceColumn()

    class Meta:
        verbose_name = _("rejected push")
        verbose_name_plural = _("rejected pushes")
        constraints = [
            models.UniqueConstraint(
                fields=["monitor", "reason", "method", "source", "last_four", "workspace_id"],
                name="one_rejected_push_a_kind",
            )
        ]
        indexes = [models.Index(fields=["last_at"], name="rejected_push_last_at")]

    def __str__(self) -> str:
        return f"{self.monitor_id}: {self.reason} x {self.count}"
