"""PagerDuty, through its Events API v2. An incident there is resolved with ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from monitors.domain.state_machine import Urgency
from notifications.integrations import formatting
from notifications.integrations.base import Field, Kind
from notifications.integrations.validators import ending, matching
from notifications.transports.base import OVER, Failed, Outgoing, Result, Sent, Tone
from notifications.transports.http import Answer, Call, posted, sender

ADDRESSES = {"us": "https://events.pagerduty.com", "eu": "https://events.eu.pagerduty.com"}
_SUMMARY, _SOURCE, _DETAILS = 1024, 255, 8000
# From "error" on, PagerDuty's dynamic notifications treat an incident as urgent.
_SEVERITIES = {Tone.DOWN: "critical", Tone.LATE: "warning", Tone.FLAPPING: "warning", Tone.INFO: "info"}


def build(config: Mapping[str, Any], outgoing: Outgoing) -> Call:
    message, over = outgoing.message, outgoing.tone in OVER
    content: dict[str, Any] = {
        "routing_key": config["routing_key"],
        "event_action": "resolve" if over else "trigger",
        # The same from the first notification of an outage to the one that ends it.
        "dedup_key": formatting.thread_name(outgoing),
    }
    if not over:
        content |= {
            "client": "Tianji",
            "client_url": message.url,
            "links": [{"href": link.url, "text": link.label} for link in formatting.links(message)],
            "payload": {
                "summary": formatting.shorten(message.title, _SUMMARY),
                "source": formatting.shorten(formatting.monitor_name(outgoing) or "Tianji", _SOURCE),
                "severity": _severity(outgoing),
                "timestamp": formatting.occurred_at(outgoing),
                "custom_details": {"text": formatting.shorten(formatting.body(message), _DETAILS)},
            },
        }
    return posted(f"{ADDRESSES[config.get('region') or 'us']}/v2/enqueue", content)


def _severity(outgoing: Outgoing) -> str:
    if outgoing.tone is Tone.DOWN and formatting.urgency(outgoing) == Urgency.LOW:
        return "warning"
    return _SEVERITIES[outgoing.tone]


def judge(answer: Answer) -> Result:
    reply = answer.json
    errors = reply.get("errors")
    words = [reply.get("message"), *(errors if isinstance(errors, list) else [])]
    text = ": ".join(str(word) for word in words if word)
    return (
        Sent(answer.describe(reply.get("message")))
        if answer.ok
        else Failed(answer.describe(text), retry_after=answer.retry_after)
    )


def _shown(config: Mapping[str, Any], masked: bool) -> str:
    return f"PagerDuty {'…' if masked else ending(config.get('routing_key'))}"


FIELDS = (
    Field(
        "routing_key",
        _("Integration key"),
        widget="secret",
        secret=True,
        max_length=64,
        clean=matching(r"[A-Za-z0-9]{32}", _("Enter the integration key: 32 letters and digits.")),
    ),
    Field(
        "region",
        _("Region"),
        widget="choice",
        required=False,
        choices=(("us", _("United States")), ("eu", _("European Union"))),
        default="us",
    ),
)

KIND = Kind(
    slug="pagerduty",
    label="PagerDuty",
    about=_("An incident for each outage, which is resolved when the monitor recovers."),
    fields=FIELDS,
    send=sender(build, judge, secrets=("routing_key",)),
    shown=_shown,
    where=(
        _("In PagerDuty, open the service, then “Integrations”, then “Add an integration”."),
        _("Choose “Events API V2” and add it."),
        _("Open the new integration and copy the integration key."),
    ),
    documentation="https://support.pagerduty.com/main/docs/services-and-integrations",
    merges=False,
    # 120 events a minute and key (https://developer.pagerduty.com/docs/events-api-v2-overview).
    spacing=0.5,
)
