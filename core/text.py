"""What names and messages must not contain: characters that break a line or disguise the text."""

from __future__ import annotations

import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

# Characters that change the direction of text (UAX #9). They are invisible, and make a name or a message read
# like another one: behind U+202E, it is shown backwards.
BIDI = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# C0 with its line breaks, DEL, C1, and the Unicode line and paragraph separators.
CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_BIDI = re.compile(f"[{BIDI}]+")
_CONTROLS = re.compile(f"[{CONTROLS}]")


def without_bidi(text: str) -> str:
    """Return `text` without characters that change its direction."""
    return _BIDI.sub("", text)


def has_controls(text: str) -> bool:
    """Return whether `text` has a line break or another control character."""
    return _CONTROLS.search(text) is not None


def clean_line(text: str) -> str:
    """Return a name: without surrounding white space, and without characters that change its direction.

    Raises:
        ValidationError: it has line breaks or other control characters.
    """
    if has_controls(text):
        raise ValidationError(_("Enter a single line, without line breaks or other control characters."))
    return without_bidi(text).strip()
