"""The push tokens of a monitor: list, show, add, import, label and revoke them."""

from __future__ import annotations

from dataclasses import asdict
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import membership_of
from accounts.actors import actor_of
from accounts.models import Role
from core.clock import database_now
from core.pagination import page_of
from monitors.access import get_monitor_or_404, get_token_or_404, members_only
from monitors.domain.durations import about
from monitors.forms.tokens import ImportForm, LabelForm
from monitors.models import Monitor, PushToken
from monitors.pages.tokens import TokenRow
from monitors.services import tokens
from monitors.views.detail import detail_page, reveal, show_next
from monitors.views.dialogs import ask, confirm


@require_GET
@members_only
def token_list(request: HttpRequest) -> HttpResponse:
    """All active tokens of the workspace, masked, oldest first, after the cursor `after`."""
    workspace = membership_of(request).workspace
    now = database_now()
    working = PushToken.objects.in_workspace(workspace).valid().select_related("monitor")
    page = page_of(working, "created_at", cursor=request.GET.get("after", ""), newest_first=False)
    to_change = PushToken.objects.to_change(workspace, now)
    context = {
        "page": page,
        "now": now,
        "to_change": to_change.count(),
        "to_change_here": set(
            to_change.filter(pk__in=[token.pk for token in page.rows]).values_list("pk", flat=True)
        ),
    }
    return render(request, "monitors/tokens/list.html", context)


# --- One token -----------------------------------------------------------------------------------


@require_POST
@members_only
@sensitive_variables("lines")
def show(request: HttpRequest, public_id: UUID, token_id: UUID) -> HttpResponse:
    """Show a full push URL: on the page; for htmx, only that part; for a copy button, as JSON."""
    monitor, token = get_token_or_404(request, public_id, token_id)
    kind = request.get_preferred_type(["text/html", "application/json"])
    if not (request.htmx or kind == "application/json"):  # type: ignore[attr-defined]
        return detail_page(request, monitor, shown=token)
    lines = reveal(request, monitor, token)[token.pk]
    if kind == "application/json":
        return JsonResponse(asdict(lines) if lines else {}, status=200 if lines else 409)
    row = TokenRow(token, shown_in_full=True, lines=lines)
    return render(request, "monitors/tokens/_push_url.html", {"monitor": monitor, "row": row})


@require_http_methods(["GET", "POST"])
@members_only
def rename(request: HttpRequest, public_id: UUID, token_id: UUID) -> HttpResponse:
    """Ask (GET), then change a token's label (POST)."""
    monitor, token = get_token_or_404(request, public_id, token_id)
    form = LabelForm(request.POST if request.method == "POST" else None, initial={"label": token.label})
    if form.is_bound and form.is_valid():
        tokens.rename(token=token, label=form.cleaned_data["label"], by=actor_of(request))
        return redirect_to_tokens(monitor)
    return ask(
        request,
        form,
        title=_("Label the push token %(token)s") % {"token": token},
        button=_("Save"),
        cancel=tokens_url(monitor),
    )


@require_http_methods(["GET", "POST"])
@members_only
def revoke(request: HttpRequest, public_id: UUID, token_id: UUID) -> HttpResponse:
    """Ask first (GET), then revoke a token (POST)."""
    monitor, token = get_token_or_404(request, public_id, token_id)
    if request.method == "POST":
        tokens.revoke(token=token, by=actor_of(request))
        messages.success(request, _("Revoked the push token %(token)s.") % {"token": token})
        return redirect_to_tokens(monitor)
    text = [used_in_words(token), rejected_in_words()]
    if not monitor.tokens.valid().exclude(pk=token.pk).exists():
        text.append(
            _(
                "It is the last active one: until you add another, nothing can send heartbeats to this "
                "monitor."
            )
        )
    return confirm(
        request,
        title=_("Revoke the push token %(token)s?") % {"token": token},
        text=" ".join(text),
        button=_("Revoke"),
        cancel=tokens_url(monitor),
    )


def rejected_in_words() -> str:
    """Return what happens to senders whose token is revoked or expires."""
    return _("Senders that use it are rejected from then on. This cannot be undone.")


def used_in_words(token: PushToken) -> str:
    """Return when `token` was last used, and from where."""
    if not token.last_used_at:
        return _("Never used.")
    words = {
        "ago": about(max((database_now() - token.last_used_at).total_seconds(), 0)),
        "source": token.last_used_from,
    }
    if not token.last_used_from:
        return _("Last used %(ago)s ago.") % words
    return _("Last used %(ago)s ago from %(source)s.") % words


# --- Further tokens ------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@members_only
def issue(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Ask for a label (GET), then create another token (POST)."""
    monitor = get_monitor_or_404(request, public_id, role=Role.ADMIN)
    form = LabelForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            issued = tokens.issue(monitor=monitor, label=form.cleaned_data["label"], by=actor_of(request))
        except tokens.TooManyTokens:
            form.add_error(None, too_many_in_words())
        else:
            show_next(request, issued.token)
            messages.success(request, _("The new push URL is below."))
            return redirect_to_tokens(monitor)
    return ask(
        request,
        form,
        title=_("Add a push token"),
        text=_(
            "With one token per sender you can see who sends, and revoke one without affecting the others."
        ),
        button=_("Add token"),
        cancel=tokens_url(monitor),
    )


@require_http_methods(["GET", "POST"])
@members_only
@sensitive_post_parameters("secret")
def import_(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Ask for a token of another system (GET), then import it for this monitor (POST)."""
    monitor = get_monitor_or_404(request, public_id, role=Role.ADMIN)
    form = ImportForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid() and (token := _import(request, form, monitor)):
        show_next(request, token)
        messages.success(request, _("Token imported. Its push URL is below."))
        return redirect_to_tokens(monitor)
    return ask(
        request,
        form,
        title=_("Import an existing token"),
        text=_("Senders of another system then keep their token; only the address before it changes."),
        button=_("Import"),
        cancel=tokens_url(monitor),
    )


@sensitive_variables("secret")
def _import(request: HttpRequest, form: ImportForm, monitor: Monitor) -> PushToken | None:
    secret, label = form.cleaned_data["secret"], form.cleaned_data["label"]
    try:
        return tokens.import_token(monitor=monitor, secret=secret, label=label, by=actor_of(request))
    except tokens.NotAToken:
        ours = secret.startswith(tokens.PREFIX)
        form.add_error(
            "secret",
            _mistyped() if ours else _("A token must be 8 to 64 letters, digits, hyphens or underscores."),
        )
    except tokens.TokenTaken:
        form.add_error("secret", _("This token is or was already in use here. Choose a different one."))
    except tokens.TooManyTokens:
        form.add_error(None, too_many_in_words())
    return None


def _mistyped() -> str:
    return _("This looks like a Tianji token, but is mistyped or incomplete. Copy it again.")


def too_many_in_words() -> str:
    """Return why a monitor gets no further token."""
    return ngettext(
        "This monitor already has %(most)d active token, the maximum. Revoke one first.",
        "This monitor already has %(most)d active tokens, the maximum. Revoke one first.",
        tokens.TOKENS_MOST,
    ) % {"most": tokens.TOKENS_MOST}


def tokens_url(monitor: Monitor) -> str:
    """Return the URL of the tokens on the page of `monitor`."""
    return f"{reverse('monitors:detail', args=[monitor.public_id])}#tokens"


def redirect_to_tokens(monitor: Monitor) -> HttpResponse:
    return HttpResponseRedirect(tokens_url(monitor), status=303)
