"""Celery tasks, started by Celery Beat or by hints. Each calls idempotent operations."""

from celery import shared_task

from accounts.services import (
    audit_log,
    email_changes,
    invitations,
    outbox,
    password_links,
    sign_in_limits,
)
from accounts.session_store import SessionStore


@shared_task
def send_mail() -> None:
    outbox.send_due()


@shared_task
def send_password_links() -> None:
    password_links.send_waiting()


@shared_task
def retention() -> None:
    SessionStore.clear_expired()
    sign_in_limits.delete_old()
    audit_log.delete_old()
    invitations.forget_expired()
    email_changes.forget_expired()
