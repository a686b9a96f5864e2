"""What Celery Beat and hints wake. Each task calls one operation."""

from celery import shared_task

from notifications import delivery


@shared_task
def deliver() -> None:
    delivery.deliver_due()
