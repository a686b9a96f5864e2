"""The push tokens of a monitor: show, rotate, add, import, label, expire and revoke them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from uuid import UUID

from django.contrib import messages
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
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
from monitors.access import get_monitor_or_404, members_only
from monitors.domain.durations import about, exactly
from monitors.forms.tokens import ImportForm, LabelForm, RemainingForm, RotateForm
from monitors.models import Monitor, PushToken
from monitors.pages import tokens as token_page
from monitors.pages.tokens import OldToken, TokenRow
from monitors.services import tokens
from monitors.views.detail import detail_page, reveal, show_next
from monitors.views.monitors import confirm


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
    monitor, token = _get_token_or_404(request, public_id, token_id)
    kind = request.get_preferred_type(["text/html", "application/json"])
    if not (request.htmx or kind == "application/json"):  # type: ignore[attr-defined]
        return detail_page(request, monitor, shown=token)
    lines = reveal(request, monitor, token)[token.pk]
    if kind == "application/json":
        return JsonResponse(asdict(lines) if lines else {}, status=200 if lines else 409)
    row = TokenRow(token, asked=True, lines=lines)
    return render(request, "monitors/tokens/_push_url.html", {"monitor": monitor, "row": row})


@require_http_methods(["GET", "POST"])
@members_only
def rotate(request: HttpRequest, public_id: UUID, token_id: UUID) -> HttpResponse:
    """Ask how long the old token stays valid (GET), then rotate it (POST)."""
    monitor, token = _get_token_or_404(request, public_id, token_id)
    row = _row_of(monitor, token)
    form = RotateForm(request.POST if request.method == "POST" else None, running=bool(row.old))
    if form.is_bound and form.is_valid():
        try:
            rotated = tokens.rotate(
                token=row.token, overlap=form.length, force=bool(row.old), by=actor_of(request)
            )
        except tokens.OverlapRunning:
            # Someone else has rotated it in the meantime: ask again with the current facts.
            row = _row_of(monitor, token)
            form = RotateForm(request.POST, running=True)
        except tokens.TooManyTokens:
            form.add_error(None, _too_many())
        else:
            show_next(request, rotated.new.token)
            messages.success(request, _rotated_in_words(form.cleaned_data["overlap"]))
            return _to_tokens(monitor)
    return _ask(
        request,
        form,
        monitor,
        title=_("Rotate the push token %(token)s?") % {"token": row.token},
        text=_(
            "Creates a new push URL. The old one keeps working for a while, so that you can update the "
            "senders."
        ),
        warning=_running_in_words(row),
        button=_("Rotate"),
    )


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
    monitor, token = _get_token_or_404(request, public_id, token_id)
    form = RemainingForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        return _set_overlap(request, monitor, token, form.length)
    return _ask(
        request,
        form,
        monitor,
        title=_("How long should the old token %(token)s keep working?") % {"token": token},
        text=_("Allow enough time for your slowest sender to get the new push URL."),
        button=_("Save"),
    )


@require_http_methods(["GET", "POST"])
@members_only
def end(request: HttpRequest, public_id: UUID, token_id: UUID) -> HttpResponse:
    """Ask first (GET), then expire an old token early (POST)."""
    monitor, token = _get_token_or_404(request, public_id, token_id)
    if request.method == "POST":
        return _set_overlap(request, monitor, token, timedelta(0))
    return confirm(
        request,
        title=_("Expire the old token %(token)s now?") % {"token": token},
        text=f"{_used_in_words(token)} {_refused()}",
        button=_("Expire now"),
        cancel=_page_of(monitor),
    )


def _set_overlap(
    request: HttpRequest, monitor: Monitor, token: PushToken, remaining: timedelta
) -> HttpResponse:
    try:
        tokens.set_overlap(token=token, remaining=remaining, by=actor_of(request))
    except tokens.TokenGone:
        messages.warning(request, _("The old token has already expired."))
    except tokens.NotReplaced:
        messages.warning(
            request, _("This token was not rotated, so it has no expiry. Revoke it to stop it working.")
        )
    else:
        messages.success(request, _("Saved.") if remaining else _("Expired the old token."))
    return _to_tokens(monitor)


@require_http_methods(["GET", "POST"])
@members_only
def rename(request: HttpRequest, public_id: UUID, token_id: UUID) -> HttpResponse:
    """Ask (GET), then change a token's label (POST)."""
    monitor, token = _get_token_or_404(request, public_id, token_id)
    form = LabelForm(request.POST if request.method == "POST" else None, initial={"label": token.label})
    if form.is_bound and form.is_valid():
        tokens.rename(token=token, label=form.cleaned_data["label"], by=actor_of(request))
        return _to_tokens(monitor)
    return _ask(
        request,
        form,
        monitor,
        title=_("Label the push token %(token)s") % {"token": token},
        button=_("Save"),
    )


@require_http_methods(["GET", "POST"])
@members_only
def revoke(request: HttpRequest, public_id: UUID, token_id: UUID) -> HttpResponse:
    """Ask first (GET), then revoke a token (POST)."""
    monitor, token = _get_token_or_404(request, public_id, token_id)
    if request.method == "POST":
        tokens.revoke(token=token, by=actor_of(request))
        messages.success(request, _("Revoked the push token %(token)s.") % {"token": token})
        return _to_tokens(monitor)
    text = [_used_in_words(token), _refused()]
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
        cancel=_page_of(monitor),
    )


def _refused() -> str:
    return _("Senders that use it are rejected from then on. This cannot be undone.")


def _used_in_words(token: PushToken) -> str:
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
            form.add_error(None, _too_many())
        else:
            show_next(request, issued.token)
            messages.success(request, _("The new push URL is below."))
            return _to_tokens(monitor)
    return _ask(
        request,
        form,
        monitor,
        title=_("Add a push token"),
        text=_(
            "With one token per sender you can see who sends, and revoke one without affecting the others."
        ),
        button=_("Add token"),
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
        return _to_tokens(monitor)
    return _ask(
        request,
        form,
        monitor,
        title=_("Import an existing token"),
        text=_("Senders of another system then keep their token; only the address before it changes."),
        button=_("Import"),
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
        form.add_error(None, _too_many())
    return None


def _mistyped() -> str:
    return _("This looks like a Tianji token, but is mistyped or incomplete. Copy it again.")


def _too_many() -> str:
    return ngettext(
        "This monitor already has %(most)d active token, the maximum. Revoke one first.",
        "This monitor already has %(most)d active tokens, the maximum. Revoke one first.",
        tokens.TOKENS_MOST,
    ) % {"most": tokens.TOKENS_MOST}


# --- What they share -----------------------------------------------------------------------------


def _get_token_or_404(request: HttpRequest, public_id: UUID, token_id: UUID) -> tuple[Monitor, PushToken]:
    """Return an active token that the reader may change, and its monitor.

    Raises:
        Http404, PermissionDenied: like `get_monitor_or_404`; also for a token that is no longer active.
    """
    monitor = get_monitor_or_404(request, public_id, role=Role.ADMIN)
    token = monitor.tokens.valid().filter(public_id=token_id).first()
    if token is None:
        raise Http404
    return monitor, token


def _row_of(monitor: Monitor, token: PushToken) -> TokenRow:
    row = token_page.section(monitor, database_now()).row_of(token.public_id)
    if row is None:
        raise Http404
    return row


def _ask(
    request: HttpRequest,
    form: Form,
    monitor: Monitor,
    *,
    title: str,
    button: str,
    text: str = "",
    warning: str = "",
) -> HttpResponse:
    """Show `form`: a page or, for htmx, a dialog's content. The browser submits it normally."""
    template = "components/form_dialog.html#question" if request.htmx else "components/form_dialog.html"  # type: ignore[attr-defined]
    context = {
        "form": form,
        "title": title,
        "text": text,
        "warning": warning,
        "button": button,
        "cancel": _page_of(monitor),
        "action": request.path,
    }
    return render(request, template, context, status=422 if form.errors else 200)


def _page_of(monitor: Monitor) -> str:
    return f"{reverse('monitors:detail', args=[monitor.public_id])}#tokens"


def _to_tokens(monitor: Monitor) -> HttpResponse:
    return HttpResponseRedirect(_page_of(monitor), status=303)
