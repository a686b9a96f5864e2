"""What pages say of channels: what a delivery is about, and which channels are broken."""

from __future__ import annotations

from typing import Any

from django import template

from monitors.models import Monitor
from notifications.services import queries

register = template.Library()
register.filter("told_about", queries.about)


@register.simple_tag(takes_context=True)
def broken_channels(context: template.Context) -> list[queries.Broken]:
    """The broken channels of the workspace that the page is about, for who may change them."""
    membership: Any = context.get("membership")
    if membership is None or not membership.may_change:
        return []
    return queries.broken_in(membership.workspace, masked=False)


@register.simple_tag(takes_context=True)
def broken_for(context: template.Context, monitor: Monitor) -> list[queries.Broken]:
    """The broken ones of the channels that hear of `monitor`; why, only for who may change them."""
    return queries.broken_for(monitor, masked=not context.get("may_change"))
