"""What people see when a page fails."""

from __future__ import annotations

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.defaults import server_error

# How often the page reloads by itself while the database is away.
RELOAD_SECONDS = 5


def failed(request: HttpRequest) -> HttpResponse:
    """Return 503 with a page that reloads itself if the database did not respond, else Django's 500.

    The page is rendered without the user's account, which is in that database.
    """
    if not isinstance(sys.exc_info()[1], (OperationalError, InterfaceError)):
        return server_error(request)
    page = render_to_string("503.html", {"seconds": RELOAD_SECONDS})
    headers = {"Retry-After": str(RELOAD_SECONDS), "Cache-Control": "no-store"}
    return HttpResponse(page, status=503, headers=headers)
