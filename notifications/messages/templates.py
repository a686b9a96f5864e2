"""Templates for a channel's custom title and text: {placeholder}, and nothing else.

No attributes, no indexes, no formats, no conditions, and values are not expanded again. So a template
can't reach into the server, and the message of a heartbeat can't act as a template.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

LENGTH_MAX = 10_000
_SHOWN = 40
# In this order: a doubled brace, a placeholder, a single brace.
_PART = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")


_PLACEHOLDERS = {
    "title": gettext_lazy("Default title"),
    "text": gettext_lazy("Default text"),
    "monitor": gettext_lazy("Name of the monitor"),
    "status": gettext_lazy("What happened: down, still down, recovered, flapping, late, closed"),
    "cause": gettext_lazy("Why it went down"),
    "reason": gettext_lazy("Why it was closed without a recovery"),
    "since": gettext_lazy("When it went down"),
    "duration": gettext_lazy("How long it has been or was down"),
    "message": gettext_lazy("Message of the heartbeat"),
    "value": gettext_lazy("Value of the heartbeat"),
    "last_heartbeat": gettext_lazy("Time of the last heartbeat before that"),
    "urgency": gettext_lazy("Urgency of the monitor"),
    "outage": gettext_lazy("Key of the outage, the same in all its notifications"),
    "sequence": gettext_lazy("Number of the notification in its outage"),
    "workspace": gettext_lazy("Name of the workspace"),
    "url": gettext_lazy("Link to the details in Tianji"),
    "acknowledge_url": gettext_lazy("Link to acknowledge the incident"),
    "count": gettext_lazy("Number of monitors"),
    "names": gettext_lazy("Names of the monitors"),
}


def placeholders() -> dict[str, str]:
    """Return the placeholders and what each stands for, in the reader's language."""
    return {name: str(about) for name, about in _PLACEHOLDERS.items()}


def check(template: str) -> list[str]:
    """Return the errors in `template`, in sentences that say what is allowed; empty if it is valid."""
    errors: list[str] = []
    for part in _PART.findall(template):
        if part in ("{{", "}}"):
            continue
        if part in ("{", "}"):
            alone = _("Unmatched “%(brace)s”. To show a brace, write it twice.")
            errors.append(alone % {"brace": part})
        elif part[1:-1] not in _PLACEHOLDERS:
            errors.append(
                _("Unknown placeholder “%(part)s”. You can use: %(known)s.")
                % {
                    "part": part if len(part) <= _SHOWN else f"{part[:_SHOWN]}…",
                    "known": ", ".join(f"{{{name}}}" for name in _PLACEHOLDERS),
                }
            )
    return list(dict.fromkeys(errors))


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return `template` with `values` filled in, cut at LENGTH_MAX characters. It never raises.

    Unknown placeholders and single braces stay as they are.
    """
    filled = ""
    for part in _parts(template, values):
        filled += part
        if len(filled) > LENGTH_MAX:
            return f"{filled[: LENGTH_MAX - 1]}…"
    return filled


def _parts(template: str, values: Mapping[str, str]) -> Iterator[str]:
    end = 0
    for found in _PART.finditer(template):
        part = found[0]
        yield template[end : found.start()]
        yield part[0] if part in ("{{", "}}") else values.get(part[1:-1], part)
        end = found.end()
    yield template[end:]
