"""Code examples that push to a monitor, with its push URL and interval."""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET

from accounts.actors import actor_of
from monitors.access import get_monitor_or_404, members_only, membership_in, push_url
from monitors.models import Monitor, PushToken
from monitors.pages import snippets
from monitors.services import tokens
from monitors.views.detail import workspace_context

# The longest list of tokens to choose from; others can be selected with `?token=`.
_TOKENS_LISTED = 20


@require_GET
@members_only
@sensitive_variables("url", "shown")
def code_examples(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The snippet in the language `snippet`, for the push token `token`; for htmx, only that part.

    Owners and admins see the full push URL, which is recorded in the audit log.
    """
    monitor = get_monitor_or_404(request, public_id)
    membership = membership_in(request, monitor.workspace)
    working = _working_tokens(monitor) if membership.may_change else []
    token = _selected(working, request.GET.get("token", ""))
    url = _url_of(request, monitor, token) if token else None
    language = snippets.LANGUAGES.get(request.GET.get("snippet", ""), snippets.LANGUAGES[snippets.DEFAULT])
    shown = snippets.snippet_of(monitor, url or snippets.PLACEHOLDER, language.slug)
    context = {
        "monitor": monitor,
        "languages": [
            (snippets.KIND_LABELS[kind], list(languages))
            for kind, languages in groupby(snippets.LANGUAGES.values(), attrgetter("kind"))
        ],
        "snippet": shown,
        "tokens": working[:_TOKENS_LISTED],
        "token": token,
        "in_full": url is not None,
        **workspace_context(membership),
    }
    template = "monitors/snippets/page.html#snippets" if request.htmx else "monitors/snippets/page.html"  # type: ignore[attr-defined]
    response = render(request, template, context)
    # None if a proxy gives the site another host than this process sees.
    shown_on = request.htmx.current_url_abs_path or ""  # type: ignore[attr-defined]
    if shown_on.split("?")[0] == request.path:
        # On its own page the URL follows what is shown; inside another page the URL is that page's.
        response["HX-Replace-Url"] = request.get_full_path()
    return response


def _working_tokens(monitor: Monitor) -> list[PushToken]:
    """Return the active tokens that were not rotated, by label and age."""
    return list(monitor.tokens.valid().filter(replaced_by=None).order_by("label", "created_at", "id"))


def _selected(working: list[PushToken], wanted: str) -> PushToken | None:
    return next((token for token in working if str(token.public_id) == wanted), next(iter(working), None))


def _url_of(request: HttpRequest, monitor: Monitor, token: PushToken) -> str | None:
    secret = tokens.show(monitors=[monitor], tokens=[token], by=actor_of(request)).get(token.pk)
    return push_url(request, secret) if secret else None
