"""Create the first owner of a new installation, with a one-time link or from the settings."""

from __future__ import annotations

import hashlib
import secrets

import structlog
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.models import Membership, Role, SetupLink, User, Workspace

log = structlog.get_logger(__name__)

# Any number that nothing else uses: see tianji/management/commands/prepare.py.
_ADVISORY_LOCK = 0x7469616E6A695345


class SetupUnavailable(Exception):
    """There already is an account, or the link was used, replaced or never existed."""


def is_needed() -> bool:
    """Return whether no account exists yet."""
    return not User.objects.exists()


def new_link() -> str:
    """Create a setup link, which replaces all earlier ones, and return its path.

    Only the digest of its token is stored, so the path cannot be shown again.
    """
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        SetupLink.objects.all().delete()
        SetupLink.objects.create(digest=_digest(token))
    return f"/setup/{token}/"


def is_valid(token: str) -> bool:
    """Return whether the setup link with `token` can be used now."""
    return is_needed() and SetupLink.objects.filter(digest=_digest(token)).exists()


def create_owner(*, email: str, password: str, workspace_name: str = "", token: str | None = None) -> User:
    """Create the first account: a superuser who owns the first workspace.

    Args:
        workspace_name: "" for a default.
        token: of the setup link, which this uses up; None if the operator asks in another way.

    Raises:
        SetupUnavailable: an account already exists, or the link is not valid; nothing was created.
    """
    with transaction.atomic():
        _take_turns()
        if token is not None:
            # Deleting is the compare-and-set: of two people with one link, one deletes a row.
            used, _rows = SetupLink.objects.filter(digest=_digest(token)).delete()
            if not used:
                raise SetupUnavailable
        if not is_needed():
            raise SetupUnavailable
        owner = User.objects.create_superuser(email, password)
        # In a request these are the user's, otherwise the server's.
        workspace = Workspace.objects.create(
            name=workspace_name or _("My workspace"),
            language=get_language() or settings.LANGUAGE_CODE,
            timezone=timezone.get_current_timezone_name(),
        )
        Membership.objects.create(user=owner, workspace=workspace, role=Role.OWNER)
        SetupLink.objects.all().delete()
    return owner


def _take_turns() -> None:
    """Make everyone else who creates the first account wait until the end of this transaction.

    Without a row to lock, two could find no account each. SQLite's transactions take turns anyway.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])


def create_owner_from_settings() -> User | None:
    """Create the first account from TIANJI_ADMIN_EMAIL and TIANJI_ADMIN_PASSWORD.

    Returns None if they are not set or an account exists, so that it can run at every start, even in
    several processes at once. A weak password is accepted, and logged as a warning.

    Raises:
        ImproperlyConfigured: one of the two is missing, or the email address is not valid.
    """
    email, password = settings.TIANJI_ADMIN_EMAIL, settings.TIANJI_ADMIN_PASSWORD
    if not (email or password):
        return None
    if not (email and password):
        raise ImproperlyConfigured("Set both TIANJI_ADMIN_EMAIL and TIANJI_ADMIN_PASSWORD, or neither.")
    try:
        validate_email(email)
    except ValidationError as error:
        raise ImproperlyConfigured(f"TIANJI_ADMIN_EMAIL is {email!r}, not an email address.") from error
    try:
        owner = create_owner(email=email, password=password)
    except (SetupUnavailable, IntegrityError):
        return None
    try:
        validate_password(password, owner)
    except ValidationError as error:
        log.warning("TIANJI_ADMIN_PASSWORD is weak", reasons=error.messages)
    return owner


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
