"""Bulk actions on the overview."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST

from accounts.access import require_change
from accounts.actors import Actor, actor_of
from accounts.models import Workspace
from monitors.access import members_only
from monitors.forms.fields import TagsField
from monitors.models import URGENCY_LABELS, Monitor
from monitors.pages.overview.params import OverviewParams
from monitors.pages.overview.versions import ROWS
from monitors.services import bulk
from monitors.services.bulk import Outcome, Outcomes

_NAMED = 10


class BulkForm(forms.Form):
    """The action for the selected monitors, with its tag or urgency if it needs one."""

    action = forms.ChoiceField(
        choices=[
            (name, name) for name in ("pause", "resume", "add_tag", "remove_tag", "set_urgency", "delete")
        ]
    )
    tag = TagsField(required=False)
    urgency = forms.ChoiceField(choices=URGENCY_LABELS, required=False)
    sure = forms.BooleanField(required=False)

    def clean(self) -> dict[str, object]:
        about_tag = self.cleaned_data.get("action") in ("add_tag", "remove_tag")
        if not about_tag:
            # The tag field is not used by this action, so ignore it.
            self.errors.pop("tag", None)
            self.cleaned_data["tag"] = []
        elif len(self.cleaned_data.get("tag", [""])) != 1:
            raise ValidationError({"tag": gettext_lazy("Enter one tag.")})
        if self.cleaned_data.get("action") != "set_urgency":
            self.errors.pop("urgency", None)
        elif not self.cleaned_data.get("urgency"):
            raise ValidationError({"urgency": gettext_lazy("Choose an urgency.")})
        return self.cleaned_data


@require_POST
@members_only
def do(request: HttpRequest) -> HttpResponse:
    """Apply the action to the selected monitors; deleting asks for confirmation first."""
    workspace = require_change(request).workspace
    back = requested_url(request)
    selected = selected_monitors(workspace, request.POST.getlist("monitor"))
    form = BulkForm(request.POST)
    if not selected:
        messages.warning(request, _("Select monitors first."))
    elif not form.is_valid():
        messages.error(request, str(next(iter(form.errors.values()))[0]))
    elif form.cleaned_data["action"] == "delete" and not form.cleaned_data["sure"]:
        return _ask(request, selected, back)
    else:
        _do(request, form.cleaned_data, selected, actor_of(request))
    return HttpResponseRedirect(back, status=303)


def requested_url(request: HttpRequest) -> str:
    """Return the URL of the overview from which a form was sent."""
    # Parsed and rebuilt, so that it is a URL of the overview whatever was sent.
    return OverviewParams.of(QueryDict(request.POST.get("view", "")[:2000])).url


def selected_monitors(workspace: Workspace, public_ids: list[str]) -> list[Monitor]:
    """Return the monitors of `workspace` with these ids, by name, at most one page of the overview."""
    wanted = []
    for public_id in public_ids[:ROWS]:
        try:
            wanted.append(UUID(public_id))
        except ValueError:
            continue
    monitors = Monitor.objects.in_workspace(workspace).filter(public_id__in=wanted)
    return list(monitors.select_related("workspace").order_by("name", "pk"))


def _ask(request: HttpRequest, selected: list[Monitor], back: str) -> HttpResponse:
    title = ngettext("Delete %(number)d monitor?", "Delete %(number)d monitors?", len(selected))
    context = {
        "title": title % {"number": len(selected)},
        "selected": selected,
        "named": selected[:_NAMED],
        "unnamed": max(len(selected) - _NAMED, 0),
        "view": request.POST.get("view", ""),
        "back": back,
    }
    return render(request, "monitors/overview/bulk_delete.html", context)


def _do(request: HttpRequest, cleaned: dict[str, Any], selected: list[Monitor], by: Actor) -> None:
    action, tag, urgency = cleaned["action"], next(iter(cleaned["tag"]), ""), cleaned.get("urgency", "")
    operations: dict[str, Callable[[], Outcomes]] = {
        "pause": lambda: bulk.pause(selected, by=by),
        "resume": lambda: bulk.resume(selected, by=by),
        "add_tag": lambda: bulk.add_tag(selected, tag, by=by),
        "remove_tag": lambda: bulk.remove_tag(selected, tag, by=by),
        "set_urgency": lambda: bulk.set_urgency(selected, urgency, by=by),
        "delete": lambda: bulk.delete(selected, by=by),
    }
    outcomes = operations[action]()
    done = outcomes[Outcome.DONE]
    sentences = [sentence for sentence in (_done(action, done, tag), *_others(outcomes)) if sentence]
    level = messages.SUCCESS if done else messages.WARNING
    messages.add_message(request, level, " ".join(sentences))


def _done(action: str, number: int, tag: str) -> str:
    if not number:
        return ""
    words = {
        "pause": ngettext("%(number)d monitor paused.", "%(number)d monitors paused.", number),
        "resume": ngettext("%(number)d monitor resumed.", "%(number)d monitors resumed.", number),
        "add_tag": ngettext(
            "%(number)d monitor tagged “%(tag)s”.", "%(number)d monitors tagged “%(tag)s”.", number
        ),
        "remove_tag": ngettext(
            "“%(tag)s” removed from %(number)d monitor.",
            "“%(tag)s” removed from %(number)d monitors.",
            number,
        ),
        "set_urgency": ngettext(
            "Urgency of %(number)d monitor changed.", "Urgency of %(number)d monitors changed.", number
        ),
        "delete": ngettext("%(number)d monitor deleted.", "%(number)d monitors deleted.", number),
    }
    return words[action] % {"number": number, "tag": tag}


def _others(outcomes: Outcomes) -> list[str]:
    """Return sentences about the monitors that were skipped."""
    same, full = outcomes[Outcome.SAME], outcomes[Outcome.FULL]
    busy, gone = outcomes[Outcome.BUSY], outcomes[Outcome.GONE]
    sentences = [
        (same, ngettext("%(number)d unchanged.", "%(number)d unchanged.", same)),
        (
            full,
            ngettext(
                "%(number)d already has the maximum number of tags.",
                "%(number)d already have the maximum number of tags.",
                full,
            ),
        ),
        (
            busy,
            ngettext(
                "%(number)d skipped: someone else was changing it.",
                "%(number)d skipped: someone else was changing them.",
                busy,
            ),
        ),
        (
            gone,
            ngettext("%(number)d had already been deleted.", "%(number)d had already been deleted.", gone),
        ),
    ]
    return [sentence % {"number": number} for number, sentence in sentences if number]
