"""Second factors in the admin site."""

from __future__ import annotations

from typing import Any

# Imported first, because the classes they register are replaced here.
import allauth.account.admin
import allauth.mfa.admin  # noqa: F401
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from accounts.admin.people import can_change_user
from core.admin import SiteAdmin

# A second place for email addresses: an address listed there can sign in, whatever the user's page says.
admin.site.unregister(EmailAddress)
admin.site.unregister(Authenticator)


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
