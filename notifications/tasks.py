"""Tasks that Celery Beat and hints start. Each calls one service."""

from typing import Any

from celery import shared_task
from celery.signals import worker_shutting_down

from notifications import delivery, notices


@shared_task
def deliver() -> None:
    delivery.deliver_due()


@shared_task
def notice() -> None:
    notices.look()


@worker_shutting_down.connect
def stop_delivering(**kwargs: Any) -> None:
    delivery.stop_soon()
