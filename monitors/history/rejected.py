"""Pushes that were rejected since the last heartbeat: a silent monitor may have a sender that tries."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from monitors.models import Monitor, RejectedPush


def rejected_since(monitor: Monitor, last_heartbeat: datetime | None) -> str:
    """Return how many pushes of `monitor` were rejected since its last heartbeat, and why the last one was.

    "6 pushes were rejected since: Expired token.", without a number where that is not known exactly; "" if
    none were. One query.
    """
    rows = RejectedPush.objects.filter(monitor=monitor)
    if last_heartbeat is not None:
        rows = rows.filter(last_at__gt=last_heartbeat)
    found = list(rows.order_by("-last_at", "-pk"))
    if not found:
        return ""
    number = sum(row.count for row in found)
    words = {"reason": _reason(found[0]), "number": number}
    if last_heartbeat is not None and any(row.first_at <= last_heartbeat for row in found):
        return _("Pushes were rejected since: %(reason)s") % words
    return (
        ngettext(
            "%(number)d push was rejected since: %(reason)s",
            "%(number)d pushes were rejected since: %(reason)s",
            number,
        )
        % words
    )


def _reason(row: RejectedPush) -> str:
    """Return why a push was rejected; the error in the response only says so for what the sender wrote."""
    if row.reason == RejectedPush.Reason.PARAMETER and row.detail:
        # What is allowed instead is on the page of rejected pushes.
        return row.detail.partition(". ")[0].removesuffix(".") + "."
    return f"{row.get_reason_display()}."
