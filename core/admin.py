"""Base classes for the admin site: fast on large tables, without bypassing our operations."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from functools import cached_property
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import CharField, EmailField, Model, TextField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from core.form_fields import LineEmailField, LineField, PlainTextField

MAX_COUNT = 10_000
_FORM_FIELDS = {CharField: LineField, EmailField: LineEmailField, TextField: PlainTextField}


class DeletionNotAllowed(Exception):
    """The deletion is not allowed; the message says why. Nothing was deleted."""


class BoundedPaginator(Paginator):
    """Counts at most COUNTED_MOST rows: counting a large table takes as long as reading it."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[:MAX_COUNT].count())


class SiteAdmin(admin.ModelAdmin):
    """The base of our admin pages.

    `secret_fields` are columns that no page shows and no URL may filter by: filtering a list by the first
    letters of a secret would reveal it. The delete page names only the object itself; listing everything
    deleted with it could mean reading whole tables.
    """

    secret_fields: tuple[str, ...] = ()
    show_full_result_count = False
    # Facets would count every choice of every filter.
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 100
    delete_confirmation_template = "admin/confirm_delete.html"
    delete_warning: Any = ""

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Names and addresses are as strict here as everywhere else."""
        if not db_field.choices:
            kwargs |= {"form_class": form_class} if (form_class := _FORM_FIELDS.get(type(db_field))) else {}
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        if lookup.partition("__")[0] in self.secret_fields:
            return False
        return super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]

    def get_actions(self, request: HttpRequest) -> Any:
        """Drop Django's bulk deletion, which loads and lists everything first."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        return [str(obj) for obj in objs], {}, set(), []

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask for confirmation (GET), then delete (POST). No transaction here: the operation has its own."""
        obj = self.get_object(request, unquote(object_id))
        if not self.has_delete_permission(request, obj):
            raise PermissionDenied
        if obj is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined]
        if request.method == "POST":
            was = copy(obj)
            try:
                self.delete_model(request, obj)
            except DeletionNotAllowed as refused:
                self.message_user(request, str(refused), messages.ERROR)
                return HttpResponseRedirect(request.path)
            self.log_deletions(request, [was])  # type: ignore[arg-type]
            return self.response_delete(request, str(was), was.pk)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Delete"),
            "subtitle": None,
            "object": obj,
            "opts": self.opts,
            "warning": self.delete_warning,
            **(extra_context or {}),
        }
        return self.render_delete_form(request, context)


class LargeTableAdmin(SiteAdmin):
    """For tables that keep growing: newest first, and never counted completely."""

    paginator = BoundedPaginator
    ordering = ("-pk",)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        answer = super().changelist_view(request, extra_context)
        shown = answer.context_data if isinstance(answer, TemplateResponse) else None
        if shown and "cl" in shown and shown["cl"].result_count == MAX_COUNT:
            shown["subtitle"] = _("Showing the first %(most)d. Search or filter to find more.") % {
                "most": MAX_COUNT
            }
        return answer


class ReadOnly:
    """Mixin: view only, whatever permissions the user has."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
