"""API keys and the audit log in the admin site."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.actors import admin_of
from accounts.models import KEY_PREFIX, ApiKey, AuditEntry
from accounts.services import api_keys
from core.admin import LargeTableAdmin, ReadOnly, SiteAdmin
from core.admin_bulk import Bulk, Outcome, confirm_and_run


@admin.register(ApiKey)
class ApiKeyAdmin(SiteAdmin):
    """Management API keys: view and revoke. They are created on the settings page, which shows them once."""

    list_display = ("__str__", "workspace", "scope", "created_at", "expires_at", "revoked_at", "last_used_at")
    list_filter = ("scope", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("workspace",)
    search_fields = ("name", "=last_four", "workspace__name")
    fields = readonly_fields = (
        "name",
        "masked",
        "workspace",
        "scope",
        "created_at",
        "created_by",
        "expires_at",
        "revoked_at",
        "last_used_at",
        "last_used_from",
        "public_id",
    )
    ordering = ("-pk",)
    actions = ("revoke_selected",)
    secret_fields = ("digest",)

    @admin.display(description=gettext_lazy("key"))
    def masked(self, key: ApiKey) -> str:
        return f"{KEY_PREFIX}...{key.last_four}"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description=gettext_lazy("Revoke selected API keys"), permissions=["change"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse:
        by = admin_of(request)

        def revoke(key: ApiKey, options: dict[str, Any]) -> Outcome:
            revoked = api_keys.revoke(key=key, by=by)
            word = _("Revoked") if revoked else _("Already revoked")
            return Outcome(word, revoked, str(key), reverse("admin:accounts_apikey_change", args=[key.pk]))

        bulk = Bulk(
            action="revoke_selected",
            title=_("Revoke API keys"),
            warning=_("Programs that use them lose access immediately. This cannot be undone."),
            button=_("Revoke"),
            do=revoke,
            related=("workspace",),
        )
        return confirm_and_run(self, request, queryset, bulk)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly, LargeTableAdmin):
    list_display = ("at", "action", "subject_name", "actor", "via", "address", "workspace")
    list_filter = ("action", "via")
    list_select_related = ("workspace",)
    search_fields = ("actor", "subject_name", "workspace__name")
    search_help_text = gettext_lazy("Search by actor, target or workspace.")
    fields = (
        "at",
        "action",
        "actor",
        "user",
        "api_key",
        "via",
        "address",
        "workspace",
        "subject_name",
        "subject",
        "details",
    )
