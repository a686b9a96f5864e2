"""What awaits someone: an invitation, a new address that is to be confirmed, and mail that is to be sent."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.roles import Role


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def current(self) -> InvitationQuerySet:
        """Return those that can be accepted: neither expired nor from someone whose account is blocked."""
        sender = models.Q(created_by=None) | models.Q(created_by__is_active=True)
        return self.filter(sender, expires_at__gt=Now())


class Invitation(models.Model):
    """Asks someone who has an account to become a member.

    Nothing of the workspace is theirs until they accept. It is for the account, not for whoever has a link:
    there is no secret in it.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="invitations")
    workspace = models.ForeignKey("accounts.Workspace", on_delete=models.CASCADE, related_name="invitations")
    role = models.CharField(_("role"), max_length=8, choices=Role.choices, default=Role.VIEWER)
    created_at = models.DateTimeField(_("created"))
    created_by = models.ForeignKey("accounts.User", null=True, on_delete=models.CASCADE, related_name="+")
    expires_at = models.DateTimeField(_("expires"))

    objects = InvitationQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        constraints = [
            models.UniqueConstraint(fields=["user", "workspace"], name="one_invitation_a_user_and_workspace")
        ]

    def __str__(self) -> str:
        return f"{self.user} / {self.workspace}: {self.get_role_display()}"


class EmailChange(models.Model):
    """The address that a person wants to have, until they open the link that was sent to it.

    The link has the `nonce`, signed with SECRET_KEY: what is stored here opens nothing.
    """

    user = models.OneToOneField("accounts.User", on_delete=models.CASCADE, related_name="email_change")
    email = models.EmailField()
    nonce = models.UUIDField(default=uuid.uuid4, unique=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    requests = models.PositiveSmallIntegerField(default=1)

    def __str__(self) -> str:
        return f"{self.user} to {self.email}"


class AccountMail(models.Model):
    """An email about an account that is to be sent. It has no secret: links are made when it is sent."""

    class Kind(models.TextChoices):
        EMAIL_LINK = "email.link"
        EMAIL_TAKEN = "email.taken"
        EMAIL_REQUESTED = "email.requested"
        EMAIL_CHANGED = "email.changed"
        PASSWORD_CHANGED = "password.changed"  # noqa: S105  (a word, not a password)
        FACTOR_CHANGED = "factor.changed"
        INVITATION = "invitation"

    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=24, choices=Kind.choices)
    to = models.EmailField()
    language = models.CharField(max_length=10)
    details = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.kind} to {self.to}"
