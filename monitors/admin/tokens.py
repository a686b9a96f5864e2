"""Push tokens in the admin site: rotated and revoked, one or many, and never readable."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.actors import admin_of
from core.admin import SiteAdmin
from core.admin_bulk import Bulk, confirm_and_run
from monitors.admin import token_actions
from monitors.admin.forms import RotateForm
from monitors.admin.token_actions import masked_url, state_of
from monitors.models import PushToken
from monitors.querysets import is_active
from monitors.services import tokens


class StateFilter(admin.SimpleListFilter):
    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("current", gettext_lazy("Active")),
            ("overlap", gettext_lazy("Active, already replaced")),
            ("expired", gettext_lazy("Expired")),
            ("revoked", gettext_lazy("Revoked")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "current":
                return queryset.filter(is_active(), replaced_by=None)
            case "overlap":
                return queryset.filter(is_active(), replaced_by__isnull=False)
            case "expired":
                return queryset.filter(revoked_at=None, expires_at__lte=Now())
            case "revoked":
                return queryset.filter(revoked_at__isnull=False)
        return queryset


@admin.register(PushToken)
class PushTokenAdmin(SiteAdmin):
    """Tokens are created with a monitor, by rotation, or on the monitor's page; here they are managed."""

    change_form_template = "admin/monitors/pushtoken/change_form.html"
    list_display = ("masked", "monitor", "workspace", "label", "state", "last_used_at", "last_used_from")
    list_display_links = ("masked",)
    list_filter = (StateFilter, "imported")
    list_select_related = ("monitor__workspace",)
    list_max_show_all = 1000
    search_fields = ("monitor__name", "monitor__workspace__name", "label", "=last_four")
    search_help_text = gettext_lazy("Monitor, workspace, label, or the last four characters.")
    ordering = ("-pk",)
    actions = ("rotate_selected", "revoke_selected")
    fields = (
        "monitor",
        "workspace",
        "masked",
        "push_url",
        "label",
        "state",
        "created_at",
        "created_by",
        "imported",
        "expires_at",
        "revoked_at",
        "replaced_by",
        "replaced_at",
        "change_is_complete",
        "last_used_at",
        "last_used_from",
        "limited_count",
        "limited_at",
        "public_id",
    )
    readonly_fields = tuple(name for name in fields if name != "label")
    secret_fields = ("digest", "sealed")

    @admin.display(description=gettext_lazy("token"), ordering="last_four")
    def masked(self, token: PushToken) -> str:
        return str(token)

    @admin.display(description=gettext_lazy("workspace"), ordering="monitor__workspace__name")
    def workspace(self, token: PushToken) -> str:
        return str(token.monitor.workspace)

    @admin.display(description=gettext_lazy("push URL"))
    def push_url(self, token: PushToken) -> str:
        return format_html(
            "{} (<a href='{}'>{}</a>)",
            masked_url(token),
            reverse("monitors:detail", args=[token.monitor.public_id]),
            _("open the monitor's page to copy it"),
        )

    @admin.display(description=gettext_lazy("state"), ordering="expires_at")
    def state(self, token: Any) -> str:
        return state_of(token, token.read_at)

    @admin.display(description=gettext_lazy("rotation complete"), boolean=True)
    def change_is_complete(self, token: Any) -> bool | None:
        if token.replaced_by is None:
            return None
        return tokens.change_is_complete(
            old=token, new=token.replaced_by, monitor=token.monitor, now=token.read_at
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).annotate(read_at=Now())

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if "label" in form.changed_data:
            token = PushToken.objects.select_related("monitor__workspace").get(pk=obj.pk)
            tokens.rename(token=token, label=form.cleaned_data["label"], by=admin_of(request))

    # --- One token

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        ours = [
            path("<path:object_id>/rotate/", wrap(self.rotate_view), name="monitors_pushtoken_rotate"),
            path("<path:object_id>/revoke/", wrap(self.revoke_view), name="monitors_pushtoken_revoke"),
        ]
        return [*ours, *super().get_urls()]

    def rotate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask how (GET), then rotate (POST) and go to the new token's page."""
        token = self._token_to_change(request, object_id)
        form = RotateForm(request.POST if request.method == "POST" else None)
        if form.is_bound and form.is_valid():
            try:
                rotated = tokens.rotate(token=token, by=admin_of(request), **form.cleaned_data)
                return self._rotated(request, token, rotated)
            except tokens.TokenInactive:
                self.message_user(request, _("This token is no longer valid."), messages.ERROR)
                return _to_page(token)
            except tokens.TooManyTokens:
                form.add_error(None, _("The monitor has the maximum number of tokens. Revoke one first."))
            except tokens.RotationInProgress as running:
                form.add_error("force", token_actions.overlap_runs(running))
        lines = [_("The monitor gets a new push URL. Switch the senders to it before the overlap ends.")]
        if token.replaced_by_id is not None:
            lines.append(_("This token was already rotated; its latest successor is rotated instead."))
        return self._ask(request, token, title=_("Rotate"), lines=lines, button=_("Rotate"), form=form)

    def _rotated(self, request: HttpRequest, old: PushToken, rotated: tokens.Rotated) -> HttpResponse:
        monitor, new = old.monitor, rotated.new.token
        words = _("The new push URL is {url}. {link} to copy it (owners and admins of the workspace only).")
        link = format_html(
            "<a href='{}'>{}</a>",
            reverse("monitors:detail", args=[monitor.public_id]),
            _("Open the monitor's page"),
        )
        self.message_user(request, format_html(words, url=masked_url(new), link=link), messages.SUCCESS)
        self.log_change(request, rotated.old, _("Rotated."))
        return _to_page(new)

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask first (GET), then revoke (POST)."""
        token = self._token_to_change(request, object_id)
        if request.method == "POST":
            if tokens.revoke(token=token, by=admin_of(request)):
                self.log_change(request, token, _("Revoked."))
                self.message_user(request, _("Revoked the push token %(token)s.") % {"token": token})
            else:
                self.message_user(request, _("Already revoked."), messages.WARNING)
            return _to_page(token)
        lines = [_("Pushes to its URL are rejected from now on. This cannot be undone.")]
        others = token.monitor.tokens.valid().exclude(pk=token.pk)
        if not others.exists():
            lines.append(_("This is the monitor's last active token: the monitor will go down."))
        return self._ask(request, token, title=_("Revoke"), lines=lines, button=_("Revoke"))

    def _token_to_change(self, request: HttpRequest, object_id: str) -> PushToken:
        token = self.get_object(request, unquote(object_id))
        if not self.has_change_permission(request, token):
            raise PermissionDenied
        if token is None:
            raise Http404
        return PushToken.objects.select_related("monitor__workspace", "replaced_by").get(pk=token.pk)

    def _ask(self, request: HttpRequest, token: PushToken, **context: Any) -> HttpResponse:
        about = _("%(token)s of “%(monitor)s” in “%(workspace)s”") % {
            "token": token,
            "monitor": token.monitor,
            "workspace": token.monitor.workspace,
        }
        context = {
            **self.admin_site.each_context(request),
            "subtitle": about,
            "opts": self.opts,
            "object": token,
            "back": reverse("admin:monitors_pushtoken_change", args=[token.pk]),
            **context,
        }
        return TemplateResponse(request, "admin/confirm_form.html", context)

    # --- Many

    @admin.action(description=gettext_lazy("Rotate selected tokens"), permissions=["change"])
    def rotate_selected(self, request: HttpRequest, queryset: QuerySet[PushToken]) -> HttpResponse:
        by = admin_of(request)
        bulk = Bulk(
            action="rotate_selected",
            title=_("Rotate push tokens"),
            warning=_(
                "Each token gets a successor with the same label. Switch the senders to the new push URLs "
                "before the overlap ends. Tokens that were already rotated are skipped."
            ),
            button=_("Rotate"),
            do=lambda token, options: token_actions.rotate_one(token, by=by, **options),
            related=("monitor__workspace",),
            name=token_actions.name_of,
            form=RotateForm,
        )
        return confirm_and_run(self, request, queryset, bulk)

    @admin.action(description=gettext_lazy("Revoke selected tokens"), permissions=["change"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[PushToken]) -> HttpResponse:
        by = admin_of(request)
        bulk = Bulk(
            action="revoke_selected",
            title=_("Revoke push tokens"),
            warning=_(
                "Pushes to their URLs are rejected from now on. This cannot be undone. A monitor without "
                "another active token will go down."
            ),
            button=_("Revoke"),
            do=lambda token, _options: token_actions.revoke_one(token, by=by),
            related=("monitor__workspace",),
            name=token_actions.name_of,
        )
        return confirm_and_run(self, request, queryset, bulk)


def _to_page(token: PushToken) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:monitors_pushtoken_change", args=[token.pk]))
