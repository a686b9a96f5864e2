"""The OpenAPI document, the pages that explain problems, and the 404 of the API."""

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

from api.base import ApiView
from api.problems import KINDS, Problem


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    """Return the OpenAPI document. It is generated once, because that takes a second and it is public."""
    return HttpResponse(_document(get_language()), content_type="application/json")


@cache
def _document(language: str) -> bytes:
    # The whole document for everyone, whatever their key may do.
    document = SchemaGenerator().get_schema(request=None, public=True)
    return json.dumps(document, ensure_ascii=False).encode()


@require_safe
def problem(request: HttpRequest, kind: str) -> HttpResponse:
    """Explain a kind of problem: the page that its `type` points to."""
    if kind not in KINDS:
        raise Http404
    return render(request, "api/problem.html", {"name": kind, "kind": KINDS[kind]})


class NotFoundView(ApiView):
    """The 404 of the management API: a problem, not a page."""

    schema = None  # type: ignore[assignment]

    def check_permissions(self, request: Request) -> None:
        slash = not request.path.endswith("/")
        raise Problem("not-found", _("API URLs end with a slash.") if slash else "")
