"""The templates with which a channel says things its own way: {placeholder}, and nothing else.

No attributes, no indexes, no format, no conditions; what is filled in is not filled again. So a template
can neither reach into the server nor be turned into one by the message of a heartbeat.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

LENGTH_MAX = 10_000
_SHOWN = 40
# In this order: a doubled brace, a placeholder, a brace that stands alone.
_PART = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")


_PLACEHOLDERS = {
    "title": gettext_lazy("The title that the channel would say by itself"),
    "text": gettext_lazy("The text that the channel would say by itself"),
    "monitor": gettext_lazy("The name of the monitor"),
    "status": gettext_lazy("What happened: down, still down, up again, late"),
    "cause": gettext_lazy("Why it went down, in one sentence"),
    "since": gettext_lazy("Since when it is or was down"),
    "duration": gettext_lazy("How long it is or was down"),
    "message": gettext_lazy("The message of the heartbeat that it is about"),
    "value": gettext_lazy("The value of that heartbeat"),
    "last_heartbeat": gettext_lazy("When the last heartbeat before came"),
    "workspace": gettext_lazy("The name of the workspace"),
    "url": gettext_lazy("The address to read on"),
    "acknowledge_url": gettext_lazy("Where somebody says that they see to it"),
    "count": gettext_lazy("How many monitors it is about"),
    "names": gettext_lazy("Their names"),
}


def placeholders() -> dict[str, str]:
    """Return what can be filled in: names, and what each is, in the reader's language."""
    return {name: str(about) for name, about in _PLACEHOLDERS.items()}


def check(template: str) -> list[str]:
    """Return what is wrong with `template`, in sentences that say what is allowed; nothing for a good one."""
    errors: list[str] = []
    for part in _PART.findall(template):
        if part in ("{{", "}}"):
            continue
        if part in ("{", "}"):
            alone = _("There is a “%(brace)s” alone. To say a brace, write it twice.")
            errors.append(alone % {"brace": part})
        elif part[1:-1] not in _PLACEHOLDERS:
            errors.append(
                _("“%(part)s” is not known. You can use: %(known)s.")
                % {
                    "part": part if len(part) <= _SHOWN else f"{part[:_SHOWN]}…",
                    "known": ", ".join(f"{{{name}}}" for name in _PLACEHOLDERS),
                }
            )
    return list(dict.fromkeys(errors))


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return `template` with what `values` say, cut at LENGTH_MAX characters. It never raises.

    What is not in `values`, and a brace that stands alone, stays as it is.
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
