"""Celery tasks, started by Celery Beat or by hints. Each calls one service."""

from celery import shared_task

from accounts.services import email_changes, invitations, outbox


@shared_task
def send_mail() -> None:
    outbox.send_due()


@shared_task
def retention() -> None:
    invitations.forget_expired()
    email_changes.forget_expired()
