"""A monitor's uptime and its intervals between heartbeats over HTTP."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.schema import answers, problem_response
from core.clock import database_now
from monitors.api.history import TAG, HistoryView, iso, names_of, require_order
from monitors.api.history_serializers import RangeSerializer, UptimeSerializer
from monitors.history import days, rhythm

_DEFAULT = timedelta(days=30)
_EARLIEST = datetime.min.replace(tzinfo=UTC)


class Uptime(HistoryView):
    query = names_of(RangeSerializer)

    @extend_schema(
        tags=[TAG],
        operation_id="read_uptime",
        summary="Get a monitor's uptime and intervals",
        description=(
            "Weighted by time. Defaults to the last 30 days. Time before the monitor was created, in the "
            "future, or while it was new or paused is left out. The intervals are those between heartbeats, "
            "without outages, in the whole half hours of the range that are over. They may be wrong by 2.2 %."
        ),
        parameters=[RangeSerializer],
        responses={
            **answers(200, UptimeSerializer),
            (422, "application/problem+json"): problem_response(422),
        },
    )
    def get(self, request: Request, public_id: UUID) -> Response:
        params = self.in_order(RangeSerializer)
        monitor = self.monitor(public_id)
        now = database_now()
        end: datetime = params.get("to", now)
        start: datetime = params.get("from") or _earlier(end, _DEFAULT)
        require_order(start, end)
        measured = days.uptime_of(monitor, start=start, end=end, now=now)
        usual = rhythm.usual_between(monitor, start=start, end=end)
        return Response(
            {
                "from": iso(start),
                "to": iso(end),
                "uptime": measured.share,
                "down_seconds": measured.down.total_seconds(),
                "watched_seconds": measured.watched.total_seconds(),
                "incidents": measured.incidents,
                "interval_median_seconds": usual.median if usual else None,
                "interval_p99_seconds": usual.p99 if usual else None,
            }
        )


def _earlier(at: datetime, length: timedelta) -> datetime:
    with suppress(OverflowError):
        return at - length
    return _EARLIEST
