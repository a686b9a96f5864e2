"""Middleware of the whole site."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse


class OnlyUtf8:
    """Reads forms and queries as UTF-8, whatever a Content-Type says.

    Browsers send nothing else, and other encodings let through what no database takes, such as halves of
    a surrogate pair.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "charset" in (request.content_params or {}):
            request.encoding = "utf-8"
        return self.get_response(request)


class PushGate:
    """Answers pushes in front of all other middleware.

    A push has no session, no cookies, no language, no CSRF token and no page, and what serves those
    would cost it more than recording it does. It also must not redirect, whatever else does.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        from monitors.api.push import push_gate

        self.get_response = get_response
        self.push = push_gate

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.push(request) or self.get_response(request)


class UnchangedGate:
    """Tells open pages that nothing changed, in front of sessions, languages and the like."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        from monitors.views.overview import unchanged_gate

        self.get_response = get_response
        self.unchanged = unchanged_gate

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.unchanged(request) or self.get_response(request)
