"""Whether this process lives, and whether it can serve."""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

_migrations_are_applied = False


@require_safe
@never_cache
def livez(request: HttpRequest) -> JsonResponse:
    """200 while the process answers at all; it touches nothing else."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when pushes can be recorded: the database answers and has all migrations; else 503."""
    found = {"database": _database(), "migrations": _migrations()}
    ready = all(state == "ok" for state in found.values())
    return JsonResponse({"status": "ok" if ready else "unavailable", **found}, status=200 if ready else 503)


def _database() -> str:
    try:
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
    except Error:
        connections[DEFAULT_DB_ALIAS].close()
        return "does not answer"
    return "ok"


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
