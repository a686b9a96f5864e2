"""Change the email address of the account that is signed in, and confirm the new one."""

from __future__ import annotations

from typing import cast

from allauth.account.decorators import reauthentication_required
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.access import signed_in
from accounts.actors import actor_of
from accounts.forms import EmailForm
from accounts.models import User
from accounts.services import email_changes


@require_http_methods(["GET", "POST"])
@signed_in
@reauthentication_required
def change(request: HttpRequest) -> HttpResponse:
    """Ask for another address, after the password or a code was entered again.

    The answer is the same whether or not another account has the address. Without email, addresses can't be
    confirmed, and the page says who changes them.
    """
    user = cast(User, request.user)
    form = EmailForm(request.POST if request.method == "POST" else None, user=user)
    if settings.TIANJI_EMAIL_URL and form.is_bound and form.is_valid():
        try:
            email_changes.request(user=user, email=form.cleaned_data["email"], by=actor_of(request))
        except email_changes.TooManyRequests:
            form.add_error("email", _("You have asked for too many changes. Try again tomorrow."))
        else:
            return HttpResponseRedirect(reverse("accounts:change_email"), status=303)
    context = {
        "form": form,
        "pending": email_changes.pending_of(user),
        "can_send": bool(settings.TIANJI_EMAIL_URL),
    }
    return render(request, "accounts/change_email.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@signed_in
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Show what the link is for (GET), because programs open links in emails; change the address (POST)."""
    user = cast(User, request.user)
    try:
        if request.method == "GET":
            pending = email_changes.find(token=token, user=user)
            return render(request, "accounts/confirm_email.html", {"pending": pending})
        user = email_changes.confirm(token=token, user=user, by=actor_of(request))
    except (email_changes.ChangeGone, email_changes.AddressTaken):
        return render(request, "accounts/confirm_email_failed.html", status=404)
    messages.success(request, _("Your email address is now %(email)s.") % {"email": user.email})
    return HttpResponseRedirect(reverse("accounts:change_email"), status=303)
