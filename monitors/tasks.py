"""Celery tasks, started by Celery Beat or by hints. Each calls idempotent operations."""

from celery import shared_task

from api import idempotency
from monitors.heartbeats import missed as sweep_
from monitors.history import rollups
from monitors.services import partitions
from monitors.services import retention as retention_


@shared_task
def sweep() -> None:
    sweep_.declare_missed()


@shared_task
def retention() -> None:
    idempotency.forget_old()
    retention_.delete_old_heartbeats()
    retention_.delete_old_rollups()
    retention_.delete_old_gaps()
    retention_.delete_old_rejected_pushes()


@shared_task
def make_partitions() -> None:
    partitions.make_ahead()


@shared_task
def purge(monitor_id: int) -> None:
    retention_.purge_in_turn(monitor_id=monitor_id)


@shared_task
def roll_up() -> None:
    rollups.roll_up()
