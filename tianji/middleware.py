"""Middleware for the whole site."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from monitors.api.push import push_gate
from monitors.views.overview import unchanged_gate


class OnlyUtf8:
    """Reads forms and queries as UTF-8, whatever a Content-Type says.

    Browsers send nothing else, and other encodings let through text that no database accepts, such as
    unpaired surrogates.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "charset" in (request.content_params or {}):
            request.encoding = "utf-8"
        return self.get_response(request)


class PushGate:
    """Handles pushes before all other middleware.

    A push has no session, cookies, language, CSRF token or page, and the middleware for those would cost
    more than recording the push does. A push must also never be redirected.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return push_gate(request) or self.get_response(request)


class UnchangedGate:
    """Answers polls of open pages when nothing changed, before sessions, languages and so on."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return unchanged_gate(request) or self.get_response(request)
