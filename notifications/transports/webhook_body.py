"""The body of a webhook that people write themselves: JSON, in whose texts placeholders are filled in.

The template is read as JSON first and its texts are filled afterwards, so that nothing that a heartbeat
says can become part of the structure. Times are ISO 8601, durations seconds, as in the body of ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from notifications import templating
from notifications.transports.base import Outgoing, Tone

LENGTH_MAX = 10_000
_DEPTH_MOST = 20


def placeholders(outgoing: Outgoing) -> dict[str, str]:
    """Return what can be filled in. What an event does not have is empty."""
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
        "since": _text(incident.get("started_at") or late.get("expected_by")),
        "duration": _text(incident.get("duration_seconds")),
        "message": _text(payload.get("message")),
        "value": _text(payload.get("value")),
        "last_heartbeat": _text(payload.get("last_heartbeat_at")),
        "url": message.url,
        "acknowledge_url": message.ack_url,
        "count": _text(digest.get("count") if digest else len(names)),
        "names": ", ".join(_text(name) for name in names),
    }


def check(template: str) -> list[str]:
    """Return what is wrong with a template, in sentences; nothing for a good one."""
    if len(template) > LENGTH_MAX:
        return [_("Give at most %(count)d characters.") % {"count": LENGTH_MAX}]
    try:
        content = json.loads(template)
        # What others cannot read as JSON, Python reads: NaN, and half a character.
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
        texts = list(_texts(content, 0))
    except RecursionError:
        return [_("This is nested too deeply.")]
    except ValueError as error:
        return [_("This is not JSON: %(error)s.") % {"error": error}]
    errors = [error for text in texts for error in templating.check(text)]
    # The JSON of an event does not name its workspace.
    if any("{workspace}" in text for text in texts):
        errors.append(_("Unknown placeholder “{workspace}”: the body of a webhook can't use it."))
    return list(dict.fromkeys(errors))


def filled(template: str, outgoing: Outgoing) -> Any:
    """Return the content that `template` gives for a message.

    Raises:
        ValueError: it is not JSON.
    """
    values = placeholders(outgoing)

    def fill(part: Any) -> Any:
        match part:
            case str():
                return templating.fill(part, values)
            case list():
                return [fill(one) for one in part]
            case dict():
                return {name: fill(one) for name, one in part.items()}
        return part

    return fill(json.loads(template))


def _texts(part: Any, depth: int) -> Iterator[str]:
    if depth > _DEPTH_MOST:
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
    return "" if value is None else f"{value:.15g}" if isinstance(value, float) else str(value)
