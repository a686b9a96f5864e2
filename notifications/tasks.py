"""Tasks that Celery Beat and hints start. Each calls one service."""

import importlib
from typing import Any

from celery import shared_task
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.urls import get_resolver

from notifications.dispatch import late_and_failing, send
from notifications.integrations import kinds
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


@worker_ready.connect
def load_what_sending_needs(**kwargs: Any) -> None:
    """Import what the first message would import: it is urgent, and most so while thousands go down."""
    importlib.import_module("httpx")
    kinds()
    # Messages have links.
    assert get_resolver().url_patterns


@worker_shutting_down.connect
def finish_what_is_being_sent(**kwargs: Any) -> None:
    # In the handler of a signal, which must not wait.
    send.stop_soon()


@worker_shutdown.connect
def wait_for_what_is_being_sent(**kwargs: Any) -> None:
    send.stop()
