"""Status changes while the overview is open, as sentences."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Max
from django.urls import reverse
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Workspace
from monitors.domain.state_machine import Shown, Status
from monitors.models import Transition

_ANNOUNCED_MOST, _READ_MOST = 3, 200
# The sentences are sent in a header, which proxies limit to a few kilobytes.
_NAME_MOST = 40


@dataclass(frozen=True, slots=True)
class Change:
    """A sentence about a status change; `shown` sets its colour, `url` is the monitor's page."""

    text: str
    shown: Shown
    url: str


def newest() -> int:
    """Return the position of the latest status change, for `since`."""
    return Transition.objects.aggregate(newest=Max("pk"))["newest"] or 0


def since(workspace: Workspace, last: int, *, until: int) -> list[Change]:
    """Return the status changes in `workspace` after `last`: a sentence per monitor, or one for many.

    Changes after `until` are left for the next call.
    """
    newest_first = (
        Transition.objects.filter(pk__gt=last, pk__lte=until, monitor__workspace=workspace)
        .order_by("-pk")
        .select_related("monitor")[:_READ_MOST]
    )
    by_monitor: dict[int, Transition] = {}
    for transition in newest_first:
        by_monitor.setdefault(transition.monitor_id, transition)
    found = list(by_monitor.values())
    if len(found) > _ANNOUNCED_MOST:
        return [_many(found)]
    return [
        Change(_sentence(one), Shown(one.target), reverse("monitors:detail", args=[one.monitor.public_id]))
        for one in found
    ]


def _sentence(transition: Transition) -> str:
    name = {"name": Truncator(transition.monitor.name).chars(_NAME_MOST)}
    match Status(transition.target), Status(transition.source):
        case Status.DOWN, _other:
            return _("%(name)s is down") % name
        case Status.UP, Status.DOWN:
            return _("%(name)s has recovered") % name
        case Status.UP, _other:
            return _("%(name)s is up") % name
        case Status.PAUSED, _other:
            return _("%(name)s is paused") % name
    return _("%(name)s was resumed") % name


def _many(changes: list[Transition]) -> Change:
    down = sum(change.target == Status.DOWN for change in changes)
    up = sum(change.target == Status.UP for change in changes)
    text = ngettext(
        "%(number)d monitor changed: %(down)d down, %(up)d up",
        "%(number)d monitors changed: %(down)d down, %(up)d up",
        len(changes),
    )
    words = {"number": len(changes), "down": down, "up": up}
    return Change(text % words, Shown.DOWN if down else Shown.UP, reverse("monitors:overview"))
