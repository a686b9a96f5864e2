"""The custom body of a webhook: JSON with placeholders in its strings.

The template is parsed as JSON first and its strings are filled in afterwards, so that a heartbeat's message
can't become part of the structure. Times are ISO 8601 and durations are in seconds, as in the default body.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from api.parsers import DEPTH_MOST
from monitors.domain.value_rules import number
from notifications.messages import templates
from notifications.transports.base import Outgoing, Tone


def placeholders(outgoing: Outgoing) -> dict[str, str]:
    """Return the values of the placeholders. Those that an event doesn't have are empty."""
    payload = outgoing.payload
    incident = _part(payload, "incident")
    late = _part(payload, "late")
    digest = _part(payload, "digest")
    monitor = _part(payload, "monitor")
    listed = digest.get("monitors")
    names = [monitor.get("name")] if monitor else []
    if isinstance(listed, list):
        names = [one.get("name") for one in listed if isinstance(one, Mapping)]
    message = outgoing.message
    return {
        "title": message.title,
        "text": message.text,
        "monitor": _text(monitor.get("name")),
        "status": _text(None if outgoing.tone is Tone.INFO else outgoing.tone.value),
        "cause": _text(incident.get("cause")),
        "reason": _text(payload.get("reason")),
        "since": _text(incident.get("started_at") or late.get("expected_by")),
        "duration": _text(incident.get("duration_seconds")),
        "message": _text(payload.get("message")),
        "value": _text(payload.get("value")),
        "last_heartbeat": _text(payload.get("last_heartbeat_at")),
        "urgency": _text(monitor.get("urgency")),
        "outage": _text(payload.get("outage")),
        "sequence": _text(payload.get("sequence")),
        "url": message.url,
        "acknowledge_url": message.ack_url,
        "count": _text(digest.get("count") if digest else len(names)),
        "names": ", ".join(_text(name) for name in names),
    }


def check(template: str) -> list[str]:
    """Return the errors in a template, in sentences; empty if it is valid."""
    if len(template) > templates.LENGTH_MAX:
        return [_("Enter at most %(count)d characters.") % {"count": templates.LENGTH_MAX}]
    try:
        content = json.loads(template)
        # Python accepts what is not JSON: NaN, and unpaired surrogates.
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
        texts = list(_texts(content, 0))
    except RecursionError:
        return [_("Nested too deeply.")]
    except ValueError as error:
        return [_("Not valid JSON: %(error)s.") % {"error": error}]
    errors = [error for text in texts for error in templates.check(text)]
    # The JSON of an event does not name its workspace.
    if any("{workspace}" in text for text in texts):
        errors.append(_("Unknown placeholder “{workspace}”: the body of a webhook can't use it."))
    return list(dict.fromkeys(errors))


def filled(template: str, outgoing: Outgoing) -> Any:
    """Return `template` filled in for a message.

    Raises:
        ValueError: it is not JSON.
    """
    values = placeholders(outgoing)

    def fill(part: Any) -> Any:
        match part:
            case str():
                return templates.fill(part, values)
            case list():
                return [fill(one) for one in part]
            case dict():
                return {name: fill(one) for name, one in part.items()}
        return part

    return fill(json.loads(template))


def _texts(part: Any, depth: int) -> Iterator[str]:
    if depth > DEPTH_MOST:
        raise RecursionError
    match part:
        case str():
            yield part
        case list():
            for one in part:
                yield from _texts(one, depth + 1)
        case dict():
            for one in part.values():
                yield from _texts(one, depth + 1)


def _part(payload: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = payload.get(name)
    return part if isinstance(part, Mapping) else {}


def _text(value: object) -> str:
    return "" if value is None else number(value) if isinstance(value, float) else str(value)
