"""The tasks that Celery Beat's schedule must contain, and what is wrong with it."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_celery_beat.models import PeriodicTask

# The required tasks, with what does not work without them.
NEEDED: dict[str, tuple[str, Promise | str]] = {
    "sweep": ("monitors.tasks.sweep", gettext_lazy("missed heartbeats are not detected")),
    "deliver": ("notifications.tasks.deliver", gettext_lazy("failed notifications are not retried")),
}


def faults() -> list[str]:
    """Return what is wrong with the schedule, as sentences. One query.

    Before the first run of Celery Beat there is no schedule, which is not an error.
    """
    tasks = list(PeriodicTask.objects.filter(task__in=[task for task, _lost in NEEDED.values()]))
    if not tasks and not PeriodicTask.objects.exists():
        return []
    return [fault for name in NEEDED if (fault := fault_of(name, tasks))]


def fault_of(name: str, tasks: list[PeriodicTask]) -> str:
    """Return what keeps the task called `name` in NEEDED from running, or ""."""
    task, lost = NEEDED[name]
    entries = [entry for entry in tasks if entry.task == task]
    words = {"name": name, "lost": str(lost)}
    if not entries:
        return _("The task “%(name)s” is missing in Celery Beat's schedule: %(lost)s.") % words
    now = timezone.now()
    if any(_runs(entry, now) for entry in entries):
        return ""
    return _("The task “%(name)s” is disabled in Celery Beat's schedule: %(lost)s.") % words


def _runs(entry: PeriodicTask, now: datetime) -> bool:
    """Whether Celery Beat keeps running `entry`: it can be disabled in several ways."""
    started = entry.start_time is None or entry.start_time <= now
    expired = entry.expires is not None and entry.expires <= now
    return bool(entry.enabled and started and not expired and not entry.one_off)


def newest_run() -> datetime | None:
    """Return when Celery Beat last ran a task, as far as it has saved that; None for never."""
    newest: datetime | None = (
        PeriodicTask.objects.filter(~Q(last_run_at=None))
        .order_by("-last_run_at")
        .values_list("last_run_at", flat=True)
        .first()
    )
    return newest
