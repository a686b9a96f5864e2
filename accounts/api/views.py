"""The OpenAPI document, the pages that show it, and what the problems mean."""

from __future__ import annotations

import json
from functools import cache

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from rest_framework.request import Request

from accounts.api.base import ApiView
from accounts.api.problems import KINDS, Problem


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    """The OpenAPI document. It is made once: that takes a second, and anybody may ask for it."""
    return HttpResponse(_document(get_language()), content_type="application/json")


@cache
def _document(language: str) -> bytes:
    # All of it, whoever asks: what a key may do is not what there is.
    document = SchemaGenerator().get_schema(request=None, public=True)
    return json.dumps(document, ensure_ascii=False).encode()


@require_safe
def problem(request: HttpRequest, kind: str) -> HttpResponse:
    """Explain a kind of problem, the page that its `type` leads to."""
    if kind not in KINDS:
        raise Http404
    return render(request, "api/problem.html", {"name": kind, "kind": KINDS[kind]})


class Nothing(ApiView):
    """What the management API answers where there is nothing: a problem too, and not a page."""

    schema = None  # type: ignore[assignment]

    def check_permissions(self, request: Request) -> None:
        slash = not request.path.endswith("/")
        raise Problem("not-found", _("API URLs end with a slash.") if slash else "")
