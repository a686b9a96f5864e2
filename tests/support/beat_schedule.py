"""Celery Beat's schedule, as Celery Beat itself installs it."""

from __future__ import annotations

from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import ModelEntry

from core.clock import database_now
from tianji.celeryconfig import beat_schedule


def install_schedule() -> None:
    """Write the schedule, with tasks that ran just now."""
    from tianji.celery import app

    for name, entry in beat_schedule.items():
        ModelEntry.from_entry(name, app=app, **entry)
    PeriodicTask.objects.update(last_run_at=database_now())
