"""Users, the workspaces they share, their roles, API keys and the audit log."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.addresses import normalized
from accounts.pending import AccountMail, EmailChange, Invitation
from accounts.roles import Role
from accounts.sign_in_models import AttemptCount, PasswordLinkRequest, Session
from core.timezones import ZONE_LENGTH

__all__ = [
    "AccountMail",
    "ApiKey",
    "AttemptCount",
    "AuditEntry",
    "EmailChange",
    "Invitation",
    "Membership",
    "PasswordLinkRequest",
    "Role",
    "Session",
    "SetupLink",
    "StoredResponse",
    "User",
    "Workspace",
]

# Of workspaces, monitors, channels and maintenance windows: the audit log keeps all of these names.
NAME_LENGTH = 100
KEY_NAME_LENGTH = 60
KEY_PREFIX = "tja_"
KEY_DAYS_MAX = 3650


class UserManager(BaseUserManager["User"]):
    """Creates users, who sign in with their email address."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=normalized(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=normalized(username or ""))

    def with_address(self, email: str) -> User | None:
        """Return the account with this email address, however it is written, or None.

        It is the only way in which anyone is found by an address: to sign in, to get a link, to be invited.
        """
        return self.filter(email=normalized(email)).first()


class User(AbstractBaseUser, PermissionsMixin):
    """A person, who signs in with the email address, stored as `accounts.addresses.normalized` writes it."""

    email = models.EmailField(_("email address"), unique=True)
    is_staff = models.BooleanField(_("can access the admin site"), default=False)
    is_active = models.BooleanField(_("active"), default=True)
    date_joined = models.DateTimeField(_("joined"), default=timezone.now)

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    objects = UserManager()

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        # With it, the unique index is one without regard to case, and look-ups use it.
        constraints = [
            models.CheckConstraint(
                condition=models.Q(email=Lower("email")), name="addresses_are_in_lower_case"
            )
        ]

    def __str__(self) -> str:
        return self.email


# A higher number is not a limit in practice; 0 means no limit.
PUSH_RATE_MAX = 1_000_000
TOKEN_AGE_MAX = 3650


class Workspace(models.Model):
    """What a team shares: monitors and channels. Nothing is visible across workspaces.

    `push_rate` limits the pushes per minute of each token; 0 means no limit, null TIANJI_PUSH_RATE.
    `token_age_days` is the age at which a reminder to rotate a token appears; null means never.
    Notifications are in `language`, with times in `timezone`.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(_("name"), max_length=NAME_LENGTH)
    push_rate = models.PositiveIntegerField(
        _("pushes per minute"), null=True, blank=True, validators=[MaxValueValidator(PUSH_RATE_MAX)]
    )
    token_age_days = models.PositiveIntegerField(
        _("remind about tokens older than"),
        null=True,
        blank=True,
        validators=[MaxValueValidator(TOKEN_AGE_MAX)],
    )
    language = models.CharField(_("notification language"), max_length=10, default="en")
    timezone = models.CharField(_("notification time zone"), max_length=ZONE_LENGTH, default="UTC")
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("workspace")
        verbose_name_plural = _("workspaces")
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """One person's role in one workspace."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=8, choices=Role.choices, default=Role.VIEWER)

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints = [
            models.UniqueConstraint(fields=["user", "workspace"], name="one_membership_a_user_and_workspace")
        ]

    def __str__(self) -> str:
        return f"{self.user} / {self.workspace}: {self.get_role_display()}"

    @property
    def may_change(self) -> bool:
        """Whether this role may change monitors and channels and see push tokens."""
        return self.role in (Role.OWNER, Role.ADMIN)


class ApiKey(models.Model):
    """A key to the management API of one workspace. Only its SHA-256 is stored."""

    class Scope(models.TextChoices):
        READ = "read", _("Read")
        WRITE = "write", _("Read and write")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(_("name"), max_length=KEY_NAME_LENGTH)
    scope = models.CharField(_("scope"), max_length=5, choices=Scope.choices, default=Scope.READ)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    created_at = models.DateTimeField(_("created"))
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    last_used_from = models.GenericIPAddressField(_("last used from"), null=True, blank=True)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.name} ({KEY_PREFIX}...{self.last_four})"

    @property
    def may_change(self) -> bool:
        return self.scope == ApiKey.Scope.WRITE


class AuditEntry(models.Model):
    """One entry of the audit log: who did what, when and from where. Append-only, and without secrets.

    `actor` is a name that stays after the account or key is deleted. `subject` is the public id of the
    target (the monitor, for actions on its tokens). `details` uses the field names of the API.
    """

    class Action(models.TextChoices):
        MONITOR_CREATED = "monitor.created", _("Monitor created")
        MONITOR_CHANGED = "monitor.changed", _("Settings changed")
        MONITOR_PAUSED = "monitor.paused", _("Paused")
        MONITOR_RESUMED = "monitor.resumed", _("Resumed")
        MONITOR_DELETED = "monitor.deleted", _("Monitor deleted")
        TOKEN_ISSUED = "token.issued", _("Token issued")
        TOKEN_IMPORTED = "token.imported", _("Token imported")
        TOKEN_REVEALED = "token.revealed", _("Token viewed")
        TOKEN_ROTATED = "token.rotated", _("Token rotated")
        TOKEN_OVERLAP_CHANGED = "token.overlap_changed", _("Old token's expiry changed")
        TOKEN_OVERLAP_ENDED = "token.overlap_ended", _("Old token revoked early")
        TOKEN_RENAMED = "token.renamed", _("Token label changed")
        TOKEN_REVOKED = "token.revoked", _("Token revoked")
        API_KEY_CREATED = "api_key.created", _("API key created")
        API_KEY_REVOKED = "api_key.revoked", _("API key revoked")
        WORKSPACE_CHANGED = "workspace.changed", _("Workspace settings changed")
        MEMBER_ADDED = "member.added", _("Member added")
        MEMBER_CHANGED = "member.changed", _("Member role changed")
        MEMBER_REMOVED = "member.removed", _("Member removed")
        MEMBER_INVITED = "member.invited", _("Member invited")
        MEMBER_JOINED = "member.joined", _("Invitation accepted")
        INVITATION_DECLINED = "invitation.declined", _("Invitation declined")
        INVITATION_REVOKED = "invitation.revoked", _("Invitation revoked")
        EMAIL_REQUESTED = "email.requested", _("Change of an email address requested")
        EMAIL_CHANGED = "email.changed", _("Email address changed")
        PASSWORD_CHANGED = "password.changed", _("Password changed")
        FACTOR_ADDED = "factor.added", _("Second factor added")
        FACTOR_REMOVED = "factor.removed", _("Second factor removed")
        CODES_RENEWED = "codes.renewed", _("Recovery codes generated")
        CHANNEL_CREATED = "channel.created", _("Channel created")
        CHANNEL_CHANGED = "channel.changed", _("Channel changed")
        CHANNEL_DELETED = "channel.deleted", _("Channel deleted")
        INCIDENT_NOTED = "incident.noted", _("Incident note changed")
        INCIDENT_ACKNOWLEDGED = "incident.acknowledged", _("Incident acknowledged")
        RULES_CHANGED = "rules.changed", _("Notification rules changed")
        MONITOR_SNOOZED = "monitor.snoozed", _("Snoozed")
        MONITOR_UNSNOOZED = "monitor.unsnoozed", _("Snooze ended")
        MAINTENANCE_PLANNED = "maintenance.planned", _("Maintenance window created")
        MAINTENANCE_CHANGED = "maintenance.changed", _("Maintenance window changed")
        MAINTENANCE_DELETED = "maintenance.deleted", _("Maintenance window deleted")

    class Via(models.TextChoices):
        BROWSER = "browser", _("browser")
        API = "api", _("API")
        ADMIN = "admin", _("admin site")
        COMMAND = "command", _("command line")
        LINK = "link", _("link in a message")

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="audit_entries")
    at = models.DateTimeField(_("time"))
    action = models.CharField(_("action"), max_length=24, choices=Action.choices)
    actor = models.CharField(_("actor"), max_length=254)
    user = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    api_key = models.ForeignKey(ApiKey, null=True, on_delete=models.SET_NULL, related_name="+")
    via = models.CharField(_("via"), max_length=8, choices=Via.choices)
    address = models.GenericIPAddressField(_("IP address"), null=True, blank=True)
    subject = models.UUIDField(null=True)
    subject_name = models.CharField(_("target"), max_length=NAME_LENGTH, blank=True)
    details = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("audit log entry")
        verbose_name_plural = _("audit log")
        ordering = ["-at", "-id"]
        indexes = [
            models.Index("subject", models.F("at").desc(), name="audit_subject_at"),
            models.Index("workspace", models.F("at").desc(), name="audit_workspace_at"),
        ]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor}"


class StoredResponse(models.Model):
    """The encrypted response to a POST with an `Idempotency-Key`, for replaying it."""

    owner = models.CharField(max_length=60)
    key = models.CharField(max_length=255)
    request_digest = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_index=True)
    status = models.PositiveSmallIntegerField(null=True)
    sealed = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "key"], name="one_answer_an_owner_and_key"),
        ]

    def __str__(self) -> str:
        return f"{self.owner}: {self.status}"


class SetupLink(models.Model):
    """The one-time link for creating the first owner. Only its SHA-256 is stored."""

    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"setup link of {self.created_at:%Y-%m-%d %H:%M}"
