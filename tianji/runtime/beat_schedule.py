"""The tasks that Celery Beat's schedule must contain, and what is wrong with it."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_celery_beat.models import PeriodicTask

from core.clock import database_now

# The required tasks, with what does not work without them.
NEEDED: dict[str, tuple[str, Promise | str]] = {
    "sweep": ("monitors.tasks.sweep", gettext_lazy("missed heartbeats are not detected")),
    "deliver": ("notifications.tasks.deliver", gettext_lazy("failed notifications are not retried")),
}
_TASKS = [task for task, _lost in NEEDED.values()]


def faults() -> list[str]:
    """Return what is wrong with the schedule, as sentences. Two queries.

    Before the first run of Celery Beat there is no schedule, which is not an error.
    """
    tasks = list(PeriodicTask.objects.filter(task__in=_TASKS))
    if not tasks and not PeriodicTask.objects.exists():
        return []
    now = database_now()
    return [fault for name in NEEDED if (fault := fault_of(name, tasks, now))]


def fault_of(name: str, tasks: list[PeriodicTask], now: datetime) -> str:
    """Return what keeps the task called `name` in NEEDED from running now, or ""."""
    task, lost = NEEDED[name]
    entries = [entry for entry in tasks if entry.task == task]
    words = {"name": name, "lost": str(lost)}
    if not entries:
        return _("The task “%(name)s” is missing in Celery Beat's schedule: %(lost)s.") % words
    if any(_runs(entry, now) for entry in entries):
        return ""
    return _("The task “%(name)s” is disabled in Celery Beat's schedule: %(lost)s.") % words


def _runs(entry: PeriodicTask, now: datetime) -> bool:
    """Whether Celery Beat keeps running `entry`: it can be disabled in several ways."""
    started = entry.start_time is None or entry.start_time <= now
    expired = entry.expires is not None and entry.expires <= now
    return bool(entry.enabled and started and not expired and not entry.one_off)


def newest_run() -> datetime | None:
    """Return when Celery Beat last ran a task in NEEDED, as far as it has saved that; None for never.

    They run every second. Others may have run last by a clock that was wrong, and not since.
    """
    newest: datetime | None = (
        PeriodicTask.objects.filter(~Q(last_run_at=None), task__in=_TASKS, enabled=True)
        .order_by("-last_run_at")
        .values_list("last_run_at", flat=True)
        .first()
    )
    return newest
