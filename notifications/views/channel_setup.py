"""The pages that set up a channel: the choice of integration, its form, and its signing secret."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import require_change
from accounts.actors import actor_of
from core.clock import database_now
from core.timezones import offered_zones
from monitors.access import members_only
from monitors.forms.monitor_picker import SEARCHES
from notifications import channel_config
from notifications.access import get_channel_to_change
from notifications.forms.channels import ChannelForm, email_is_not_set_up
from notifications.integrations import Kind, kinds
from notifications.messages import templates
from notifications.messages.text import Message
from notifications.models import Channel
from notifications.services import channels as channel_service
from notifications.services import previews

_PREVIEW = "preview"


def part(request: HttpRequest, template: str, name: str) -> str:
    """Return the template's partial for an htmx request, else the whole template."""
    return f"{template}#{name}" if request.headers.get("HX-Request") == "true" else template


@require_GET
@members_only
def choose_kind(request: HttpRequest) -> HttpResponse:
    """The integrations as cards; `q` filters them."""
    require_change(request)
    sought = request.GET.get("q", "").strip()
    found = [kind for kind in kinds().values() if _matches(kind, sought)]
    context = {"kinds": found, "sought": sought}
    return render(request, part(request, "notifications/choose_integration.html", "kinds"), context)


def _matches(kind: Kind, sought: str) -> bool:
    searched = f"{kind.slug} {kind.label} {kind.about}".casefold()
    return all(word in searched for word in sought.casefold().split())


@require_http_methods(["GET", "HEAD", "POST"])
@members_only
def create(request: HttpRequest, kind: str) -> HttpResponse:
    workspace = require_change(request).workspace
    data = request.POST if request.method == "POST" else None
    form = ChannelForm(data, kind=_kind_or_404(kind), workspace=workspace)
    if SEARCHES in request.POST or _PREVIEW in request.POST:
        return _form_page(request, form, status=200)
    if form.is_valid():
        channel = channel_service.create(
            workspace=workspace, kind=kind, by=actor_of(request), **form.columns()
        )
        messages.success(request, _("Channel added. Send a test to check that it works."))
        return redirect("notifications:detail", channel.public_id)
    return _form_page(request, form, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@members_only
def edit(request: HttpRequest, public_id: UUID) -> HttpResponse:
    channel = get_channel_to_change(request, public_id)
    data = request.POST if request.method == "POST" else None
    form = ChannelForm(data, kind=_kind_or_404(channel.kind), workspace=channel.workspace, channel=channel)
    if SEARCHES in request.POST or _PREVIEW in request.POST:
        return _form_page(request, form, status=200)
    if form.is_valid():
        seen = request.POST.get("version", "")
        version = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 10 else None
        try:
            channel_service.edit(channel=channel, by=actor_of(request), version=version, **form.columns())
        except channel_service.VersionConflict:
            # Read again, so that the next save is compared with the current version.
            channel.refresh_from_db()
            form.ask_about_conflict()
        except Channel.DoesNotExist:
            raise Http404("The channel was deleted.") from None
        else:
            messages.success(request, _("Saved."))
            return redirect("notifications:detail", channel.public_id)
    return _form_page(request, form, status=422 if form.is_bound else 200)


def _kind_or_404(slug: str) -> Kind:
    try:
        return kinds()[slug]
    except KeyError:
        raise Http404("Unknown integration.") from None


def _form_page(request: HttpRequest, form: ChannelForm, *, status: int) -> HttpResponse:
    if SEARCHES in request.POST and request.headers.get("HX-Request") == "true":
        return render(request, "components/monitor_picker.html#found", {"field": form["monitors"]})
    lacks_a_server = lacks_a_mail_server(form.kind.slug) and not form.non_field_errors()
    context = {
        "form": form,
        "channel": form.channel,
        "kind": form.kind,
        "notice": email_is_not_set_up() if lacks_a_server else "",
        "previews": _previews(form),
        "placeholders": templates.placeholders(),
        "zones": offered_zones(),
    }
    return render(request, part(request, "notifications/form.html", "preview"), context, status=status)


def _previews(form: ChannelForm) -> list[Message]:
    """Return example notifications of the channel, empty if its title or text is invalid."""
    if form.is_bound and {"title", "body"} & form.errors.keys():
        return []
    return previews.messages(
        form.workspace,
        name=str(form["name"].value() or ""),
        title=str(form["title"].value() or "").strip(),
        body=str(form["body"].value() or "").strip(),
        now=database_now(),
    )


def lacks_a_mail_server(kind: str) -> bool:
    return kind == "email" and not settings.TIANJI_EMAIL_URL


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@members_only
def new_secret(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Ask, then create a new signing secret; the response shows it, once."""
    channel = get_channel_to_change(request, public_id)
    if not channel_config.can_sign(channel.kind):
        raise Http404("This integration does not sign its messages.")
    if request.method == "POST":
        had_secret = channel_config.is_stored(channel, "secret")
        secret = channel_service.new_secret(channel=channel, by=actor_of(request))
        context = {"channel": channel, "secret": secret, "had_secret": had_secret}
        return render(request, "notifications/new_secret.html", context)
    context = {
        "title": _("Create a new signing secret for “%(name)s”?") % {"name": channel.name},
        "text": _secret_text(channel),
        "action": reverse("notifications:new_secret", args=[channel.public_id]),
        "button": _("Create secret"),
        "cancel": reverse("notifications:detail", args=[channel.public_id]),
    }
    return render(request, part(request, "components/confirm.html", "question"), context)


def _secret_text(channel: Channel) -> str:
    if not channel_config.is_stored(channel, "secret"):
        return _("It is shown once. From then on, every notification is signed with it.")
    return _("It is shown once. For 24 h, notifications are signed with the previous secret too.")
