"""Users in the admin site."""

from __future__ import annotations

from typing import Any, cast

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from accounts.actors import admin_of
from accounts.addresses import normalized, require_plain
from accounts.models import Membership, Role, User
from accounts.services import email_changes, password_links, sign_in_changes
from core.admin import DeletionNotAllowed, SiteAdmin


class _NormalizedEmail:
    """Mixin: people sign in with their email address, in upper or lower case."""

    def clean_email(self) -> str:
        form = cast("ModelForm[User]", self)
        email = normalized(str(form.cleaned_data["email"]))
        require_plain(email)
        if User.objects.filter(email=email).exclude(pk=form.instance.pk).exists():
            raise ValidationError(_("This email address is already in use."))
        return email


class NewUserForm(_NormalizedEmail, AdminUserCreationForm):
    class Meta:
        model = User
        fields = ("email",)


class UserForm(_NormalizedEmail, UserChangeForm):
    class Meta:
        model = User
        fields = "__all__"
        field_classes: dict[str, Any] = {}


@admin.register(User)
class UserAdmin(SiteAdmin, DjangoUserAdmin):
    """Users. Only superusers can make someone staff, and change or delete a superuser."""

    form = UserForm
    add_form = NewUserForm
    change_form_template = "admin/accounts/user/change_form.html"
    list_display = ("email", "is_active", "is_staff", "is_superuser", "last_login", "date_joined")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("email",)
    ordering = ("email",)
    filter_horizontal = ("groups", "user_permissions")
    fieldsets = (
        (None, {"fields": ("email", "password", "has_second_factor")}),
        (
            gettext_lazy("Permissions"),
            {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")},
        ),
        (gettext_lazy("Important dates"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (None, {"classes": ("wide",), "fields": ("email", "usable_password", "password1", "password2")}),
    )
    readonly_fields = ("has_second_factor", "last_login", "date_joined")
    secret_fields = ("password",)
    delete_warning = gettext_lazy(
        "The audit log keeps this person's actions under their email address. To block the account without "
        "deleting it, clear “active” instead."
    )

    @admin.display(description=gettext_lazy("second factor"), boolean=True)
    def has_second_factor(self, user: User) -> bool:
        return Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and can_change_user(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_delete_permission(request, obj) and can_change_user(request, obj)
        return allowed and obj != request.user

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = tuple(super().get_readonly_fields(request, obj))
        if cast(User, request.user).is_superuser:
            return fields
        return (*fields, "is_staff", "is_superuser", "groups", "user_permissions")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save; another address is recorded, and announced at both."""
        with transaction.atomic():
            if change and "email" in form.changed_data:
                by, email = admin_of(request), obj.email
                obj.email = email_changes.change_to(user=obj, email=email, by=by).email
            super().save_model(request, obj, form, change)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Django's page for a new password; that it was changed is recorded, and announced."""
        with transaction.atomic():
            before = self.get_object(request, unquote(id))
            response: HttpResponse = super().user_change_password(request, id, form_url)
            if before and (
                user := User.objects.exclude(password=before.password).filter(pk=before.pk).first()
            ):
                sign_in_changes.password_changed(user=user, by=admin_of(request))
        return response

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        if workspace := _owned_alone(obj):
            words = _("“%(workspace)s” has no other owner. Make someone else an owner first.")
            raise DeletionNotAllowed(words % {"workspace": workspace})
        super().delete_model(request, obj)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.send_password_link)
        ours = [path("<path:object_id>/password-link/", view, name="accounts_user_password_link")]
        return [*ours, *super().get_urls()]

    def send_password_link(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for confirmation (GET), then send the user a link to choose a password (POST)."""
        user = self.get_object(request, unquote(object_id))
        if user is None:
            raise Http404
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        back = reverse("admin:accounts_user_change", args=[user.pk])
        if not (settings.TIANJI_EMAIL_URL and user.is_active):
            words = (
                _("Email is not set up on this server (TIANJI_EMAIL_URL). Set a password here instead.")
                if user.is_active
                else _("This account is inactive.")
            )
            self.message_user(request, words, messages.WARNING)
            return HttpResponseRedirect(back)
        if request.method == "POST":
            password_links.request(email=user.email, language=get_language() or "en")
            sent = _("A password link has been sent to %(email)s.") % {"email": user.email}
            self.message_user(request, sent, messages.SUCCESS)
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Send a password link"),
            "subtitle": None,
            "opts": self.opts,
            "object": user,
            "lines": [
                _("%(email)s will get an email with a link to choose a password.") % {"email": user.email}
            ],
            "button": _("Send link"),
            "back": back,
        }
        return TemplateResponse(request, "admin/confirm_form.html", context)


def _owned_alone(user: User) -> str:
    """Return the name of a workspace that has no owner but `user`, or ""."""
    owners = Membership.objects.filter(role=Role.OWNER)
    others = owners.filter(workspace=OuterRef("workspace")).exclude(user=user)
    alone = owners.filter(~Exists(others), user=user).select_related("workspace").first()
    return alone.workspace.name if alone else ""


def can_change_user(request: HttpRequest, user: User | None) -> bool:
    """Return whether the sender of `request` may change `user`: superusers only by superusers."""
    return user is None or not user.is_superuser or cast(User, request.user).is_superuser
