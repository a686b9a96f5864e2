"""Responses that views share: to a page that is current already, and after a change."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from monitors.models import Monitor

# Open pages send the version that they show (static/js/polling.js).
VERSION_HEADER = "Tianji-Version"


def shows(request: HttpRequest, version: str) -> bool:
    """Return whether the page that sent `request` shows `version` already."""
    return request.headers.get(VERSION_HEADER) == version


def redirect_to_monitor(monitor: Monitor) -> HttpResponse:
    """Send the browser to the page of `monitor`, after a POST."""
    return HttpResponseRedirect(reverse("monitors:detail", args=[monitor.public_id]), status=303)
