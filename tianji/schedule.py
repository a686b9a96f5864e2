"""What Celery Beat's schedule must hold for Tianji to work, and what it lacks."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_celery_beat.models import PeriodicTask

# What stops without it, by task.
NEEDED: dict[str, tuple[str, Promise | str]] = {
    "sweep": ("monitors.tasks.sweep", gettext_lazy("missed heartbeats are not detected")),
    "deliver": ("notifications.tasks.deliver", gettext_lazy("failed notifications are not retried")),
}


def faults() -> list[str]:
    """Return what is wrong with the schedule, in sentences. One query.

    Before Celery Beat has run for the first time there is no schedule, and nothing is wrong with it.
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
    """Whether Celery Beat starts `entry` again and again, by all the ways there are to keep it from that."""
    started = entry.start_time is None or entry.start_time <= now
    expired = entry.expires is not None and entry.expires <= now
    return bool(entry.enabled and started and not expired and not entry.one_off)


def newest_run() -> datetime | None:
    """Return when Celery Beat ran a task, as far as it has written it down; None for never."""
    newest: datetime | None = (
        PeriodicTask.objects.filter(~Q(last_run_at=None))
        .order_by("-last_run_at")
        .values_list("last_run_at", flat=True)
        .first()
    )
    return newest
