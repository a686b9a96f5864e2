"""The one-time page that creates the first owner."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from accounts.forms import SetupForm
from accounts.services import setup as setup_


@require_http_methods(["GET", "POST"])
@never_cache
@sensitive_post_parameters("password")
def setup(request: HttpRequest, token: str) -> HttpResponse:
    """Create the first owner with a one-time link, sign them in and show the overview."""
    form = SetupForm(request.POST if request.method == "POST" else None)
    try:
        if not setup_.is_valid(token):
            raise setup_.SetupUnavailable
        if form.is_bound and form.is_valid():
            owner = setup_.create_owner(**form.cleaned_data, token=token)
            login(request, owner, backend=settings.AUTHENTICATION_BACKENDS[0])
            return HttpResponseRedirect(reverse("monitors:overview"), status=303)
    except setup_.SetupUnavailable:
        response = render(request, "accounts/setup_closed.html", {"needed": setup_.is_needed()}, status=404)
    else:
        response = render(request, "accounts/setup.html", {"form": form}, status=422 if form.errors else 200)
    # The URL is the secret. "no-referrer" would protect it as well, but makes browsers send the form with
    # "Origin: null", which fails the CSRF check.
    response["Referrer-Policy"] = "strict-origin"
    return response
