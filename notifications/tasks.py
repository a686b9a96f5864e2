"""What Celery Beat and hints wake. Each task calls one operation."""

from typing import Any

from celery import shared_task
from celery.signals import worker_shutting_down

from notifications import delivery


@shared_task
def deliver() -> None:
    delivery.deliver_due()


@worker_shutting_down.connect
def stop_delivering(**kwargs: Any) -> None:
    delivery.stop_soon()
