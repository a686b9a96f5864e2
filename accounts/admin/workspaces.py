"""Workspaces and their members in the admin site, changed with the same operations as everywhere else."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.actors import admin_of
from accounts.forms import clean_zone
from accounts.models import Membership, Role, Workspace
from accounts.services import members, workspaces
from core.admin import DeletionNotAllowed, SiteAdmin

_LAST_OWNER = gettext_lazy("A workspace needs at least one owner. Nothing was changed.")


class _MembersAdmin(SiteAdmin):
    """Explains why an operation on members rejected a form; nothing of the form is saved then."""

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except members.LastOwner:
            self.message_user(request, str(_LAST_OWNER), messages.ERROR)
        except (members.AlreadyMember, Membership.DoesNotExist):
            self.message_user(
                request, _("Someone else changed the members in the meantime. Try again."), messages.ERROR
            )
        return HttpResponseRedirect(request.path)


class MemberForm(forms.ModelForm):
    """The user of a membership cannot change: remove one member and add another instead."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "user" in self.fields:
            self.fields["user"].disabled = True


class MembershipInline(admin.TabularInline):
    model = Membership
    form = MemberForm
    extra = 0
    autocomplete_fields = ("user",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("user", "workspace")


class _WorkspaceForm(forms.ModelForm):
    """Only existing languages and time zones; left empty, the current ones are kept."""

    language = forms.ChoiceField(
        label=gettext_lazy("Notification language"), choices=settings.LANGUAGES, required=False
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["timezone"].required = False

    def clean_language(self) -> str:
        return self.cleaned_data["language"] or self.instance.language

    def clean_timezone(self) -> str:
        zone: str = self.cleaned_data["timezone"]
        return clean_zone(zone) if zone else self.instance.timezone


@admin.register(Workspace)
class WorkspaceAdmin(_MembersAdmin):
    form = _WorkspaceForm
    list_display = ("name", "push_rate", "token_age_days", "created_at")
    search_fields = ("name",)
    fields = ("name", "push_rate", "token_age_days", "language", "timezone", "public_id", "created_at")
    readonly_fields = ("public_id", "created_at")
    inlines = (MembershipInline,)
    delete_warning = gettext_lazy("Members lose access, API keys stop working, and the audit log is deleted.")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only an empty workspace can be deleted: monitors and channels have their own delete operations."""
        if not super().has_delete_permission(request, obj):
            return False
        return obj is None or not (obj.monitors.exists() or obj.channels.exists())

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            changes = {name: form.cleaned_data[name] for name in form.changed_data}
            workspaces.change(workspace=obj, by=admin_of(request), **changes)
        else:
            obj.save()

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Add, change and remove members, new owners first, so that one owner can replace another."""
        formset.save(commit=False)
        by = admin_of(request)
        for member in formset.new_objects:
            members.add(workspace=member.workspace, user=member.user, role=member.role, by=by)
        changed = [member for member, _fields in formset.changed_objects]
        for member in sorted(changed, key=lambda member: member.role != Role.OWNER):
            stored = Membership.objects.select_related("user", "workspace").get(pk=member.pk)
            members.set_role(membership=stored, role=member.role, by=by)
        for member in formset.deleted_objects:
            members.remove(membership=member, by=by)
        formset.save_m2m()


@admin.register(Membership)
class MembershipAdmin(_MembersAdmin):
    form = MemberForm
    list_display = ("user", "workspace", "role")
    list_filter = ("role",)
    list_select_related = ("user", "workspace")
    search_fields = ("user__email", "workspace__name")
    autocomplete_fields = ("user", "workspace")
    ordering = ("-pk",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("user", "workspace") if obj else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("user", "workspace")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            stored = self.get_queryset(request).get(pk=obj.pk)
            members.set_role(membership=stored, role=obj.role, by=admin_of(request))
        else:
            added = members.add(workspace=obj.workspace, user=obj.user, role=obj.role, by=admin_of(request))
            obj.pk = added.pk

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        try:
            members.remove(membership=obj, by=admin_of(request))
        except members.LastOwner:
            raise DeletionNotAllowed(str(_LAST_OWNER)) from None
