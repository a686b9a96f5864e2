"""Bulk actions in the admin site: confirmed on a page of their own, with the outcome of each row.

However many rows are selected, one request handles only as many as fit into some seconds; its result page
has a button to continue with the rest. Sending a page twice does nothing twice, because each operation
reads the current state of its row.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ObjectDoesNotExist
from django.db import OperationalError
from django.db.models import Max, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

STEP_ROWS = 1000
STEP_SECONDS = 20.0
_NAMED_MOST = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome for one row. The summary counts by `word`; `name` and `url` identify the object."""

    word: str
    done: bool
    name: str
    url: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """An action on many rows.

    Args:
        action: its name in the list of actions.
        do: handles one row, with the form's cleaned data; has its own transaction.
        related: the relations of a row that `do` reads.
        name: the name of a row on the confirmation page, and in an outcome that `do` did not return.
        form: the options of the action.
    """

    action: str
    title: str
    warning: str
    button: str
    do: Callable[[Any, dict[str, Any]], Outcome]
    related: tuple[str, ...] = ()
    name: Callable[[Any], str] = str
    form: type[forms.Form] = forms.Form


class _Place(forms.Form):
    """The progress. Rows created since the confirmation, which are above `up_to`, are left alone."""

    after = forms.IntegerField()
    up_to = forms.IntegerField()


def confirm_and_run(
    model_admin: ModelAdmin[Any], request: HttpRequest, queryset: QuerySet[Any], bulk: Bulk
) -> TemplateResponse:
    """Handle an action on `queryset`: ask for confirmation, then handle a part and show the outcome."""
    place = _Place(request.POST)
    if place.is_valid():
        form = bulk.form(request.POST)
        after, up_to = place.cleaned_data["after"], place.cleaned_data["up_to"]
        if form.is_valid():
            rows = queryset.filter(pk__lte=up_to).order_by("pk").select_related(*bulk.related)
            outcomes, after = _step(rows.filter(pk__gt=after), bulk, form.cleaned_data, after)
            left = rows.filter(pk__gt=after).count()
            return _outcome_page(model_admin, request, bulk, form, outcomes, left, after=after, up_to=up_to)
    else:
        form = bulk.form()
        after, up_to = 0, queryset.aggregate(most=Max("pk"))["most"] or 0
    rows = queryset.filter(pk__gt=after, pk__lte=up_to).order_by("pk").select_related(*bulk.related)
    context = {
        "form": form,
        "names": [bulk.name(row) for row in rows[:_NAMED_MOST]],
        "count": (count := rows.count()),
        "unnamed": max(0, count - _NAMED_MOST),
        "hidden": _hidden(request, bulk, after=after, up_to=up_to),
    }
    return _page(model_admin, request, bulk, "admin/bulk_confirm.html", context)


def _step(rows: QuerySet[Any], bulk: Bulk, options: dict[str, Any], after: int) -> tuple[list[Outcome], int]:
    """Handle as many of `rows` as time allows; return the outcomes and the id of the last row."""
    ends = time.monotonic() + STEP_SECONDS
    outcomes: list[Outcome] = []
    for row in rows[:STEP_ROWS]:
        after = row.pk
        outcomes.append(_do(row, bulk, options))
        if time.monotonic() > ends:
            break
    return outcomes, after


def _do(row: Any, bulk: Bulk, options: dict[str, Any]) -> Outcome:
    name = bulk.name(row)
    try:
        return bulk.do(row, options)
    except ObjectDoesNotExist:
        return Outcome(_("Not found"), False, name, detail=_("It was deleted in the meantime."))
    except OperationalError:
        return Outcome(_("Failed"), False, name, detail=_("The database was busy. Try again."))


def _outcome_page(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    bulk: Bulk,
    form: forms.Form,
    outcomes: list[Outcome],
    left: int,
    **place: int,
) -> TemplateResponse:
    context = {
        "outcomes": outcomes,
        "counts": Counter(outcome.word for outcome in outcomes).most_common(),
        "left": left,
        "hidden": _hidden(request, bulk, **place),
        "options": [(name, request.POST.getlist(name)) for name in form.fields],
    }
    return _page(model_admin, request, bulk, "admin/bulk_result.html", context)


def _hidden(request: HttpRequest, bulk: Bulk, **place: int) -> list[tuple[str, list[Any]]]:
    """Return the hidden fields with which the list finds the same rows and action again."""
    across = request.POST.get("select_across") == "1"
    # With "select across", no row is named, but Django's list view requires at least one selection.
    selected = ["0"] if across else request.POST.getlist(ACTION_CHECKBOX_NAME)
    return [
        ("action", [bulk.action]),
        ("select_across", ["1" if across else "0"]),
        (ACTION_CHECKBOX_NAME, selected),
        *((name, [value]) for name, value in place.items()),
    ]


def _page(
    model_admin: ModelAdmin[Any], request: HttpRequest, bulk: Bulk, template: str, context: dict[str, Any]
) -> TemplateResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "title": bulk.title,
        "subtitle": None,
        "opts": model_admin.opts,
        "bulk": bulk,
        "back": request.get_full_path(),
        "media": model_admin.media,
        **context,
    }
    return TemplateResponse(request, template, context)
