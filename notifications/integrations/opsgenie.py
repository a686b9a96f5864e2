"""Opsgenie and Jira Service Management, through their alert API. An alert closes with our incident."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from django.utils.translation import gettext_lazy as _

from monitors.domain.state_machine import Urgency
from notifications.integrations import formatting
from notifications.integrations.base import Field, Kind
from notifications.integrations.validators import ending, matching
from notifications.transports.base import OVER, Failed, Outgoing, Result, Sent, Tone
from notifications.transports.http import Answer, Call, posted, sender

ADDRESSES = {
    "us": "https://api.opsgenie.com",
    "eu": "https://api.eu.opsgenie.com",
    "jsm": "https://api.atlassian.com/jsm/ops/integration",
}
_MESSAGE, _DESCRIPTION, _ENTITY, _NOTE, _DETAIL = 130, 15_000, 512, 25_000, 2000
_PRIORITIES = {Tone.DOWN: "P1", Tone.LATE: "P3", Tone.FLAPPING: "P3", Tone.INFO: "P5"}


def build(config: Mapping[str, Any], outgoing: Outgoing) -> Call:
    message, alias = outgoing.message, formatting.thread_name(outgoing)
    base = f"{ADDRESSES[config.get('region') or 'us']}/v2/alerts"
    headers = {"Authorization": f"GenieKey {config['api_key']}"}
    if outgoing.tone in OVER:
        note = formatting.shorten(f"{message.title}\n\n{formatting.body(message)}", _NOTE)
        url = f"{base}/{quote(alias, safe='')}/close?identifierType=alias"
        return posted(url, {"source": "Tianji", "note": note}, headers)
    links = {link.label: formatting.shorten(link.url, _DETAIL) for link in formatting.links(message)}
    content = {
        "message": formatting.shorten(message.title, _MESSAGE),
        # The same from the first notification of an outage to the one that ends it.
        "alias": alias,
        "description": formatting.shorten(f"{formatting.body(message)}\n\n{message.url}", _DESCRIPTION),
        "entity": formatting.shorten(formatting.monitor_name(outgoing), _ENTITY),
        "priority": _priority(outgoing),
        "source": "Tianji",
        "tags": ["tianji"],
        "details": links,
    }
    return posted(base, content, headers)


def _priority(outgoing: Outgoing) -> str:
    if outgoing.tone is Tone.DOWN and formatting.urgency(outgoing) == Urgency.LOW:
        return "P3"
    return _PRIORITIES[outgoing.tone]


def judge(answer: Answer) -> Result:
    reply = answer.json
    if answer.ok:
        return Sent(answer.describe(reply.get("result")))
    errors = reply.get("errors")
    words = [reply.get("message"), *(errors.values() if isinstance(errors, dict) else [])]
    wait = answer.retry_after
    period = answer.headers.get("x-ratelimit-period-in-sec", "")
    if wait is None and answer.status == 429 and period.isascii() and period.isdigit():
        wait = timedelta(seconds=int(period[:9]))
    return Failed(answer.describe(": ".join(str(word) for word in words if word)), retry_after=wait)


def _shown(config: Mapping[str, Any], masked: bool) -> str:
    name = "Jira Service Management" if config.get("region") == "jsm" else "Opsgenie"
    return f"{name} {'…' if masked else ending(config.get('api_key'))}"


FIELDS = (
    Field(
        "api_key",
        _("API key"),
        _("The key of an API integration, not of your account."),
        widget="secret",
        secret=True,
        max_length=200,
        clean=matching(r"[\w-]{20,200}", _("Enter the API key as shown in the integration.")),
    ),
    Field(
        "region",
        _("Service"),
        widget="choice",
        required=False,
        choices=(
            ("us", _("Opsgenie")),
            ("eu", _("Opsgenie (European Union)")),
            ("jsm", _("Jira Service Management")),
        ),
        default="us",
    ),
)

KIND = Kind(
    slug="opsgenie",
    label="Opsgenie",
    about=_("An alert in Opsgenie or Jira Service Management, which is closed when the monitor recovers."),
    fields=FIELDS,
    send=sender(build, judge, secrets=("api_key",)),
    shown=_shown,
    where=(
        _("Open the team to notify, then its integrations, and add an “API” integration."),
        _("Give it create and update access, and turn it on."),
        _("Copy its API key."),
    ),
    documentation="https://support.atlassian.com/opsgenie/docs/create-a-default-api-integration/",
    merges=False,
    # The limit depends on the plan and the number of users (docs.opsgenie.com/docs/api-rate-limiting).
    spacing=0.5,
)
