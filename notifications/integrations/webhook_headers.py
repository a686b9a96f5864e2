"""The custom headers of a webhook: which ones are allowed."""

from __future__ import annotations

import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as __

MOST = 20
LENGTH_MAX = 4000
# Headers that the request itself determines (RFC 9110, 7.6.1 and 8.6), and those about the body we send.
_OURS = frozenset(
    {"connection", "content-encoding", "content-length", "content-type", "expect", "host", "keep-alive"}
    | {"proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}
)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Printable ASCII and inner white space: what every server understands (RFC 9110, 5.5).
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")


def clean(given: list[str] | str) -> str:
    """Return the headers, "Name: value" in each line. Raises ValidationError."""
    lines = given.splitlines() if isinstance(given, str) else given
    headers: dict[str, str] = {}
    for line in filter(None, map(str.strip, lines)):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValidationError(__("Enter one header per line, such as “Authorization: Bearer abc”."))
        if name.lower() in _OURS or name.lower().startswith("webhook-"):
            raise ValidationError(__("“%(name)s” is set by Tianji. Remove it."), params={"name": name})
        if name.lower() in headers:
            raise ValidationError(__("“%(name)s” is listed twice."), params={"name": name})
        headers[name.lower()] = f"{name}: {value}"
    if len(headers) > MOST:
        raise ValidationError(__("Enter at most %(count)d headers."), params={"count": MOST})
    return "\n".join(headers.values())
