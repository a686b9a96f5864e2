"""The rotation of a push token: replace it, and decide when the old one expires."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.actors import actor_of
from core.clock import database_now
from monitors.access import get_token_or_404, members_only
from monitors.domain.durations import about, exactly
from monitors.forms.tokens import RemainingForm, RotateForm
from monitors.models import Monitor, PushToken
from monitors.pages import tokens as token_page
from monitors.pages.tokens import OldToken, TokenRow
from monitors.services import tokens
from monitors.views.detail import show_next
from monitors.views.dialogs import ask, confirm
from monitors.views.tokens import (
    redirect_to_tokens,
    rejected_in_words,
    tokens_url,
    too_many_in_words,
    used_in_words,
)


@require_http_methods(["GET", "POST"])
@members_only
def rotate(request: HttpRequest, public_id: UUID, token_id: UUID) -> HttpResponse:
    """Ask how long the old token stays valid (GET), then rotate it (POST)."""
    monitor, token = get_token_or_404(request, public_id, token_id)
    row = _row_of(monitor, token)
    form = RotateForm(request.POST if request.method == "POST" else None, running=bool(row.old))
    if form.is_bound and form.is_valid():
        try:
            rotated = tokens.rotate(
                token=row.token, overlap=form.length, force=bool(row.old), by=actor_of(request)
            )
        except tokens.RotationInProgress:
            # Someone else has rotated it in the meantime: ask again with the current facts.
            row = _row_of(monitor, token)
            form = RotateForm(request.POST, running=True)
        except tokens.TooManyTokens:
            form.add_error(None, too_many_in_words())
        else:
            show_next(request, rotated.new.token)
            messages.success(request, _rotated_in_words(form.cleaned_data["overlap"]))
            return redirect_to_tokens(monitor)
    return ask(
        request,
        form,
        title=_("Rotate the push token %(token)s?") % {"token": row.token},
        text=_(
            "Creates a new push URL. The old one keeps working for a while, so that you can update the "
            "senders."
        ),
        warning=_running_in_words(row),
        button=_("Rotate"),
        cancel=tokens_url(monitor),
    )


def _row_of(monitor: Monitor, token: PushToken) -> TokenRow:
    row = token_page.section(monitor, database_now()).row_of(token.public_id)
    if row is None:
        raise Http404
    return row


def _rotated_in_words(overlap: int) -> str:
    if not overlap:
        return _("The new push URL is below. Pushes to the old one are now rejected.")
    return _("The new push URL is below. The old one expires in %(time)s: update the senders by then.") % {
        "time": exactly(overlap)
    }


def _running_in_words(row: TokenRow) -> str:
    """Return what a running overlap means for a second rotation, "" if there is none."""
    if not row.old:
        return ""
    return _(
        "An earlier rotation isn't finished: %(usage)s If you rotate again, there will be two old tokens, "
        "and the senders of both need the newest one."
    ) % {"usage": " ".join(_old_in_words(old) for old in row.old)}


def _old_in_words(old: OldToken) -> str:
    token = old.token
    now = database_now()
    words = {
        "token": token,
        "left": about(max((token.expires_at - now).total_seconds(), 0)) if token.expires_at else "",
        "ago": about(max((now - token.last_used_at).total_seconds(), 0)) if token.last_used_at else "",
        "source": token.last_used_from,
    }
    if not token.last_used_at:
        return _("the old token %(token)s was never used and expires in %(left)s.") % words
    if not token.last_used_from:
        return _("the old token %(token)s was last used %(ago)s ago and expires in %(left)s.") % words
    return (
        _("the old token %(token)s was last used %(ago)s ago from %(source)s and expires in %(left)s.")
        % words
    )


@require_http_methods(["GET", "POST"])
@members_only
def extend(request: HttpRequest, public_id: UUID, token_id: UUID) -> HttpResponse:
    """Ask (GET), then set when an old token expires (POST)."""
    monitor, token = get_token_or_404(request, public_id, token_id)
    form = RemainingForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        return _set_overlap(request, monitor, token, form.length)
    return ask(
        request,
        form,
        title=_("How long should the old token %(token)s keep working?") % {"token": token},
        text=_("Allow enough time for your slowest sender to get the new push URL."),
        button=_("Save"),
        cancel=tokens_url(monitor),
    )


@require_http_methods(["GET", "POST"])
@members_only
def end(request: HttpRequest, public_id: UUID, token_id: UUID) -> HttpResponse:
    """Ask first (GET), then expire an old token early (POST)."""
    monitor, token = get_token_or_404(request, public_id, token_id)
    if request.method == "POST":
        return _set_overlap(request, monitor, token, timedelta(0))
    return confirm(
        request,
        title=_("Expire the old token %(token)s now?") % {"token": token},
        text=f"{used_in_words(token)} {rejected_in_words()}",
        button=_("Expire now"),
        cancel=tokens_url(monitor),
    )


def _set_overlap(
    request: HttpRequest, monitor: Monitor, token: PushToken, remaining: timedelta
) -> HttpResponse:
    try:
        tokens.set_overlap(token=token, remaining=remaining, by=actor_of(request))
    except tokens.TokenInactive:
        messages.warning(request, _("The old token has already expired."))
    except tokens.NotReplaced:
        messages.warning(
            request, _("This token was not rotated, so it has no expiry. Revoke it to stop it working.")
        )
    else:
        messages.success(request, _("Saved.") if remaining else _("Expired the old token."))
    return redirect_to_tokens(monitor)
