"""Keyset pagination: no page skips or repeats a row while others are written, and none is slow."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from api.fields import StrictSerializer
from core.pagination import EPOCH, beyond, time_from_hex, time_in_hex

PAGE, PAGE_MOST = 100, 500
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_ON, _BACK = "b", "a"
# Whatever matches can be decoded: a time until 2112 in microseconds, and a row id.
_CURSOR = r"^[ab][0-9a-f]{1,13}-[0-9a-f]{1,15}\Z"


@extend_schema_field({"type": "integer", "minimum": 1, "maximum": PAGE_MOST, "default": PAGE})
class _Limit(serializers.Field[Any, Any, Any, Any]):
    default_error_messages = {"invalid": _("Must be a whole number from 1 to {most}.")}

    def to_internal_value(self, data: Any) -> int:
        if not (isinstance(data, str) and _NUMBER.fullmatch(data) and 1 <= int(data) <= PAGE_MOST):
            self.fail("invalid", most=PAGE_MOST)
        return int(data)


class PageSerializer(StrictSerializer):
    """The pagination parameters of a list."""

    cursor = serializers.RegexField(
        _CURSOR,
        required=False,
        trim_whitespace=False,
        help_text="The cursor from next or previous of a page.",
        error_messages={"invalid": _("Must be a cursor from next or previous of a page.")},
    )
    limit = _Limit(required=False, help_text="Results per page.")


@dataclass(frozen=True, slots=True)
class _Position:
    """A row's position, and whether the page before or after it is wanted."""

    back: bool
    at: datetime
    pk: int

    def __str__(self) -> str:
        return f"{_BACK if self.back else _ON}{time_in_hex(self.at)}-{self.pk:x}"


def page(
    request: Request,
    rows: QuerySet[Any],
    *,
    time: str | None,
    params: dict[str, Any],
    serialize: Callable[[list[Any]], list[Any]],
    oldest_first: bool = False,
) -> Response:
    """Return one page of `rows` as `{"results": [...], "next": ..., "previous": ...}`.

    Args:
        time: the column to order by, before the row id; None to order by the row id alone.
        params: the parameters, validated by PageSerializer.
    """
    size, position = params.get("limit", PAGE), _read(params.get("cursor"))
    back = position is not None and position.back
    # Going back through rows that are newest first means ascending order, and vice versa.
    upwards = back != oldest_first
    if position is not None:
        rows = _beyond(rows, time, position, upwards=upwards)
    sign = "" if upwards else "-"
    order = [f"{sign}{column}" for column in (time, "pk") if column]
    found = list(rows.order_by(*order)[: size + 1])
    more, found = len(found) > size, found[:size]
    if back:
        found.reverse()
    following = _link(request, found, time, back=False) if more or back else None
    before = _link(request, found, time, back=True) if (more if back else position is not None) else None
    return Response({"results": serialize(found), "next": following, "previous": before})


def _read(cursor: str | None) -> _Position | None:
    if cursor is None:
        return None
    at, _dash, pk = cursor[1:].partition("-")
    return _Position(cursor[0] == _BACK, time_from_hex(at), int(pk, 16))


def _beyond(rows: QuerySet[Any], time: str | None, position: _Position, *, upwards: bool) -> QuerySet[Any]:
    if time is None:
        return rows.filter(**{"pk__gt" if upwards else "pk__lt": position.pk})
    return beyond(rows, time, position.at, position.pk, newest_first=not upwards)


def _link(request: Request, found: list[Any], time: str | None, *, back: bool) -> str | None:
    if not found:
        return None
    row = found[0] if back else found[-1]
    at = getattr(row, time) if time else EPOCH
    return replace_query_param(request.build_absolute_uri(), "cursor", str(_Position(back, at, row.pk)))
