"""The templates with which a channel says things its own way: {placeholder}, and nothing else.

No attributes, no indexes, no format, no conditions; what is filled in is not filled again. So a template
can neither reach into the server nor be turned into one by the message of a heartbeat.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

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
            errors.append(
                _("There is a “%(brace)s” alone. To say a brace, write it twice.") % {"brace": part}
            )
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
    filled: list[str] = []
    left = LENGTH_MAX

    def add(text: str) -> bool:
        nonlocal left
        filled.append(text[:left])
        left -= len(text)
        return left > 0

    _walk(template, values, add)
    text = "".join(filled)
    return text if left >= 0 else f"{text[: LENGTH_MAX - 1]}…"


def _walk(template: str, values: Mapping[str, str], add: Callable[[str], bool]) -> None:
    """Give `add` the parts one after the other, until it has enough."""
    end = 0
    for found in _PART.finditer(template):
        part = found[0]
        said = part[0] if part in ("{{", "}}") else values.get(part[1:-1], part)
        if not (add(template[end : found.start()]) and add(said)):
            return
        end = found.end()
    add(template[end:])
