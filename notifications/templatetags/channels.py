"""Tags about channels: what a delivery is about, and which channels are failing."""

from __future__ import annotations

from typing import Any

from django import template

from monitors.models import Monitor
from notifications.services import queries

register = template.Library()
register.filter("subject_of", queries.about)
register.filter("sections_of", queries.sections)


@register.simple_tag(takes_context=True)
def failing_channels(context: template.Context) -> list[queries.FailingChannel]:
    """The failing channels of the page's workspace, for people who may change them."""
    membership: Any = context.get("membership")
    if membership is None or not membership.may_change:
        return []
    return queries.failing_in(membership.workspace, masked=False)


@register.simple_tag(takes_context=True)
def failing_for(context: template.Context, monitor: Monitor) -> list[queries.FailingChannel]:
    """The failing channels subscribed to `monitor`; the reason only if the reader may change them."""
    return queries.failing_for(monitor, masked=not context.get("may_change"))
