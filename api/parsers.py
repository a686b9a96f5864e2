"""Request bodies of the management API: JSON as in RFC 8259, limited in size and depth."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from django.http import UnreadablePostError
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from api.problems import Problem

API_BODY_LIMIT = 1_000_000
DEPTH_MOST = 20


class JsonBody(BaseParser):
    """UTF-8 whatever the charset says, limited in length, and no values that JSON cannot represent."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return the parsed body. Raises ParseError, Problem."""
        try:
            raw = stream.read(API_BODY_LIMIT + 1)
        except UnreadablePostError:
            raise ParseError(_("The body is incomplete.")) from None
        if len(raw) > API_BODY_LIMIT:
            raise Problem("too-large", _("The body is limited to %d bytes.") % API_BODY_LIMIT)
        try:
            content = json.loads(raw.decode(), parse_constant=_no_number, parse_float=_finite)
        except RecursionError:
            raise _too_deep() from None
        except ValueError as error:
            raise ParseError(_("The body is not valid JSON: %s") % error) from None
        _require_plain(content)
        return content


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not allowed")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number


def _too_deep() -> ParseError:
    return ParseError(_("The body is nested too deeply. At most %d levels are allowed.") % DEPTH_MOST)


def _require_plain(content: Any) -> None:
    """Reject unpaired surrogates, which no database stores, and nesting deeper than any resource has."""
    level: list[Any] = [content]
    for _depth in range(DEPTH_MOST):
        below: list[Any] = []
        for value in level:
            if isinstance(value, str):
                _require_encodable(value)
            elif isinstance(value, list):
                below += value
            elif isinstance(value, dict):
                below += [*value, *value.values()]
        if not below:
            return
        level = below
    raise _too_deep()


def _require_encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ParseError(
            _("The body contains an unpaired surrogate, which is not a valid character.")
        ) from None
