"""Tasks that Celery Beat and hints start. Each calls one service."""

from typing import Any

from celery import shared_task
from celery.signals import worker_shutting_down

from notifications.dispatch import late_and_failing, send
from notifications.services import retention as retention_


@shared_task
def deliver() -> None:
    send.start_delivering()


@shared_task
def notify_late_and_failing() -> None:
    late_and_failing.enqueue_all()


@shared_task
def retention() -> None:
    retention_.delete_old_history()


@worker_shutting_down.connect
def stop_delivering(**kwargs: Any) -> None:
    send.stop_soon()
