"""Actions of the admin site on many rows: asked about on a page of their own, told row by row.

However many rows are chosen, a request does a part of them and no longer than some seconds; the page
that tells what became of those has a button for the next. What was done already is not done twice when
a page is sent again: each operation finds its row as it is by then.
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
    """What became of one row. `word` is counted in the summary; `name` and `url` are of what it is about."""

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
        do: does it to one row, with what the form said; owns its transaction.
        related: what `do` reads of a row's relations.
        name: how a row is called on the page that asks, and in an outcome that `do` did not give.
        form: what has to be chosen first.
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
    """How far it has come. Rows made since it was asked about, which lie above `up_to`, are not meant."""

    after = forms.IntegerField()
    up_to = forms.IntegerField()


def ask_and_do(
    model_admin: ModelAdmin[Any], request: HttpRequest, queryset: QuerySet[Any], bulk: Bulk
) -> TemplateResponse:
    """Answer an action on `queryset`: ask first, then do a part of it and tell what came of it."""
    place = _Place(request.POST)
    if place.is_valid():
        form = bulk.form(request.POST)
        after, up_to = place.cleaned_data["after"], place.cleaned_data["up_to"]
        if form.is_valid():
            rows = queryset.filter(pk__lte=up_to).order_by("pk").select_related(*bulk.related)
            outcomes, after = _step(rows.filter(pk__gt=after), bulk, form.cleaned_data, after)
            left = rows.filter(pk__gt=after).count()
            return _told(model_admin, request, bulk, form, outcomes, left, after=after, up_to=up_to)
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
    """Do it to as many of `rows` as there is time for; return the outcomes and the last row's number."""
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
        return Outcome(_("Gone"), False, name, detail=_("Somebody deleted it meanwhile."))
    except OperationalError:
        return Outcome(_("Not done"), False, name, detail=_("The database was busy. Try again."))


def _told(
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
    """Return the fields by which the list finds the same rows and the same action again."""
    across = request.POST.get("select_across") == "1"
    # Of all that match a search, none is named; the list asks for one selected row all the same.
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
