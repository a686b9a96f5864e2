"""Second factors in the admin site."""

from __future__ import annotations

from typing import Any

# Imported first, because the classes they register are replaced here.
import allauth.account.admin
import allauth.mfa.admin  # noqa: F401
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from accounts.actors import admin_of
from accounts.admin.people import can_change_user
from accounts.models import AuditEntry
from accounts.services import sign_in_changes
from core.admin import SiteAdmin

# A second place for email addresses, which nothing reads or writes.
admin.site.unregister(EmailAddress)
admin.site.unregister(Authenticator)

# As in accounts/allauth_adapter.py.
_FACTORS = {
    Authenticator.Type.TOTP: "authenticator app",
    Authenticator.Type.WEBAUTHN: "passkey",
    Authenticator.Type.RECOVERY_CODES: "recovery codes",
}


@admin.register(Authenticator)
class AuthenticatorAdmin(SiteAdmin):
    """Second factors: see who has one, and remove one that was lost. The secret is never shown."""

    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type",)
    list_select_related = ("user",)
    search_fields = ("user__email",)
    fields = readonly_fields = ("user", "type", "created_at", "last_used_at")
    ordering = ("-pk",)
    secret_fields = ("data",)
    delete_warning = gettext_lazy(
        "The person will then sign in with only a password. Recovery codes are a separate entry: delete both."
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and can_change_user(request, obj and obj.user)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Remove it, and let the person know."""
        user, factor = obj.user, _FACTORS.get(obj.type, obj.type)
        with transaction.atomic():
            super().delete_model(request, obj)
            action = AuditEntry.Action.FACTOR_REMOVED
            sign_in_changes.factor_changed(user=user, by=admin_of(request), action=action, factor=factor)
