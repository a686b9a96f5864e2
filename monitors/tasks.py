"""What Celery Beat and hints wake. Each task calls operations that may be called again."""

from celery import shared_task

from accounts import idempotency
from monitors import retention as retention_
from monitors import sweep as sweep_


@shared_task
def sweep() -> None:
    sweep_.declare_missed()


@shared_task
def retention() -> None:
    idempotency.forget_old()
    retention_.delete_old_heartbeats()


@shared_task
def purge(monitor_id: int) -> None:
    retention_.delete_heartbeats_of(monitor_id=monitor_id)
