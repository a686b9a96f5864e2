"""Light or dark theme: kept in a cookie, so that the page is rendered with the right one from the start."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

COOKIE = "theme"
AUTO = "auto"
# "auto" follows the operating system, and needs no cookie.
THEMES = {AUTO: _("System"), "light": _("Light"), "dark": _("Dark")}
_YEAR = 60 * 60 * 24 * 365


def theme(request: HttpRequest) -> dict[str, Any]:
    """Add `theme`, one of THEMES, and `themes` to choose from, to every page."""
    selected = request.COOKIES.get(COOKIE, AUTO)
    return {"theme": selected if selected in THEMES else AUTO, "themes": THEMES}


@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Remember the posted `theme` for a year and redirect to `next`, or to the previous page.

    Returns 400 for an unknown theme.
    """
    selected = request.POST.get("theme", "")
    back = request.POST.get("next", "") or request.META.get("HTTP_REFERER", "")
    if selected not in THEMES:
        return HttpResponseBadRequest()
    secure = request.is_secure()
    if not url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}, require_https=secure):
        back = "/"
    response = HttpResponseRedirect(back, status=303)
    if selected == AUTO:
        response.delete_cookie(COOKIE, samesite="Lax")
    else:
        response.set_cookie(
            COOKIE,
            selected,
            max_age=_YEAR,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
        )
    return response
