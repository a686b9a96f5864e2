"""Health endpoints: liveness and readiness of this process, and the state of the whole installation."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path

import redis
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers
from django_celery_beat.models import PeriodicTask

from core.clock import database_now
from monitors.domain.durations import exactly
from monitors.domain.listening import GAP_LEAST
from monitors.heartbeats.pipeline import process_pipeline
from monitors.heartbeats.transitions import horizon
from monitors.models import Gap, MonitorState, Watermark
from monitors.pages import gaps
from monitors.services import partitions
from notifications.dispatch import waiting
from tianji.celeryconfig import broker_transport_options
from tianji.runtime import beat_schedule

# Celery Beat saves its last runs about every 30 s (tianji/celeryconfig.py), every 60 s if a task is disabled.
BEAT_IS_SILENT_AFTER = timedelta(minutes=2)
# Many deadlines that pass at the same time take a few seconds.
SWEEP_IS_BEHIND_AFTER = timedelta(seconds=30)
# A clock that was set is a fault of its server's; this is long enough to be seen. If it was set back, times
# written before are ahead until it has made up for it.
CLOCK_STEP_IS_NEWS_FOR, CLOCK_STEP_IS_NEWS_AT_MOST = timedelta(minutes=10), timedelta(hours=1)
# If more channels hang than a worker has threads, the others wait for the timeouts.
DELIVERIES_ARE_BEHIND_AFTER = timedelta(seconds=60)
# Ticks come once a second; this many in the queue mean that no worker is running.
TICKS_WAIT_MOST = 60
# Each web process commits about once a second.
COMMITTED_WITHIN_SECONDS = 10.0
_BROKER_SECONDS = 1.0

_migrations_are_applied = False


@require_safe
@never_cache
def livez(request: HttpRequest) -> JsonResponse:
    """Return 200 as long as the process responds; checks nothing else."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Return 200 if pushes can be recorded, else 503.

    The database responds, is fully migrated, and this process has committed something lately: a full disk
    still answers queries.
    """
    found = {"database": _database(), "migrations": _migrations(), "commits": _commits()}
    ready = all(state == "ok" for state in found.values())
    return JsonResponse({"status": "ok" if ready else "unavailable", **found}, status=200 if ready else 503)


@dataclass(frozen=True, slots=True)
class Line:
    """One part of the installation. `fault` says what is wrong with it, or is ""."""

    key: str
    name: str
    fault: str

    @property
    def ok(self) -> bool:
        return not self.fault


@require_safe
@never_cache
@vary_on_headers("Accept")
def healthz(request: HttpRequest) -> HttpResponse:
    """Return 200 if everything works, else 503: a page for people, or JSON if the client prefers it.

    It is public and names no monitor. The page is rendered without the user's account, which may be in
    the very database that is not responding.
    """
    lines = examine()
    well = all(line.ok for line in lines)
    status = 200 if well else 503
    # Browsers do not ask for JSON; clients that accept anything, such as curl, get the page.
    if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
        found = {line.key: line.fault or "ok" for line in lines}
        return JsonResponse({"status": "ok" if well else "unavailable", **found}, status=status)
    return HttpResponse(render_to_string("healthz.html", {"lines": lines, "well": well}), status=status)


def examine() -> list[Line]:
    """Return the state of every part: a handful of small queries, and one request to the broker."""
    database, migrations = _database(), _migrations()
    lines = [
        Line("database", _("Database"), "" if database == "ok" else _("Not responding.")),
        Line("migrations", _("Migrations"), "" if migrations == "ok" else _migrations_in_words(migrations)),
    ]
    reachable = database == migrations == "ok"
    lines += [Line(key, str(name), _ask(question, reachable)) for key, name, question in _QUESTIONS]
    broker, ticks = _broker()
    return [
        *lines,
        Line("broker", _("Broker"), broker),
        Line("workers", _("Workers"), ticks if not broker else _("Unknown.")),
    ]


def _ask(question: Callable[[], str], reachable: bool) -> str:
    if not reachable:
        return _("Unknown.")
    try:
        return question()
    except Error:
        return _("Unknown: the database is not responding.")


def _database() -> str:
    try:
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
    except Error:
        connections[DEFAULT_DB_ALIAS].close()
        return "not responding"
    return "ok"


def _commits() -> str:
    silent = process_pipeline().listener.silent_seconds
    return "ok" if silent is None or silent <= COMMITTED_WITHIN_SECONDS else "failing"


def _migrations() -> str:
    global _migrations_are_applied  # noqa: PLW0603  (applied migrations stay applied)
    if _migrations_are_applied:
        return "ok"
    try:
        executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except Error:
        return "unknown"
    if missing:
        return f"{len(missing)} not applied"
    _migrations_are_applied = True
    return "ok"


def _migrations_in_words(found: str) -> str:
    return _("Some migrations have not been applied.") if found.endswith("not applied") else _("Unknown.")


def _schedule() -> str:
    return " ".join(beat_schedule.faults())


def _celery_beat() -> str:
    newest = beat_schedule.newest_run()
    if newest is None:
        return "" if _has_just_begun() else _("Has not run yet.")
    silent = database_now() - newest
    if abs(silent) <= BEAT_IS_SILENT_AFTER:
        return ""
    if silent < timedelta(0):
        # It writes the database's time: the clock was set back since, or the program is an older one.
        return _("Its last run is %(time)s in the future.") % {"time": _long(-silent)}
    return _("No task has run for %(time)s.") % {"time": _long(silent)}


def _has_just_begun() -> bool:
    """Whether the schedule was written a moment ago, so that the first run is not saved yet."""
    changed = PeriodicTask.objects.order_by("-date_changed").values_list("date_changed", flat=True).first()
    return changed is not None and database_now() - changed < BEAT_IS_SILENT_AFTER


def _listening() -> str:
    """Say since when pushes fail. From the database's row, so that every process answers the same."""
    now = database_now()
    watermark = Watermark.objects.first()
    if watermark is None or not (watermark.held or now - watermark.until > GAP_LEAST):
        return ""
    return gaps.failing_in_words(watermark.until, timezone.localdate(now), zone=True)


def _clock() -> str:
    now = database_now()
    stepped = Gap.objects.filter(
        clock_step__isnull=False, ended_at__gt=now - CLOCK_STEP_IS_NEWS_AT_MOST, ended_at__lte=now
    )
    news = [gap for gap in stepped.order_by("-ended_at") if now < gap.ended_at + _is_news_for(gap.clock_step)]
    return f"{gaps.clock_step_in_words(news[0], timezone.localdate(now), zone=True)}." if news else ""


def _is_news_for(step: int | None) -> timedelta:
    return max(CLOCK_STEP_IS_NEWS_FOR, timedelta(seconds=-(step or 0)))


def _sweep() -> str:
    now = database_now()
    # A deadline after the watermark is none of its business yet, and one in a gap only since the gap's end.
    limit = horizon(now) - SWEEP_IS_BEHIND_AFTER
    ours = Q(excused_until=None) | Q(excused_until__lte=limit)
    oldest = MonitorState.objects.due(limit).filter(ours).order_by("due_at").first()
    if oldest is None or oldest.due_at is None:
        return ""
    return _("Running %(time)s behind.") % {
        "time": _long(now - max(oldest.due_at, oldest.excused_until or oldest.due_at))
    }


def _deliveries() -> str:
    now = database_now()
    oldest = waiting.neglected_since(now - DELIVERIES_ARE_BEHIND_AFTER, now)
    return _("Running %(time)s behind.") % {"time": _long(now - oldest)} if oldest else ""


_QUESTIONS = (
    ("listening", gettext_lazy("Listening"), _listening),
    ("clock", gettext_lazy("The database's clock"), _clock),
    ("schedule", gettext_lazy("Celery Beat's schedule"), _schedule),
    ("celery_beat", gettext_lazy("Celery Beat"), _celery_beat),
    ("sweep", gettext_lazy("Sweep"), _sweep),
    ("deliveries", gettext_lazy("Deliveries"), _deliveries),
    ("partitions", gettext_lazy("Heartbeat partitions"), partitions.fault),
)


def _broker() -> tuple[str, str]:
    """Return what is wrong with the broker, and with the workers that should process its messages."""
    try:
        waiting = _ticks_in_redis() if settings.REDIS_URL else _ticks_in_folder()
    except (redis.RedisError, OSError):
        return _("Not responding."), ""
    if waiting > TICKS_WAIT_MOST:
        return "", _("Not processing the tasks that Celery Beat sends.")
    return "", ""


def _ticks_in_redis() -> int:
    with redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=_BROKER_SECONDS, socket_timeout=_BROKER_SECONDS
    ) as client:
        return int(client.llen(f"{broker_transport_options['global_keyprefix']}sweep"))


def _ticks_in_folder() -> int:
    folder = Path(str(broker_transport_options["data_folder_in"]))
    if not os.access(folder, os.W_OK):
        raise PermissionError(folder)
    with os.scandir(folder) as entries:
        ticks = (entry for entry in entries if entry.name.endswith(".sweep.msg"))
        return sum(1 for _tick in islice(ticks, TICKS_WAIT_MOST + 1))


def _long(time: timedelta) -> str:
    return exactly(int(time.total_seconds()))
